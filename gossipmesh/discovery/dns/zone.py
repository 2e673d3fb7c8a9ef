"""A question and a picture make records, or the answer that there are none. Pure.

Law: an endpoint is in an answer if and only if the balancer could choose it. So one that its own daemon, or the mesh,
or this node's own requests found ill is in none. Where all of a service's endpoints are ill, the answer is empty: an
address at which nobody answers makes a caller wait for a timeout, and the next question comes a second later. Where
this node's own doubts alone would leave too few, they are ignored, as the balancer does (panic).

Names that exist without records of the type asked for are answered with none (NODATA), others do not exist (NXDOMAIN),
and then nothing exists below them (RFC 2308, RFC 8020).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar, assert_never

import dns.name
from attrs import field, frozen
from dns.name import Name
from dns.rdatatype import AAAA, ANY, HINFO, NS, PTR, SOA, SRV, TXT, A

from gossipmesh.discovery.dns.names import (
    MEMBERS,
    Apex,
    Asked,
    Branch,
    Listing,
    Nothing,
    OfNode,
    OfService,
    Outside,
    Proxy,
    Reverse,
    WithPorts,
    Zone,
    read_name,
)
from gossipmesh.discovery.dns.picture import NodeEntry, Picture
from gossipmesh.model import Endpoint

if TYPE_CHECKING:
    import random

MAX_ANSWERS: Final = 256
"""Records in one answer, also by TCP: making them takes some 5 us each, and probes wait meanwhile. Of more endpoints,
as many at random."""
RECORD_BYTES: Final = 12
"""Of a record besides its data, where two bytes point at its owner."""
SRV_HEAD: Final = struct.Struct("!3H")
SHORTEST_NODE: Final = len(b"\1x\4node")
SOA_TAIL: Final = struct.Struct("!5L")
MAX_TEXT: Final = 255
"""Bytes of one string of a TXT record (RFC 1035, section 3.3)."""
RFC8482: Final = b"\7RFC8482\0"
REFRESH_S: Final = 3_600
RETRY_S: Final = 600
EXPIRE_S: Final = 86_400
FAMILIES: Final = {int(A): socket.AF_INET, int(AAAA): socket.AF_INET6}
UNSPECIFIED: Final = {"0.0.0.0": ("127.0.0.1",), "::": ("::1", "127.0.0.1")}
"""What a proxy that listens on every address is reached by from its own host."""


@frozen
class Domain:
    """What the mesh is called in DNS.

    Args:
        labels: such as ``("mesh",)``, in lower case.
        ttl: of every record and of every answer that there is none, in whole seconds, 0 and above.
    """

    labels: tuple[str, ...] = ("mesh",)
    ttl: int = 1
    raw: bytes = field(init=False)
    """Its name as a packet has it."""

    @raw.default
    def _raw(self) -> bytes:
        return raw_name(dns.name.Name((*self.labels, "")))

    def below(self, *labels: str) -> bytes:
        """Give a name below the domain, as a packet has it; no label is longer than 63 bytes."""
        return b"".join([bytes((len(label),)) + label.encode() for label in labels]) + self.raw


Extra = tuple[bytes, int, bytes]
"""A record with a name of its own: that, its type, its data."""


@frozen
class Found:
    """The name exists. Without answers there is nothing of that type (NODATA)."""

    rdtype: int
    answers: Sequence[bytes] = ()
    """The data of each record that the name has: the type's wire format, without any pointer."""
    additional: Sequence[Extra] = ()
    authority: Extra | None = None
    """The SOA that says how long there are none; only where there are no answers."""


@frozen
class Missing:
    """The name does not exist (NXDOMAIN)."""

    authority: Extra


@frozen
class Elsewhere:
    """The name is not ours to answer for."""


Result = Found | Missing | Elsewhere
ItemT = TypeVar("ItemT")


def raw_name(name: Name) -> bytes:
    """Give a name as a packet has it, not shortened."""
    return name.to_wire() or b""


