"""The event heap: what happens when, in virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

MAX_EVENTS: Final = 50_000_000


class Events:
    """Events by time; those of one moment in the order in which they were put in."""

    __slots__ = ("_heap", "_order", "count", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self.count = 0
        """How many events have happened."""
        self._heap: list[tuple[float, int, Callable[..., object], tuple[object, ...]]] = []
        self._order = 0

    def at(self, when: float, event: Callable[..., object], *args: object) -> None:
        """Let ``event(*args)`` happen at ``when``, or now if that is past.

        Raises:
            MemoryError: if too many wait: something feeds itself.
        """
        if len(self._heap) >= MAX_EVENTS:
            raise MemoryError(f"more than {MAX_EVENTS} events wait")
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, event, args))

    def run(self, seconds: float) -> None:
        """Let that much time pass."""
        end = self.now + seconds
        heap = self._heap
        while heap and heap[0][0] <= end:
            self._step()
        self.now = end

    def run_until(self, holds: Callable[[], bool], *, within: float) -> float | None:
        """Let time pass until ``holds()``, checked after every event; give the seconds that it took.

        None, if it does not hold ``within`` that many seconds.
        """
        begin = self.now
        while not holds():
            if not self._heap or self._heap[0][0] > begin + within:
                self.now = begin + within
                return None
            self._step()
        return self.now - begin

    def _step(self) -> None:
        when, _, event, args = heapq.heappop(self._heap)
        self.now = max(self.now, when)
        self.count += 1
        event(*args)
