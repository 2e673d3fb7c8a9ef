"""How often each source may ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import ConfigError
from gossipmesh.routing.rates import MAX_SOURCES, RateLimit, RateSettings


def test_after_a_burst_it_is_so_many_per_second() -> None:
    limit = RateLimit[str](RateSettings(per_s=10.0, burst=5))
    assert [limit.take("web", now=0.0) for _ in range(5)] == [0.0] * 5
    assert limit.take("web", now=0.0) == pytest.approx(0.1)
    assert limit.take("web", now=0.04) == pytest.approx(0.06)
    assert limit.take("web", now=0.1) == 0.0
    assert limit.take("web", now=0.1) == pytest.approx(0.1)
    assert limit.refused == 3


def test_each_source_has_its_own() -> None:
    limit = RateLimit[str](RateSettings(per_s=1.0, burst=1))
    assert limit.take("web", now=0.0) == limit.take("api", now=0.0) == 0.0
    assert limit.take("web", now=0.0) > 0.0


def test_without_a_rate_everybody_may_ask_as_often_as_he_likes() -> None:
    limit = RateLimit[str](RateSettings())
    assert {limit.take("web", now=0.0) for _ in range(1_000)} == {0.0}
    assert len(limit) == 0


def test_who_has_not_asked_for_long_is_forgotten() -> None:
    limit = RateLimit[int](RateSettings(per_s=1.0, burst=10))
    for source in range(1_000):
        limit.take(source, now=source * 10.0)
    assert len(limit) <= 2


def test_the_memory_of_sources_is_bounded_even_if_all_of_them_ask_at_once() -> None:
    limit = RateLimit[int](RateSettings(per_s=1.0, burst=10))
    for source in range(MAX_SOURCES + 100):
        limit.take(source, now=0.0)
    assert len(limit) == MAX_SOURCES


@pytest.mark.parametrize("wrong", [{"per_s": -1.0}, {"burst": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RateSettings(**wrong)  # type: ignore[arg-type]


@given(
    per_s=st.floats(0.1, 1_000),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 3), max_size=200),
)
def test_in_no_time_more_pass_than_burst_and_rate_allow(per_s: float, burst: int, gaps: list[float]) -> None:
    limit = RateLimit[str](RateSettings(per_s, burst))
    now = 0.0
    passed: list[float] = []
    for gap in gaps:
        now += gap
        retry_after_s = limit.take("web", now=now)
        if retry_after_s:
            # What it says is right: no sooner, and then for sure.
            now += retry_after_s * 1.000_001
            assert limit.take("web", now=now) == 0.0
        passed.append(now)
    for first in range(len(passed)):
        for last in range(first, min(first + 60, len(passed))):
            count = last - first + 1
            assert count <= burst + (passed[last] - passed[first]) * per_s + 1e-3
