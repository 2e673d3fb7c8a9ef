"""The SWIM machine: dialogues with one, and whatever order of messages a network may come up with."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from functools import cache, partial

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gossipmesh.errors import LocalProtocolError
from gossipmesh.identity.accusation import Accusation, sign_accusation
from gossipmesh.identity.record import MemberRecord, resign_record, sign_record
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.message_codec import encode_messages
from gossipmesh.membership.messages import AccusationNews, Ack, Nack, Ping, PingRequest, RecordNews
from gossipmesh.membership.outputs import (
    Forgotten,
    Output,
    PeerRoot,
    ProbeMeasured,
    Reconnect,
    Refute,
    RoutabilityChanged,
    SendMessages,
    StateChanged,
    StreamProbe,
)
from gossipmesh.membership.parameters import LAN, Parameters
from gossipmesh.model import Address, MemberState, NodeId, Serving

ALIVE, SUSPECT, DEAD, LEFT = MemberState.ALIVE, MemberState.SUSPECT, MemberState.DEAD, MemberState.LEFT
MESH = b"m" * 32
ROOT, THEIRS = b"r" * 16, b"t" * 16
WALL = 1_700_000_000
QUIET = evolve(LAN, stream_probe=False)


def seed_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


@cache
def record(number: int, incarnation: int = 0) -> MemberRecord:
    return sign_record(
        seed=seed_of(number),
        mesh_id=MESH,
        boot=1,
        incarnation=incarnation,
        name=f"node-{number}",
        addresses=[Address("127.0.0.1", 7_000 + number)],
        dh_key=bytes(32),
        dh_generation=0,
        chain_hash=bytes(16),
        issued_at=WALL,
    )


def raised(old: MemberRecord, number: int, above: tuple[int, int]) -> MemberRecord:
    """Sign node ``number``'s record again with a version above both ``old`` and ``above``."""
    boot, incarnation = max(old.version, above)
    changed = evolve(old, boot=boot, incarnation=incarnation + 1)
    return resign_record(changed, seed=seed_of(number), mesh_id=MESH, issued_at=WALL)


def accuse(number: int, subject: NodeId, boot: int = 1, incarnation: int = 0) -> Accusation:
    return sign_accusation(
        seed=seed_of(number),
        mesh_id=MESH,
        subject=subject,
        boot=boot,
        incarnation=incarnation,
        issued_at=WALL,
    )


RECORDS = [record(number) for number in range(4)]
US, BOB, CAROL, DAVE = [each.id for each in RECORDS]


def membership(*others: int, parameters: Parameters = LAN, seed: int = 1) -> Membership:
    """Node 0, which knows ``others`` and has no news."""
    us = Membership(
        parameters, RECORDS[0], rng=random.Random(seed), root=lambda: ROOT, sign_accusation=partial(accuse, 0)
    )
    for number in others:
        us.learn_record(RECORDS[number], now=0.0, news=False)
    return us


def the_ping(outputs: Iterable[Output]) -> tuple[NodeId, int]:
    pings = [(out.target, out.messages[0]) for out in outputs if isinstance(out, SendMessages)]
    [(target, seq)] = [(target, said.seq) for target, said in pings if isinstance(said, Ping)]
    return target, seq


def test_a_lonely_node_has_nothing_to_do() -> None:
    us = membership()
    assert us.deadline == math.inf
    assert us.members == {}


def test_a_member_that_answers_in_time_is_not_suspected() -> None:
    us = membership(1)
    now = us.deadline
    target, seq = the_ping(us.handle_timer(now=now))
    assert target == BOB
    [measured] = us.receive(Ack(seq, ROOT), BOB, now=now + 0.1)
    assert measured == ProbeMeasured(BOB, pytest.approx(0.1))
    assert us.members[BOB].state is ALIVE
    assert us.deadline == now + LAN.probe_period_s


def test_a_ping_is_answered_with_an_ack_even_to_a_stranger_and_an_unequal_root_is_told() -> None:
    us = membership(1)
    assert us.receive(Ping(7, US, ROOT), CAROL, now=1.0) == [SendMessages(CAROL, (Ack(7, ROOT),))]
    assert us.receive(Ping(7, US, THEIRS), BOB, now=1.0) == [
        SendMessages(BOB, (Ack(7, ROOT),)),
        PeerRoot(BOB, THEIRS),
    ]
    assert us.receive(Nack(1), BOB, now=1.0) == []


