"""What a node's own services were asked for in the last hour, kept small: for trying a policy on before it is applied.

Each request is counted, none is kept: by source, service, method and path without its query, in slots of five minutes.
Where too many different paths were asked for, the rest of a slot is counted without them, and whoever tries a policy on
is told how many requests it can say nothing about. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, TypeAlias

from gossipmesh.model import NodeId, value
from gossipmesh.policy.decision import Source

SLOT_S: Final = 300.0
SLOTS: Final = 13
"""Twelve whole ones and the present one: an hour at least, and five minutes more at most."""
MAX_KEPT: Final = 1_024
"""Different requests of one slot; twice as many with those whose path is not kept. Different callers likewise."""
MAX_PATH: Final = 256
"""Bytes; a longer path is not kept, as a rule may be about its end."""

TCP: Final = b"CONNECT"
"""The method of what goes to tcp services, and of nothing else."""


@value
class Asked:
    """One kind of request."""

    source: Source
    service: str
    method: bytes
    path: bytes
    """Without its query; empty: not kept."""


_NOBODY: Final = Source(NodeId(b""))
"""Stands for callers of which nothing is kept."""

_Key: TypeAlias = tuple[int, str, bytes, bytes, bool]
"""What :class:`Asked` says, with its source's number in the slot, and whether it was allowed."""


class Seen:
    """Counts the requests to one node's services."""

    __slots__ = ("_ends", "_slots")

    def __init__(self) -> None:
        self._slots: deque[_Slot] = deque(maxlen=SLOTS)
        self._ends = 0.0

    def note(
        self, source: Source, service: str, method: bytes, target: bytes, *, allowed: bool, now: float
    ) -> None:
        """Count a request that was decided.

        Args:
            source: who asked; the same object as often as possible.
            service: which service was asked.
            method: as received.
            target: in origin form.
            allowed: what was decided.
            now: monotonic seconds.
        """
        if now >= self._ends:
            self._turn(now)
        slot = self._slots[-1]
        path = b"/" if method == TCP else target.partition(b"?")[0]
        known = slot.known.get(id(source))
        number = slot.number_of(source) if known is None else known[1]
        key = number, service, method, path if len(path) <= MAX_PATH else b"", allowed
        count = slot.counts.get(key)
        if count is None:
            slot.add(key)
        else:
            slot.counts[key] = count + 1

    def _turn(self, now: float) -> None:
        """Begin a slot."""
        self._ends = now + SLOT_S
        self._slots.append(_Slot(now))

    def requests(self, *, now: float) -> Iterator[tuple[Asked, bool, int, float]]:
        """Give what was asked for in the last hour: what, whether it was allowed, how often, and seconds ago at most.

        The same request is there once for each slot. They are some ten thousand at most; whoever takes them one by one
        may do something else in between.
        """
        since = now - (SLOTS - 1) * SLOT_S - SLOT_S
        for slot in [slot for slot in self._slots if slot.began > since]:
            ago_s = max(0.0, now - slot.began)
            for (number, service, method, path, allowed), count in list(slot.counts.items()):
                yield Asked(slot.sources[number], service, method, path), allowed, count, ago_s


class _Slot:
    """Five minutes."""

    __slots__ = ("_numbers", "began", "counts", "known", "sources")

    def __init__(self, began: float) -> None:
        self.began = began
        self.counts: dict[_Key, int] = {}
        self.sources: list[Source] = [_NOBODY]
        """By number."""
        self._numbers: dict[Source, int] = {}
        self.known: dict[int, tuple[Source, int]] = {}
        """Numbers by the source's ``id()``, which is cheap to hash; it keeps them alive, so that no other gets that."""

    def number_of(self, source: Source) -> int:
        """Give the number of a source that is not in ``known``; 0 for all for whom there is no room."""
        number = self._numbers.get(source)
        if number is None:
            if len(self.sources) > MAX_KEPT:
                return 0
            number = self._numbers[source] = len(self.sources)
            self.sources.append(source)
        if len(self.known) >= MAX_KEPT:
            self.known.clear()
        self.known[id(source)] = source, number
        return number

    def add(self, key: _Key) -> None:
        """Count a kind of request that is not in ``counts``; without its path or as the rest where there is no room."""
        counts = self.counts
        number, service, _, _, allowed = key
        if len(counts) >= MAX_KEPT or not number:
            key = number, service, b"", b"", allowed
            if not number or (key not in counts and len(counts) >= 2 * MAX_KEPT):
                key = 0, "", b"", b"", allowed
        counts[key] = counts.get(key, 0) + 1
