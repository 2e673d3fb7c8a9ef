"""What is asked of each contender: requests by wrk, or by load.py where that is not installed, and one long stream."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Protocol

from attrs import frozen

from cores import MEASURED, Memory, busy_s, cpu_s
from forwarders import Running

HERE: Final = Path(__file__).parent
WRK: Final = shutil.which("wrk")
MIB: Final = 1 << 20
GRACE_S: Final = 20.0
RECEIVE: Final = 1 << 18
SLOW_RECEIVE: Final = 1 << 14
SLOW_PAUSE_S: Final = 0.02


@frozen
class Figures:
    """What one load gave.

    ``values`` may have ``cpu_us`` (user and system, of all measured processes, per request or MiB), ``per_s`` (of
    those), ``p50_ms``, ``p99_ms``, ``rss_mib`` (the most under this load), ``growth_mib`` and ``failed``.

    Attributes:
        core_use: which part of the measured core's time the measured processes had.
        others: which part of it somebody else had.
    """

    values: dict[str, float]
    core_use: float
    others: float


class Load(Protocol):
    """One thing that is asked for so many seconds."""

    @property
    def name(self) -> str: ...

    @property
    def unit(self) -> str: ...

    def measure(self, running: Running, seconds: float) -> Figures: ...


@frozen
class Requests:
    """Requests over so many connections, one at a time on each.

    Attributes:
        path: the letter that tells the app what to answer.
        varied: every head differs, or all are the same.
        upload: bytes of each request's body.
        close: each request has a connection of its own.
    """

    name: str
    connections: int = 32
    path: str = "s"
    varied: bool = True
    upload: int = 0
    close: bool = False
    unit: str = "request"

    def measure(self, running: Running, seconds: float) -> Figures:
        watch = Watch(running.pids)
        with Memory(running.pids) as memory:
            got = json.loads(self._run(running.address, seconds))
        values = {
            "per_s": got["answered"] / got["took_s"],
            "p50_ms": got["p50_us"] / 1e3,
            "p99_ms": got["p99_us"] / 1e3,
            "rss_mib": memory.most_mib,
            "failed": got["failed"],
        }
        return watch.figures(values, got["answered"])

    def _run(self, address: str, seconds: float) -> str:
        heads = "varied" if self.varied else "same"
        ending = "close" if self.close else "keep"
        what = [heads, self.path, str(self.upload), ending]
        if WRK:
            options = ["-t1", f"-c{self.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
            command = [
                WRK,
                *options,
                "-s",
                str(HERE / "wrk.lua"),
                f"http://{address}",
                "--",
                str(HERE),
                *what,
            ]
        else:
            load = [sys.executable, str(HERE / "load.py"), address]
            command = [*load, str(self.connections), str(seconds), *what]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + GRACE_S, check=True)
        return done.stdout.rpartition("JSON ")[2]


class Watch:
    """What measured processes used since this was made."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        self._pids = pids
        self._busy_s, self._cpu_s, self._began = busy_s(MEASURED), cpu_s(pids), time.perf_counter()

    def figures(self, values: dict[str, float], per: float) -> Figures:
        """Give ``values`` with the processor time for each of ``per`` units."""
        used_s = cpu_s(self._pids) - self._cpu_s
        passed_s = time.perf_counter() - self._began
        others_s = max(0.0, busy_s(MEASURED) - self._busy_s - used_s)
        return Figures(
            {"cpu_us": used_s / max(1.0, per) * 1e6} | values, used_s / passed_s, others_s / passed_s
        )


@frozen
class Stream:
    """One long answer, read as fast as it comes for so many seconds at most."""

    name: str
    megabytes: int = 1024
    seconds: float = 10.0
    unit: str = "MiB"

    def measure(self, running: Running, seconds: float) -> Figures:
        watch = Watch(running.pids)
        began = time.perf_counter()
        with Memory(running.pids) as memory:
            got, whole = read_stream(running.address, self.megabytes, RECEIVE, 0.0, began + self.seconds)
        passed_s = time.perf_counter() - began
        late = passed_s >= self.seconds
        values = {
            "per_s": got / MIB / passed_s,
            "rss_mib": memory.most_mib,
            "failed": float(not whole and not late),
        }
        return watch.figures(values, got / MIB)


@frozen
class SlowReader:
    """One long answer, of which little is read: what grows is what is kept for that reader."""

    name: str
    seconds: float = 3.0
    unit: str = "MiB"

    def measure(self, running: Running, seconds: float) -> Figures:
        watch = Watch(running.pids)
        deadline = time.perf_counter() + self.seconds
        with Memory(running.pids) as memory:
            got, _ = read_stream(running.address, 1024, SLOW_RECEIVE, SLOW_PAUSE_S, deadline)
        values = {
            "per_s": got / MIB / self.seconds,
            "rss_mib": memory.most_mib,
            "growth_mib": memory.most_mib - memory.before_mib,
            "failed": float(time.perf_counter() < deadline),
        }
        return watch.figures(values, got / MIB)


def read_stream(
    address: str, megabytes: int, piece: int, pause_s: float, deadline: float
) -> tuple[int, bool]:
    """Ask for a stream and read until its end or the deadline; give the bytes of its body and whether it was whole."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=GRACE_S) as sock:
        sock.sendall(b"GET /x/%d HTTP/1.1\r\nHost: hello\r\n\r\n" % megabytes)
        seen = b""
        while (end := seen.find(b"\r\n\r\n")) < 0:
            if not (data := sock.recv(SLOW_RECEIVE)):
                return 0, False
            seen += data
        if not seen.startswith(b"HTTP/1.1 200"):
            return 0, False
        got = len(seen) - end - 4
        room = bytearray(piece)
        while got < megabytes * MIB and time.perf_counter() < deadline:
            if not (count := sock.recv_into(room)):
                break
            got += count
            if pause_s:
                time.sleep(pause_s)
        return got, got == megabytes * MIB


LOADS: Final[tuple[Load, ...]] = (
    Requests("16 B, varied, 32 connections"),
    Requests("16 B, same, 32 connections", varied=False),
    Requests("16 B, varied, 1 connection", connections=1),
    Requests("16 B, varied, 256 connections", connections=256),
    Requests("1 KiB, varied, 32 connections", path="m"),
    Requests("64 KiB, varied, 32 connections", path="l"),
    Requests("64 KiB upload, varied, 32 connections", upload=1 << 16),
    Requests("16 B, varied, a new connection each", close=True),
    Stream("1 GiB stream"),
    SlowReader("1 GiB stream, slow reader"),
)
