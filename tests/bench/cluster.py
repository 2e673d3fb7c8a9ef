"""The processes of one mesh of one contender: started, heard through their logs, stopped, and ended by their ids."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from attrs import define, field, frozen

from contenders import Contender, Thought
from harness import environment

LOOK_S: Final = 0.005
"""How often the logs are looked at: the resolution of every time."""
PATIENCE_S: Final = 60.0
CONFIRM_S: Final = 5.0
END_S: Final = 15.0
TAIL: Final = 500
"""Characters of each log to show when a step fails."""
TICK_HZ: Final = os.sysconf("SC_CLK_TCK")


class StepFailed(Exception):
    """A step did not end as it should; the mesh is of no further use."""


@frozen
class Noted:
    """A change in what somebody thinks of ``subject``, read at ``at`` monotonic seconds."""

    at: float
    subject: str
    thought: Thought


@define
class Process:
    """One member: its process, and how far its log was read."""

    name: str
    log: Path
    child: subprocess.Popen[bytes]
    read: int = 0
    rest: bytes = b""
    listed: dict[str, Thought] = field(factory=dict)
    """Whom it lists as what, by its log. Who is suspected is still listed as before."""

    def new_lines(self) -> list[str]:
        """Give the whole lines that were added since the last call."""
        if self.log.stat().st_size == self.read:
            return []
        with self.log.open("rb") as log:
            log.seek(self.read)
            added = log.read()
        self.read += len(added)
        *lines, self.rest = (self.rest + added).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def cpu_s(self) -> float:
        """Give the processor seconds that it has used."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK_HZ

    def rss_mib(self) -> float:
        """Give its resident memory."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@define
class Cluster:
    """Members of one mesh, by number."""

    contender: Contender
    home: Path
    running: dict[int, Process] = field(factory=dict)
    silent: set[str] = field(factory=set)
    """Who was killed or stopped, so that it is right to call them dead."""
    leaving: set[str] = field(factory=set)
    """Who was asked to say goodbye."""
    dead_though_running: int = 0
    """How often somebody listed a member as dead that ran."""
    dead_though_leaving: int = 0
    """How often somebody listed a member as dead that was leaving or had left."""
    _noted: list[Noted] = field(factory=list)
    _children: list[subprocess.Popen[bytes]] = field(factory=list)

    def start(self, number: int) -> float:
        """Start a member, for the first time or again; give the moment before."""
        name = self.contender.name(number)
        log = self.home / f"{name}.log"
        began = time.monotonic()
        # A new log each time: what a member thought before it was killed is not what it lists now.
        with log.open("wb") as out:
            child = subprocess.Popen(
                self.contender.command(number),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,
            )
        self._children.append(child)
        self.running[number] = Process(name, log, child)
        self.silent.discard(name)
        return began

    def silence(self, number: int, signum: signal.Signals) -> float:
        """Kill or stop a member, without a goodbye; give the moment."""
        process = self.running[number] if signum == signal.SIGSTOP else self.running.pop(number)
        self.silent.add(process.name)
        at = time.monotonic()
        process.child.send_signal(signum)
        if signum == signal.SIGKILL:
            process.child.wait(END_S)
        return at

    def wake(self, number: int) -> float:
        """Let a stopped member go on; give the moment."""
        process = self.running[number]
        at = time.monotonic()
        process.child.send_signal(signal.SIGCONT)
        self.silent.discard(process.name)
        return at

    def ask_to_leave(self, number: int) -> tuple[float, Callable[[], bool]]:
        """Send SIGINT, upon which both contenders say goodbye; give the moment, and what tells that it is gone."""
        child = self.running.pop(number).child
        self.leaving.add(self.contender.name(number))
        at = time.monotonic()
        child.send_signal(signal.SIGINT)
        return at, lambda: child.poll() is not None

    def hear(self) -> None:
        """Read what is new in the logs.

        Raises:
            StepFailed: a member has ended by itself.
        """
        for process in self.running.values():
            for line in process.new_lines():
                heard = self.contender.heard(line)
                if heard is None or heard.subject == process.name:
                    continue
                self._noted.append(Noted(time.monotonic(), heard.subject, heard.thought))
                if heard.thought is not Thought.SUSPECT:
                    process.listed[heard.subject] = heard.thought
                if heard.thought is Thought.DEAD and heard.subject not in self.silent:
                    left = heard.subject in self.leaving
                    self.dead_though_leaving += left
                    self.dead_though_running += not left
            if process.child.poll() is not None:
                raise StepFailed(f"{process.name} has ended with status {process.child.returncode}")

    def wait(self, what: str, condition: Callable[[], bool]) -> float:
        """Hear until ``condition()`` holds; give the moment.

        Raises:
            StepFailed: it did not within PATIENCE_S, or a member has ended.
        """
        deadline = time.monotonic() + PATIENCE_S
        self.hear()
        while not condition():
            if time.monotonic() > deadline:
                raise StepFailed(f"not within {PATIENCE_S:.0f} s: {what}")
            time.sleep(LOOK_S)
            self.hear()
        return time.monotonic()

    def rest(self, seconds: float) -> None:
        """Do nothing but hear, at the beginning and at the end."""
        self.hear()
        time.sleep(seconds)
        self.hear()

    def all_list(self, subject: int, thought: Thought) -> bool:
        """Tell whether every running member but itself lists ``subject`` so."""
        name = self.contender.name(subject)
        others = (process for number, process in self.running.items() if number != subject)
        return all(process.listed.get(name) is thought for process in others)

    def is_complete(self) -> bool:
        """Tell whether every running member lists every other as alive."""
        return all(self.all_list(number, Thought.ALIVE) for number in self.running)

    def when(self, subject: int, thought: Thought, since: float) -> tuple[float, float]:
        """Give the seconds from ``since`` until anybody came to think so of ``subject``: the first and the last.

        Raises:
            StepFailed: nobody did.
        """
        name = self.contender.name(subject)
        about = [each for each in self._noted if each.subject == name and each.thought is thought]
        took = [each.at - since for each in about if each.at >= since]
        if not took:
            raise StepFailed(f"no log says that {name} is {thought.value}")
        return min(took), max(took)

    def confirm(self, subject: int, thought: Thought) -> None:
        """Ask every other running member itself, whether it lists ``subject`` as its log says.

        Raises:
            StepFailed: one does not.
        """
        name = self.contender.name(subject)
        deadline = time.monotonic() + CONFIRM_S
        for number in self.running:
            while number != subject and self.contender.listed(number).get(name) is not thought:
                if time.monotonic() > deadline:
                    raise StepFailed(f"{self.contender.name(number)} does not list {name} as {thought.value}")
                time.sleep(LOOK_S)

    def tails(self) -> str:
        """Give the end of every running member's log."""
        return "\n".join(
            f"--- {process.name}\n{process.log.read_text('utf-8', 'replace')[-TAIL:]}"
            for process in self.running.values()
        )

    def close(self) -> None:
        """Kill what still runs, stopped or not."""
        for child in self._children:
            child.kill()
        for child in self._children:
            child.wait()
        self.running.clear()

    @classmethod
    @contextmanager
    def opened(cls, contender: Contender, home: Path) -> Iterator[Self]:
        """Give a mesh without members that is closed again."""
        cluster = cls(contender, home)
        try:
            yield cluster
        finally:
            cluster.close()
