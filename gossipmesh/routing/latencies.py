"""How long a service takes: quantiles of a stream of times, in a few hundred integers. Pure."""

from __future__ import annotations

from math import exp, log
from typing import Final

LEAST_S: Final = 0.000_1
"""Anything shorter counts as this."""
RATIO: Final = 1.1
"""Between the bounds of one bucket: a quantile is within 5 % of the true one."""
BUCKETS: Final = 146
"""Up to about 100 s; anything longer counts as the last."""
HALVED_AT: Final = 2_000
"""Samples after which all counts are halved, so that the last few thousand decide."""

_SCALE: Final = 1.0 / log(RATIO)
_OFFSET: Final = -log(LEAST_S) * _SCALE


class Latencies:
    """A histogram with buckets of growing width (as DDSketch: Masson, Rim and Lee, 2019) that slowly forgets.

    It was taken over P2 (Jain and Chlamtac, 1985), whose five markers follow a change of the service only slowly, and
    whose estimate has no bound of error.
    """

    __slots__ = ("_counts", "count")

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self.count = 0
        """Samples, forgotten ones left out."""

    def add(self, seconds: float) -> None:
        """Take one time in."""
        bucket = int(log(seconds) * _SCALE + _OFFSET) if seconds > LEAST_S else 0
        self._counts[bucket if bucket < BUCKETS else BUCKETS - 1] += 1
        self.count += 1
        if self.count >= HALVED_AT:
            self._counts = [each >> 1 for each in self._counts]
            self.count = sum(self._counts)

    def quantile_s(self, share: float) -> float:
        """Give the time, in seconds, that ``share`` (0 to 1) of the samples do not exceed; 0.0 without samples."""
        wanted = share * self.count
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return LEAST_S * exp((bucket + 0.5) / _SCALE)
        return 0.0