def look_up(
    name: Name, rdtype: int, picture: Picture, domain: Domain, *, rng: random.Random, room: int
) -> Result:
    """Answer a question of class IN.

    Args:
        name: as it was asked for, in any case; answers carry it like that.
        rdtype: the type asked for; ANY gets the one record that RFC 8482 suggests.
        picture: what is known.
        domain: what the mesh is called.
        rng: dice, for the order of answers.
        room: how many bytes the answer may have; rather one record too many is given than one too few.
    """
    asked = read_name(name.labels[:-1], domain.labels)
    match asked:
        case Outside():
            return Elsewhere()
        case Reverse(host) if host not in picture.by_host:
            return Elsewhere()
        case _:
            pass
    # Nobody asks us about the rest of a reverse zone: each address of ours is a zone of its own.
    apex = raw_name(name) if isinstance(asked, Reverse) else domain.raw
    if not _exists(asked, picture):
        return Missing((apex, int(SOA), _soa(picture, domain)))
    if rdtype == ANY:
        return Found(int(HINFO), (RFC8482,))
    answers, additional = _records(asked, rdtype, picture, domain, _Room(rng, room))
    if not answers:
        return Found(rdtype, authority=(apex, int(SOA), _soa(picture, domain)))
    return Found(rdtype, answers, additional)


