"""A question and a picture make records, or the answer that there are none. Pure.

Law: an endpoint is in an answer if and only if the balancer could choose it. So one that its own daemon, or the mesh,
or this node's own requests found ill is in none. Where all of a service's endpoints are ill, the answer is empty: an
address at which nobody answers makes a caller wait for a timeout, and the next question comes a second later. Where
this node's own doubts alone would leave too few, they are ignored, as the balancer does (panic).

Names that exist without records of the type asked for are answered with none (NODATA), others do not exist (NXDOMAIN),
and then nothing exists below them (RFC 2308, RFC 8020).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar, assert_never

import dns.name
import dns.rdata
from attrs import field, frozen
from dns.name import Name
from dns.rdataclass import IN
from dns.rdatatype import AAAA, ANY, HINFO, NS, PTR, SOA, SRV, TXT, A, RdataType
from dns.rdtypes.ANY.HINFO import HINFO as HINFORecord
from dns.rdtypes.ANY.NS import NS as NSRecord
from dns.rdtypes.ANY.PTR import PTR as PTRRecord
from dns.rdtypes.ANY.SOA import SOA as SOARecord
from dns.rdtypes.ANY.TXT import TXT as TXTRecord
from dns.rdtypes.IN.A import A as ARecord
from dns.rdtypes.IN.AAAA import AAAA as AAAARecord
from dns.rdtypes.IN.SRV import SRV as SRVRecord

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

MAX_LISTED: Final = 1_024
"""Services or members in one listing; those that are left out are counted in its last line."""
MAX_TEXT: Final = 255
"""Bytes of one string of a TXT record (RFC 1035, section 3.3)."""
REFRESH_S: Final = 3_600
RETRY_S: Final = 600
EXPIRE_S: Final = 86_400
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
    name: Name = field(init=False)

    @name.default
    def _name(self) -> Name:
        return dns.name.Name((*self.labels, ""))

    def below(self, *labels: str) -> Name:
        """Give a name below the domain."""
        return dns.name.Name((*labels, *self.labels, ""))


@frozen
class Record:
    """One record with its owner's name."""

    owner: Name
    rdata: dns.rdata.Rdata


@frozen
class Found:
    """The name exists. Without answers there is nothing of that type (NODATA)."""

    answers: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    authority: Record | None = None
    """The SOA that says how long there are none; only where there are no answers."""


@frozen
class Missing:
    """The name does not exist (NXDOMAIN)."""

    authority: Record


@frozen
class Elsewhere:
    """The name is not ours to answer for."""


Result = Found | Missing | Elsewhere
RdataT = TypeVar("RdataT", bound=dns.rdata.Rdata)


