"""Quantiles of a stream of times."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.routing.latencies import BUCKETS, HALVED_AT, LEAST_S, RATIO, Latencies


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("seed", range(3))
def test_a_quantile_is_within_five_percent(share: float, seed: int) -> None:
    rng = Random(seed)
    times = [rng.lognormvariate(-4.0, 1.0) for _ in range(HALVED_AT - 1)]
    latencies = Latencies()
    for each in times:
        latencies.add(each)
    true = sorted(times)[int(share * len(times))]
    assert abs(latencies.quantile_s(share) / true - 1) < 0.06, (seed, true)


def test_what_was_long_ago_is_forgotten() -> None:
    latencies = Latencies()
    for _ in range(10 * HALVED_AT):
        latencies.add(0.001)
    for _ in range(4 * HALVED_AT):
        latencies.add(1.0)
    assert latencies.quantile_s(0.5) == pytest.approx(1.0, rel=0.06)
    assert latencies.quantile_s(0.05) == pytest.approx(1.0, rel=0.06)


def test_without_samples_there_is_no_quantile() -> None:
    assert Latencies().quantile_s(0.95) == 0.0


@given(st.lists(st.floats(0, 1e9), max_size=50), st.floats(0, 1))
def test_whatever_comes_a_quantile_is_within_the_bounds(times: list[float], share: float) -> None:
    latencies = Latencies()
    for each in times:
        latencies.add(each)
    assert latencies.count == len(times)
    assert 0.0 <= latencies.quantile_s(share) <= LEAST_S * RATIO**BUCKETS
