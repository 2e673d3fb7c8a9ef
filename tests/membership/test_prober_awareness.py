"""How self-doubt slows a node's own probes, and what ends a probe early."""

from __future__ import annotations

import math
import random

import pytest
from attrs import evolve

from gossipmesh.identity.record import MemberRecord
from gossipmesh.identity.signed import Signed
from gossipmesh.membership.awareness import Awareness
from gossipmesh.membership.findings import Failed, OnlyVouched, Reached, Tell
from gossipmesh.membership.members import Member, MemberTable
from gossipmesh.membership.messages import Ack, Nack, Ping, PingRequest
from gossipmesh.membership.outputs import StreamProbe
from gossipmesh.membership.parameters import LAN, Parameters
from gossipmesh.membership.prober import Prober
from gossipmesh.model import Address, MemberState, NodeId, Serving

ROOT = b"r" * 16


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(32, "big"))


US, BOB, CAROL, DAVE = node(0), node(1), node(2), node(3)


def record(who: NodeId) -> MemberRecord:
    return MemberRecord(
        id=who,
        boot=1,
        incarnation=0,
        name=f"node-{who[-1]}",
        addresses=(Address("127.0.0.1", 7_000 + who[-1]),),
        dh_key=bytes(32),
        dh_generation=0,
        zone="",
        services=(),
        serving=Serving.SERVING,
        chain_hash=bytes(16),
        issued_at=0,
        expires_at=1,
        signed=Signed(who, who, b""),
    )


def prober(*others: NodeId, parameters: Parameters = LAN, score: int = 0) -> tuple[Prober, Awareness]:
    table = MemberTable(rng=random.Random(1))
    awareness = Awareness(parameters.awareness_max)
    awareness.worsen(score)
    made = Prober(parameters, US, table, awareness, root=lambda: ROOT, rng=random.Random(1))
    for other in others:
        table.put(Member(other, record(other), MemberState.ALIVE, 0.0))
        made.add(other, now=0.0)
    return made, awareness


def ask(us: Prober, target: NodeId, now: float) -> int:
    us.want(target)
    [seq] = [
        tell.message.seq
        for tell in us.start_wanted(now=now)
        if isinstance(tell.message, Ping) and tell.target == target
    ]
    return seq


def failed(us: Prober, now: float) -> list[Failed]:
    return [found for found in us.handle_timer(now=now) if isinstance(found, Failed)]


def test_helpers_that_say_nothing_at_all_make_us_doubt_ourselves() -> None:
    us, awareness = prober(BOB, CAROL, DAVE)
    seq = ask(us, BOB, 10.0)
    us.handle_timer(now=10.5)
    us.receive(Nack(seq), CAROL, now=10.9)
    assert failed(us, 11.0)
    assert awareness.score == 1


def test_a_crash_that_every_helper_sees_too_is_no_reason_to_doubt_ourselves() -> None:
    us, awareness = prober(BOB, CAROL, DAVE)
    seq = ask(us, BOB, 10.0)
    us.handle_timer(now=10.5)
    us.receive(Nack(seq), CAROL, now=10.9)
    us.receive(Nack(seq), DAVE, now=10.9)
    assert failed(us, 11.0)
    assert awareness.score == 0


def test_the_silence_of_an_only_peer_is_no_reason_either() -> None:
    us, awareness = prober(BOB)
    ask(us, BOB, 10.0)
    us.handle_timer(now=10.5)
    assert failed(us, 11.0)
    assert awareness.score == 0


@pytest.mark.parametrize("way", ["ping", "helper", "tcp"])
def test_an_answer_by_any_way_gives_back_some_trust(way: str) -> None:
    us, awareness = prober(BOB, CAROL, score=2)
    seq = ask(us, BOB, 10.0)
    us.handle_timer(now=11.5)
    match way:
        case "ping":
            us.receive(Ack(seq, ROOT), BOB, now=11.6)
        case "helper":
            us.receive(Ack(seq, ROOT), CAROL, now=11.6)
        case "tcp":
            us.stream_result(BOB, seq, ok=True)
    assert awareness.score == 1


def test_who_doubts_itself_gives_others_as_much_more_time() -> None:
    us, _ = prober(BOB, CAROL, score=3)
    begin = us.deadline
    us.handle_timer(now=begin)
    assert us.deadline == begin + 4 * LAN.probe_timeout_max_s
    [stream] = [each for each in us.handle_timer(now=us.deadline) if isinstance(each, StreamProbe)]
    assert stream.timeout_s == pytest.approx(4 * LAN.probe_period_s - 4 * LAN.probe_timeout_max_s)


def test_without_self_doubt_nothing_of_it_happens() -> None:
    us, awareness = prober(BOB, CAROL, parameters=evolve(LAN, awareness_max=0))
    ask(us, BOB, 10.0)
    us.handle_timer(now=10.5)
    assert failed(us, 11.0)
    assert awareness.multiplier == 1


def test_a_refused_connection_and_the_no_of_every_helper_end_a_probe_at_once_in_either_order() -> None:
    for refused_first in (True, False):
        us, _ = prober(BOB, CAROL, DAVE)
        seq = ask(us, BOB, 10.0)
        us.handle_timer(now=10.5)
        found = us.stream_result(BOB, seq, ok=False) if refused_first else []
        for helper in (CAROL, DAVE):
            found += us.receive(Nack(seq), helper, now=10.6)
        if not refused_first:
            found += us.stream_result(BOB, seq, ok=False)
        assert found == [Failed(BOB, 10.0, "no answer to our probe, nor to 2 helpers (2 said so)")]
        assert us.stream_result(BOB, seq, ok=True) == []


def test_a_refused_connection_alone_ends_nothing_while_a_helper_may_still_answer() -> None:
    us, _ = prober(BOB, CAROL, DAVE)
    seq = ask(us, BOB, 10.0)
    us.handle_timer(now=10.5)
    assert us.stream_result(BOB, seq, ok=False) == []
    assert us.receive(Nack(seq), CAROL, now=10.6) == []
    assert OnlyVouched(BOB, 10.0) in us.receive(Ack(seq, ROOT), DAVE, now=10.7)


def test_an_ack_over_tcp_does_not_show_that_udp_works() -> None:
    us, _ = prober(BOB)
    seq = ask(us, BOB, 10.0)
    [reached] = us.receive(Ack(seq, ROOT), BOB, now=10.25, stream=True)
    assert reached == Reached(BOB, 10.0, udp=False)
    assert isinstance(reached, Reached)
    assert reached.rtt_s == 0.25


def test_an_errand_takes_no_longer_because_the_helper_doubts_itself() -> None:
    us, _ = prober(BOB, CAROL, score=8)
    [ping] = us.receive(PingRequest(7, BOB), CAROL, now=0.0)
    assert isinstance(ping, Tell)
    assert us.deadline <= LAN.probe_timeout_max_s < math.inf


def test_a_stall_of_our_own_is_no_long_round_trip() -> None:
    us, _ = prober(BOB, parameters=evolve(LAN, stream_probe=False))
    seq = ask(us, BOB, 10.0)
    [reached] = us.receive(Ack(seq, ROOT), BOB, now=70.0)
    assert isinstance(reached, Reached)
    assert reached.rtt_s is not None
    assert reached.rtt_s <= LAN.probe_period_s