def test_news_rides_on_acks_and_goes_out_by_itself_when_there_is_nothing_to_ride_on() -> None:
    us = membership(1, 2)
    outputs = us.learn_record(RECORDS[3], now=1.0, news=True)
    assert outputs == [StateChanged(DAVE, None, ALIVE, "joined")]
    assert us.deadline <= 1.0
    news = RecordNews(RECORDS[3].signed.raw)
    assert us.receive(Ping(7, US, ROOT), BOB, now=1.0) == [SendMessages(BOB, (Ack(7, ROOT), news))]
    gossip = us.handle_timer(now=1.0)
    assert SendMessages(CAROL, (news,)) in gossip
    assert not any(isinstance(out, SendMessages) and out == SendMessages(DAVE, (news,)) for out in gossip)


def test_a_suspect_hears_of_it_with_every_ping_and_ack() -> None:
    us = membership(1, 2, parameters=QUIET)
    outputs = us.learn_accusation(accuse(2, BOB), now=1.0)
    told = AccusationNews(accuse(2, BOB).signed.raw)
    assert outputs[0] == StateChanged(BOB, ALIVE, SUSPECT, f"accused by {CAROL[:4].hex()}")
    [send] = [out for out in outputs if isinstance(out, SendMessages)]
    assert send.target == BOB
    assert isinstance(send.messages[0], Ping)
    assert send.messages[1:] == (told,)
    assert us.receive(Ping(7, US, ROOT), BOB, now=1.0) == [SendMessages(BOB, (Ack(7, ROOT), told))]


def test_an_accusation_of_ourselves_is_refuted_at_once_but_only_once_in_ten_seconds() -> None:
    us = membership(1, 2)
    assert us.learn_accusation(accuse(1, US), now=1.0) == [Refute((1, 0), foreign=False)]
    us.update_own(raised(us.own, 0, (1, 0)), now=1.0)
    assert us.learn_accusation(accuse(2, US), now=1.1) == []
    assert us.learn_accusation(accuse(2, US, 1, 1), now=1.2) == []
    assert Refute((1, 1), foreign=False) not in us.handle_timer(now=1.0 + LAN.refute_gap_s - 0.1)
    assert Refute((1, 1), foreign=False) in us.handle_timer(now=1.0 + LAN.refute_gap_s)


def test_a_change_of_our_own_refutes_what_was_still_waiting() -> None:
    us = membership(1, 2)
    us.learn_accusation(accuse(1, US), now=1.0)
    us.update_own(raised(us.own, 0, (1, 0)), now=1.0)
    us.learn_accusation(accuse(2, US, 1, 1), now=1.2)
    us.update_own(raised(us.own, 0, (1, 1)), now=2.0)
    assert not any(isinstance(out, Refute) for out in us.handle_timer(now=20.0))


def test_a_record_of_our_own_id_that_we_did_not_sign_is_outdone_and_told_as_foreign() -> None:
    us = membership(1)
    assert us.learn_record(record(0, 7), now=1.0, news=True) == [Refute((1, 7), foreign=True)]
    assert us.learn_record(record(0), now=20.0, news=True) == []


def test_our_own_record_has_to_rise() -> None:
    us = membership(1)
    with pytest.raises(LocalProtocolError, match="rise"):
        us.update_own(RECORDS[0], now=1.0)
    with pytest.raises(LocalProtocolError, match="rise"):
        us.update_own(record(1, 5), now=1.0)
    assert us.own == RECORDS[0]


def test_a_leaving_node_tells_it_at_once_and_argues_no_more() -> None:
    us = membership(1, 2)
    gone = resign_record(
        evolve(us.own, incarnation=1, serving=Serving.LEAVING), seed=seed_of(0), mesh_id=MESH, issued_at=WALL
    )
    outputs = us.update_own(gone, now=1.0)
    assert {out.target for out in outputs if isinstance(out, SendMessages)} == {BOB, CAROL}
    assert us.learn_accusation(accuse(1, US, 1, 1), now=2.0) == []


