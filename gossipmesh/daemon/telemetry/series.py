"""The numbers of single series, which every request counts up; :mod:`.counts` hands them to prometheus_client."""

from __future__ import annotations

from bisect import bisect_left


class Count:
    """One series of a counter; ``value`` may be added to."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Duration:
    """One series of a histogram.

    Args:
        bounds: the upper ends of its buckets, rising; above the last one there is one more.
    """

    __slots__ = ("bounds", "buckets", "sum_s")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        """How many were in each bucket, and not in the one before."""
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration; a bucket's upper end belongs to it."""
        self.buckets[bisect_left(self.bounds, seconds)] += 1
        self.sum_s += seconds
