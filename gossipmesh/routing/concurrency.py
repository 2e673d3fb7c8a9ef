"""How many requests a service takes at once before it only gets slower. Pure."""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from gossipmesh.errors import ConfigError
from gossipmesh.routing.ranges import within

LEAST_SAMPLES: Final = 10
"""Answers in a window without which it goes on."""
LONG_WINDOWS: Final = 600
"""Windows that the long average reaches back; with a hundred, it follows a queue that grows slowly."""
WARM_UP: Final = 10
"""Windows that count alike at the beginning."""


@frozen
class ConcurrencySettings:
    """Bounds of the adaptive limit. Off by default: what is bounded then is bounded by the breaker alone."""

    enabled: bool = False
    first: int = field(default=50, validator=within(1, 1_000_000))
    least: int = field(default=20, validator=within(1, 1_000_000))
    most: int = field(default=1_000, validator=within(1, 1_000_000))
    window_s: float = field(default=1.0, validator=within(0.1, 60.0))
    """The limit is set anew this often, if there were enough answers."""
    queue: int = field(default=4, validator=within(1, 1_000))
    """By how much the limit may grow in a window, before smoothing."""
    smoothing: float = field(default=0.2, validator=within(0.01, 1.0))
    """How much of a change is taken at once."""

    def __attrs_post_init__(self) -> None:
        if not self.least <= self.first <= self.most:
            raise ConfigError(
                "config.value",
                f"least {self.least}, first {self.first} and most {self.most} have to be in this order",
            )


class ConcurrencyLimit:
    """The limit of one service: Netflix' Gradient2 (github.com/Netflix/concurrency-limits, Gradient2Limit).

    gradient = long average / average of this window, within 0.5 to 1; limit = limit * gradient + queue, smoothed. Other
    releases multiply by a tolerance of 1.5: in simulation the limit then follows its own queue upwards without end.
    Averages, and no minimum as in Envoy's gradient controller: that one has to hold the traffic down from time to time
    to measure it, and where there is little traffic to each service, requests are refused for that.

    Args:
        settings: the bounds.
    """

    __slots__ = (
        "_count",
        "_limit",
        "_long_s",
        "_most_in_flight",
        "_settings",
        "_sum_s",
        "_until",
        "_windows",
        "why",
    )

    def __init__(self, settings: ConcurrencySettings) -> None:
        self._settings = settings
        self._limit = float(settings.first)
        self._long_s = 0.0
        self._windows = 0
        self._sum_s = 0.0
        self._count = 0
        self._most_in_flight = 0
        self._until = 0.0
        self.why = "nothing was measured yet"
        """Why the limit is what it is, in words for people."""

    @property
    def limit(self) -> int:
        """Requests at once, at least 1."""
        return int(self._limit)

    def answered(self, seconds: float, in_flight: int, *, now: float) -> None:
        """Take in an answer.

        Args:
            seconds: how long it took to its first byte, the wait in our queue left out.
            in_flight: requests in flight when it came, itself included.
            now: monotonic seconds.
        """
        if not self._count:
            self._until = now + self._settings.window_s
        self._sum_s += seconds
        self._count += 1
        self._most_in_flight = max(self._most_in_flight, in_flight)
        if now >= self._until and self._count >= LEAST_SAMPLES:
            self._set(self._sum_s / self._count, self._most_in_flight)
            self._sum_s, self._count, self._most_in_flight = 0.0, 0, 0

    def _set(self, short_s: float, in_flight: int) -> None:
        settings = self._settings
        self._windows = windows = self._windows + 1
        weight = 1.0 / windows if windows <= WARM_UP else 2.0 / (LONG_WINDOWS + 1)
        self._long_s += (short_s - self._long_s) * weight
        long_s = self._long_s
        if long_s > 2.0 * short_s:
            self._long_s *= 0.9  # The load is over: do not wait for the average to find that out.
        measured = f"answers took {short_s * 1_000:.1f} ms, {long_s * 1_000:.1f} ms in the long run"
        if in_flight < self._limit / 2.0:
            self.why = f"{self.limit}: not more than {in_flight} requests at once, {measured}"
            return
        gradient = max(0.5, min(1.0, long_s / short_s if short_s > 0.0 else 1.0))
        wanted = self._limit * gradient + settings.queue
        smoothed = self._limit + (wanted - self._limit) * settings.smoothing
        before, self._limit = self.limit, max(float(settings.least), min(float(settings.most), smoothed))
        moved = (
            "as before"
            if self.limit == before
            else f"{'up' if self.limit > before else 'down'} from {before}"
        )
        self.why = f"{self.limit}, {moved}: {measured}"