def look_up(name: Name, rdtype: int, picture: Picture, domain: Domain, *, rng: random.Random) -> Result:
    """Answer a question of class IN.

    Args:
        name: as it was asked for, in any case; answers carry it like that.
        rdtype: the type asked for; ANY gets the one record that RFC 8482 suggests.
        picture: what is known.
        domain: what the mesh is called.
        rng: dice, for the order of answers.
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
    apex = name if isinstance(asked, Reverse) else domain.name
    authority = Record(apex, _soa(picture, domain))
    if not _exists(asked, picture):
        return Missing(authority)
    if rdtype == ANY:
        return Found((Record(name, _make(HINFORecord, HINFO, b"RFC8482", b"")),))
    rdatas = _rdatas(asked, rdtype, picture, domain)
    if not rdatas:
        return Found(authority=authority)
    if not isinstance(asked, Listing):
        rng.shuffle(rdatas)
    return Found(tuple(Record(name, each) for each in rdatas), _additional(asked, rdtype, picture, domain))


def _make(kind: Callable[..., RdataT], rdtype: RdataType, *values: object) -> RdataT:
    return kind(IN, rdtype, *values)


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


def _rdatas(asked: Asked, rdtype: int, picture: Picture, domain: Domain) -> list[dns.rdata.Rdata]:
    """Give the records of a name that exists."""
    match asked:
        case Apex():
            return _of_apex(rdtype, picture, domain)
        case OfService(service, tag, zone):
            ends = [each for each in picture.in_rotation(service) if _fits(each, tag, zone)]
            return _addresses((host for each in ends for host in picture.hosts_of(each)), rdtype)
        case WithPorts(service):
            return _services(picture.in_rotation(service), picture, domain) if rdtype == SRV else []
        case Proxy():
            proxy = picture.proxy
            hosts = () if proxy is None else UNSPECIFIED.get(proxy.host, (proxy.host,))
            return _addresses(hosts, rdtype)
        case OfNode(label, kind):
            return _addresses(_hosts(picture.by_label[label, kind]), rdtype)
        case Listing(what):
            if rdtype != TXT:
                return []
            return _members(picture) if what == MEMBERS else _listed_services(picture)
        case Reverse(host):
            nodes = picture.by_host[host] if rdtype == PTR else ()
            return [_make(PTRRecord, PTR, domain.below(*node.labels)) for node in nodes]
        case Zone() | Branch() | Nothing() | Outside():
            return []
        case _:
            assert_never(asked)


def _fits(endpoint: Endpoint, tag: str, zone: str) -> bool:
    return (not tag or tag in endpoint.service.tags) and (not zone or endpoint.zone == zone)


def _hosts(node: NodeEntry) -> list[str]:
    return [address.host for address in node.addresses]


def _addresses(hosts: Iterable[str], rdtype: int) -> list[dns.rdata.Rdata]:
    """Give each address of the family that ``rdtype`` asks for, once: nodes of one host share theirs."""
    if rdtype == A:
        return [_make(ARecord, A, host) for host in dict.fromkeys(hosts) if ":" not in host]
    if rdtype == AAAA:
        return [_make(AAAARecord, AAAA, host) for host in dict.fromkeys(hosts) if ":" in host]
    return []


def _services(ends: Sequence[Endpoint], picture: Picture, domain: Domain) -> list[dns.rdata.Rdata]:
    return [
        _make(SRVRecord, SRV, 0, each.service.weight, each.service.port, _target(each, picture, domain))
        for each in ends
    ]


def _target(endpoint: Endpoint, picture: Picture, domain: Domain) -> Name:
    node = picture.node_of(endpoint.id) or NodeEntry(endpoint.node, endpoint.id, (endpoint.address,))
    return domain.below(*node.labels)


def _additional(asked: Asked, rdtype: int, picture: Picture, domain: Domain) -> tuple[Record, ...]:
    """Give the addresses of the nodes that the answers name, so that nobody has to ask for them (RFC 2782)."""
    named: list[tuple[Name, Sequence[str]]] = []
    if rdtype == SRV and isinstance(asked, WithPorts):
        ends = picture.in_rotation(asked.service)
        named = [(_target(each, picture, domain), picture.hosts_of(each)) for each in ends]
    elif rdtype == NS:
        named = [(domain.below(*picture.own.labels), _hosts(picture.own))]
    return tuple(
        Record(owner, rdata)
        for owner, hosts in named
        for kind in (A, AAAA)
        for rdata in _addresses(hosts, kind)
    )


def _of_apex(rdtype: int, picture: Picture, domain: Domain) -> list[dns.rdata.Rdata]:
    if rdtype == SOA:
        return [_soa(picture, domain)]
    return [_make(NSRecord, NS, domain.below(*picture.own.labels))] if rdtype == NS else []


def _soa(picture: Picture, domain: Domain) -> SOARecord:
    """Give what says for how long an answer of nothing holds: its TTL and its last field (RFC 2308, section 5)."""
    server, mail = domain.below(*picture.own.labels), domain.below("nobody")
    return _make(
        SOARecord, SOA, server, mail, picture.serial & 0xFFFF_FFFF, REFRESH_S, RETRY_S, EXPIRE_S, domain.ttl
    )


# --- listings, for people with only dig -----------------------------------------------------------------------------


def _listed_services(picture: Picture) -> list[dns.rdata.Rdata]:
    lines = []
    for name, found in picture.snapshot.services.items():
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
        if len(lines) == MAX_LISTED:
            break
    return _with_rest(lines, len(picture.snapshot.services))


def _members(picture: Picture) -> list[dns.rdata.Rdata]:
    lines = [
        _line(
            node.name,
            f"id={node.id[:4].hex()}",
            f"state={node.state.value}",
            f"serving={node.serving.value}",
            f"address={node.addresses[0]}",
            f"zone={node.zone}" if node.zone else "",
            f"services={','.join(node.services)}" if node.services else "",
        )
        for node in picture.nodes[:MAX_LISTED]
    ]
    return _with_rest(lines, len(picture.nodes))


def _with_rest(lines: list[dns.rdata.Rdata], total: int) -> list[dns.rdata.Rdata]:
    more = total - len(lines)
    return [*lines, _line(f"and {more} more: gossipmesh services, gossipmesh members")] if more else lines


def _line(*texts: str) -> dns.rdata.Rdata:
    # A text that is too long goes on in the next string, as the many strings of one record are read together.
    raws = (text.encode() for text in texts if text)
    cut = [raw[at : at + MAX_TEXT] for raw in raws for at in range(0, len(raw), MAX_TEXT)]
    return _make(TXTRecord, TXT, cut)
