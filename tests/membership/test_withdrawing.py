"""What a revoked member said of others counts no more, from that very turn on."""

from __future__ import annotations

from attrs import evolve

from beliefslab import ALIVE, BOB, CAROL, DAVE, DEAD, LIAR, SUSPECT, US, accuse, bench, node
from gossipmesh.membership.outputs import RoutabilityChanged, StateChanged
from gossipmesh.membership.parameters import LAN
from gossipmesh.membership.withdrawing import WHY


def test_whom_only_the_revoked_accused_is_alive_again_at_once_and_nobody_is_told_of_it_any_more() -> None:
    us = bench(BOB, CAROL, LIAR)
    us.beliefs.learn_accusation(accuse(LIAR, BOB), now=1.0)
    assert us.state(BOB) is SUSPECT
    assert us.beliefs.revoke(LIAR, now=2.0) == [StateChanged(BOB, SUSPECT, ALIVE, WHY)]
    assert us.member(BOB).accusers == ()
    assert us.news() == set()
    assert us.beliefs.deadline == float("inf")
    assert LIAR not in us.table.members


def test_what_others_said_and_what_we_saw_ourselves_stays() -> None:
    us = bench(BOB, CAROL, DAVE, LIAR, node(6), node(7))
    us.beliefs.learn_accusation(accuse(LIAR, BOB), now=1.0)
    us.beliefs.learn_accusation(accuse(DAVE, BOB), now=1.0)
    us.beliefs.failed(CAROL, "no answer", asked_at=1.0, now=2.0)
    us.beliefs.learn_accusation(accuse(LIAR, CAROL), now=2.0)
    confirmed = us.beliefs.deadline
    # Two said so of Bob, and he was out of rotation for that alone; one is too few.
    assert us.beliefs.revoke(LIAR, now=3.0) == [RoutabilityChanged(BOB, True, WHY)]
    assert (us.state(BOB), us.member(BOB).accusers, us.member(BOB).routable) == (SUSPECT, (DAVE,), True)
    assert (us.state(CAROL), us.member(CAROL).accusers, us.member(CAROL).routable) == (SUSPECT, (US,), False)
    # A lone accuser has to wait longer than two that agree.
    assert us.beliefs.deadline > confirmed


def test_whoever_is_cut_off_is_no_accuser_that_keeps_anybody_out_either() -> None:
    us = bench(BOB, CAROL, DAVE, LIAR)
    us.beliefs.failed(CAROL, "no answer", asked_at=0.5, now=1.0)
    us.beliefs.handle_timer(now=us.beliefs.deadline)
    assert us.state(CAROL) is DEAD
    for accuser in (CAROL, DAVE, LIAR):
        us.beliefs.learn_accusation(accuse(accuser, BOB), now=60.0)
    assert not us.member(BOB).routable
    assert us.beliefs.revoke(LIAR, now=61.0) == [RoutabilityChanged(BOB, True, WHY)]


def test_many_members_of_one_stolen_token_take_nothing_with_them() -> None:
    liars = [node(number) for number in range(20, 25)]
    us = bench(BOB, CAROL, *liars)
    for liar in liars:
        us.beliefs.learn_accusation(accuse(liar, BOB), now=1.0)
    assert not us.member(BOB).routable
    said = [change for liar in liars for change in us.beliefs.revoke(liar, now=2.0)]
    assert said == [RoutabilityChanged(BOB, True, WHY), StateChanged(BOB, SUSPECT, ALIVE, WHY)]
    assert us.member(BOB).routable


def test_the_dead_stay_dead_and_are_told_by_ourselves_of_what_they_have_to_refute() -> None:
    us = bench(BOB, LIAR, parameters=evolve(LAN, own_evidence=False))
    us.beliefs.learn_accusation(accuse(LIAR, BOB), now=1.0)
    us.beliefs.handle_timer(now=us.beliefs.deadline)
    assert us.state(BOB) is DEAD
    assert us.beliefs.revoke(LIAR, now=200.0) == []
    assert us.state(BOB) is DEAD
    told = us.beliefs.accusation_of(BOB, now=201.0)
    assert told is not None
    assert told.raw == accuse(US, BOB).signed.raw
