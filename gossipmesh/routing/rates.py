"""How often each source may ask. Pure.

Who asks more often is answered 429 with Retry-After (RFC 6585, section 4) and the flag ``RL``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from attrs import field, frozen

from gossipmesh.routing.ranges import within

MAX_SOURCES: Final = 4_096
"""Sources that are remembered."""
SWEPT: Final = 2
"""Of the sources asked longest ago, how many are looked at for each new one."""

SourceT = TypeVar("SourceT", bound=Hashable)


@frozen
class RateSettings:
    """How often one source may ask."""

    per_s: float = field(default=0.0, validator=within(0.001, 1_000_000.0, off=0))
    """Requests per second on average; 0: as often as it likes."""
    burst: int = field(default=100, validator=within(1, 1_000_000))
    """Requests at once after a pause."""


UNLIMITED: Final = RateSettings()


class RateLimit(Generic[SourceT]):
    """A token bucket for each source, kept as one number: when it will be full (GCRA, ITU-T I.371, annex A).

    A bucket that is full again is forgotten, which changes nothing. Only where more than :data:`MAX_SOURCES` are not
    full, the one asked longest ago is forgotten all the same, and its source gets at most one burst too many.

    Args:
        settings: how often.
    """

    __slots__ = ("_burst_s", "_full_at", "_gap_s", "refused", "settings")

    def __init__(self, settings: RateSettings) -> None:
        self.settings = settings
        self._gap_s = 1.0 / settings.per_s if settings.per_s else 0.0
        self._burst_s = settings.burst * self._gap_s
        self._full_at: OrderedDict[SourceT, float] = OrderedDict()
        self.refused = 0
        """Requests refused, ever."""

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, source: SourceT, *, now: float) -> float:
        """Take one request of ``source`` in.

        Returns:
            0.0 if it may pass. Else, with nothing taken, in how many seconds one may (``Retry-After``).
        """
        if not self._gap_s:
            return 0.0
        full_at = self._full_at.get(source, now)
        full_at = (full_at if full_at > now else now) + self._gap_s
        # A millionth of a gap: sums of floats must not make the last of a burst one too many.
        retry_after_s = full_at - now - self._burst_s
        if retry_after_s > self._gap_s * 1e-6:
            self.refused += 1
            return retry_after_s
        self._full_at[source] = full_at
        self._full_at.move_to_end(source)
        self._sweep(now)
        return 0.0

    def _sweep(self, now: float) -> None:
        full_at = self._full_at
        for _ in range(SWEPT):
            oldest = next(iter(full_at))
            if full_at[oldest] > now and len(full_at) <= MAX_SOURCES:
                break
            del full_at[oldest]
            if not full_at:
                break
