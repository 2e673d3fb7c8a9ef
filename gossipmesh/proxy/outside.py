"""Whether a request may leave the mesh, and where to. Pure.

Containers have ``http_proxy`` set for everything they do, so names outside the mesh come here too. By default they
are refused, with what to do about it; with ``external = "direct"`` those on a list are dialled.

The law: a list of names says nothing of where they lead. What a name resolved to is judged by :func:`may_dial`, and
exactly the addresses that were judged are dialled: a name that is resolved twice can lead to two places.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Literal

from attrs import frozen

from gossipmesh.errors import RequestError

HTTP_PORT: Final = 80
MAX_PORT: Final = 65_535
GLOB: Final = re.compile(r"(?:\*\.)?[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*|\[[0-9a-f:.]+\]")
"""What may stand on the list: a name, ``*.`` and a name, an IPv4 address, or an IPv6 address in brackets."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST_PORT: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{0,5}))?")
_METADATA: Final = frozenset(
    map(
        ipaddress.ip_address,
        ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
    )
)
"""Where AWS and Google over IPv6, Alibaba, Oracle and Azure tell a machine who it is, secrets included, at addresses
that are not link-local as 169.254.169.254 is."""
_THIS_NETWORK: Final = ipaddress.ip_network("0.0.0.0/8")
_COMPATIBLE: Final = ipaddress.ip_network("::/96")
"""Loopback, unspecified, and the wrapping of IPv4 addresses that RFC 4291 gave up (section 2.5.5.1)."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


@frozen
class External:
    """What becomes of names outside the mesh.

    Args:
        mode: ``refuse`` them all, or go ``direct`` to those on the list.
        allow: ``example.com``, or ``*.example.com`` for every name below it (and not itself).
    """

    mode: Literal["refuse", "direct"] = "refuse"
    allow: tuple[str, ...] = ()


REFUSED: Final = External()


def outside(authority: bytes, external: External, *, default_port: int | None = HTTP_PORT) -> tuple[str, int]:
    """Give host (an IPv6 address without brackets) and port of an authority outside the mesh, if it may be gone to.

    Args:
        authority: ``HOST[:PORT]``.
        external: what may be.
        default_port: where none is said; None: one has to be.

    Raises:
        RequestError: 403 ``NR`` where the list does not allow it, or it is the address of nowhere allowed; 400 ``DPE``
            for what is not valid.
    """
    match = _HOST_PORT.fullmatch(authority)
    if match is None:
        raise RequestError("DPE", 400, "the host is not a name or address with an optional port")
    host = match[1].decode("ascii").lower().removesuffix(".")
    port = int(match[2]) if match[2] else default_port
    if port is None or not 0 < port <= MAX_PORT:
        raise RequestError("DPE", 400, "a port is a number from 1 to 65535")
    if external.mode == "refuse":
        raise RequestError("NR", 403, _refusal(host, "requests to the outside are refused here"))
    if not any(_matches(host, glob) for glob in external.allow):
        raise RequestError("NR", 403, _refusal(host, "`[proxy] allow` does not list it"))
    host = host.strip("[]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host, port
    if not may_dial(address):
        raise RequestError("NR", 403, f"{host} is an address that is never gone to from here")
    return host, port


def _refusal(host: str, why: str) -> str:
    return f"{host} is not in the mesh, and {why}; list it in the app's no_proxy to let it go there directly"


def _matches(host: str, glob: str) -> bool:
    return host.endswith(glob[1:]) if glob.startswith("*.") else host == glob


def may_dial(address: IPAddress) -> bool:
    """Tell whether what a name outside the mesh resolved to may be dialled.

    Never: link-local addresses (most clouds' metadata is there), metadata elsewhere, loopback, unspecified, multicast
    and reserved ones, in IPv6 neither by themselves nor as an IPv4 address in one of its wrappings. Private networks
    may: who lists a name knows where it is.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = _wrapped(address)
        if inner is not None:
            return may_dial(inner)
        if address in _COMPATIBLE:
            return False
    elif address in _THIS_NETWORK:
        return False
    return not (
        address in _METADATA
        or address.is_link_local
        or address.is_loopback
        or address.is_unspecified
        or address.is_multicast
        or (address.version == 4 and address.is_reserved)
    )


def _wrapped(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Give the IPv4 address that an IPv6 one leads to, if it is of such a kind."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else None
