"""The attempts of one request."""

from __future__ import annotations

import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.routing.budget import RetryBudget
from gossipmesh.routing.budget_settings import BudgetSettings
from gossipmesh.routing.hedging import LEAST_SAMPLES
from gossipmesh.routing.outcomes import GIVEN_UP, Attempt, AttemptOutcome, OutcomeKind
from gossipmesh.routing.plan import IDEMPOTENT, Plan
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.routing.traffic import DEFAULT, Retries, Traffic
from gossipmesh.routing.upstreams import Upstream

LOCAL = NodeId(bytes(32))
CONNECT_FAILED = AttemptOutcome(OutcomeKind.CONNECT_FAILED, "UF")
REFUSED = AttemptOutcome(OutcomeKind.REFUSED, "DR")
RESET = AttemptOutcome(OutcomeKind.FAILED, "UR")
DOUBTED = AttemptOutcome(OutcomeKind.DOUBTED, "UT")
ANSWERED = AttemptOutcome(OutcomeKind.ANSWERED, status=200)


def endpoint(letter: str, *, eligible: bool = True) -> Endpoint:
    return Endpoint(
        letter, NodeId(letter.encode() * 32), Address("10.0.0.1", 7946), Service("hello", 80), eligible
    )


def upstream(traffic: Traffic = DEFAULT) -> Upstream:
    return Upstream("hello", traffic, origin=LOCAL, key=b"", rng=Random(1))


def plan(
    *endpoints: Endpoint, method: bytes = b"GET", max_attempts: int = 3, deadline: float = 100.0
) -> Plan:
    snapshot = Snapshot(LOCAL, {"hello": endpoints})
    return Plan(snapshot, upstream(), method, max_attempts=max_attempts, now=0.0, deadline=deadline)


A, B, C = endpoint("a"), endpoint("b"), endpoint("c")


def test_a_request_that_is_answered_takes_one_attempt() -> None:
    one = plan(A, B)
    assert one.next_attempt(now=1.0) == A
    one.record(ANSWERED, now=1.5)
    assert one.next_attempt(now=1.5) is None
    assert one.attempts == [Attempt(A, ANSWERED, 1.0, 1.5, 1.5)]


@pytest.mark.parametrize("method", [b"GET", b"POST", b"get", b"PATCH"])
@pytest.mark.parametrize("outcome", [CONNECT_FAILED, REFUSED])
def test_what_was_not_processed_goes_to_another_node_whatever_the_method(
    method: bytes, outcome: AttemptOutcome
) -> None:
    one = plan(A, B, method=method)
    assert one.next_attempt(now=0) == A
    one.record(outcome, now=0)
    assert one.next_attempt(now=0) == B


@pytest.mark.parametrize("method", sorted(IDEMPOTENT))
def test_an_idempotent_request_that_may_have_been_processed_goes_to_another_node(method: bytes) -> None:
    one = plan(A, B, method=method)
    one.next_attempt(now=0)
    one.record(RESET, now=0)
    assert one.next_attempt(now=0) == B


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"CONNECT", b"get", b"LOCK"])
def test_a_request_that_may_not_be_sent_twice_ends_with_the_flag_of_its_failure(method: bytes) -> None:
    one = plan(A, B, method=method)
    one.next_attempt(now=0)
    one.record(RESET, now=0)
    assert one.next_attempt(now=0) is None
    assert one.flag_if_none == "UR"


@pytest.mark.parametrize("outcome", [CONNECT_FAILED, REFUSED, RESET])
def test_a_body_that_cannot_be_sent_again_ends_the_trying(outcome: AttemptOutcome) -> None:
    one = plan(A, B)
    one.next_attempt(now=0)
    one.record(outcome, now=0, replayable=False)
    assert one.next_attempt(now=0) is None
    assert one.flag_if_none == outcome.flag


def test_a_service_that_nobody_offers_is_unknown() -> None:
    one = plan()
    assert one.next_attempt(now=0) is None
    assert one.flag_if_none == "NR"


def test_a_service_without_an_eligible_endpoint_is_unhealthy() -> None:
    one = plan(endpoint("a", eligible=False))
    assert one.next_attempt(now=0) is None
    assert one.flag_if_none == "UH"


