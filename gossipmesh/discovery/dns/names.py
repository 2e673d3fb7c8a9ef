"""What a name asks for. Pure.

===========================  ==========================================================================
``NAME.mesh``                a service: the addresses of the nodes that offer it
``TAG.NAME.mesh``            the same, of the endpoints with that tag
``NAME.ZONE.zone.mesh``      the same, of the endpoints in that zone
``_NAME._tcp.mesh``          the same, with ports and weights (RFC 2782)
``NAME.proxy.mesh``          the local proxy
``NODE.node.mesh``           a node; ``HEX.id.mesh`` by the first half of its id
``_services.mesh``           all services, as text; ``_members.mesh`` all members
``1.0.0.10.in-addr.arpa``    which nodes have that address; ``...ip6.arpa`` likewise
===========================  ==========================================================================

So of services that are called ``proxy``, ``zone``, ``node`` or ``id`` no tags can be asked for; they themselves can.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from attrs import frozen

from gossipmesh.model import is_name

PROXY: Final = "proxy"
ZONE: Final = "zone"
NODES: Final = ("node", "id")
RESERVED: Final = frozenset({PROXY, ZONE, *NODES})
TCP: Final = "_tcp"
SERVICES: Final = "_services"
MEMBERS: Final = "_members"
V4: Final = ("in-addr", "arpa")
V6: Final = ("ip6", "arpa")


@frozen
class Apex:
    """The domain itself."""


@frozen
class OfService:
    """Endpoints of a service, perhaps of one tag or in one zone only."""

    service: str
    tag: str = ""
    zone: str = ""


@frozen
class WithPorts:
    """Endpoints of a service, with ports and weights."""

    service: str


@frozen
class Proxy:
    """The local proxy, by the name of a service."""

    service: str


@frozen
class OfNode:
    """One node, by the two labels of its host name below the domain."""

    label: str
    kind: str


@frozen
class Listing:
    """All services (``_services``) or all members (``_members``)."""

    what: str


@frozen
class Zone:
    """Nothing itself, but there are names below it if anybody stands in that zone."""

    zone: str


@frozen
class Branch:
    """Nothing itself, but there are names below it: an empty non-terminal (RFC 8020)."""

    label: str


@frozen
class Reverse:
    """Whoever has an IP address."""

    host: str


@frozen
class Nothing:
    """A name in the domain that can never be there."""


@frozen
class Outside:
    """A name that is not the mesh's."""


Asked = Apex | OfService | WithPorts | Proxy | OfNode | Listing | Zone | Branch | Reverse | Nothing | Outside


def read_name(labels: tuple[bytes, ...], domain: tuple[str, ...]) -> Asked:
    """Tell what a name asks for.

    Args:
        labels: of the name, without the root's, in any case.
        domain: those of the domain, in lower case.
    """
    # A byte that is not ASCII makes a label that nothing is called.
    words = tuple(label.decode("latin-1").lower() for label in labels)
    if words[-2:] in (V4, V6):
        return _reverse(words)
    depth = len(domain)
    if len(words) < depth or words[-depth:] != domain:
        return Outside()
    return _below(words[:-depth])


def _below(words: tuple[str, ...]) -> Asked:
    match words:
        case ():
            return Apex()
        case (("_services" | "_members") as what,):
            return Listing(what)
        case ("_tcp",):
            return Branch(TCP)
        case (name, "_tcp") if name.startswith("_") and is_name(name[1:]):
            return WithPorts(name[1:])
        case (name,) if is_name(name):
            return OfService(name)
        case (label, ("node" | "id") as kind):
            return OfNode(label, kind)
        case (name, "proxy") if is_name(name):
            return Proxy(name)
        case (zone, "zone") if is_name(zone):
            return Zone(zone)
        case (name, zone, "zone") if is_name(name) and is_name(zone):
            return OfService(name, zone=zone)
        case (tag, name) if is_name(tag) and is_name(name) and name not in RESERVED:
            return OfService(name, tag=tag)
        case _:
            return Nothing()


def _reverse(words: tuple[str, ...]) -> Reverse | Outside:
    """Read the name of an address (RFC 1035, section 3.5; RFC 3596, section 2.5)."""
    parts = words[-3::-1]
    try:
        if words[-2:] == V4:
            if len(parts) != 4 or any(len(part) > 3 for part in parts):
                return Outside()
            return Reverse(str(ipaddress.IPv4Address(".".join(parts))))
        if len(parts) != 32 or any(len(part) != 1 for part in parts):
            return Outside()
        return Reverse(str(ipaddress.IPv6Address(int("".join(parts), 16))))
    except ValueError:
        return Outside()
