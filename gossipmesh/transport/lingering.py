"""Whether the event loop of the data plane waits for the next event itself, rather than in trio."""

from __future__ import annotations

from typing import Final

FEW: Final = 4
"""Descriptors at work, at most, where a turn waits: two callers with the channel and the app that they need."""
AT_WORK_S: Final = 0.005
"""Seconds after which it is counted anew which descriptors are at work."""
MAX_PASSED_OVER: Final = 63
"""Idle moments in which is not waited after waiting was in vain, at most."""


class Lingering:
    """Decides whether to wait for the next event in a turn, from what came of that before.

    Waits in trio are a fifth of the processor time of requests that come one at a time. To wait in a turn costs next
    to none, but whoever is awake in trio waits as well, and where many connections are at work the time in trio is not
    lost: their requests gather, and leave in one record. So it is done while few are at work and while it bears fruit;
    after a time in vain one idle moment is passed over, then three, seven, up to :data:`MAX_PASSED_OVER`.
    """

    __slots__ = ("_at_work", "_left", "_passed_over", "_until")

    def __init__(self) -> None:
        self._at_work: set[int] = set()
        self._until = 0.0
        self._passed_over = 0
        self._left = 0

    def begin(self, now: float) -> None:
        """Note that a turn begins."""
        if now >= self._until:
            self._at_work.clear()
            self._until = now + AT_WORK_S

    def saw(self, fd: int) -> None:
        """Note that something happened on a descriptor."""
        self._at_work.add(fd)

    def is_due(self) -> bool:
        """Tell whether to wait in this idle moment."""
        if len(self._at_work) > FEW:
            return False
        if self._left:
            self._left -= 1
            return False
        return True

    def came(self, something: bool) -> None:
        """Note whether something came while it was waited for."""
        self._passed_over = 0 if something else min(2 * self._passed_over + 1, MAX_PASSED_OVER)
        self._left = self._passed_over
