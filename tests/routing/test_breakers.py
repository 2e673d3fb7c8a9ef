"""Requests in flight and the queue in front of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import ConfigError
from gossipmesh.routing.breakers import Admission, Breaker
from gossipmesh.routing.concurrency import ConcurrencySettings
from gossipmesh.routing.traffic import BreakerLimits


def breaker(in_flight: int = 2, queue: int = 2, wait_s: float = 1.0) -> Breaker[str]:
    return Breaker(BreakerLimits(in_flight, queue, wait_s))


def test_requests_go_then_wait_then_are_refused() -> None:
    one = breaker()
    assert [one.ask(each, now=0.0).value for each in "abcde"] == ["admit", "admit", "wait", "wait", "refuse"]
    assert (one.in_flight, one.queued, one.refused) == (2, 2, 1)
    assert one.why == "2 of 2 in flight, 2 of 2 waiting"


def test_who_came_first_goes_first() -> None:
    one = breaker()
    for each in "abcd":
        one.ask(each, now=0.0)
    assert one.ended(0.1, now=0.5) == ["c"]
    assert one.ended(None, now=0.5) == ["d"]
    assert one.ended(0.1, now=0.5) == one.ended(0.1, now=0.5) == []
    assert (one.in_flight, one.queued) == (0, 0)


def test_who_waited_too_long_is_refused_and_who_left_before_is_not() -> None:
    one = breaker()
    for number, each in enumerate("abcd"):
        one.ask(each, now=number * 0.25)
    assert one.withdraw("c", now=1.5)
    assert one.refused == 1
    assert one.withdraw("d", now=1.7)
    assert (one.queued, one.refused) == (0, 1)


def test_room_that_comes_before_the_timer_goes_off_is_used() -> None:
    one = breaker()
    for each in "abc":
        one.ask(each, now=0.0)
    assert one.ended(0.1, now=5.0) == ["c"]
    assert not one.withdraw("c", now=5.0)
    assert one.refused == 0


def test_a_caller_that_left_waits_no_longer() -> None:
    one = breaker()
    for each in "abcd":
        one.ask(each, now=0.0)
    assert one.withdraw("c", now=0.1)
    assert not one.withdraw("nobody", now=0.1)
    assert one.ask("e", now=0.1) is Admission.WAIT
    assert one.ended(0.1, now=0.2) == ["d"]


def test_without_a_queue_nobody_waits() -> None:
    one = breaker(queue=0)
    assert [one.ask(each, now=0.0).value for each in "abc"] == ["admit", "admit", "refuse"]


def test_a_limit_that_adapts_bounds_it_too_and_says_why() -> None:
    one = Breaker[int](BreakerLimits(in_flight=100, queue=10), ConcurrencySettings(enabled=True, first=20))
    admitted = [one.ask(number, now=0.0) for number in range(21)]
    assert admitted.count(Admission.ADMIT) == one.limit == 20
    assert "nothing was measured yet" in one.why
    one.ended(0.01, now=0.0)
    for tick in range(1, 200):
        one.ask(100 + tick, now=tick * 0.1)
        one.ended(0.01, now=tick * 0.1)
    assert one.limit > 20
    assert "answers took 10.0 ms" in one.why


@pytest.mark.parametrize("wrong", [{"in_flight": 0}, {"queue": -1}, {"wait_s": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        BreakerLimits(**wrong)  # type: ignore[arg-type]


@given(
    in_flight=st.integers(1, 4),
    queue=st.integers(0, 4),
    steps=st.lists(st.tuples(st.sampled_from(["ask", "end", "leave"]), st.floats(0, 1)), max_size=100),
)
def test_every_request_ends_once_and_no_bound_is_exceeded(
    in_flight: int, queue: int, steps: list[tuple[str, float]]
) -> None:
    one = Breaker[int](BreakerLimits(in_flight, queue, 1.0))
    waiting: list[int] = []
    running: list[int] = []
    now = 0.0
    for number, (what, later) in enumerate(steps):
        now += later
        match what:
            case "ask":
                admission = one.ask(number, now=now)
                if admission is Admission.ADMIT:
                    running.append(number)
                elif admission is Admission.WAIT:
                    waiting.append(number)
            case "end" if running:
                running.pop()
                admitted = one.ended(0.1, now=now)
                assert admitted == waiting[: len(admitted)]
                waiting = waiting[len(admitted) :]
                running += admitted
            case "leave" if waiting:
                assert one.withdraw(waiting.pop(), now=now)
        assert (one.in_flight, one.queued) == (len(running), len(waiting))
        assert len(running) <= in_flight
        assert len(waiting) <= queue
        assert not waiting or len(running) == in_flight
