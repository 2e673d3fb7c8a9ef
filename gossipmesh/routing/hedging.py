"""When a second request is sent beside a first one that is slow to be answered. Pure.

Hedging after the 95th percentile (Dean and Barroso, "The Tail at Scale", 2013): the slowest twentieth of the requests
is asked for once more on another endpoint, whichever answers first is taken, and the other is reset. That is within
5 % of extra load only as long as the percentile holds; when a service becomes slow as a whole, every request is
late. So a token bucket bounds it whatever happens, and starts empty: hedges are at most 5 % of the requests over every
history.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from gossipmesh.routing.latencies import Latencies
from gossipmesh.routing.ranges import within

HEDGED: Final = frozenset({b"GET", b"HEAD"})
"""Methods without effects that anybody asked for (RFC 9110, section 9.2.1), and without bodies."""
LEAST_SAMPLES: Final = 100
"""Answers before which nobody knows what is slow."""
MEASURED_EVERY: Final = 64
"""Answers between two looks at the percentile."""


@frozen
class HedgeSettings:
    """When to send a second request. Off by default."""

    enabled: bool = False
    percentile: float = field(default=95.0, validator=within(50.0, 99.9))
    """Of the times to the first byte of an answer; a request that takes longer is hedged."""
    percent: float = field(default=5.0, validator=within(0.0, 100.0))
    """Hedges for a hundred requests, at most."""
    burst: int = field(default=10, validator=within(1, 10_000))
    """So many saved up, at most."""
    least_s: float = field(default=0.005, validator=within(0.0, 60.0))
    """Never hedge sooner: beside a fast service the hedge would cost more than the wait."""


class Hedging:
    """Decides for one service.

    Args:
        settings: when.
    """

    __slots__ = ("_after_s", "_deposit", "_latencies", "_measure_in", "_settings", "_tokens", "on", "sent")

    def __init__(self, settings: HedgeSettings) -> None:
        self._settings = settings
        self.on = settings.enabled
        """Whether anything is hedged at all."""
        self.sent = 0
        """Hedges taken, ever."""
        self._deposit = settings.percent / 100.0
        self._tokens = 0.0
        self._latencies = Latencies()
        self._measure_in = LEAST_SAMPLES
        self._after_s: float | None = None

    def request(self, method: bytes) -> float | None:
        """Count a request, and give after how many seconds without an answer it may be hedged; None: never.

        When they are over, ask :meth:`take`. A request is hedged once, and only before its first failure.
        """
        if not self.on or method not in HEDGED:
            return None
        self._tokens = min(self._tokens + self._deposit, float(self._settings.burst))
        return self._after_s

    def take(self) -> bool:
        """Take one hedge; False, and nothing taken, where there is none to be had."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        self.sent += 1
        return True

    def answered(self, seconds: float) -> None:
        """Take in how long a first request took until its first byte.

        One that was hedged counts with the time until it was answered or reset, and the hedge itself does not count:
        else the percentile would fall, and hedges come ever sooner.
        """
        if not self.on:
            return
        self._latencies.add(seconds)
        self._measure_in -= 1
        if self._measure_in <= 0:
            self._measure_in = MEASURED_EVERY
            measured = self._latencies.quantile_s(self._settings.percentile / 100.0)
            self._after_s = max(measured, self._settings.least_s)

    @property
    def why(self) -> str:
        """What is done and why, in words for people."""
        if not self.on:
            return "hedging is off"
        if self._after_s is None:
            return f"too few answers yet to know what is slow: {self._latencies.count} of {LEAST_SAMPLES}"
        return (
            f"after {self._after_s * 1_000:.0f} ms, the {self._settings.percentile:g}th percentile; "
            f"{int(self._tokens)} may be sent now"
        )
