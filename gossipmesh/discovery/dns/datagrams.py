"""A UDP socket that answers from the address that was asked.

Whoever is bound to all addresses of a host sends from the one that the route to the caller suggests. Where there are
several networks (a container on two of them is enough) that may be another one than was asked, and a resolver drops
answers from there. So what a datagram was sent to is read with it, and its answer leaves from there (RFC 3542,
section 6).
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from gossipmesh.discovery.dns.messages import MAX_UDP
from gossipmesh.transport.addresses import from_sockaddr

IP_PKTINFO: Final = 8
"""Of Linux; Python has no name for it before 3.12."""
V4: Final = struct.Struct("=I4s4s")
"""``in_pktinfo``: interface, the local address, the address in the header."""
V6: Final = struct.Struct("=16sI")
"""``in6_pktinfo``: address, interface."""
LINK_LOCAL: Final = b"\xfe\x80"
ANCILLARY_BYTES: Final = 128

Where = Any
"""Whom to answer, and from where: opaque."""


class Datagrams:
    """Receives and sends on a bound socket, without waiting.

    Args:
        sock: stays its owner's.
        everywhere: whether it is bound to all addresses.
    """

    def __init__(self, sock: socket.socket, *, everywhere: bool) -> None:
        self._sock = sock
        self._everywhere = everywhere
        self.receive: Callable[[], tuple[bytes, Where]] = self._receive
        """Gives what came next, cut after one byte more than a question may have.

        Raises BlockingIOError if there is nothing, and OSError for an ICMP error, which is cleared by that.
        """
        if everywhere:
            self.receive = self._receive_everywhere
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)

    def _receive(self) -> tuple[bytes, Where]:
        return self._sock.recvfrom(MAX_UDP + 1)

    def _receive_everywhere(self) -> tuple[bytes, Where]:
        payload, ancillary, _, source = self._sock.recvmsg(MAX_UDP + 1, ANCILLARY_BYTES)
        return payload, (source, [_from_there(*each) for each in ancillary])

    def send(self, payload: bytes, where: Where) -> None:
        """Send an answer, at most once: without room now, or to port 0, it is lost as on the way."""
        with contextlib.suppress(OSError):
            if self._everywhere:
                source, ancillary = where
                self._sock.sendmsg([payload], ancillary, 0, source)
            else:
                self._sock.sendto(payload, where)

    def host_of(self, where: Where) -> str:
        """Give the IP address of who asked."""
        return from_sockaddr(where[0] if self._everywhere else where).host


def _from_there(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    """Give what makes an answer leave from the address that ``data`` says; which interface is the route's to say."""
    if level == socket.IPPROTO_IP and len(data) == V4.size:
        _, local, _ = V4.unpack(data)
        return level, kind, V4.pack(0, local, bytes(4))
    if len(data) == V6.size and not data.startswith(LINK_LOCAL):
        return level, kind, V6.pack(V6.unpack(data)[0], 0)
    return level, kind, data
