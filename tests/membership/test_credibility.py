"""Accusers that were refuted too often."""

from __future__ import annotations

from gossipmesh.membership.credibility import MAX_PAIRS, WINDOW_S, Answers, Credibility
from gossipmesh.model import NodeId

LIAR, ALICE, BOB = NodeId(b"l" * 32), NodeId(b"a" * 32), NodeId(b"b" * 32)


def test_three_refutations_in_ten_minutes_silence_an_accuser_about_that_subject_only() -> None:
    credibility = Credibility()
    for now in (0.0, 10.0):
        credibility.refuted(LIAR, ALICE, now=now)
    assert not credibility.ignored(LIAR, ALICE, now=11.0)
    credibility.refuted(LIAR, ALICE, now=20.0)
    assert credibility.ignored(LIAR, ALICE, now=21.0)
    assert not credibility.ignored(LIAR, BOB, now=21.0)
    assert not credibility.ignored(BOB, ALICE, now=21.0)


def test_an_accuser_is_heard_again_when_the_first_of_the_three_is_old() -> None:
    credibility = Credibility()
    for now in (0.0, 10.0, 20.0):
        credibility.refuted(LIAR, ALICE, now=now)
    assert credibility.ignored(LIAR, ALICE, now=WINDOW_S)
    assert not credibility.ignored(LIAR, ALICE, now=WINDOW_S + 1)


def test_the_memory_is_bounded_and_the_pair_refuted_longest_ago_goes_first() -> None:
    credibility = Credibility()
    for now in (0.0, 1.0, 2.0):
        credibility.refuted(LIAR, ALICE, now=now)
    for number in range(MAX_PAIRS - 1):
        credibility.refuted(NodeId(number.to_bytes(32, "big")), ALICE, now=3.0)
    assert credibility.ignored(LIAR, ALICE, now=4.0)
    credibility.refuted(BOB, ALICE, now=4.0)
    assert not credibility.ignored(LIAR, ALICE, now=4.0)


def test_an_accusation_that_comes_again_counts_once() -> None:
    answers = Answers()
    for version in ((1, 0), (1, 1), (1, 2)):
        assert all(answers.due(LIAR, version, now=1.0) for _ in range(5))
    assert answers.due(LIAR, (1, 2), now=2.0)
    assert not answers.due(LIAR, (1, 3), now=2.0)
    assert answers.due(BOB, (1, 3), now=2.0)


def test_those_that_were_answered_are_remembered_up_to_a_number() -> None:
    answers = Answers()
    for version in range(3):
        assert answers.due(LIAR, (1, version), now=1.0)
    for number in range(MAX_PAIRS):
        answers.due(NodeId(number.to_bytes(32, "big")), (1, 3), now=2.0)
    assert answers.due(LIAR, (1, 4), now=3.0)