def test_an_endpoint_that_is_not_eligible_is_never_tried() -> None:
    one = plan(endpoint("a", eligible=False), B)
    assert one.next_attempt(now=0) == B
    one.record(CONNECT_FAILED, now=0)
    assert one.next_attempt(now=0) is None
    assert one.flag_if_none == "UF"


def test_when_the_allowed_attempts_all_failed_the_retries_are_used_up() -> None:
    one = plan(A, B, C, max_attempts=2)
    for _ in range(2):
        assert one.next_attempt(now=0) is not None
        one.record(RESET, now=0)
    assert one.next_attempt(now=0) is None
    assert one.flag_if_none == "URX"


def test_where_one_attempt_is_all_there_may_be_its_own_flag_is_told() -> None:
    one = plan(A, B, max_attempts=1)
    one.next_attempt(now=0)
    one.record(CONNECT_FAILED, now=0)
    assert one.next_attempt(now=0) is None
    assert one.flag_if_none == "UF"


def test_no_attempt_starts_after_the_deadline() -> None:
    one = plan(A, B, deadline=5.0)
    assert one.next_attempt(now=4.9) == A
    one.record(CONNECT_FAILED, now=5.0)
    assert one.next_attempt(now=5.0) is None
    assert plan(A, deadline=5.0).next_attempt(now=5.0) is None


@given(
    letters=st.sets(st.sampled_from("abcdefgh")),
    method=st.sampled_from([b"GET", b"POST"]),
    outcomes=st.lists(st.tuples(st.sampled_from([CONNECT_FAILED, REFUSED, RESET, ANSWERED]), st.booleans())),
    max_attempts=st.integers(1, 5),
)
def test_no_node_is_tried_twice_and_nothing_is_tried_after_an_end(
    letters: set[str], method: bytes, outcomes: list[tuple[AttemptOutcome, bool]], max_attempts: int
) -> None:
    one = plan(*map(endpoint, sorted(letters)), method=method, max_attempts=max_attempts)
    ended = False
    for outcome, replayable in outcomes:
        if one.next_attempt(now=0) is None:
            break
        assert not ended
        one.record(outcome, now=0, replayable=replayable)
        ended = outcome is ANSWERED or not replayable or (outcome is RESET and method == b"POST")
    tried = [attempt.endpoint.id for attempt in one.attempts]
    assert len(tried) == len(set(tried)) <= max_attempts


def test_a_plan_does_not_hold_on_to_the_picture_it_was_made_from() -> None:
    snapshot = Snapshot(LOCAL, {"hello": (A, B)})
    held = sys.getrefcount(snapshot)
    one = Plan(snapshot, upstream(), b"GET", max_attempts=2, now=0.0)
    assert (sys.getrefcount(snapshot), one.service) == (held, "hello")


@given(
    st.lists(st.sampled_from([CONNECT_FAILED, REFUSED, RESET]), max_size=3),
    st.sampled_from([b"GET", b"POST"]),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([1.0, 100.0]),
)
def test_another_attempt_is_foretold_where_one_would_follow_a_failure(
    before: list[AttemptOutcome], method: bytes, endpoints: int, max_attempts: int, now: float
) -> None:
    one = plan(*map(endpoint, "abcd"[:endpoints]), method=method, max_attempts=max_attempts)
    for outcome in before:
        if one.next_attempt(now=0.0) is None:
            return
        one.record(outcome, now=0.0)
    if one.next_attempt(now=0.0) is None:
        return
    foretold = one.has_another(now=now)
    one.record(RESET, now=now)
    assert foretold == (one.next_attempt(now=now) is not None)


# --- who is there changes meanwhile -------------------------------------------------------------------------------


def changing(*pictures: tuple[Endpoint, ...], method: bytes = b"GET") -> Plan:
    """Give the plan of a request that began with the first picture, and sees the others one after the other."""
    snapshots = [Snapshot(LOCAL, {"hello": each}) for each in pictures]
    later = iter(snapshots[1:])
    seen = [snapshots[0]]

    def newest() -> Snapshot:
        seen.append(next(later, seen[-1]))
        return seen[-1]

    return Plan(snapshots[0], upstream(), method, max_attempts=3, now=0.0, newest=newest)


