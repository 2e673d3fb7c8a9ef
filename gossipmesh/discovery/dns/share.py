"""How much of the daemon's time answers by TCP may take. Pure.

By UDP each turn of the event loop has room for some. By TCP each caller has a task of his own, and all that are ready
run before a probe is looked at: a hundred of them with a long list each would take a third of a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SHARE: Final = 0.25
"""Seconds of work per second, on the average."""
BURST_S: Final = 0.002
"""Seconds of work in one go, where there was none before; one answer more may be under way."""


class Share:
    """Tells when the next piece of work may begin, so that all of them take :data:`SHARE` of the time at most."""

    def __init__(self) -> None:
        self._paid_at = 0.0

    def spend(self, cost_s: float, *, now: float) -> None:
        """Take that a piece of work took ``cost_s``, until ``now`` in monotonic seconds."""
        self._paid_at = max(self._paid_at, now) + cost_s / SHARE

    def free_at(self, *, now: float) -> float:
        """Give when the next one may begin, in monotonic seconds: ``now`` or later."""
        return max(now, self._paid_at - BURST_S / SHARE)


def longest_idle(since: Iterable[float]) -> int | None:
    """Give which of many callers has been idle for longest; None: none of them is.

    Args:
        since: since when each is, in monotonic seconds; infinity: it is not.
    """
    found = min(enumerate(since), key=lambda each: each[1], default=(0, float("inf")))
    return None if found[1] == float("inf") else found[0]
