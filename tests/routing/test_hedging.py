"""Second requests beside slow first ones: after the percentile, and never more than a share."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.routing.hedging import LEAST_SAMPLES, HedgeSettings, Hedging

ON = HedgeSettings(enabled=True)


def measured(seconds: float = 0.02, count: int = LEAST_SAMPLES) -> Hedging:
    hedging = Hedging(ON)
    for _ in range(count):
        hedging.answered(seconds)
    return hedging


def test_hedging_is_off_by_default() -> None:
    hedging = Hedging(HedgeSettings())
    for _ in range(1_000):
        hedging.answered(0.02)
        assert hedging.request(b"GET") is None
    assert not hedging.take()
    assert hedging.why == "hedging is off"


def test_nothing_is_hedged_before_it_is_known_what_is_slow() -> None:
    hedging = measured(count=LEAST_SAMPLES - 1)
    assert hedging.request(b"GET") is None
    assert hedging.why == "too few answers yet to know what is slow: 99 of 100"
    hedging.answered(0.02)
    assert hedging.request(b"GET") == pytest.approx(0.02, rel=0.06)


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"get", b"CONNECT"])
def test_only_get_and_head_are_hedged(method: bytes) -> None:
    hedging = measured()
    assert hedging.request(method) is None
    assert hedging.request(b"HEAD") is not None


def test_a_fast_service_is_not_hedged_sooner_than_the_least() -> None:
    assert measured(0.000_2).request(b"GET") == ON.least_s


def test_of_twenty_requests_one_may_be_hedged() -> None:
    hedging = measured()
    taken = []
    for _ in range(60):
        hedging.request(b"GET")
        taken.append(hedging.take())
    assert [number for number, each in enumerate(taken, 1) if each] == [20, 40, 60]


def test_not_more_is_saved_up_than_the_burst() -> None:
    hedging = measured()
    for _ in range(10_000):
        hedging.request(b"GET")
    assert [hedging.take() for _ in range(11)] == [True] * 10 + [False]


@given(
    steps=st.lists(st.sampled_from(["request", "take", "answer"]), max_size=300),
    percent=st.floats(0, 100),
    burst=st.integers(1, 20),
)
def test_hedges_are_never_more_than_their_share(steps: list[str], percent: float, burst: int) -> None:
    hedging = Hedging(HedgeSettings(enabled=True, percent=percent, burst=burst))
    requests = hedges = 0
    for step in steps:
        if step == "request":
            hedging.request(b"GET")
            requests += 1
        elif step == "take":
            hedges += hedging.take()
        else:
            hedging.answered(0.1)
        assert hedges <= requests * percent / 100 + 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_the_tail_shrinks_and_the_load_hardly_grows(seed: int) -> None:
    """One in twenty-five requests takes half a second, whoever is asked; the hedge goes to somebody else."""
    rng = Random(seed)
    hedging = Hedging(ON)
    plain, hedged, hedges = [], [], 0
    for _ in range(20_000):
        first, second = (0.5 if rng.random() < 1 / 25 else rng.expovariate(1 / 0.01) for _ in range(2))
        after = hedging.request(b"GET")
        if after is not None and first > after and hedging.take():
            hedges += 1
            hedged.append(min(first, after + second))
        else:
            hedged.append(first)
        plain.append(first)
        hedging.answered(hedged[-1])
    assert hedges <= 0.05 * 20_000
    assert sorted(plain)[19_800] == 0.5
    assert sorted(hedged)[19_800] < 0.25, seed
