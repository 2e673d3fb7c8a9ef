"""What two readings of the metrics say of the time between them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.cli.rates import Reading, quantile, reading_of, retries_between, rows_between
from gossipmesh.daemon.telemetry.metrics import REQUEST_BUCKETS_S, Metrics
from gossipmesh.model import MemberState


def answered(metrics: Metrics, *, code: int = 200, flag: str = "", duration_s: float = 0.004) -> None:
    metrics.request(
        direction="outbound", service="hello", method="GET", code=code, flag=flag, duration_s=duration_s
    )


def read(metrics: Metrics) -> Reading:
    return reading_of(metrics.text().decode())


def test_rates_and_failures_are_those_of_the_time_between_two_readings() -> None:
    metrics = Metrics()
    answered(metrics)
    before = read(metrics)
    for code, flag in (
        (200, ""),
        (404, ""),
        (500, ""),
        (503, "UH"),
        (0, "DC"),
        (200, ""),
        (200, "UC"),
        (299, ""),
    ):
        answered(metrics, code=code, flag=flag)
    metrics.retry("UF")
    (row,) = rows_between(before, read(metrics), 2.0)
    assert (row.direction, row.service, row.per_s, row.failed) == ("outbound", "hello", 4.0, 0.375)
    assert retries_between(before, read(metrics), 2.0) == 0.5


def test_a_service_that_rests_has_no_times_and_comes_last() -> None:
    metrics = Metrics()
    metrics.request(direction="inbound", service="a", method="GET", code=200, flag="", duration_s=1.0)
    answered(metrics)
    before = read(metrics)
    answered(metrics)
    busy, resting = rows_between(before, read(metrics), 1.0)
    assert (busy.service, resting.service) == ("hello", "a")
    assert (resting.per_s, resting.failed, resting.p50_s, resting.p99_s) == (0.0, 0.0, None, None)


def test_methods_of_one_service_are_one_row() -> None:
    metrics = Metrics()
    before = read(metrics)
    for method in ("GET", "POST", "BREW"):
        metrics.request(
            direction="inbound", service="hello", method=method, code=200, flag="", duration_s=0.02
        )
    (row,) = rows_between(before, read(metrics), 1.0)
    assert row.per_s == 3.0
    assert row.p50_s == pytest.approx(0.0175)


def test_a_restart_begins_at_zero_and_makes_no_negative_rate() -> None:
    old, new = Metrics(), Metrics()
    for _ in range(10):
        answered(old)
    answered(new)
    (row,) = rows_between(read(old), read(new), 1.0)
    assert (row.per_s, row.failed) == (1.0, 0.0)


def test_what_was_slow_before_a_restart_is_not_slow_after_it() -> None:
    old, new = Metrics(), Metrics()
    for _ in range(10):
        answered(old, duration_s=5.0)
    for _ in range(9):
        answered(new, duration_s=0.002)
    (row,) = rows_between(read(old), read(new), 1.0)
    assert row.p99_s is not None
    assert row.p99_s <= 0.0025


def test_endpoints_members_and_what_is_in_flight_are_those_of_now() -> None:
    metrics = Metrics()
    metrics.set_endpoints({("hello", "healthy"): 2, ("hello", "ejected"): 1})
    metrics.set_members({MemberState.ALIVE: 3})
    metrics.set_in_flight(7)
    answered(metrics)
    reading = read(metrics)
    assert (reading.endpoints["hello"], reading.healthy["hello"]) == (3, 2)
    assert (reading.members["alive"], reading.members["dead"], reading.in_flight) == (3, 0, 7)


def test_a_code_that_is_none_is_an_answer_all_the_same() -> None:
    metrics = Metrics()
    answered(metrics, code=799)
    (row,) = rows_between(Reading(), read(metrics), 1.0)
    assert row.failed == 0.0


def test_a_quantile_lies_in_its_bucket_as_prometheus_has_it() -> None:
    took = {0.1: 50.0, 0.2: 100.0, math.inf: 100.0}
    assert quantile(took, 0.5) == pytest.approx(0.1)
    assert quantile(took, 0.75) == pytest.approx(0.15)
    assert quantile(took, 1.0) == pytest.approx(0.2)


def test_what_is_beyond_the_last_bucket_took_at_least_as_long_as_its_end() -> None:
    assert quantile({0.1: 0.0, math.inf: 5.0}, 0.5) == 0.1


@pytest.mark.parametrize("took", [{}, {0.1: 0.0, math.inf: 0.0}])
def test_there_is_no_quantile_of_nothing(took: dict[float, float]) -> None:
    assert quantile(took, 0.5) is None


@given(st.lists(st.floats(0.0, 59.0), min_size=1, max_size=50), st.sampled_from((0.5, 0.9, 0.99)))
def test_a_quantile_lies_in_the_bucket_of_the_exact_one(times: list[float], share: float) -> None:
    metrics = Metrics()
    for each in times:
        answered(metrics, duration_s=each)
    (row,) = rows_between(Reading(), read(metrics), 1.0)
    found = {0.5: row.p50_s, 0.9: row.p90_s, 0.99: row.p99_s}[share]
    exact = sorted(times)[math.ceil(share * len(times)) - 1]
    bucket = next(place for place, end in enumerate(REQUEST_BUCKETS_S) if exact <= end)
    low = REQUEST_BUCKETS_S[bucket - 1] if bucket else 0.0
    assert found is not None
    assert low - 1e-9 <= found <= REQUEST_BUCKETS_S[bucket] + 1e-9


@pytest.mark.parametrize("text", ["{", "no number", 'gossipmesh_requests_total{a="b"} x'])
def test_what_is_no_prometheus_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own, in many words
        reading_of(text)
