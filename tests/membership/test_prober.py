"""Probes under way: dialogues with the probing half of the machine."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from attrs import evolve

from gossipmesh.identity.record import MemberRecord
from gossipmesh.identity.signed import Signed
from gossipmesh.membership.awareness import Awareness
from gossipmesh.membership.findings import Failed, Finding, OnlyVouched, Reached, Tell, Vouched
from gossipmesh.membership.members import Member, MemberTable
from gossipmesh.membership.messages import Ack, Nack, Ping, PingRequest
from gossipmesh.membership.outputs import StreamProbe
from gossipmesh.membership.parameters import LAN, Parameters
from gossipmesh.membership.prober import MAX_AT_ONCE, MAX_ERRANDS, MAX_ERRANDS_EACH, MAX_WANTED, Prober
from gossipmesh.model import Address, MemberState, NodeId, Serving

ROOT = b"r" * 16
THEIRS = b"t" * 16
QUIET = evolve(LAN, stream_probe=False)


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(32, "big"))


US, BOB, CAROL, DAVE = node(0), node(1), node(2), node(3)


def record(who: NodeId) -> MemberRecord:
    return MemberRecord(
        id=who,
        boot=1,
        incarnation=0,
        name=f"node-{who.hex()[-4:]}",
        addresses=(Address("127.0.0.1", 1 + who[-1] + 256 * who[-2]),),
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


def prober(*others: NodeId, parameters: Parameters = LAN) -> Prober:
    table = MemberTable(rng=random.Random(1))
    made = Prober(
        parameters, US, table, Awareness(parameters.awareness_max), root=lambda: ROOT, rng=random.Random(1)
    )
    for other in others:
        table.put(Member(other, record(other), MemberState.ALIVE, 0.0))
        made.add(other, now=0.0)
    return made


def ask(prober: Prober, target: NodeId, now: float) -> int:
    """Begin one probe of ``target`` and give its number."""
    prober.want(target)
    pinged, seq = the_ping(prober.start_wanted(now=now))
    assert pinged == target
    return seq


def the_ping(found: Sequence[Finding]) -> tuple[NodeId, int]:
    """Give whom the one thing found pings, and its number."""
    match found:
        case [Tell(told, Ping(seq, target, root))]:
            assert (target, root) == (told, ROOT)
            return told, seq
        case other:
            raise AssertionError(other)


def test_nothing_is_due_until_there_is_somebody_to_probe() -> None:
    assert prober().deadline == math.inf
    assert 0.0 <= prober(BOB).deadline <= LAN.probe_period_s


def test_one_member_is_pinged_each_period_and_its_answer_ends_the_probe() -> None:
    us = prober(BOB, CAROL)
    begin = us.deadline
    first, seq = the_ping(us.handle_timer(now=begin))
    assert us.receive(Ack(seq, THEIRS), first, now=begin + 0.01) == [Reached(first, begin, udp=True)]
    assert us.deadline == begin + 1.0
    second, _ = the_ping(us.handle_timer(now=begin + 1.0))
    assert {first, second} == {BOB, CAROL}


def test_a_silent_member_is_probed_through_helpers_and_over_tcp_and_then_fails() -> None:
    us = prober(BOB, CAROL, DAVE)
    seq = ask(us, BOB, 10.0)
    *requests, stream = us.handle_timer(now=10.5)
    asked = [
        found for found in requests if isinstance(found, Tell) and isinstance(found.message, PingRequest)
    ]
    assert {tell.target for tell in asked} == {CAROL, DAVE}
    assert {tell.message for tell in asked} == {PingRequest(seq, BOB)}
    assert stream == StreamProbe(BOB, seq, 0.5) or StreamProbe(BOB, seq, 0.5) in requests
    assert us.receive(Nack(seq), CAROL, now=10.9) == []
    assert us.receive(Nack(seq), CAROL, now=10.9) == []
    found = us.handle_timer(now=11.0)
    assert Failed(BOB, 10.0, "no answer to our probe, nor to 2 helpers (1 said so)") in found


def test_the_timeout_adapts_to_the_round_trips_and_late_acks_of_an_open_probe_count() -> None:
    us = prober(BOB, parameters=QUIET)
    for now in (10.0, 20.0, 30.0, 40.0):
        us.receive(Ack(ask(us, BOB, now), THEIRS), BOB, now=now + 0.001)
    seq = ask(us, BOB, 50.0)
    us.handle_timer(now=50.0)
    assert us.deadline == 50.0 + LAN.probe_timeout_min_s
    us.handle_timer(now=50.05)
    assert us.receive(Ack(seq, THEIRS), BOB, now=50.3) == [Reached(BOB, 50.0, udp=True)]
    ask(us, BOB, 60.0)
    us.handle_timer(now=60.0)
    assert us.deadline > 60.0 + LAN.probe_timeout_min_s


def test_an_ack_counts_only_with_an_open_number_and_from_the_target_or_a_helper() -> None:
    us = prober(BOB, CAROL)
    seq = ask(us, BOB, 10.0)
    assert us.receive(Ack(seq + 1, THEIRS), BOB, now=10.1) == []
    assert us.receive(Ack(seq, THEIRS), CAROL, now=10.1) == []
    assert us.receive(Ack(seq, THEIRS), DAVE, now=10.1) == []
    assert us.receive(Ack(seq, THEIRS), BOB, now=10.1) == [Reached(BOB, 10.0, udp=True)]
    assert us.receive(Ack(seq, THEIRS), BOB, now=10.1) == []


def test_a_helpers_ack_vouches_for_the_target_and_the_probe_does_not_fail() -> None:
    us = prober(BOB, CAROL)
    seq = ask(us, BOB, 10.0)
    us.handle_timer(now=10.5)
    assert us.receive(Ack(seq, THEIRS), CAROL, now=10.6) == [Vouched(BOB, 10.0)]
    assert us.receive(Ack(seq, THEIRS), CAROL, now=10.7) == []
    assert not any(isinstance(found, Failed) for found in us.handle_timer(now=11.0))


def test_only_helpers_reach_a_target_that_refuses_our_tcp_too_in_either_order() -> None:
    us = prober(BOB, CAROL)
    seq = ask(us, BOB, 10.0)
    us.handle_timer(now=10.5)
    us.receive(Ack(seq, THEIRS), CAROL, now=10.6)
    assert us.stream_result(BOB, seq, ok=False) == [OnlyVouched(BOB, 10.0)]
    seq = ask(us, BOB, 20.0)
    us.handle_timer(now=20.5)
    assert us.stream_result(BOB, seq, ok=False) == []
    assert us.receive(Ack(seq, THEIRS), CAROL, now=20.6) == [Vouched(BOB, 20.0), OnlyVouched(BOB, 20.0)]


def test_a_stream_probe_that_succeeds_is_an_ack_and_a_late_one_is_nothing() -> None:
    us = prober(BOB)
    seq = ask(us, BOB, 10.0)
    us.handle_timer(now=10.5)
    assert us.stream_result(CAROL, seq, ok=True) == []
    assert us.stream_result(BOB, seq, ok=True) == [Reached(BOB, 10.0, udp=False)]
    assert us.stream_result(BOB, seq, ok=True) == []


def test_a_ping_for_us_is_answered_and_one_for_a_former_owner_of_our_address_is_not() -> None:
    us = prober()
    assert us.receive(Ping(7, US, THEIRS), BOB, now=1.0) == [Tell(BOB, Ack(7, ROOT))]
    assert us.receive(Ping(7, CAROL, THEIRS), BOB, now=1.0) == []


def test_a_helper_pings_under_its_own_number_and_passes_the_answer_on() -> None:
    us = prober(BOB, CAROL)
    target, seq = the_ping(us.receive(PingRequest(7, BOB), CAROL, now=10.0))
    assert target == BOB
    assert us.receive(Ack(seq, THEIRS), CAROL, now=10.1) == []
    assert us.receive(Ack(seq, THEIRS), BOB, now=10.1) == [
        Tell(CAROL, Ack(7, ROOT)),
        Reached(BOB, 10.0, udp=True),
    ]
    assert us.receive(Ack(seq, THEIRS), BOB, now=10.2) == []


def test_a_helper_without_an_answer_says_so_in_time_and_still_passes_a_late_one_on() -> None:
    us = prober(BOB, CAROL)
    _, seq = the_ping(us.receive(PingRequest(7, BOB), CAROL, now=10.0))
    assert Tell(CAROL, Nack(7), about=BOB) in us.handle_timer(now=10.0 + 0.8 * 0.5)
    assert us.receive(Ack(seq, THEIRS), BOB, now=10.6)[0] == Tell(CAROL, Ack(7, ROOT))


def test_a_helper_asked_about_itself_answers_and_about_a_stranger_says_no() -> None:
    us = prober(BOB)
    assert us.receive(PingRequest(7, US), BOB, now=1.0) == [Tell(BOB, Ack(7, ROOT))]
    assert us.receive(PingRequest(8, DAVE), BOB, now=1.0) == [Tell(BOB, Nack(8), about=DAVE)]


def test_errands_are_bounded_for_each_asker_and_in_all() -> None:
    us = prober(BOB)
    said = [us.receive(PingRequest(seq, BOB), CAROL, now=1.0) for seq in range(MAX_ERRANDS_EACH + 1)]
    assert said[-1] == [Tell(CAROL, Nack(MAX_ERRANDS_EACH), about=BOB)]
    askers = [node(100 + number) for number in range(MAX_ERRANDS)]
    said = [us.receive(PingRequest(1, BOB), asker, now=1.0) for asker in askers]
    accepted = sum(isinstance(tell.message, Ping) for [tell] in said if isinstance(tell, Tell))
    assert accepted == MAX_ERRANDS - MAX_ERRANDS_EACH
    us.handle_timer(now=2.0)
    assert isinstance(us.receive(PingRequest(9, BOB), CAROL, now=2.0)[0], Tell)


def test_wanted_probes_run_side_by_side_up_to_a_limit_and_the_rest_follow() -> None:
    others = [node(number) for number in range(1, MAX_AT_ONCE + 4)]
    us = prober(*others, parameters=QUIET)
    for other in others:
        us.want(other)
    begun = us.start_wanted(now=0.0)
    assert [tell.target for tell in begun] == others[:MAX_AT_ONCE]
    [first, *_] = begun
    assert isinstance(first.message, Ping)
    us.receive(Ack(first.message.seq, THEIRS), first.target, now=0.1)
    assert [tell.target for tell in us.start_wanted(now=0.1)] == [others[MAX_AT_ONCE]]


def test_one_target_is_never_probed_twice_at_once_but_again_afterwards_if_wanted() -> None:
    us = prober(BOB)
    seq = ask(us, BOB, 10.0)
    us.want(BOB)
    us.want(BOB)
    assert us.start_wanted(now=10.1) == []
    us.receive(Ack(seq, THEIRS), BOB, now=10.2)
    assert len(us.start_wanted(now=10.2)) == 1
    assert us.start_wanted(now=10.3) == []


def test_the_dead_and_strangers_are_not_probed_however_wanted_and_the_wish_list_is_bounded() -> None:
    us = prober(BOB)
    for number in range(1_000, 1_000 + 2 * MAX_WANTED):
        us.want(node(number))
    assert us.start_wanted(now=0.0) == []
    assert ask(us, BOB, 1.0) >= 0


def test_who_is_watched_is_probed_again_each_period_besides_the_one_in_turn() -> None:
    us = prober(*(node(number) for number in range(1, 9)), parameters=QUIET)
    us.watch(BOB)
    now = us.deadline
    for _ in range(20):
        told = [*us.handle_timer(now=now), *us.start_wanted(now=now)]
        pings = [each for each in told if isinstance(each, Tell) and isinstance(each.message, Ping)]
        assert BOB in {ping.target for ping in pings}
        for ping in pings:
            assert isinstance(ping.message, Ping)
            us.receive(Ack(ping.message.seq, THEIRS), ping.target, now=now + 0.001)
        now = us.deadline


def test_who_died_or_was_forgotten_gives_no_finding_any_more() -> None:
    us = prober(BOB, CAROL, parameters=QUIET)
    seq = ask(us, BOB, 10.0)
    us.rest(BOB)
    assert us.receive(Ack(seq, THEIRS), BOB, now=10.1) == []
    ask(us, CAROL, 20.0)
    us.remove(CAROL)
    assert not any(isinstance(found, Failed) for found in us.handle_timer(now=30.0))


def test_the_time_that_we_were_not_running_is_given_to_every_probe() -> None:
    us = prober(BOB, CAROL)
    seq = ask(us, BOB, 10.0)
    us.handle_timer(now=10.5)
    us.extend(30.0)
    assert not any(isinstance(found, Failed) for found in us.handle_timer(now=40.9))
    assert us.receive(Ack(seq, THEIRS), BOB, now=40.95) == [Reached(BOB, 10.0, udp=True)]
