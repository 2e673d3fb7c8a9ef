"""Where the time of a request went."""

from __future__ import annotations

from gossipmesh.daemon.explaining import times_of
from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.proxy.access import Direction, RequestReport
from gossipmesh.routing.outcomes import Attempt, AttemptOutcome, OutcomeKind

ENDPOINT = Endpoint("hello-1", NodeId(bytes(32)), Address("10.0.0.1", 1), Service("hello", 80))
OK = AttemptOutcome(OutcomeKind.ANSWERED, status=200)
NONE = {"queue": None, "retries": None, "connect": None, "hop": None, "app": None, "body": None}


def report(
    *tries: Attempt, duration_s: float = 1.0, flag: str = "", direction: Direction = Direction.OUTBOUND
) -> RequestReport:
    return RequestReport(
        direction,
        "r-1",
        "",
        "",
        "hello",
        "GET",
        "/",
        200,
        flag,
        0,
        0,
        duration_s,
        len(tries),
        "hello-1",
        tries=tries,
        begun=10.0,
    )


def test_the_time_of_an_answered_request_is_told_apart_without_rest() -> None:
    first = Attempt(ENDPOINT, AttemptOutcome(OutcomeKind.CONNECT_FAILED, "UF"), 10.1, 10.2)
    last = Attempt(ENDPOINT, OK, 10.25, 10.9, 10.8, 10.3, 400_000)
    times = times_of(report(first, last))
    assert times == {
        "queue": 100.0,
        "retries": 150.0,
        "connect": 50.0,
        "hop": 100.0,
        "app": 400.0,
        "body": 200.0,
    }
    assert sum(filter(None, times.values())) == 1_000.0


def test_what_an_older_node_does_not_tell_apart_is_the_hops() -> None:
    times = times_of(report(Attempt(ENDPOINT, OK, 10.0, 10.5, 10.5, 10.0), duration_s=0.5))
    assert (times["hop"], times["app"], times["body"]) == (500.0, None, 0.0)


def test_an_app_takes_no_longer_than_its_answer_by_the_clock_of_this_side() -> None:
    times = times_of(report(Attempt(ENDPOINT, OK, 10.0, 10.2, 10.2, 10.2, 524), duration_s=0.2))
    assert (times["connect"], times["hop"], times["app"], times["body"]) == (200.0, 0.0, 0.0, 0.0)


def test_an_answer_that_never_came_has_no_body() -> None:
    failed = Attempt(ENDPOINT, AttemptOutcome(OutcomeKind.FAILED, "UT"), 10.0, 11.0, None, 10.0)
    assert times_of(report(failed, flag="UT")) == NONE | {
        "queue": 0.0,
        "retries": 0.0,
        "connect": 0.0,
        "hop": 1_000.0,
    }
    dialled = Attempt(ENDPOINT, AttemptOutcome(OutcomeKind.CONNECT_FAILED, "UF"), 10.0, 11.0)
    assert times_of(report(dialled, flag="UF")) == NONE | {"queue": 0.0, "retries": 0.0, "connect": 1_000.0}


def test_a_request_that_nobody_was_asked_for_spent_its_time_in_the_queue_or_nowhere() -> None:
    assert times_of(report(flag="UO")) == NONE | {"queue": 1_000.0}
    assert times_of(report(flag="NR")) == NONE


def test_a_request_from_the_mesh_spent_it_at_the_app() -> None:
    assert times_of(report(direction=Direction.INBOUND)) == NONE | {"app": 1_000.0}
