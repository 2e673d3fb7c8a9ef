"""Whom a request has asked already."""

from __future__ import annotations

from random import Random

from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.routing.balancing.service import ServiceBalancer
from gossipmesh.routing.outcomes import GIVEN_UP, Attempt, AttemptOutcome, OutcomeKind
from gossipmesh.routing.snapshot import Candidates
from gossipmesh.routing.traffic import DEFAULT
from gossipmesh.routing.tried import anybody_in, failed_at, last_let_go, pick_untried

DOUBTED = AttemptOutcome(OutcomeKind.DOUBTED, "UT")
RESET = AttemptOutcome(OutcomeKind.FAILED, "UR")


def endpoint(letter: str) -> Endpoint:
    return Endpoint(letter, NodeId(letter.encode() * 32), Address("10.0.0.1", 7946), Service("hello", 80))


A, B, C = map(endpoint, "abc")


def attempts(*ends: tuple[Endpoint, AttemptOutcome]) -> list[Attempt]:
    return [Attempt(whom, outcome, 0.0, 1.0) for whom, outcome in ends]


def test_one_that_was_given_up_has_not_failed() -> None:
    assert failed_at(attempts((A, RESET), (B, GIVEN_UP), (C, DOUBTED))) == {A.id, C.id}


def test_the_last_that_was_silent_is_found_whatever_failed_since() -> None:
    assert last_let_go(attempts((A, DOUBTED), (B, DOUBTED), (C, RESET))) is B
    assert last_let_go(attempts((A, RESET), (B, GIVEN_UP))) is None


def test_the_first_choice_that_has_one_gives_it() -> None:
    balancer = ServiceBalancer("hello", DEFAULT, origin=NodeId(bytes(32)), key=b"", rng=Random(1))
    choices = Candidates.of((A,)), Candidates.of((A, B)), Candidates.of((C,))
    for tried, wanted in (({A.id}, B), ({A.id, B.id}, C), ({A.id, B.id, C.id}, None)):
        assert pick_untried(balancer, choices, now=0.0, session=None, tried=tried) is wanted
        assert anybody_in(choices, tried=tried) == (wanted is not None)
