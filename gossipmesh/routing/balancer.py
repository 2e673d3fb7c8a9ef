"""Which of several equal endpoints is next."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

from gossipmesh.model import Endpoint, NodeId
from gossipmesh.routing.snapshot import Candidates

MAX_REMEMBERED: Final = 4_096
"""Services whose last choice is remembered; beyond it the one that was longest without a request starts anew."""


class Balancer(Protocol):
    """Chooses among candidates that are all fit to serve."""

    def pick(self, service: str, candidates: Sequence[Endpoint]) -> Endpoint:
        """Give one of ``candidates`` (at least one, each on another node) for a request to ``service``."""


class RoundRobin:
    """Takes the endpoints of each service in turn, by node id.

    What is remembered is the last *node*, not a position: when endpoints come and go, or a retry asks among
    those that are left, the turn simply goes on behind the last one taken. A counter taken modulo the number
    of candidates would jump about instead, and one counter for all services would let two alternating callers
    see the same endpoint for ever.

    Args:
        origin: where the first turn begins. With each node's own id here, the nodes of a mesh that starts do
            not all send their first request to the same endpoint.
    """

    def __init__(self, origin: NodeId) -> None:
        self._origin = origin
        self._last: OrderedDict[str, NodeId] = OrderedDict()

    def pick(self, service: str, candidates: Sequence[Endpoint]) -> Endpoint:
        """Give the candidate that follows the last one taken for ``service``, in the order of ids."""
        turns = self._last
        last = turns.get(service, self._origin)
        if type(candidates) is Candidates and candidates.ids:
            place = bisect_right(candidates.ids, last)
            chosen = candidates[place if place < len(candidates) else 0]
        else:
            chosen = _following(last, candidates)
        turns[service] = chosen.id
        turns.move_to_end(service)
        if len(turns) > MAX_REMEMBERED:
            turns.popitem(last=False)
        return chosen


def _following(last: NodeId, candidates: Sequence[Endpoint]) -> Endpoint:
    # One pass, no sort: what is left for a retry is in no order that anybody promised.
    lowest = following = None
    for candidate in candidates:
        if lowest is None or candidate.id < lowest.id:
            lowest = candidate
        if candidate.id > last and (following is None or candidate.id < following.id):
            following = candidate
    chosen = following or lowest
    assert chosen is not None, "a balancer is asked only where there is a choice"
    return chosen