def test_one_that_comes_back_while_the_request_waits_is_asked() -> None:
    away = endpoint("b", eligible=False)
    one = changing((A, away), (A, away), (A, B))
    assert one.next_attempt(now=0.0) == A
    assert not one.has_another(now=0.5)
    assert one.has_another(now=0.7)
    one.record(DOUBTED, now=0.7)
    assert one.next_attempt(now=0.7) == B


def test_one_that_goes_out_of_the_picture_while_the_request_waits_is_better_than_nobody() -> None:
    one = changing((A, B), (endpoint("a", eligible=False), endpoint("b", eligible=False)))
    assert one.next_attempt(now=0.0) == A
    assert one.has_another(now=0.5)
    one.record(DOUBTED, now=0.5)
    assert one.next_attempt(now=0.5) == B


def test_one_that_was_silent_is_asked_again_when_all_others_failed_and_one_that_failed_is_not() -> None:
    one = plan(A, B)
    assert one.next_attempt(now=0.0) == A
    one.record(DOUBTED, now=0.5)
    assert one.next_attempt(now=0.5) == B
    one.record(CONNECT_FAILED, now=2.5)
    assert one.next_attempt(now=2.5) == A
    assert not one.has_another(now=3.0, again=True)  # It was the last of three.
    one.record(RESET, now=3.0)
    assert (one.next_attempt(now=3.0), one.flag_if_none) == (None, "URX")


def test_a_silent_one_may_be_asked_once_more_where_there_is_nobody_else_and_it_is_paid_for() -> None:
    one = plan(A)
    one.next_attempt(now=0.0)
    assert (one.has_another(now=0.5), one.has_another(now=0.5, again=True)) == (False, True)
    left = one.upstream.budget.left(now=0.5)
    one.record(DOUBTED, now=0.5)
    assert one.next_attempt(now=0.5) == A
    assert one.upstream.budget.left(now=0.5) == left - 1
    post = plan(A, method=b"POST")
    post.next_attempt(now=0.0)
    assert not post.has_another(now=0.5, again=True)


def test_a_new_picture_makes_nobody_be_asked_twice() -> None:
    one = changing((A,), (A, B), (A, B))
    for wanted in (A, B, None):
        assert one.next_attempt(now=0.0) == wanted
        if wanted is not None:
            one.record(RESET, now=0.0)


# --- two attempts at once ----------------------------------------------------------------------------------------


def hedged(*endpoints: Endpoint, method: bytes = b"GET", max_attempts: int = 3) -> Plan:
    """Give the plan of a request that was begun, to a service that is known to answer in 20 ms."""
    hello = upstream(Traffic(retries=Retries(hedge=True)))
    for _ in range(LEAST_SAMPLES):
        hello.hedging.request(b"GET")
        hello.hedging.answered(0.02)
    snapshot = Snapshot(LOCAL, {"hello": endpoints})
    one = Plan(snapshot, hello, method, max_attempts=max_attempts, now=0.0)
    assert one.next_attempt(now=1.0) is not None
    return one


def in_flight(one: Plan) -> list[int]:
    return [one.upstream.balancer.in_flight(each.id) for each in (A, B, C)]


def test_a_second_attempt_goes_to_another_endpoint_and_whichever_answers_ends_both() -> None:
    one = hedged(A, B)
    assert one.hedge_at() == pytest.approx(1.02, abs=0.002)
    assert (one.current, one.hedge(now=1.02), one.beside) == (A, B, B)
    assert in_flight(one) == [1, 1, 0]
    one.swap()
    assert (one.current, one.beside) == (B, A)
    one.end_hedge(GIVEN_UP, now=1.03)
    one.record(ANSWERED, now=1.03)
    assert one.attempts == [Attempt(A, GIVEN_UP, 1.0, 1.03), Attempt(B, ANSWERED, 1.02, 1.03, 1.03)]
    assert in_flight(one) == [0, 0, 0]
    assert one.upstream.hedging.sent == 1


