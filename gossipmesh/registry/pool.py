"""Records that wait for their chain: bounded, fair per source, without effect on anything.

A record names its chain by hash, and over UDP it may come first. It waits here, unverified, until the chain is known.
Whatever one peer sends, it displaces nothing of a peer that has as few records waiting as itself.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from attrs import field, frozen

from gossipmesh.identity.signed import SKEW_S
from gossipmesh.model import NodeId

MAX_WAITING: Final = 256


@frozen
class Waiting:
    """One unverified record."""

    raw: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")
    source: NodeId
    """The authenticated peer that sent it, which need not be its owner."""
    chain_hash: bytes
    expires_at: int
    """Wall seconds, as the record claims."""


class WaitingPool:
    """At most ``capacity`` waiting records, oldest first."""

    def __init__(self, capacity: int = MAX_WAITING) -> None:
        self._capacity = capacity
        # Keyed by the source too: a flooding source must not become the owner of what others send as well.
        self._waiting: dict[tuple[NodeId, bytes], Waiting] = {}
        self._per_source: Counter[NodeId] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting_from(self, source: NodeId) -> int:
        """Give how many records of one source wait."""
        return self._per_source[source]

    def add(self, waiting: Waiting) -> bool:
        """Keep a record, and tell whether it was kept.

        Over the capacity, the source with the most records waiting loses its oldest; where several have as many,
        the one that is adding does, so that a newcomer never displaces its equals.
        """
        key = (waiting.source, waiting.raw)
        if key in self._waiting:
            return True
        self._waiting[key] = waiting
        self._per_source[waiting.source] += 1
        if len(self._waiting) > self._capacity:
            self._remove(self._oldest_of(self._greediest(waiting.source)))
        return key in self._waiting

    def _greediest(self, adding: NodeId) -> NodeId:
        source, most = self._per_source.most_common(1)[0]
        return adding if self._per_source[adding] >= most else source

    def _oldest_of(self, source: NodeId) -> tuple[NodeId, bytes]:
        return next(key for key in self._waiting if key[0] == source)

    def _remove(self, key: tuple[NodeId, bytes]) -> None:
        source = self._waiting.pop(key).source
        self._per_source[source] -= 1
        if not self._per_source[source]:
            del self._per_source[source]

    def release(self, chain_hash: bytes) -> tuple[Waiting, ...]:
        """Give back, once each, the records that waited for a chain."""
        keys = [key for key, waiting in self._waiting.items() if waiting.chain_hash == chain_hash]
        released = {key[1]: self._waiting[key] for key in reversed(keys)}
        for key in keys:
            self._remove(key)
        return tuple(reversed(released.values()))

    def expire(self, *, wall: float) -> None:
        """Drop what would not verify any more. ``wall`` is in Unix seconds."""
        for key in [key for key, waiting in self._waiting.items() if wall > waiting.expires_at + SKEW_S]:
            self._remove(key)