class _Room:
    """What is left of a packet: nobody makes a thousand records of which seventy fit.

    The last record that is let in may be one too long: it is what tells that not all of them fit.
    """

    def __init__(self, rng: random.Random, left: int) -> None:
        self._rng = rng
        self._left = left

    def most(self, shortest: int) -> int:
        """Give how many records may be given whose data have ``shortest`` bytes or more."""
        return min(MAX_ANSWERS, max(self._left, 0) // (RECORD_BYTES + shortest) + 1)

    def pick(self, many: Sequence[ItemT], shortest: int) -> list[ItemT]:
        """Give as many of these as may fit, at random and in any order."""
        return self._rng.sample(many, min(self.most(shortest), len(many)))

    def take(self, data: bytes) -> bool:
        """Let a record in; tell whether there is room for another."""
        self._left -= RECORD_BYTES + len(data)
        return self._left > 0


def _exists(asked: Asked, picture: Picture) -> bool:
    snapshot = picture.snapshot
    match asked:
        case Apex() | Listing() | Branch() | Reverse():
            return True
        case OfService(service, tag, zone):
            if not tag and not zone:
                # Below these there are names, whether there is a service of that name or not.
                return snapshot.knows(service) or service in ("proxy", "zone", "node", "id")
            return any(_fits(each, tag, zone) for each in snapshot.endpoints(service))
        case WithPorts(service) | Proxy(service):
            return snapshot.knows(service)
        case OfNode(label, kind):
            return (label, kind) in picture.by_label
        case Zone(zone):
            return zone in picture.zones
        case Nothing() | Outside():
            return False
        case _:
            assert_never(asked)


def _records(
    asked: Asked, rdtype: int, picture: Picture, domain: Domain, room: _Room
) -> tuple[Sequence[bytes], Sequence[Extra]]:
    """Give the records of a name that exists, and what is said with them."""
    match asked:
        case Apex():
            return _of_apex(rdtype, picture, domain), ()
        case OfService(service, tag, zone):
            ends = picture.in_rotation(service)
            if tag or zone:
                ends = [each for each in ends if _fits(each, tag, zone)]
            return _addresses((host for each in ends for host in picture.hosts_of(each)), rdtype, room), ()
        case WithPorts(service):
            return _ports(picture.in_rotation(service), picture, domain, room) if rdtype == SRV else ((), ())
        case Proxy():
            proxy = picture.proxy
            hosts = () if proxy is None else UNSPECIFIED.get(proxy.host, (proxy.host,))
            return _addresses(hosts, rdtype, room), ()
        case OfNode(label, kind):
            return _addresses(_hosts(picture.by_label[label, kind]), rdtype, room), ()
        case Listing(what):
            if rdtype != TXT:
                return (), ()
            return (_members if what == MEMBERS else _services)(picture, room), ()
        case Reverse(host):
            nodes = room.pick(picture.by_host[host] if rdtype == PTR else (), SHORTEST_NODE)
            return [domain.below(*node.labels) for node in nodes], ()
        case Zone() | Branch() | Nothing() | Outside():
            return (), ()
        case _:
            assert_never(asked)


def _fits(endpoint: Endpoint, tag: str, zone: str) -> bool:
    return (not tag or tag in endpoint.service.tags) and (not zone or endpoint.zone == zone)


def _hosts(node: NodeEntry) -> list[str]:
    return [address.host for address in node.addresses]


def _addresses(hosts: Iterable[str], rdtype: int, room: _Room) -> list[bytes]:
    """Give addresses of the family that ``rdtype`` asks for, each once: nodes of one host share theirs."""
    family = FAMILIES.get(rdtype)
    if family is None:
        return []
    six = family is socket.AF_INET6
    wanted = [*dict.fromkeys(host for host in hosts if (":" in host) is six)]
    return [socket.inet_pton(family, each) for each in room.pick(wanted, 16 if six else 4)]


def _ports(
    ends: Sequence[Endpoint], picture: Picture, domain: Domain, room: _Room
) -> tuple[list[bytes], list[Extra]]:
    """Give SRV records, and the addresses of their targets, so that nobody has to ask for these (RFC 2782)."""
    answers: list[bytes] = []
    targets: list[tuple[bytes, Endpoint]] = []
    for each in room.pick(ends, SRV_HEAD.size + SHORTEST_NODE + len(domain.raw)):
        # What it is shown as may be newer than the endpoint.
        node = picture.entry_of(each.id) or NodeEntry(each.node, each.id, (each.address,))
        target = domain.below(*node.labels)
        answers.append(SRV_HEAD.pack(0, each.service.weight, each.service.port) + target)
        targets.append((target, each))
        if not room.take(answers[-1]):
            return answers, []
    return answers, _addresses_of(targets, picture, room)


def _addresses_of(targets: Sequence[tuple[bytes, Endpoint]], picture: Picture, room: _Room) -> list[Extra]:
    found: list[Extra] = []
    for target, endpoint in targets:
        for host in picture.hosts_of(endpoint):
            rdtype = int(AAAA if ":" in host else A)
            data = socket.inet_pton(FAMILIES[rdtype], host)
            found.append((target, rdtype, data))
            if not room.take(data):
                return found
    return found


def _of_apex(rdtype: int, picture: Picture, domain: Domain) -> Sequence[bytes]:
    if rdtype == SOA:
        return [_soa(picture, domain)]
    return [domain.below(*picture.own.labels)] if rdtype == NS else []


def _soa(picture: Picture, domain: Domain) -> bytes:
    """Give what says for how long an answer of nothing holds: its TTL and its last field (RFC 2308, section 5)."""
    server, mail = domain.below(*picture.own.labels), domain.below("nobody")
    return (
        server + mail + SOA_TAIL.pack(picture.serial & 0xFFFF_FFFF, REFRESH_S, RETRY_S, EXPIRE_S, domain.ttl)
    )


# --- listings, for people with only dig -----------------------------------------------------------------------------


def _services(picture: Picture, room: _Room) -> list[bytes]:
    services = picture.snapshot.services
    most = room.most(0)
    lines = _more(len(services) - most)
    for name, found in islice(services.items(), most):
        one = found[0].service
        tags = sorted({tag for each in found for tag in each.service.tags})
        lines.append(
            _line(
                name,
                f"endpoints={len(found)}",
                f"healthy={len(picture.in_rotation(name))}",
                f"protocol={one.protocol.value}",
                f"port={one.port}",
                f"tags={','.join(tags)}" if tags else "",
            )
        )
        if not room.take(lines[-1]):
            break
    return lines


def _members(picture: Picture, room: _Room) -> list[bytes]:
    most = room.most(0)
    lines = _more(len(picture.nodes) - most)
    for node in picture.nodes[:most]:
        lines.append(
            _line(
                node.name,
                f"id={node.id[:4].hex()}",
                f"state={node.state.value}",
                f"serving={node.serving.value}",
                f"address={node.addresses[0]}",
                f"zone={node.zone}" if node.zone else "",
                f"services={','.join(node.services)}" if node.services else "",
            )
        )
        if not room.take(lines[-1]):
            break
    return lines


def _more(count: int) -> list[bytes]:
    # First, as what does not fit is cut at the end.
    return [_line(f"and {count} more, see `gossipmesh members` and `services`")] if count > 0 else []


def _line(*texts: str) -> bytes:
    # A text that is too long goes on in the next string, as the many strings of one record are read together.
    raws = [text.encode() for text in texts if text]
    cut = [raw[at : at + MAX_TEXT] for raw in raws for at in range(0, len(raw), MAX_TEXT)]
    return b"".join([bytes((len(raw),)) + raw for raw in cut])
