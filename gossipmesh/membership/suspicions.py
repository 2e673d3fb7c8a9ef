"""The suspicions that a node holds, by subject, and which of them has to be judged next.

A cut in a large mesh opens hundreds at once, and every packet asks for the next deadline, so the order of expiry is
kept in a heap. Expiries move (each accuser shortens, each stall of ours prolongs). Of a subject's entries one is
current; it is put back when it comes up too soon, and every other one is dropped when it comes up.

Law: at most one suspicion per subject; those that were judged stay until they are dropped, for their accusations are
shown to the dead, but have no expiry. A suspicion adds at most one entry to the heap, and one for each of its
``MAX_ACCUSERS``; an entry lives no longer than the longest suspicion.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

from gossipmesh.membership.suspicion import Suspicion
from gossipmesh.model import NodeId


class Suspicions:
    """Suspicions by subject; bounded by the table of members, of which each has at most one."""

    def __init__(self) -> None:
        self._all: dict[NodeId, Suspicion] = {}
        self._open: dict[NodeId, Suspicion] = {}
        self._due: list[tuple[float, NodeId]] = []
        self._current: dict[NodeId, float] = {}  # the time of each open subject's current entry

    def get(self, subject: NodeId) -> Suspicion | None:
        """Give the suspicion of ``subject``, open or judged."""
        return self._all.get(subject)

    def given_by(self, accuser: NodeId) -> list[tuple[NodeId, Suspicion]]:
        """Give whom ``accuser`` accuses, with the suspicion; a pass over all."""
        return [each for each in self._all.items() if each[1].given_by(accuser) is not None]

    @property
    def deadline(self) -> float:
        """When the next one has to be judged, in monotonic seconds; inf if never."""
        while self._due:
            at, subject = self._due[0]
            if self._current.get(subject) != at:
                heapq.heappop(self._due)
            elif (expires_at := self._open[subject].expires_at) > at:
                heapq.heapreplace(self._due, (expires_at, subject))
                self._current[subject] = expires_at
            else:
                return at
        return math.inf

    def open(self, subject: NodeId, begin: Callable[[], Suspicion], *, now: float) -> Suspicion:
        """Give the open suspicion of ``subject``; begin one, or begin a judged one again, if there is none."""
        suspicion = self._all.get(subject)
        if suspicion is None:
            suspicion = self._all[subject] = begin()
        elif subject not in self._open:
            suspicion.reopen(now=now)
        if subject not in self._open:
            self._open[subject] = suspicion
            self._enter(subject, suspicion)
        return suspicion

    def _enter(self, subject: NodeId, suspicion: Suspicion) -> None:
        self._current[subject] = suspicion.expires_at
        heapq.heappush(self._due, (suspicion.expires_at, subject))

    def sooner(self, subject: NodeId) -> None:
        """Note that an open suspicion may expire sooner than it would have: somebody confirmed it."""
        suspicion = self._open.get(subject)
        if suspicion is not None and suspicion.expires_at < self._current[subject]:
            self._enter(subject, suspicion)

    def close(self, subject: NodeId) -> None:
        """Note that a suspicion was judged."""
        self._open.pop(subject, None)
        self._current.pop(subject, None)

    def drop(self, subject: NodeId) -> Suspicion | None:
        """Forget a suspicion, and give what it was."""
        self.close(subject)
        return self._all.pop(subject, None)

    def due(self, *, now: float) -> list[tuple[NodeId, Suspicion]]:
        """Give those whose time has run out, the first one first; each once."""
        found: dict[NodeId, Suspicion] = {}
        while self._due and self.deadline <= now:
            _, subject = heapq.heappop(self._due)
            del self._current[subject]
            found[subject] = self._open[subject]
        for subject, suspicion in found.items():
            self._enter(subject, suspicion)
        return list(found.items())

    def extend(self, late_s: float) -> None:
        """Give every suspect the time that we ourselves were not running, in seconds."""
        for suspicion in self._open.values():
            suspicion.extend(late_s)
