"""Retry budgets: one, and several behind each other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import ConfigError
from gossipmesh.routing.budget import MAX_BEING_SERVED, Inbound, RetryBudget
from gossipmesh.routing.budget_settings import BudgetSettings

SEEDS = range(3)


def spent(budget: RetryBudget, *, now: float, wanted: int = 10_000) -> int:
    return sum(budget.take(now=now) for _ in range(wanted))


def test_a_fifth_of_the_requests_may_be_tried_again() -> None:
    budget = RetryBudget(BudgetSettings())
    for _ in range(1_000):
        budget.request(now=5.0)
    assert budget.left(now=5.0) == 180.0
    assert spent(budget, now=5.0) == 180
    assert budget.refused == 10_000 - 180


def test_it_is_the_greater_of_share_and_floor_and_not_their_sum() -> None:
    budget = RetryBudget(BudgetSettings())
    for _ in range(20):
        budget.request(now=5.0)
    assert spent(budget, now=5.0) == 10
    assert spent(budget, now=5.4) == 0
    assert spent(budget, now=7.0) == 10


def test_what_is_older_than_the_window_counts_no_more() -> None:
    budget = RetryBudget(BudgetSettings(least_per_s=0.0))
    for _ in range(100):
        budget.request(now=5.0)
    assert budget.left(now=8.7) == 20.0
    assert budget.left(now=9.0) == 0.0
    assert budget.left(now=1e6) == 0.0


def test_a_request_that_is_a_retry_already_is_charged_as_one() -> None:
    budget = RetryBudget(BudgetSettings(least_per_s=0.0))
    for _ in range(100):
        budget.request(now=5.0)
    for _ in range(15):
        budget.request(now=5.0, retry=True)
    assert spent(budget, now=5.0) == 5


def test_how_far_a_call_is_a_retry_is_known_by_the_request_that_it_is_made_for() -> None:
    inbound = Inbound()
    inbound.began(b"first", 1, now=0.0)
    inbound.began(b"again", 2, now=0.0)
    assert not any(inbound.is_retry(b"first", now=0.0) for _ in range(10))
    assert all(inbound.is_retry(b"again", now=0.0) for _ in range(10))
    inbound.ended(b"again")
    inbound.ended(b"again")
    assert [inbound.is_retry(b"again", now=0.0) for _ in range(4)] == [False, True, False, True]


def test_for_a_call_of_its_own_it_is_the_share_of_what_came_in_lately() -> None:
    inbound = Inbound()
    assert not inbound.is_retry(b"", now=0.0)
    for number in range(100):
        inbound.began(b"%d" % number, 2 if number < 10 else 1, now=0.0)
    assert sum(inbound.is_retry(b"", now=3.0) for _ in range(1_000)) == pytest.approx(100, abs=1)
    assert not any(inbound.is_retry(b"", now=20.0) for _ in range(1_000))


def test_the_memory_of_requests_being_served_is_bounded() -> None:
    inbound = Inbound()
    inbound.began(b"again", 2, now=0.0)
    for number in range(MAX_BEING_SERVED):
        inbound.began(b"%d" % number, 1, now=0.0)
    assert sum(inbound.is_retry(b"again", now=0.0) for _ in range(100)) <= 1


@pytest.mark.parametrize("wrong", [{"percent": -1.0}, {"percent": 101.0}, {"window_s": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        BudgetSettings(**wrong)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["request", "take", "passed on"]), st.integers(1, 40), st.floats(0, 12)),
        max_size=100,
    ),
    percent=st.floats(0, 100),
    least_per_s=st.floats(0, 20),
    window_s=st.sampled_from([1.0, 4.0, 10.0, 60.0]),
)
def test_over_every_history_retries_are_within_share_and_floor(
    steps: list[tuple[str, int, float]], percent: float, least_per_s: float, window_s: float
) -> None:
    budget = RetryBudget(BudgetSettings(percent, least_per_s, window_s))
    now, requests, taken = 0.0, 0, 0
    for what, times, later in steps:
        now += later
        for _ in range(times):
            if what == "take":
                taken += budget.take(now=now)
            else:
                budget.request(now=now, retry=what != "request")
                requests += what == "request"
        begun_s = max(1.0, window_s / 20)
        assert taken <= percent / 100 * requests + least_per_s * (now + begun_s) + 1e-6


@pytest.mark.parametrize("per_s", [500, 2_000])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_service_that_fails_everything_gets_a_fifth_more_requests(per_s: int, seed: int) -> None:
    rng = Random(seed)
    budget = RetryBudget(BudgetSettings())
    now, seen, requests = 1_000.0, 0, 10 * per_s
    for _ in range(requests):
        now += rng.expovariate(per_s)
        budget.request(now=now)
        seen += 1
        while budget.take(now=now):
            seen += 1
    assert 1.17 * requests < seen <= 1.2 * requests, seed


Hop = Callable[[bytes, int, float], None]
"""Takes a request that fails: its id, its attempt, and when."""


def hop(below: Hop, *, attempts: int, passes_ids_on: bool, entropy: Callable[[], bytes]) -> Hop:
    """Give a node whose app calls the one below once for each request, and fails when that fails."""
    budget, inbound = RetryBudget(BudgetSettings()), Inbound()

    def handle(request_id: bytes, attempt: int, now: float) -> None:
        inbound.began(request_id, attempt, now=now)
        ours = request_id if passes_ids_on else entropy()
        retry = inbound.is_retry(ours, now=now)
        budget.request(now=now, retry=retry)
        below(ours, 2 if retry else 1, now)
        for again in range(2, attempts + 1):
            if not budget.take(now=now):
                break
            below(ours, again, now)
        inbound.ended(request_id)

    return handle


def seen_behind(hops: int, *, passes_ids_on: bool, seed: int) -> float:
    """Give how many times the requests an app gets that fails everything, ``hops`` nodes away, at 500/s for 10 s."""
    rng = Random(seed)
    ids = count()

    def entropy() -> bytes:
        return b"%d" % next(ids)

    seen = 0

    def last(_: bytes, __: int, ___: float) -> None:
        nonlocal seen
        seen += 1

    way: Hop = last
    for _ in range(hops):
        way = hop(way, attempts=3, passes_ids_on=passes_ids_on, entropy=entropy)
    now, requests = 1_000.0, 5_000
    for _ in range(requests):
        now += rng.expovariate(500)
        way(entropy(), 1, now)
    return seen / requests


@pytest.mark.parametrize("passes_ids_on", [True, False], ids=["ids passed on", "no ids"])
@pytest.mark.parametrize("hops", [1, 2])
@pytest.mark.parametrize("seed", SEEDS)
def test_retries_at_one_hop_and_at_two_are_a_fifth_together(
    seed: int, hops: int, passes_ids_on: bool
) -> None:
    assert 1.15 < seen_behind(hops, passes_ids_on=passes_ids_on, seed=seed) <= 1.2, seed


@pytest.mark.parametrize("passes_ids_on", [True, False], ids=["ids passed on", "no ids"])
@pytest.mark.parametrize("seed", SEEDS)
def test_over_five_hops_they_are_hardly_more(seed: int, passes_ids_on: bool) -> None:
    """Where every hop had a budget of its own it would be 2.5 times the requests."""
    assert seen_behind(5, passes_ids_on=passes_ids_on, seed=seed) <= 1.22, seed
