"""Which endpoint a session belongs to: consistent hashing with bounded loads.

Each endpoint has many points on a ring of hashes, the more the more it weighs; a session belongs to the endpoint of the
first point behind its own. So an endpoint that goes leaves its sessions to the others and moves none of theirs, and one
that comes takes only what is its own then (Karger et al. 1997). An endpoint which has more than a quarter more in
flight than its share of all leaves a new request to the next one on the ring (Mirrokni, Thorup and Zadimoghaddam,
*Consistent Hashing with Bounded Loads*, 2016).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from hashlib import blake2b
from typing import Final

from gossipmesh.model import NodeId
from gossipmesh.routing.balancing.load import EndpointLoad

POINTS: Final = 128
"""For each unit of weight: shares are then even within some 9 %."""
MOST_POINTS: Final = 1_024
"""Of one endpoint; where the heaviest would have more, all have a half, a quarter and so on of theirs."""
MAX_RING: Final = 1 << 17
"""Points of one ring, likewise, and one for each endpoint beyond that."""
LOAD_BOUND: Final = 1.25
"""An endpoint's requests in flight are at most this times its share of all."""
FREE_LOAD: Final = 8
"""So many are always borne: the bound is there for the crowded, and an app with few users keeps each where it was."""
_POINT_BYTES: Final = 8


def hash_of(text: bytes, key: bytes) -> int:
    """Give the place of ``text`` on the ring: 64 bits. Who does not know the key (at most 64 bytes) cannot aim."""
    return int.from_bytes(blake2b(text, digest_size=_POINT_BYTES, key=key).digest(), "big")


class Ring:
    """The points of a group of endpoints.

    Args:
        key: of the hash; the same on all nodes, so that they send a session to the same endpoint.
    """

    __slots__ = ("_counts", "_key", "_owners", "_points")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._points: list[int] = []
        self._owners: dict[int, NodeId] = {}
        self._counts: dict[NodeId, int] = {}

    def twin(self) -> Ring:
        """Give a copy that can be fitted to others."""
        twin = copy(self)
        twin._points, twin._owners = list(self._points), dict(self._owners)
        return twin

    def fit(self, loads: Sequence[EndpointLoad]) -> None:
        """Make the points those of ``loads``, at least one; only what changed is made anew."""
        weights = {load.endpoint.id: load.endpoint.service.weight for load in loads}
        heaviest = max(weights.values())
        # Powers of two: else each change of the heaviest weight would move sessions among all the others.
        scale = 1
        while (
            POINTS * max(heaviest * MAX_RING, sum(weights.values()) * MOST_POINTS)
            > scale * MAX_RING * MOST_POINTS
        ):
            scale *= 2
        some = {node: weight if heaviest else 1 for node, weight in weights.items() if weight or not heaviest}
        counts = {node: -(-POINTS * weight // scale) for node, weight in some.items()}
        changed = {
            node for node in counts.keys() | self._counts.keys() if counts.get(node) != self._counts.get(node)
        }
        if not changed:
            return
        owners, points = self._owners, self._points
        gone = changed & self._counts.keys()
        for node in gone:
            for point in _points_of(node, self._counts[node], self._key):
                if owners.get(point) == node:
                    del owners[point]
        if gone:
            points = [point for point in points if point in owners]
        for node in sorted(changed & counts.keys()):
            for point in _points_of(node, counts[node], self._key):
                if owners.setdefault(point, node) == node:
                    points.append(point)
        points.sort()
        self._points, self._counts = points, counts

    def order(self, digest: int) -> Iterator[NodeId]:
        """Give the endpoints in the order in which a session prefers them, each once."""
        points, owners = self._points, self._owners
        start = bisect_right(points, digest)
        seen: set[NodeId] = set()
        for place in range(start, start + len(points)):
            node = owners[points[place % len(points)]]
            if node not in seen:
                seen.add(node)
                yield node
                if len(seen) == len(self._counts):
                    return


def _points_of(node: NodeId, count: int, key: bytes) -> Iterator[int]:
    """Give the first points of an endpoint: fewer of them are always the beginning of more."""
    for block in range(0, count, 8):
        digest = blake2b(node, digest_size=64, key=key, salt=block.to_bytes(2, "big")).digest()
        for place in range(min(8, count - block)):
            yield int.from_bytes(digest[place * _POINT_BYTES : (place + 1) * _POINT_BYTES], "big")


def for_session(
    ring: Ring, loads: Mapping[NodeId, EndpointLoad], digest: int, *, tried: Collection[NodeId]
) -> EndpointLoad | None:
    """Give the endpoint of a session, or the next one on the ring that is within the bound.

    Args:
        ring: fitted to these or to a newer picture's endpoints.
        loads: the group's, by id.
        digest: of the session.
        tried: whom not to give.

    Returns:
        None: no endpoint of the ring is left.
    """
    first: EndpointLoad | None = None
    per_weight = -1.0
    for node in ring.order(digest):
        load = loads.get(node)
        if load is None or node in tried:
            continue
        if load.in_flight < FREE_LOAD:
            return load
        if per_weight < 0.0:
            first = load
            weights = sum(each.weight for each in loads.values()) or len(loads)
            per_weight = LOAD_BOUND * (sum(each.in_flight for each in loads.values()) + 1) / weights
        if load.in_flight < per_weight * (load.weight or 1.0):
            return load
    return first
