"""Where processes run and what they use: one core for what is measured, one for everything else."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

ALLOWED: Final = sorted(os.sched_getaffinity(0))
MEASURED: Final = ALLOWED[-1]
OTHERS: Final = ALLOWED[0]
"""The same one where there is only one: then requests per second say nothing, and processor time still does."""
SAMPLE_S: Final = 0.1
TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Let what is started inside run on one core; children inherit it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def share_priority(pid: int) -> None:
    """Give a process in a session of its own our session's priority: the kernel weighs sessions, then processes."""
    try:
        ours, its = (Path(f"/proc/{each}/autogroup").read_text().split() for each in ("self", pid))
        # Empty in the first session of all, which has no group, as where a machine's first process started us.
        if ours and its and ours[-1] != its[-1]:
            Path(f"/proc/{pid}/autogroup").write_text(ours[-1])
    except OSError:
        return  # a kernel without groups by session


def family(pids: Sequence[int]) -> list[int]:
    """Give these processes and all that descend from them: some proxies work in children."""
    found: list[int] = []
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            waiting += map(int, path.read_text().split())
    return found


def cpu_s(pids: Sequence[int]) -> float:
    """Give the processor seconds, user and system, that all threads of these processes have used so far.

    The scheduler's own count has nanoseconds, while that in ``stat`` may be of ticks of 10 ms. Threads that ended are
    missing; none of what is measured ends threads under load.
    """
    nanoseconds = 0
    for pid in family(pids):
        for task in Path(f"/proc/{pid}/task").iterdir():
            nanoseconds += int((task / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def rss_mib(pids: Sequence[int]) -> float:
    """Give the resident memory of these processes, added up: what they share counts in each.

    Raises:
        OSError: one has ended.
    """
    total = 0
    for pid in family(pids):
        _, _, resident = Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")
        if resident:
            total += int(resident.split()[0])
        elif pid in pids:  # a child of its own may end
            raise ProcessLookupError(f"process {pid} has ended")
    return total / 1024


def stolen_s(core: int) -> float:
    """Give the seconds that the host kept a core from running although it had work, since the machine started."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            return int(ticks[7]) * TICK_S
    raise LookupError(f"no core {core}")


def first_of_all(pid: int) -> None:
    """Let a process run whenever it can, where we may: who tells times by its own clock must not wait for a core."""
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return


def busy_s(core: int) -> float:
    """Give the seconds that a core was busy with anything since the machine started."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            return sum(int(each) for each in [*ticks[:3], *ticks[5:8]]) * TICK_S
    raise LookupError(f"no core {core}")


class Memory(threading.Thread):
    """Samples memory while something runs; gives the most that was seen. OSError at the end if a process has ended.

    with Memory(pids) as memory:
        ...
    memory.most_mib
    """

    def __init__(self, pids: Sequence[int]) -> None:
        super().__init__(daemon=True)
        self._pids = pids
        self._enough = threading.Event()
        self.before_mib = self.most_mib = rss_mib(pids)

    def run(self) -> None:
        while not self._enough.wait(SAMPLE_S):
            try:
                self.most_mib = max(self.most_mib, rss_mib(self._pids))
            except OSError:
                return  # whoever measures sees to that

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join()
        rss_mib(self._pids)
