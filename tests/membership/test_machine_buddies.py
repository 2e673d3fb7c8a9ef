"""Who is told of accusations beside ordinary messages: the accused, and those who look for it; and what it answers."""

from __future__ import annotations

import random
from functools import partial

from attrs import evolve

from gossipmesh.identity.accusation import Accusation, sign_accusation
from gossipmesh.identity.record import RECORD_LIFETIME_S, MemberRecord, resign_record, sign_record
from gossipmesh.membership.credibility import SELDOM_S
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.messages import AccusationNews, Nack, Ping, PingRequest, RecordNews
from gossipmesh.membership.outputs import Output, Refute, SendMessages
from gossipmesh.membership.parameters import LAN, Parameters, without_lifeguard
from gossipmesh.model import Address, NodeId, Serving

MESH = b"m" * 32
ROOT = b"r" * 16
WALL = 1_700_000_000


def seed_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def record(number: int) -> MemberRecord:
    return sign_record(
        seed=seed_of(number),
        mesh_id=MESH,
        boot=1,
        incarnation=0,
        name=f"node-{number}",
        addresses=[Address("127.0.0.1", 7_000 + number)],
        dh_key=bytes(32),
        dh_generation=0,
        chain_hash=bytes(16),
        issued_at=WALL,
    )


RECORDS = [record(number) for number in range(6)]
US, BOB, CAROL, DAVE, EVE, _ = [each.id for each in RECORDS]


def accuse(number: int, subject: NodeId, boot: int = 1, incarnation: int = 0) -> Accusation:
    return sign_accusation(
        seed=seed_of(number),
        mesh_id=MESH,
        subject=subject,
        boot=boot,
        incarnation=incarnation,
        issued_at=WALL,
    )


def membership(parameters: Parameters = LAN) -> Membership:
    us = Membership(
        parameters, RECORDS[0], rng=random.Random(1), root=lambda: ROOT, sign_accusation=partial(accuse, 0)
    )
    for other in RECORDS[1:]:
        us.learn_record(other, now=0.0, news=False)
    return us


def told(outputs: list[Output], target: NodeId, kind: type) -> set[bytes]:
    """Give the accusations that go to ``target`` beside a message of ``kind``."""
    return {
        message.raw
        for out in outputs
        if isinstance(out, SendMessages) and out.target == target and isinstance(out.messages[0], kind)
        for message in out.messages
        if isinstance(message, AccusationNews)
    }


def test_a_helper_tells_the_asker_whom_it_heard_accuse_the_one_it_finds_no_answer_from() -> None:
    us = membership()
    lies = [accuse(number, BOB) for number in (3, 4)]
    for lie in lies:
        us.learn_accusation(lie, now=1.0)
    us.receive(PingRequest(7, BOB), CAROL, now=1.1)
    assert told(us.handle_timer(now=1.6), CAROL, Nack) == {lie.signed.raw for lie in lies}


def test_whoever_asks_for_help_tells_the_helpers_what_it_holds_against_the_subject() -> None:
    us = membership()
    lie = accuse(3, BOB)
    us.learn_accusation(lie, now=1.0)
    outputs = us.handle_timer(now=1.5)
    helpers = {
        out.target
        for out in outputs
        if isinstance(out, SendMessages) and isinstance(out.messages[0], PingRequest)
    }
    assert len(helpers) == LAN.indirect_probes
    assert all(told(outputs, helper, PingRequest) == {lie.signed.raw} for helper in helpers)


def test_without_buddies_a_suspect_is_pinged_without_a_word_of_it() -> None:
    for parameters, words in ((LAN, 1), (evolve(LAN, buddy=False), 0)):
        us = membership(parameters)
        outputs = us.learn_accusation(accuse(3, BOB), now=1.0)
        # Without buddies the accusation is ordinary news, and a target is told nothing twice by chance.
        assert len(told(outputs, BOB, Ping)) >= words
    beside = [out.messages for out in outputs if isinstance(out, SendMessages) and out.target == BOB]
    assert all(isinstance(messages[0], Ping) for messages in beside)


