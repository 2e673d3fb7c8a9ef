"""Counters for what happens with every request: plain numbers, handed to prometheus_client when it collects.

The library's own counters take a lock at each increment, because a process may have threads; a daemon has one. What
comes out is, to the byte, what the library's own would give.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gossipmesh.daemon.telemetry.series import Count, Duration


class Total(Collector):
    """A counter without labels; ``value`` may be added to."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text
        self.value = 0

    def collect(self) -> Iterator[Metric]:
        """Give it to the library."""
        yield CounterMetricFamily(self._name, self._text, value=float(self.value))


class Counts(Collector):
    """A counter by labels. Whoever calls it sees to it that there are not too many."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...]) -> None:
        self._name: Final = name
        self._text: Final = text
        self._labels: Final = labels
        self._series: dict[tuple[str, ...], Count] = {}

    def __call__(self, *values: str) -> Count:
        """Give the series with these label values."""
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = Count()
        return series

    def collect(self) -> Iterator[Metric]:
        """Give all series to the library, in the order in which they came up."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, series in self._series.items():
            family.add_metric(values, float(series.value))
        yield family


class Durations(Collector):
    """A histogram by labels. Whoever calls it sees to it that there are not too many."""

    def __init__(self, name: str, text: str, bounds: tuple[float, ...], labels: tuple[str, ...]) -> None:
        self._name: Final = name
        self._text: Final = text
        self._bounds: Final = bounds
        self._labels: Final = labels
        self._series: dict[tuple[str, ...], Duration] = {}

    def __call__(self, *values: str) -> Duration:
        """Give the series with these label values."""
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = Duration(self._bounds)
        return series

    def collect(self) -> Iterator[Metric]:
        """Give all series to the library, each bucket with what is in the ones below it."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        ends = [*map(str, self._bounds), "+Inf"]
        for values, series in self._series.items():
            total = 0
            buckets = []
            for end, count in zip(ends, series.buckets, strict=True):
                total += count
                buckets.append((end, float(total)))
            family.add_metric(values, buckets, series.sum_s)
        yield family
