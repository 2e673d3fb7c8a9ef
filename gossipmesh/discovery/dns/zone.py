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
from itertools import islice
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

MAX_ANSWERS: Final = 256
"""Records in one answer, also by TCP: making them takes some 15 us each, and probes wait meanwhile. Of more endpoints,
as many at random."""
SMALLEST: Final = 16
"""Bytes of the shortest record, an IPv4 address."""
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
ItemT = TypeVar("ItemT")


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
    apex = name if isinstance(asked, Reverse) else domain.name
    authority = Record(apex, _soa(picture, domain))
    if not _exists(asked, picture):
        return Missing(authority)
    if rdtype == ANY:
        return Found((Record(name, _make(HINFORecord, HINFO, b"RFC8482", b"")),))
    pick = _Pick(rng, min(MAX_ANSWERS, room // SMALLEST + 1))
    rdatas, additional = _rdatas(asked, rdtype, picture, domain, pick)
    if not rdatas:
        return Found(authority=authority)
    return Found(tuple(Record(name, each) for each in rdatas), additional)


@frozen
class _Pick:
    """Takes some of many, at random and in any order: so nobody makes a thousand records of which seventy fit."""

    rng: random.Random
    most: int

    def __call__(self, many: Sequence[ItemT]) -> list[ItemT]:
        return self.rng.sample(many, min(self.most, len(many)))


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


def _rdatas(
    asked: Asked, rdtype: int, picture: Picture, domain: Domain, pick: _Pick
) -> tuple[list[dns.rdata.Rdata], tuple[Record, ...]]:
    """Give the records of a name that exists, and what is said with them."""
    match asked:
        case Apex():
            return _of_apex(rdtype, picture, domain)
        case OfService(service, tag, zone):
            ends = [each for each in picture.in_rotation(service) if _fits(each, tag, zone)]
            return _addresses((host for each in ends for host in picture.hosts_of(each)), rdtype, pick), ()
        case WithPorts(service):
            if rdtype != SRV:
                return [], ()
            return _ports(pick(picture.in_rotation(service)), picture, domain, pick)
        case Proxy():
            proxy = picture.proxy
            hosts = () if proxy is None else UNSPECIFIED.get(proxy.host, (proxy.host,))
            return _addresses(hosts, rdtype, pick), ()
        case OfNode(label, kind):
            return _addresses(_hosts(picture.by_label[label, kind]), rdtype, pick), ()
        case Listing(what):
            if rdtype != TXT:
                return [], ()
            return (_members if what == MEMBERS else _services)(picture, pick.most), ()
        case Reverse(host):
            nodes = pick(picture.by_host[host] if rdtype == PTR else ())
            return [_make(PTRRecord, PTR, domain.below(*node.labels)) for node in nodes], ()
        case Zone() | Branch() | Nothing() | Outside():
            return [], ()
        case _:
            assert_never(asked)


def _fits(endpoint: Endpoint, tag: str, zone: str) -> bool:
    return (not tag or tag in endpoint.service.tags) and (not zone or endpoint.zone == zone)


def _hosts(node: NodeEntry) -> list[str]:
    return [address.host for address in node.addresses]


def _addresses(hosts: Iterable[str], rdtype: int, pick: _Pick) -> list[dns.rdata.Rdata]:
    """Give addresses of the family that ``rdtype`` asks for, each once: nodes of one host share theirs."""
    if rdtype == A:
        return [_make(ARecord, A, each) for each in pick([*dict.fromkeys(h for h in hosts if ":" not in h)])]
    if rdtype == AAAA:
        return [
            _make(AAAARecord, AAAA, each) for each in pick([*dict.fromkeys(h for h in hosts if ":" in h)])
        ]
    return []


def _ports(
    ends: Sequence[Endpoint], picture: Picture, domain: Domain, pick: _Pick
) -> tuple[list[dns.rdata.Rdata], tuple[Record, ...]]:
    """Give SRV records, and the addresses of their targets, so that nobody has to ask for these (RFC 2782)."""
    rdatas: list[dns.rdata.Rdata] = []
    additional: list[Record] = []
    for each in ends:
        # What it is shown as may be newer than the endpoint.
        node = picture.node_of(each.id) or NodeEntry(each.node, each.id, (each.address,))
        target = domain.below(*node.labels)
        rdatas.append(_make(SRVRecord, SRV, 0, each.service.weight, each.service.port, target))
        additional += _addresses_of(target, picture.hosts_of(each), pick)
    return rdatas, tuple(additional)


def _addresses_of(owner: Name, hosts: Sequence[str], pick: _Pick) -> list[Record]:
    return [Record(owner, rdata) for kind in (A, AAAA) for rdata in _addresses(hosts, kind, pick)]


def _of_apex(
    rdtype: int, picture: Picture, domain: Domain
) -> tuple[list[dns.rdata.Rdata], tuple[Record, ...]]:
    if rdtype == SOA:
        return [_soa(picture, domain)], ()
    return ([_make(NSRecord, NS, domain.below(*picture.own.labels))] if rdtype == NS else []), ()


def _soa(picture: Picture, domain: Domain) -> SOARecord:
    """Give what says for how long an answer of nothing holds: its TTL and its last field (RFC 2308, section 5)."""
    server, mail = domain.below(*picture.own.labels), domain.below("nobody")
    return _make(
        SOARecord, SOA, server, mail, picture.serial & 0xFFFF_FFFF, REFRESH_S, RETRY_S, EXPIRE_S, domain.ttl
    )


# --- listings, for people with only dig -----------------------------------------------------------------------------


def _services(picture: Picture, most: int) -> list[dns.rdata.Rdata]:
    services = picture.snapshot.services
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
    return lines


def _members(picture: Picture, most: int) -> list[dns.rdata.Rdata]:
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
    return lines


def _more(count: int) -> list[dns.rdata.Rdata]:
    # First, as what does not fit is cut at the end.
    return [_line(f"and {count} more, see `gossipmesh members` and `services`")] if count > 0 else []


def _line(*texts: str) -> dns.rdata.Rdata:
    # A text that is too long goes on in the next string, as the many strings of one record are read together.
    raws = (text.encode() for text in texts if text)
    cut = [raw[at : at + MAX_TEXT] for raw in raws for at in range(0, len(raw), MAX_TEXT)]
    return _make(TXTRecord, TXT, cut)
