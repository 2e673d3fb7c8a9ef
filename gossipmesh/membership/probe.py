"""Whom to probe next, and how long an answer may take. Both pure, both about one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gossipmesh.model import NodeId

if TYPE_CHECKING:
    import random

_SRTT_GAIN: Final = 1 / 8
_RTTVAR_GAIN: Final = 1 / 4
_DEVIATIONS: Final = 4


class RoundTrip:
    """Estimates one peer's round trips (Jacobson's algorithm, RFC 6298 section 2), in seconds.

    Every ping has its own number, so an ack is never ambiguous and late acks count too: were only those in time
    counted, an estimate that is too short could never grow.
    """

    __slots__ = ("_deviation", "_smoothed")

    def __init__(self) -> None:
        self._smoothed = 0.0
        self._deviation = -1.0

    def add(self, sample_s: float) -> None:
        """Count one measured round trip."""
        if self._deviation < 0:
            self._smoothed, self._deviation = sample_s, sample_s / 2
            return
        error = abs(self._smoothed - sample_s)
        self._deviation += _RTTVAR_GAIN * (error - self._deviation)
        self._smoothed += _SRTT_GAIN * (sample_s - self._smoothed)

    def timeout_s(self, *, least: float, most: float) -> float:
        """Give how long to wait for an answer: SRTT + 4 RTTVAR inside the bounds, ``most`` before any sample."""
        if self._deviation < 0:
            return most
        return min(most, max(least, self._smoothed + _DEVIATIONS * self._deviation))


class ProbeSchedule:
    """Shuffled round robin (SWIM, section 4.3): everybody once a round, so detection time has a bound.

    A newcomer goes to a random place of the rest or the past of this round, so that nobody can choose when it is
    first probed. Who should not be probed is skipped, not removed; ``remove`` is for the forgotten.
    """

    def __init__(self, *, rng: random.Random) -> None:
        self._rng = rng
        self._order: list[NodeId] = []
        self._next = 0

    def add(self, node: NodeId) -> None:
        """Take in a newcomer, at a random place."""
        place = self._rng.randint(0, len(self._order))
        self._order.insert(place, node)
        if place < self._next:
            self._next += 1

    def remove(self, node: NodeId) -> None:
        """Forget a node, if it is there."""
        if node in self._order:
            place = self._order.index(node)
            del self._order[place]
            if place < self._next:
                self._next -= 1

    def next(self, wanted: Callable[[NodeId], bool]) -> NodeId | None:
        """Give the next node for which ``wanted`` holds, shuffling after each round; None if there is none."""
        for _ in range(2 * len(self._order)):
            if self._next >= len(self._order):
                self._next = 0
                self._rng.shuffle(self._order)
            node = self._order[self._next]
            self._next += 1
            if wanted(node):
                return node
        return None