def test_a_refutation_of_our_own_makes_us_doubt_ourselves() -> None:
    us = membership()
    assert us.awareness == 0
    [refute] = us.learn_accusation(accuse(3, US), now=1.0)
    assert isinstance(refute, Refute)
    assert us.awareness == 1


def test_a_stall_of_our_own_makes_us_doubt_ourselves() -> None:
    us = membership()
    us.handle_timer(now=us.deadline + 5.0, late_s=5.0)
    assert us.awareness == 1


def test_our_own_refresh_waits_behind_news_but_a_refutation_does_not() -> None:
    us = membership()
    while us.next_gossip(1_100, BOB):
        pass
    later = WALL + RECORD_LIFETIME_S // 2
    fresh = resign_record(evolve(us.own, incarnation=1), seed=seed_of(0), mesh_id=MESH, issued_at=later)
    us.update_own(fresh, now=5.0)
    news = record(5)
    changed = resign_record(
        evolve(news, incarnation=1, zone="z"), seed=seed_of(5), mesh_id=MESH, issued_at=WALL
    )
    us.learn_record(changed, now=5.0, news=True)
    room = 10 + len(changed.signed.raw)
    assert us.next_gossip(room, BOB) == (RecordNews(changed.signed.raw),)
    us.learn_accusation(accuse(3, US, 1, 1), now=5.0 + LAN.refute_gap_s)
    newest = resign_record(
        evolve(us.own, incarnation=2), seed=seed_of(0), mesh_id=MESH, issued_at=later + RECORD_LIFETIME_S // 2
    )
    us.update_own(newest, now=5.0 + LAN.refute_gap_s)
    assert us.next_gossip(room, BOB) == (RecordNews(newest.signed.raw),)


def test_plain_swim_refutes_every_accusation_at_once() -> None:
    us = membership(without_lifeguard(LAN))
    for incarnation in range(3):
        refuted = us.learn_accusation(accuse(1, US, 1, incarnation), now=1.0)
        assert refuted == [Refute((1, incarnation), foreign=False)]
        newer = evolve(us.own, incarnation=incarnation + 1)
        us.update_own(resign_record(newer, seed=seed_of(0), mesh_id=MESH, issued_at=WALL), now=1.0)


def newer(us: Membership, serving: Serving = Serving.SERVING) -> MemberRecord:
    changed = evolve(us.own, incarnation=us.own.incarnation + 1, serving=serving)
    return resign_record(changed, seed=seed_of(0), mesh_id=MESH, issued_at=WALL)


def accused_and_refuted(us: Membership, accuser: int, *, now: float) -> bool:
    """Let a member accuse us of our present version; sign again and tell so, if we are to."""
    if not us.learn_accusation(accuse(accuser, US, *us.own.version), now=now):
        return False
    us.update_own(newer(us), now=now)
    return True


def test_an_accuser_that_nobody_else_believes_any_more_is_seldom_answered() -> None:
    us = membership()
    assert [accused_and_refuted(us, 1, now=20.0 * turn) for turn in range(8)] == [True] * 3 + [False] * 5
    assert accused_and_refuted(us, 1, now=40.0 + SELDOM_S)
    assert not accused_and_refuted(us, 1, now=60.0 + SELDOM_S)


def test_what_a_second_member_says_too_is_answered_however_often_both_were_refuted() -> None:
    us = membership()
    for turn in range(6):
        assert accused_and_refuted(us, 1 + turn % 2, now=20.0 * turn)
    version = us.own.version
    assert us.learn_accusation(accuse(1, US, *version), now=130.0) == []
    assert us.learn_accusation(accuse(2, US, *version), now=130.0) == [Refute(version, foreign=False)]


def test_whoever_leaves_refutes_nothing_and_waits_for_nothing() -> None:
    us = membership()
    assert accused_and_refuted(us, 1, now=1.0)
    assert us.learn_accusation(accuse(1, US, *us.own.version), now=2.0) == []
    us.update_own(newer(us, serving=Serving.LEAVING), now=3.0)
    due = 1.0 + LAN.refute_gap_s
    assert not any(isinstance(out, Refute) for out in us.handle_timer(now=due))
    assert us.deadline > due
