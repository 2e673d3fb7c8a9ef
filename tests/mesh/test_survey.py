"""Pings that a person asks for: answered by their target alone, once, and no business of membership's."""

from __future__ import annotations

import pytest

from gossipmesh.membership.messages import MAX_SEQ, Ack
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Output, SendDatagram
from gossipmesh.mesh.survey import MAX_WAITING, Survey
from gossipmesh.model import MemberState, NodeId
from gossipmesh.sim.world import World


class Talk:
    """Two members of a mesh, whose datagrams are carried by hand."""

    def __init__(self) -> None:
        self.world = World(1, profile="local")
        self.world.add("a")
        self.world.add("b", seeds=["a"])
        self.world.run(3)
        self.a, self.b = (self.world.nodes[name].running for name in "ab")

    def ping(self) -> list[Output]:
        return self.a.survey.ping(self.b.id, now=self.world.now)

    def carry(self, outputs: list[Output], receiver: Mesh, *, after_s: float = 0.0) -> list[Output]:
        source = (self.a if receiver is self.b else self.b).own.addresses[0]
        return [
            output
            for each in outputs
            if isinstance(each, SendDatagram)
            for output in receiver.receive_datagram_untrusted(
                each.payload, source, now=self.world.now + after_s, wall=self.world.wall
            )
        ]


def test_an_answer_is_told_with_its_round_trip_and_once() -> None:
    talk = Talk()
    acks = talk.carry(talk.ping(), talk.b)
    assert not talk.a.survey.answered(talk.b.id)
    assert talk.carry(acks, talk.a, after_s=0.25) == []
    assert talk.a.survey.answered(talk.b.id)
    assert talk.a.survey.take(talk.b.id) == pytest.approx(0.25)
    assert talk.a.survey.take(talk.b.id) is None


def test_of_several_pings_the_first_that_is_answered_counts() -> None:
    talk = Talk()
    first, second = talk.carry(talk.ping(), talk.b), talk.carry(talk.ping(), talk.b)
    talk.carry(second, talk.a, after_s=0.1)
    talk.carry(first, talk.a, after_s=0.2)
    assert talk.a.survey.take(talk.b.id) == pytest.approx(0.1)


def test_an_answer_that_comes_after_nobody_waits_is_forgotten() -> None:
    talk = Talk()
    acks = talk.carry(talk.ping(), talk.b)
    assert talk.a.survey.take(talk.b.id) is None
    talk.carry(acks, talk.a)
    assert not talk.a.survey.answered(talk.b.id)


def test_the_dead_are_pinged_and_their_answer_raises_nobody() -> None:
    talk = Talk()
    talk.world.partition(["a"], ["b"])
    talk.world.run_until(lambda: talk.world.believes("a", "b") is MemberState.DEAD, within=60.0)
    acks = talk.carry(talk.ping(), talk.b)
    talk.carry(acks, talk.a)
    assert talk.a.survey.take(talk.b.id) == 0.0
    assert talk.world.believes("a", "b") is MemberState.DEAD


def test_nobody_else_answers_for_a_target() -> None:
    seqs: list[int] = []
    survey = _survey(seqs)
    target, other = NodeId(b"t" * 32), NodeId(b"o" * 32)
    survey.ping(target, now=1.0)
    assert not survey.heard(seqs[0], other, now=1.1)
    assert not survey.heard((seqs[0] + 1) % MAX_SEQ, target, now=1.1)
    assert survey.heard(seqs[0], target, now=1.1)
    assert not survey.heard(seqs[0], target, now=1.2)


def test_who_is_no_member_is_not_pinged() -> None:
    talk = Talk()
    assert talk.a.survey.ping(NodeId(bytes(32)), now=0.0) == []


def test_pings_that_wait_are_bounded_the_oldest_goes_first() -> None:
    seqs: list[int] = []
    survey = _survey(seqs)
    nodes = [NodeId(number.to_bytes(32, "big")) for number in range(MAX_WAITING + 1)]
    for node in nodes:
        survey.ping(node, now=0.0)
    assert not survey.heard(seqs[0], nodes[0], now=0.0)
    assert survey.heard(seqs[1], nodes[1], now=0.0)
    assert survey.heard(seqs[-1], nodes[-1], now=0.0)


def test_an_ack_that_no_ping_of_a_survey_asked_for_is_for_membership() -> None:
    talk = Talk()
    talk.ping()
    (sealed,) = talk.b._gossip.seal(talk.a.id, (Ack(7, talk.b.registry.digest.root),))
    talk.carry([sealed], talk.a)
    assert not talk.a.survey.answered(talk.b.id)


def _survey(seqs: list[int]) -> Survey:
    class Dice:
        """Numbers that are never the same."""

        def randint(self, low: int, high: int) -> int:
            assert (low, high) == (0, MAX_SEQ)
            seqs.append(len(seqs) + 1)
            return seqs[-1]

    return Survey(root=lambda: bytes(16), seal=lambda *_: [], rng=Dice())  # type: ignore[arg-type]