def test_a_failed_connection_takes_out_of_rotation_and_probes_at_once() -> None:
    us = membership(1, 2)
    unrouted, probe = us.note_unreachable(BOB, "connection refused", now=5.0)
    assert unrouted == RoutabilityChanged(BOB, False, "connection refused")
    _, seq = the_ping([probe])
    back, _ = us.receive(Ack(seq, ROOT), BOB, now=5.1)
    assert back == RoutabilityChanged(BOB, True, "we reach it")


@pytest.mark.parametrize(("late_s", "believed"), [(59.5, ALIVE), (0.0, SUSPECT)])
def test_a_stall_of_our_own_is_not_taken_for_the_silence_of_others(
    late_s: float, believed: MemberState
) -> None:
    us = membership(1, 2)
    begin = us.deadline
    target, seq = the_ping(us.handle_timer(now=begin))
    assert us.deadline == begin + LAN.probe_timeout_max_s
    outputs = us.handle_timer(now=begin + 60.0, late_s=late_s)
    assert us.members[target].state is believed
    assert any(isinstance(out, StreamProbe) for out in outputs) is (believed is ALIVE)
    us.receive(Ack(seq, ROOT), target, now=begin + 60.1)
    us.handle_timer(now=begin + 60.5)
    assert us.members[target].state is believed


def test_news_for_other_carriers_is_counted_and_a_larger_mesh_makes_it_news_again() -> None:
    us = membership(1, 2)
    us.learn_record(RECORDS[3], now=1.0, news=True)
    news = RecordNews(RECORDS[3].signed.raw)
    assert [us.next_gossip(1_000, BOB) for _ in range(7)] == [(news,)] * 6 + [()]
    assert us.next_gossip(len(news.raw), CAROL) == ()
    assert us.note_mesh_size(500, now=50.0) == []
    assert us.next_gossip(1_000, BOB) == (news,)


def test_a_sync_can_show_the_accusation_of_a_suspect_and_of_nobody_else() -> None:
    us = membership(1, 2)
    us.learn_accusation(accuse(2, BOB), now=1.0)
    assert us.accusation_of(BOB, now=1.0) == AccusationNews(accuse(2, BOB).signed.raw)
    assert us.accusation_of(CAROL, now=1.0) is None


def test_the_dead_are_tried_again_for_as_long_as_they_are_remembered() -> None:
    us = membership(1, parameters=QUIET)
    tried = []
    while us.deadline < 300.0:
        tried += [out for out in us.handle_timer(now=us.deadline) if isinstance(out, Reconnect)]
    assert us.members[BOB].state is DEAD
    assert 8 <= len(tried) <= 20
    assert set(tried) == {Reconnect(BOB)}


# Whatever comes, in whatever order.

LEGAL = {
    (None, ALIVE),
    (None, LEFT),
    (ALIVE, SUSPECT),
    (ALIVE, LEFT),
    (SUSPECT, ALIVE),
    (SUSPECT, DEAD),
    (SUSPECT, LEFT),
    (DEAD, ALIVE),
    (DEAD, LEFT),
    (LEFT, ALIVE),
}
MOST_OUTPUTS = 200
cached_accusation = cache(accuse)


@cache
def cached_record(number: int, incarnation: int, leaving: bool) -> MemberRecord:
    serving = Serving.LEAVING if leaving else Serving.SERVING
    changed = evolve(record(number, incarnation), serving=serving)
    return resign_record(changed, seed=seed_of(number), mesh_id=MESH, issued_at=WALL)


others = st.integers(1, 5)
versions = st.integers(0, 4)


