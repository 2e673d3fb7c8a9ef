"""Thousands of connections that ask for nothing: what they cost, and whether others are still served.

    python idle.py [--connections N] [--others N] [--contenders a,b] [--json FILE]

Three kinds, one after the other: connections that had one answer, that sent half a head, that never said a word. While
they are open, others come one at a time, each with a connection of its own. *closed* is how many of the idle ones
the proxy closed to make room; *bad* how many of the others got no good answer (after 20, no more try). Run with
``make bench-idle``.
"""

from __future__ import annotations

import argparse
import json
import resource
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from attrs import asdict, frozen

from cells import table
from cores import OTHERS, cpu_s, pinned, rss_mib
from forwarders import FORWARDERS, Forwarder, NotForwarding, OurMesh
from forwarding import app

REQUEST: Final = b"GET /s/items/1 HTTP/1.1\r\nHost: hello\r\n\r\n"
RESTING_S: Final = 5.0
"""How long nothing is asked, to see what idle connections cost."""
PATIENCE_S: Final = 3.0
MOST_BAD: Final = 20
"""Others that get no answer before no more of them try."""
SPARE_FILES: Final = 1_000
SMALL: Final = ("envoy", "haproxy", "nginx")


def known() -> list[Forwarder]:
    """Give ours as it is by default, ours with room for all of them, and others."""
    ours = OurMesh("gossipmesh", "two daemons, at most 4,096 connections")
    wide = OurMesh("gossipmesh-wide", "two daemons, connections = 20000", proxy="connections = 20000")
    return [ours, wide, *(each for each in FORWARDERS if each.name in SMALL)]


def answered(sock: socket.socket) -> bool:
    """Ask on a connection, and tell whether a good answer came."""
    sock.sendall(REQUEST)
    answer = b""
    while b"}\n" not in answer:
        piece = sock.recv(65_536)
        if not piece:
            return False
        answer += piece
    return answer.startswith(b"HTTP/1.1 200")


def say_nothing(_: socket.socket) -> None:
    """Never say a word."""


def say_half(sock: socket.socket) -> None:
    """Send half a head."""
    sock.sendall(REQUEST[:30])


def ask_once(sock: socket.socket) -> None:
    """Have one answer."""
    answered(sock)


KINDS: Final[dict[str, Callable[[socket.socket], None]]] = {
    "after an answer": ask_once,
    "half a head": say_half,
    "nothing said": say_nothing,
}


@frozen
class Idle:
    """What one contender did with one kind of idle connections."""

    contender: str
    kind: str
    opened: int
    closed: int
    """Of those opened, by the proxy, when all were open."""
    before_mib: float
    rss_mib: float
    cpu_ms_per_s: float
    """Processor time while nothing happened."""
    bad: int
    p50_ms: float
    p99_ms: float


@contextmanager
def opened(
    where: tuple[str, int], many: int, say: Callable[[socket.socket], None]
) -> Iterator[list[socket.socket]]:
    """Open so many connections; those that could not be opened, or were closed at once, are missing or dead."""
    with ExitStack() as stack:
        sockets = []
        for _ in range(many):
            with suppress(OSError):
                sock = stack.enter_context(socket.create_connection(where, timeout=PATIENCE_S))
                sockets.append(sock)
                say(sock)
        yield sockets


def was_closed(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        while sock.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def measure(
    contender: str, where: tuple[str, int], pids: tuple[int, ...], kind: str, many: int, others: int
) -> Idle:
    """Open idle connections of one kind, rest, and let others ask, until too many of them had no answer."""
    before_mib = rss_mib(pids)
    with opened(where, many, KINDS[kind]) as sockets:
        used_s = cpu_s(pids)
        time.sleep(RESTING_S)
        used_s = cpu_s(pids) - used_s
        times_ms, bad = [], 0
        for _ in range(others):
            if bad >= MOST_BAD:
                break
            began = time.perf_counter()
            good = False
            with suppress(OSError), socket.create_connection(where, timeout=PATIENCE_S) as sock:
                good = answered(sock)
            bad += not good
            times_ms.append((time.perf_counter() - began) * 1e3)
        return Idle(
            contender=contender,
            kind=kind,
            opened=len(sockets),
            closed=sum(map(was_closed, sockets)),
            before_mib=before_mib,
            rss_mib=rss_mib(pids),
            cpu_ms_per_s=used_s / RESTING_S * 1e3,
            bad=bad,
            p50_ms=statistics.median(times_ms),
            p99_ms=sorted(times_ms)[len(times_ms) * 99 // 100],
        )


def row(idle: Idle) -> list[str]:
    return [
        f"{idle.contender}, {idle.kind}",
        f"{idle.opened:,}",
        f"{idle.closed:,}",
        f"{idle.before_mib:.0f} > {idle.rss_mib:.0f}",
        f"{idle.cpu_ms_per_s:.1f}",
        f"{idle.bad}",
        f"{idle.p50_ms:.2f}",
        f"{idle.p99_ms:.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what idle connections cost.")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--others", type=int, default=300, help="requests while they are open")
    parser.add_argument("--contenders", default="", metavar="A,B")
    parser.add_argument("--json", type=Path, default=Path("idle.json"))
    options = parser.parse_args()
    names = options.contenders.split(",") if options.contenders else [each.name for each in known()]
    chosen = [each for each in known() if each.name in names]
    if len(chosen) < len(names):
        raise SystemExit("contenders are " + ", ".join(each.name for each in known()))
    # Here and, inherited, in what is measured.
    files = options.connections + SPARE_FILES
    try:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (files, max(files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        )
    except ValueError:
        raise SystemExit(f"this system allows fewer than {files} open files (ulimit -Hn)") from None
    rows = []
    with pinned(OTHERS), app() as to:
        for each in chosen:
            if each.version() is None:
                print(f"left out: {each.name} is not here", file=sys.stderr)
                continue
            for kind in KINDS:
                print(f"{each.name}: {kind}", file=sys.stderr, flush=True)
                try:
                    with each.running(to) as running:
                        host, _, port = running.address.rpartition(":")
                        many = options.connections
                        rows.append(
                            measure(each.name, (host, int(port)), running.pids, kind, many, options.others)
                        )
                except (NotForwarding, OSError) as error:
                    print(f"failed: {each.name}: {error}", file=sys.stderr)
    head = ["", "opened", "closed", "RSS MiB", "CPU ms/s", "bad", "p50 ms", "p99 ms"]
    print(table(head, [row(idle) for idle in rows]))
    options.json.write_text(json.dumps([asdict(idle) for idle in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
