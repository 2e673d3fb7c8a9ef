"""The limit that adapts to latency."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import ConfigError
from gossipmesh.routing.concurrency import ConcurrencyLimit, ConcurrencySettings

SETTINGS = ConcurrencySettings(enabled=True, first=50, least=20, most=1_000)


def windows(
    limit: ConcurrencyLimit, seconds: float, in_flight: int | None, *, begin: int, count: int
) -> None:
    """Go through ``count`` windows of 20 answers each; without ``in_flight``, as many as the limit allows."""
    for answer in range(20 * count + 1):
        limit.answered(seconds, limit.limit if in_flight is None else in_flight, now=begin + answer / 20)


def test_it_grows_while_answers_take_no_longer() -> None:
    limit = ConcurrencyLimit(SETTINGS)
    windows(limit, 0.01, None, begin=0, count=50)
    assert 70 < limit.limit <= 100
    assert limit.why.startswith(f"{limit.limit}, ")
    assert limit.why.endswith("answers took 10.0 ms, 10.0 ms in the long run")


def test_it_falls_when_they_take_much_longer_and_comes_back() -> None:
    limit = ConcurrencyLimit(SETTINGS)
    windows(limit, 0.01, None, begin=0, count=100)
    high = limit.limit
    windows(limit, 0.1, None, begin=200, count=10)
    low = limit.limit
    assert low < 0.6 * high
    assert "down from" in limit.why
    windows(limit, 0.01, None, begin=400, count=60)
    assert limit.limit > low + 20


def test_it_stays_where_the_service_is_not_asked_for_more() -> None:
    limit = ConcurrencyLimit(SETTINGS)
    windows(limit, 0.01, 5, begin=0, count=50)
    assert limit.limit == 50
    assert "not more than 5 requests at once" in limit.why


def test_a_window_with_few_answers_goes_on() -> None:
    limit = ConcurrencyLimit(SETTINGS)
    for answer in range(9):
        limit.answered(0.01, 50, now=answer * 10.0)
    assert limit.why == "nothing was measured yet"


def test_a_service_with_room_for_a_hundred_is_not_given_many_more() -> None:
    """Up to a hundred at once it takes 10 ms, give or take; beyond, requests queue in it."""
    rng = Random(1)
    limit = ConcurrencyLimit(SETTINGS)
    for window in range(1_800):
        seconds = 0.01 * max(1.0, limit.limit / 100) * rng.uniform(0.85, 1.15)
        windows(limit, seconds, None, begin=2 * window, count=1)
        assert limit.limit < 130
    assert limit.limit > 80


@pytest.mark.parametrize("wrong", [{"least": 51}, {"first": 2_000}, {"smoothing": 0.0}, {"most": 0}])
def test_settings_that_contradict_each_other_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ConcurrencySettings(**wrong)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 2_000), st.floats(0, 5)), max_size=300))
def test_it_never_leaves_its_bounds(answers: list[tuple[float, int, float]]) -> None:
    limit = ConcurrencyLimit(SETTINGS)
    now = 0.0
    for seconds, in_flight, later in answers:
        now += later
        limit.answered(seconds, in_flight, now=now)
        assert 20 <= limit.limit <= 1_000
