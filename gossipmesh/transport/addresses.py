"""Socket addresses of IP literals; never a name, so nothing here asks a resolver.

A socket bound to ``::`` serves both families: IPv4 addresses appear there as ``::ffff:192.0.2.1`` and are plain IPv4
everywhere else in gossipmesh.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Final

from gossipmesh.model import Address

_MAPPED: Final = "::ffff:"


def family_of(address: Address) -> socket.AddressFamily:
    """Give ``AF_INET6`` for an IPv6 literal, else ``AF_INET``."""
    return socket.AF_INET6 if ":" in address.host else socket.AF_INET


def to_sockaddr(address: Address, family: int) -> tuple[str, int]:
    """Give what a socket of ``family`` calls ``address``.

    Raises:
        OSError: for an IPv6 address on an IPv4 socket.
    """
    if family == socket.AF_INET6:
        return (address.host if ":" in address.host else _MAPPED + address.host), address.port
    if ":" in address.host:
        raise OSError(f"an IPv4 socket cannot reach {address}")
    return address.host, address.port


def from_sockaddr(sockaddr: Any) -> Address:
    """Give the address that a socket reports as ``(host, port, ...)``."""
    host, port = sockaddr[0], sockaddr[1]
    if ":" in host:
        # A scope is this host's own business, and no two hosts need to agree about it.
        literal = ipaddress.IPv6Address(host.partition("%")[0])
        host = str(literal.ipv4_mapped or literal)
    return Address(host, port)


def bound_socket(address: Address, kind: socket.SocketKind) -> socket.socket:
    """Give a socket of ``kind`` that is bound to ``address``; port 0 lets the system choose.

    Raises:
        OSError: if the address is not ours or is taken.
    """
    family = family_of(address)
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            # A restart must not wait for its predecessor's connections in TIME_WAIT. Not for UDP, where the option
            # would let two daemons share a port and each lose half of its datagrams.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.host != "::"))
        sock.bind((address.host, address.port))
    except OSError:
        sock.close()
        raise
    return sock