def test_what_was_given_up_may_be_asked_again_and_what_failed_may_not() -> None:
    one = hedged(A, B, max_attempts=5)
    assert one.hedge(now=1.02) == B
    one.end_hedge(GIVEN_UP, now=1.03)
    one.record(RESET, now=1.04)
    assert one.next_attempt(now=1.04) == B
    one.record(RESET, now=1.05)
    assert one.next_attempt(now=1.05) is None


def test_a_hedge_is_charged_to_the_retry_budget_and_is_one_of_the_attempts() -> None:
    one = hedged(A, B, C, max_attempts=2)
    left = one.upstream.budget.left(now=1.02)
    assert one.hedge(now=1.02) is not None
    assert one.upstream.budget.left(now=1.02) == left - 1
    one.end_hedge(RESET, now=1.03)
    one.record(RESET, now=1.03)
    assert one.next_attempt(now=1.03) is None
    assert one.flag_if_none == "URX"


def test_without_budget_or_after_a_first_byte_or_a_failure_there_is_no_second_attempt() -> None:
    poor, begun, failed, alone, late = (hedged(A, B) for _ in range(5))
    while poor.upstream.budget.take(now=1.02):
        pass
    begun.progressed(now=1.01)
    failed.record(CONNECT_FAILED, now=1.01)
    assert failed.next_attempt(now=1.01) == B
    late.deadline = 1.02
    alone = hedged(A)
    assert [each.hedge(now=1.02) for each in (poor, begun, failed, alone, late)] == [None] * 5
    assert {each.upstream.hedging.sent for each in (poor, begun, failed, alone, late)} == {0}


def test_who_gives_up_gives_up_both() -> None:
    one = hedged(A, B)
    one.hedge(now=1.02)
    one.abandon(now=1.03)
    assert [attempt.outcome for attempt in one.attempts] == [GIVEN_UP, GIVEN_UP]
    assert in_flight(one) == [0, 0, 0]
    assert (one.current, one.beside) == (None, None)


def test_endpoints_that_do_not_fit_a_request_are_not_asked_and_others_hear_nothing_of_that() -> None:
    one = upstream()
    snapshot = Snapshot(LOCAL, {"hello": (A, B, C)})
    picky = Plan(snapshot, one, b"CONNECT", max_attempts=3, now=0.0, unfit=frozenset({A.id, C.id}))
    picky.admit_now(now=0.0)
    assert picky.next_attempt(now=0.0) == B
    picky.record(CONNECT_FAILED, now=0.0)
    assert (picky.retry_wait_s(), picky.next_attempt(now=0.0), picky.flag_if_none) == (0.0, None, "UF")
    nobody = Plan(snapshot, one, b"CONNECT", max_attempts=3, now=0.0, unfit=frozenset({A.id, B.id, C.id}))
    assert (nobody.next_attempt(now=0.0), nobody.flag_if_none) == (None, "UH")


def test_what_fails_at_once_is_paid_for_at_once_and_the_rest_learns_that_nothing_is_left() -> None:
    one = upstream()
    one.budget = RetryBudget(BudgetSettings(percent=0.0, least_per_s=2.0))
    snapshot = Snapshot(LOCAL, {"hello": (A, B)})
    plans = [Plan(snapshot, one, b"GET", max_attempts=3, now=0.0) for _ in range(4)]
    for each in plans:
        each.next_attempt(now=0.0)
    told = []
    for each in plans:
        told.append(each.has_another(now=1.0))
        if told[-1]:
            each.record(RESET, now=1.0)
    assert told == [True, True, False, False]
    assert [each.next_attempt(now=1.2) is not None for each in plans[:2]] == [True, True]


def test_the_last_failure_is_not_waited_after() -> None:
    one = plan(A, B, max_attempts=5)
    waits = []
    for _ in range(2):
        one.next_attempt(now=0.0)
        one.record(RESET, now=0.0)
        waits.append(one.retry_wait_s())
    assert waits[0] > 0.0
    assert (waits[1], one.next_attempt(now=0.0), one.flag_if_none) == (0.0, None, "UR")