class AnyDialogue(RuleBasedStateMachine):
    """One machine, five others, and every kind of call in any order, true or not."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.us = membership()
        self.states: dict[NodeId, MemberState] = {}
        self.versions: dict[NodeId, tuple[int, int]] = {}
        self.unroutable: set[NodeId] = set()
        self.asked: list[tuple[NodeId, int]] = [(BOB, 0)]
        self.check(self.us.start(now=0.0))

    def check(self, outputs: list[Output]) -> None:
        assert len(outputs) <= MOST_OUTPUTS
        for out in outputs:
            match out:
                case SendMessages(target, messages):
                    encode_messages(messages)
                    self.asked += [
                        (target, said.seq) for said in messages if isinstance(said, Ping | PingRequest)
                    ]
                case StreamProbe(target, seq, timeout_s):
                    assert timeout_s > 0
                    self.asked.append((target, seq))
                case StateChanged(node, old, new):
                    assert (old, new) in LEGAL
                    assert self.states.get(node) is old
                    self.states[node] = new
                    if new in (DEAD, LEFT) or old in (DEAD, LEFT):
                        self.unroutable.discard(node)
                case RoutabilityChanged(node, routable):
                    assert routable is (node in self.unroutable)
                    self.unroutable ^= {node}
                case Refute(above, foreign):
                    assert foreign is (above > self.us.own.version)
                    self.check(self.us.update_own(raised(self.us.own, 0, above), now=self.now))
                case Forgotten(node):
                    self.gone(node)
                case PeerRoot() | Reconnect():
                    pass

    def gone(self, node: NodeId) -> None:
        self.states.pop(node, None)
        self.versions.pop(node, None)
        self.unroutable.discard(node)

    @rule(number=others, version=versions, leaving=st.booleans(), news=st.booleans())
    def a_record(self, number: int, version: int, leaving: bool, news: bool) -> None:
        self.check(self.us.learn_record(cached_record(number, version, leaving), now=self.now, news=news))

    @rule(accuser=st.integers(0, 5), subject=st.integers(0, 5), version=versions)
    def an_accusation(self, accuser: int, subject: int, version: int) -> None:
        said = cached_accusation(accuser, record(subject).id, 1, version)
        self.check(self.us.learn_accusation(said, now=self.now))

    @rule(number=others, kind=st.sampled_from([Ping, PingRequest]), subject=st.integers(0, 6))
    def a_question(self, number: int, kind: type[Ping] | type[PingRequest], subject: int) -> None:
        sender, about = record(number).id, record(subject).id
        said = Ping(7, about, THEIRS) if kind is Ping else PingRequest(7, about)
        self.check(self.us.receive(said, sender, now=self.now))

    @rule(data=st.data(), nack=st.booleans())
    def an_answer(self, data: st.DataObject, nack: bool) -> None:
        sender, seq = data.draw(st.sampled_from(self.asked[-20:]))
        self.check(self.us.receive(Nack(seq) if nack else Ack(seq, ROOT), sender, now=self.now))

    @rule(data=st.data(), ok=st.booleans())
    def a_stream_result(self, data: st.DataObject, ok: bool) -> None:
        target, seq = data.draw(st.sampled_from(self.asked[-20:]))
        self.check(self.us.stream_probe_result(target, seq, ok=ok, now=self.now))

    @rule(number=others)
    def a_failed_connection(self, number: int) -> None:
        self.check(self.us.note_unreachable(record(number).id, "connection refused", now=self.now))

    @rule(number=others)
    def a_revocation(self, number: int) -> None:
        given = self.us.forget(record(number).id, now=self.now)
        self.gone(record(number).id)
        self.check(given)

    @rule(times=st.integers(1, 30))
    def time_to_act(self, times: int) -> None:
        for _ in range(times):
            if self.us.deadline < math.inf:
                self.now = max(self.now, self.us.deadline)
                self.check(self.act(0.0))

    @rule(late_s=st.floats(0.0, 5_000.0))
    def a_stall(self, late_s: float) -> None:
        if self.us.deadline < math.inf:
            self.now = max(self.now, self.us.deadline + late_s)
            self.check(self.act(self.now - self.us.deadline))

    def act(self, late_s: float) -> list[Output]:
        outputs = self.us.handle_timer(now=self.now, late_s=late_s)
        assert self.us.deadline > self.now
        return outputs

    @invariant()
    def beliefs_are_what_was_told_and_versions_only_rise(self) -> None:
        members = self.us.members
        assert {node: member.state for node, member in members.items()} == self.states
        assert {node for node, m in members.items() if m.living and not m.routable} == self.unroutable
        for node, member in members.items():
            assert member.record.version >= self.versions.get(node, (0, 0))
            self.versions[node] = member.record.version


TestAnyDialogue = AnyDialogue.TestCase
TestAnyDialogue.settings = settings(max_examples=60, stateful_step_count=50)
