"""What is counted with every request comes out as the library's own counters would give it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.registry import Collector

from gossipmesh.daemon.telemetry.counts import Counts, Durations, Total
from gossipmesh.daemon.telemetry.metrics import REQUEST_BUCKETS_S

LABELS = st.tuples(st.sampled_from(["a", 'q"\\', "line\nend", ""]), st.sampled_from(["x", "y"]))


def text_of(collector: Collector) -> bytes:
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry)


@given(increments=st.lists(LABELS, max_size=20))
def test_a_counter_by_labels(increments: list[tuple[str, str]]) -> None:
    ours = Counts("things", "What was counted.", ("kind", "also"))
    theirs = Counter("things", "What was counted.", ("kind", "also"), registry=None)
    for labels in increments:
        ours(*labels).value += 1
        theirs.labels(*labels).inc()
    assert text_of(ours) == text_of(theirs)


@given(count=st.integers(0, 2**60))
def test_a_counter_without_labels(count: int) -> None:
    ours, theirs = Total("things", "Counted."), Counter("things", "Counted.", registry=None)
    ours.value += count
    theirs.inc(count)
    assert text_of(ours) == text_of(theirs)


@given(
    seconds=st.lists(
        st.tuples(LABELS, st.sampled_from(REQUEST_BUCKETS_S) | st.floats(0, 1e9, allow_nan=False)),
        max_size=20,
    )
)
def test_a_histogram_by_labels(seconds: list[tuple[tuple[str, str], float]]) -> None:
    ours = Durations("seconds", "How long.", REQUEST_BUCKETS_S, ("kind", "also"))
    theirs = Histogram("seconds", "How long.", ("kind", "also"), buckets=REQUEST_BUCKETS_S, registry=None)
    for labels, duration in seconds:
        ours(*labels).observe(duration)
        theirs.labels(*labels).observe(duration)
    assert text_of(ours) == text_of(theirs)
