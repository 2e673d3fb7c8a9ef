"""A small mesh as DNS sees it, and somebody who asks it about names."""

from __future__ import annotations

import random
from collections.abc import Callable

import dns.message
import dns.rdataclass
import pytest
from attrs import evolve

from gossipmesh.daemon.telemetry.counts import Counts
from gossipmesh.discovery.dns.answers import Answers
from gossipmesh.discovery.dns.picture import NodeEntry, Picture
from gossipmesh.discovery.dns.zone import Domain
from gossipmesh.model import Address, Endpoint, MemberState, NodeId, Protocol, Service
from gossipmesh.routing.snapshot import Snapshot

HELLO = Service("hello", 8080, weight=3, tags=("v1",))
DB = Service("db", 5432, Protocol.TCP)


class Town:
    """Three nodes that offer hello (the third is ill, the second also has IPv6 and tag v2), one of db, which is ill."""

    def __init__(self) -> None:
        self.rng = random.Random(5)
        self.ejected: set[str] = set()
        self.counts = Counts("gossipmesh_dns_answers", "Answers.", ("type", "rcode"))
        self.proxy = Address("127.0.0.1", 4140)
        self.nodes = [
            self.node("web-1", 1, zone="eu"),
            self.node("web-2", 2, Address("2001:db8::2", 7946), zone="us"),
            self.node("web-3", 3, zone="us"),
            self.node("web-1~0404", 4, zone="eu"),
            evolve(self.node("gone", 5), state=MemberState.DEAD),
        ]
        hello = [self.endpoint(node, HELLO) for node in self.nodes[:3]]
        hello[1] = evolve(hello[1], service=evolve(HELLO, weight=7, tags=("v1", "v2")))
        hello[2] = evolve(hello[2], eligible=False, reason="its own health check fails")
        db = evolve(self.endpoint(self.nodes[3], DB), eligible=False, reason="its node is draining")
        self.snapshot = Snapshot(self.nodes[0].id, {"db": (db,), "hello": tuple(hello)})

    @staticmethod
    def node(name: str, number: int, *more: Address, zone: str = "") -> NodeEntry:
        addresses = (Address(f"10.0.0.{number}", 7946), *more)
        return NodeEntry(name, NodeId(bytes([number]) * 32), addresses, zone=zone, services=("hello",))

    @staticmethod
    def endpoint(node: NodeEntry, service: Service) -> Endpoint:
        return Endpoint(node.name, node.id, node.addresses[0], service, zone=node.zone)

    @property
    def picture(self) -> Picture:
        snapshot = self.snapshot
        by_id = {node.id: node for node in self.nodes}
        return Picture(
            snapshot,
            in_rotation=lambda name: [e for e in snapshot.eligible(name) if e.node not in self.ejected],
            own=self.nodes[0],
            node_of=by_id.get,
            list_nodes=lambda: tuple(self.nodes),
            proxy=self.proxy,
            serial=17,
        )

    def answers(self, domain: Domain | None = None, *, recursion: bool = False) -> Answers:
        return Answers(domain or Domain(), rng=self.rng, count=self.counts, recursion=recursion)

    def ask(
        self,
        name: str,
        rdtype: str = "A",
        rdclass: str = "IN",
        *,
        edns: int | None = 0,
        payload: int = 1232,
        domain: Domain | None = None,
        tcp: bool = False,
    ) -> dns.message.Message:
        """Ask, and give the answer as dnspython reads it."""
        if edns is None:
            query = dns.message.make_query(name, rdtype, rdclass, use_edns=False)
        else:
            query = dns.message.make_query(name, rdtype, rdclass, use_edns=edns, payload=payload)
        raw = self.answers(domain).answer_untrusted(query.to_wire(), self.picture, now=0.0, tcp=tcp)
        assert isinstance(raw, bytes)
        assert tcp or len(raw) <= (min(max(payload, 512), 1232) if edns is not None else 512)
        reply = dns.message.from_wire(raw)
        assert reply.id == query.id
        assert reply.question == query.question
        return reply

    def rows(self, name: str, rdtype: str = "A") -> list[str]:
        """Give the answers' data, sorted."""
        return sorted(rdata.to_text() for rrset in self.ask(name, rdtype).answer for rdata in rrset)

    def many(self, count: int) -> None:
        """Have so many nodes offer hello."""
        self.nodes = [
            evolve(self.node(f"n-{i}", 1), id=NodeId(i.to_bytes(32)), addresses=(host(i),))
            for i in range(count)
        ]
        self.snapshot = Snapshot(
            self.nodes[0].id, {"hello": tuple(self.endpoint(n, HELLO) for n in self.nodes)}
        )


def host(number: int) -> Address:
    return Address(f"10.1.{number // 256}.{number % 256}", 7946)


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture(scope="session")
def make_town() -> Callable[[], Town]:
    """For hypothesis, whose examples need one each."""
    return Town
