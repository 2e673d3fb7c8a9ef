"""Measure membership on real processes, beside serf where it is installed. Run with ``make bench-membership``.

    python membership.py [--rounds N] [--idle S] [--profile local|lan] [--only gossipmesh|serf] [--json FILE]

Eight processes on 127.0.0.1 at different ports, one mesh at a time; the contenders take turns within a round. Both
encrypt, and both keep state on disk. All times come from their logs, read every 5 ms, and each step's end is
confirmed by asking the members themselves. Packets and bytes are the kernel's counters of a network namespace in
which nothing else runs; nobody is asked anything while they are read. A profile's name means to each contender what
it says it means: gossipmesh's `local` probes twice a second, serf's once. The default takes six minutes; more
rounds, two minutes each, make better medians.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from cluster import Cluster, StepFailed
from contenders import Contender, Gossipmesh, Serf, Thought
from loopback import is_inside, move_inside, traffic
from standings import OURS, THEIRS, Figure, Standings

SIZE: Final = 8
KILLED: Final = 3
STOPPED: Final = 5
LEAVING: Final = 6
SETTLE_S: Final = 1.0
"""From a complete mesh until the next step, so that most news of the one before has died out."""
STEADY_S: Final = 30.0
"""The least age of a mesh that is idle. Serf's members begin their exchanges of everything between one and two of
their intervals after they started; that of `lan` is this. A window as long then has one exchange of each."""
STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PROFILES: Final = ("local", "lan")


AT_ONCE = Figure("6 started at once -> all 7 list all", "s")
FIRST_LISTS = Figure("8th process started -> first lists it", "s")
ALL_LIST = Figure("8th process started -> all 8 list all", "s")
KILL_SUSPECT = Figure("SIGKILL -> first suspicion", "s")
KILL_FIRST = Figure("SIGKILL -> first lists it dead", "s")
KILL_ALL = Figure("SIGKILL -> all list it dead", "s")
SPREAD = Figure("first lists the 8th -> all 8 list all", "s")
RESTART = Figure("restart with its state -> all 8 list all", "s")
STOP_FIRST = Figure("SIGSTOP -> first lists it dead", "s")
STOP_ALL = Figure("SIGSTOP -> all list it dead", "s")
WOKEN = Figure("SIGCONT -> all 8 list all", "s")
LEFT = Figure("leave -> all list it left", "s")
GONE = Figure("leave -> its process has ended", "s")
CPU = Figure("idle CPU per process", "%")
PACKETS = Figure("idle packets per node, UDP + TCP", "1/s")
SEGMENTS = Figure("idle packets per node, TCP alone", "1/s")
OCTETS = Figure("idle bytes per node, with IP headers", "B/s")
RSS = Figure("idle memory per process (RSS)", "MiB")
DEAD_RUNNING = Figure("running ones listed dead (sum)", "", summed=True)
DEAD_LEAVING = Figure("leaving ones listed dead (sum)", "", summed=True)

Note = Callable[[Figure, float], None]
"""Takes one sample of a figure."""


def join(cluster: Cluster, note: Note) -> None:
    """Start one member, then six at once, and when they all know each other, the eighth.

    Most of what passes until a Python process is first listed is its own start; the spread from there is the mesh's.
    """
    cluster.start(0)
    cluster.wait("the first member answers", lambda: bool(cluster.contender.listed(0)))
    began = [cluster.start(number) for number in range(1, SIZE - 1)]
    note(AT_ONCE, cluster.wait("seven members list each other", cluster.is_complete) - began[0])
    cluster.rest(SETTLE_S)
    last = SIZE - 1
    started = cluster.start(last)
    took = cluster.wait("all 8 list all", cluster.is_complete) - started
    first, _ = cluster.when(last, Thought.ALIVE, started)
    note(FIRST_LISTS, first)
    note(SPREAD, took - first)
    note(ALL_LIST, took)
    cluster.confirm(last, Thought.ALIVE)


def idle(cluster: Cluster, seconds: float, note: Note) -> None:
    """Let everybody do nothing and see what that costs."""
    processes = list(cluster.running.values())
    used = [process.cpu_s() for process in processes]
    sent = traffic() if is_inside() else None
    began = time.monotonic()
    cluster.rest(seconds)
    took = time.monotonic() - began
    if sent is not None:
        moved = traffic().since(sent)
        note(PACKETS, (moved.udp + moved.tcp) / took / SIZE)
        note(SEGMENTS, moved.tcp / took / SIZE)
        note(OCTETS, moved.octets / took / SIZE)
    for process, before in zip(processes, used, strict=True):
        note(CPU, 100 * (process.cpu_s() - before) / took)
        note(RSS, process.rss_mib())


def kill_and_restart(cluster: Cluster, note: Note) -> None:
    """Kill a member, and start it again with its state when everybody lists it as dead."""
    cluster.rest(SETTLE_S)
    killed = cluster.silence(KILLED, signal.SIGKILL)
    cluster.wait("all list the killed one as dead", partial(cluster.all_list, KILLED, Thought.DEAD))
    suspected, _ = cluster.when(KILLED, Thought.SUSPECT, killed)
    first, last = cluster.when(KILLED, Thought.DEAD, killed)
    note(KILL_SUSPECT, suspected)
    note(KILL_FIRST, first)
    note(KILL_ALL, last)
    cluster.confirm(KILLED, Thought.DEAD)
    started = cluster.start(KILLED)
    note(RESTART, cluster.wait("all list the restarted one", cluster.is_complete) - started)
    cluster.confirm(KILLED, Thought.ALIVE)


def stop_and_wake(cluster: Cluster, note: Note) -> None:
    """Stop a member, and let it go on when everybody lists it as dead."""
    cluster.rest(SETTLE_S)
    stopped = cluster.silence(STOPPED, signal.SIGSTOP)
    cluster.wait("all list the stopped one as dead", partial(cluster.all_list, STOPPED, Thought.DEAD))
    first, last = cluster.when(STOPPED, Thought.DEAD, stopped)
    note(STOP_FIRST, first)
    note(STOP_ALL, last)
    woken = cluster.wake(STOPPED)
    note(WOKEN, cluster.wait("all list the woken one", cluster.is_complete) - woken)
    cluster.confirm(STOPPED, Thought.ALIVE)


def leave(cluster: Cluster, note: Note) -> None:
    """Let a member say goodbye."""
    cluster.rest(SETTLE_S)
    asked, is_gone = cluster.ask_to_leave(LEAVING)
    note(GONE, cluster.wait("the process of the leaving one ends", is_gone) - asked)
    cluster.wait("all list the leaving one as left", partial(cluster.all_list, LEAVING, Thought.LEFT))
    _, last = cluster.when(LEAVING, Thought.LEFT, asked)
    note(LEFT, last)
    cluster.confirm(LEAVING, Thought.LEFT)


def run(contender: Contender, home: Path, idle_s: float, note: Note) -> str | None:
    """Take one contender through all steps; give what went wrong, if anything."""
    with Cluster.opened(contender, home) as cluster:
        try:
            began = time.monotonic()
            join(cluster, note)
            kill_and_restart(cluster, note)
            stop_and_wake(cluster, note)
            if idle_s:
                cluster.rest(max(SETTLE_S, began + STEADY_S - time.monotonic()))
                idle(cluster, idle_s, note)
            leave(cluster, note)
        except StepFailed as failure:
            print(cluster.tails(), file=sys.stderr)
            return str(failure)
        finally:
            note(DEAD_RUNNING, cluster.dead_though_running)
            note(DEAD_LEAVING, cluster.dead_though_leaving)
    return None


def prepared(title: str, home: Path, profile: str) -> Contender:
    """Give a contender with what it needs in ``home``."""
    return (Gossipmesh if title == OURS else Serf).prepare(home, profile, SIZE)


def stop_on_signal(signum: int, frame: object) -> NoReturn:
    """Take a signal as Ctrl-C, so that what was started is killed."""
    raise KeyboardInterrupt


def measure(options: argparse.Namespace, titles: list[str], standings: Standings) -> None:
    """Take the contenders through all rounds, by turns."""
    profiles = [options.profile] if options.profile else PROFILES
    for number in range(options.rounds):
        for profile in profiles:
            # Whoever goes first in one round goes last in the next.
            for title in titles if number % 2 == 0 else reversed(titles):
                print(f"round {number + 1} of {options.rounds}: {profile}, {title}", flush=True)
                # A short name: the path of a unix socket has 107 bytes at most.
                with tempfile.TemporaryDirectory(prefix="gm") as home:
                    contender = prepared(title, Path(home), profile)
                    note = partial(standings.add, profile, title)
                    failed = run(contender, Path(home), options.idle if number == 0 else 0.0, note)
                if failed is not None:
                    standings.failures.append(f"round {number + 1}, {profile}, {title}: {failed}")


def main() -> int:
    """Run the benchmark; give the exit status."""
    parser = argparse.ArgumentParser(description="Measure membership on eight real processes.")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--idle", type=float, default=30.0, help="seconds, in the first round")
    parser.add_argument("--profile", choices=PROFILES, help="one only")
    parser.add_argument("--only", choices=(OURS, THEIRS), help="one contender only")
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    options = parser.parse_args()
    why_not = None if is_inside() else move_inside(sys.argv)
    if why_not is not None:
        print(f"packets and bytes are left out, since there is no network of our own: {why_not}")
    versions = {OURS: Gossipmesh.version(), THEIRS: Serf.version()}
    titles = [title for title in (OURS, THEIRS) if options.only in (None, title) and versions[title]]
    if versions[THEIRS] is None:
        print("serf is left out: it is not installed (Debian: apt-get install serf)")
    standings = Standings({title: str(versions[title]) for title in titles})
    for signum in STOPPING:
        signal.signal(signum, stop_on_signal)
    try:
        measure(options, titles, standings)
    except KeyboardInterrupt:
        print("stopped; what was measured until then:")
        return 130
    finally:
        print(f"\n{standings.table()}")
        if options.json is not None:
            options.json.write_text(standings.as_json() + "\n")
    return 1 if standings.failures else 0


if __name__ == "__main__":
    sys.exit(main())
