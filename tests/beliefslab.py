"""The beliefs of one node for tests, with members whose records and accusations nobody signed."""

from __future__ import annotations

import random

from attrs import field, frozen

from gossipmesh.identity.accusation import Accusation
from gossipmesh.identity.record import MemberRecord
from gossipmesh.identity.signed import Signed
from gossipmesh.membership.awareness import Awareness
from gossipmesh.membership.beliefs import Beliefs
from gossipmesh.membership.members import Member, MemberTable
from gossipmesh.membership.messages import News
from gossipmesh.membership.parameters import LAN, Parameters
from gossipmesh.membership.piggyback import Piggyback
from gossipmesh.membership.prober import Prober
from gossipmesh.model import Address, MemberState, NodeId, Serving

ALIVE, SUSPECT, DEAD, LEFT = MemberState.ALIVE, MemberState.SUSPECT, MemberState.DEAD, MemberState.LEFT


def node(number: int) -> NodeId:
    return NodeId(bytes([number]) * 32)


US, BOB, CAROL, DAVE, LIAR = node(1), node(2), node(3), node(4), node(5)


def record(who: NodeId, incarnation: int = 0, *, boot: int = 1, leaving: bool = False) -> MemberRecord:
    raw = b"record" + who + bytes([boot, incarnation])
    return MemberRecord(
        id=who,
        boot=boot,
        incarnation=incarnation,
        name=f"node-{who.hex()[-4:]}",
        addresses=(Address("127.0.0.1", 1 + who[-1] + 256 * who[-2]),),
        dh_key=bytes(32),
        dh_generation=0,
        zone="",
        services=(),
        serving=Serving.LEAVING if leaving else Serving.SERVING,
        chain_hash=bytes(16),
        issued_at=0,
        expires_at=1,
        signed=Signed(raw, raw, b""),
    )


def accuse(accuser: NodeId, subject: NodeId, incarnation: int = 0, boot: int = 1) -> Accusation:
    raw = b"accusation" + accuser + subject + bytes([boot, incarnation])
    return Accusation(accuser, subject, boot, incarnation, 0, Signed(raw, raw, b""))


@frozen
class Bench:
    """The beliefs of one node, with what they act upon."""

    beliefs: Beliefs
    table: MemberTable
    prober: Prober
    piggyback: Piggyback
    signed: list[Accusation] = field(factory=list)

    def state(self, who: NodeId) -> MemberState:
        return self.table.members[who].state

    def member(self, who: NodeId) -> Member:
        return self.table.members[who]

    def wanted(self, now: float) -> list[NodeId]:
        return [tell.target for tell in self.prober.start_wanted(now=now)]

    def news(self) -> set[News]:
        return set(self.piggyback.take(10_000, node(99)))


def bench(*others: NodeId, parameters: Parameters = LAN) -> Bench:
    rng = random.Random(1)
    table = MemberTable(rng=rng)
    prober = Prober(
        parameters, US, table, Awareness(parameters.awareness_max), root=lambda: bytes(16), rng=rng
    )
    piggyback = Piggyback(4)
    signed: list[Accusation] = []

    def sign(subject: NodeId, boot: int, incarnation: int) -> Accusation:
        signed.append(accuse(US, subject, incarnation, boot))
        return signed[-1]

    beliefs = Beliefs(parameters, US, table, prober, piggyback, sign_accusation=sign)
    for other in others:
        beliefs.learn_record(record(other), now=0.0, news=False)
    return Bench(beliefs, table, prober, piggyback, signed)
