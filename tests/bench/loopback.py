"""A network of its own for a benchmark: nothing but loopback, and counters that nobody else moves.

The namespace belongs to the processes in it, so it is gone with the last of them, whatever became of the benchmark.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

INSIDE: Final = "MEMBERSHIP_BENCH_INSIDE"
ENTRY: Final = 'ip link set lo up mtu 1500 && exec "$@"'
"""Loopback with the packet size of Ethernet: with its own, 64 KiB, TCP would need fewer packets than on a LAN."""
WAYS: Final = (("unshare", "--net"), ("unshare", "--user", "--map-root-user", "--net"))
"""As root, and as anybody where the kernel lets users make namespaces."""
TRY_S: Final = 10.0
PORTS: Final = range(17_946, 18_946)
"""Below those that the kernel gives by itself: one of these is not taken by a connection before its member starts."""


@frozen
class Traffic:
    """What has left all sockets of this network since it was made.

    Attributes:
        udp: datagrams.
        tcp: segments, those without data and those sent again too.
        octets: bytes of IP packets, their headers included.
    """

    udp: int
    tcp: int
    octets: int

    def since(self, before: Traffic) -> Traffic:
        return Traffic(self.udp - before.udp, self.tcp - before.tcp, self.octets - before.octets)


def is_inside() -> bool:
    """Tell whether this process is in a network of its own."""
    return INSIDE in os.environ


def move_inside(arguments: Sequence[str]) -> str:
    """Start this program again in a network of its own; does not return, unless that is impossible: then, why."""
    said = ""
    for way in WAYS:
        enter = [*way, "sh", "-c", ENTRY, "sh"]
        try:
            tried = subprocess.run(
                [*enter, "true"], capture_output=True, text=True, timeout=TRY_S, check=False
            )
        except FileNotFoundError:
            return "there is no unshare"
        if tried.returncode == 0:
            os.environ[INSIDE] = "1"
            os.execvp(enter[0], [*enter, sys.executable, *arguments])
        said = tried.stderr.strip().splitlines()[-1] if tried.stderr.strip() else "unshare failed"
    return said


def traffic() -> Traffic:
    """Read the counters. Both ends of all packets are here, so what is sent is counted once, at its sender."""
    udp, tcp = _row("/proc/net/snmp", "Udp:"), _row("/proc/net/snmp", "Tcp:")
    octets = _row("/proc/net/netstat", "IpExt:")["OutOctets"]
    return Traffic(udp["OutDatagrams"], tcp["OutSegs"] + tcp["RetransSegs"], octets)


def _row(path: str, kind: str) -> dict[str, int]:
    """Read one kind of counters: a line of names, then a line of values."""
    rows = [line.split()[1:] for line in Path(path).read_text().splitlines() if line.startswith(kind)]
    names, values = rows
    return dict(zip(names, map(int, values), strict=True))


def unused_ports(count: int) -> list[int]:
    """Give different ports of 127.0.0.1 at which nobody listens now, over TCP or UDP.

    Raises:
        OSError: there are not so many.
    """
    ports: list[int] = []
    for port in PORTS:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            try:
                stream.bind(("127.0.0.1", port))
                datagram.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError(f"127.0.0.1 has only {len(ports)} unused ports from {PORTS.start} to {PORTS.stop - 1}")
