"""Endpoints among which a balancer chooses, with what can be known of them before the request comes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from copy import copy
from heapq import heapify, heapreplace
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from gossipmesh.model import NodeId
from gossipmesh.routing.balancing.load import EndpointLoad

if TYPE_CHECKING:
    from random import Random

GOLDEN: Final = 0.6180339887498949
"""Multiples of it, less their whole part, are spread as evenly as can be."""


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Turns:
    """Whose turn it is in one group of endpoints; outlives the pictures of the mesh.

    While all weights are equal, turns go by node id, behind the last one taken: nothing jumps when endpoints come and
    go. Where weights differ, each endpoint has a time in turns at which it is due, the earliest is next, and is due
    again 1/weight later. That is Envoy's earliest deadline first, which spreads as smoothly as nginx's rule and does
    not pass over all endpoints for each request. Newcomers begin at different parts of their first interval, so that
    equal weights do not come in flocks.

    Args:
        origin: where the first turn begins, so that not all nodes begin with the same endpoint.
    """

    __slots__ = ("_clock", "_joined", "due", "last")

    def __init__(self, origin: NodeId) -> None:
        self.last = origin
        self.due: dict[NodeId, float] = {}
        self._clock = 0.0
        self._joined = 0

    def twin(self) -> Turns:
        """Give a copy with turns of its own."""
        twin = copy(self)
        twin.due = dict(self.due)
        return twin

    def admit(self, loads: Sequence[EndpointLoad]) -> None:
        """Give each that has none a time at which it is due."""
        for load in loads:
            if load.endpoint.id not in self.due:
                self._joined += 1
                self.due[load.endpoint.id] = self._clock + self._joined * GOLDEN % 1.0 / load.weight

    def forget_others(self, loads: Sequence[EndpointLoad]) -> None:
        """Forget all but these."""
        kept = {load.endpoint.id for load in loads}
        self.due = {node: due for node, due in self.due.items() if node in kept}

    def advance(self, load: EndpointLoad) -> float:
        """Take an endpoint whose turn it was; give when it is due again."""
        node = load.endpoint.id
        self.last = node
        due = self.due[node]
        self._clock = max(self._clock, due)
        self.due[node] = due = due + 1.0 / load.weight
        return due


class Members:
    """One group of endpoints: those that take anything, in the order of ids.

    Args:
        loads: at least one. One of weight 0 takes nothing, unless all are.
        turns: theirs.
        tag: which part of the split they are; empty where there is none.
        zone: where they stand; empty where it makes no difference.
    """

    __slots__ = (
        "_cumulative",
        "_heap",
        "by_id",
        "even",
        "ids",
        "loads",
        "mean",
        "tag",
        "total",
        "turns",
        "zone",
    )

    def __init__(self, loads: Sequence[EndpointLoad], turns: Turns, *, tag: str = "", zone: str = "") -> None:
        some = [load for load in loads if load.weight > 0] or list(loads)
        some.sort(key=_by_id)
        self.loads = some
        self.turns = turns
        self.tag = tag
        self.zone = zone
        self.ids = [load.endpoint.id for load in some]
        weights = [load.weight for load in some]
        self.even = min(weights) == max(weights)
        self.total = sum(weights) or float(len(some))
        self.mean = self.total / len(some)
        self.by_id: dict[NodeId, EndpointLoad] = {}
        self._cumulative: list[float] = []
        self._heap: list[tuple[float, NodeId]] = []
        if not self.even:
            self._cumulative = list(accumulate(weights))
            self.by_id = dict(zip(self.ids, some, strict=True))
            turns.admit(some)
            self._heap = [(turns.due[node], node) for node in self.ids]
            heapify(self._heap)

    def next_in_turn(self) -> EndpointLoad:
        """Give whose turn it is; :meth:`take` ends the turn."""
        if self.even:
            place = bisect_right(self.ids, self.turns.last)
            return self.loads[place if place < len(self.loads) else 0]
        heap, due = self._heap, self.turns.due
        while True:
            time, node = heap[0]
            if due[node] == time:
                return self.by_id[node]
            heapreplace(heap, (due[node], node))  # Another picture's members had a turn of it.

    def take(self, load: EndpointLoad) -> None:
        """End the turn that ``load`` had."""
        if self.even:
            self.turns.last = load.endpoint.id
        else:
            heapreplace(self._heap, (self.turns.advance(load), load.endpoint.id))

    def turns_until(self, load: EndpointLoad) -> float:
        """Give how far off the turn of ``load`` is: 0 for the next; in turns, or in shares of a weight's interval."""
        if self.even:
            following = bisect_right(self.ids, self.turns.last)
            return float((bisect_left(self.ids, load.endpoint.id) - following) % len(self.loads))
        due = self.turns.due
        return due[load.endpoint.id] - min(due[node] for node in self.ids)

    def at_random(self, rng: Random) -> EndpointLoad:
        """Give one by weighted chance."""
        loads = self.loads
        if self.even:
            return loads[int(rng.random() * len(loads))]
        return self._at(rng.random() * self.total)

    def two_at_random(self, rng: Random) -> tuple[EndpointLoad, EndpointLoad]:
        """Give two different ones by weighted chance; there are at least two."""
        loads = self.loads
        if self.even:
            count, dice = len(loads), rng.random
            one, other = int(dice() * count), int(dice() * (count - 1))
            return loads[one], loads[other + 1 if other >= one else other]
        place = self._place(rng.random() * self.total)
        first = loads[place]
        rest = rng.random() * (self.total - first.weight)
        if rest >= self._cumulative[place] - first.weight:
            rest += first.weight
        return first, self._at(rest)

    def _at(self, amount: float) -> EndpointLoad:
        return self.loads[self._place(amount)]

    def _place(self, amount: float) -> int:
        # A product of floats may be rounded up to the total.
        return min(bisect_right(self._cumulative, amount), len(self.loads) - 1)


def _by_id(load: EndpointLoad) -> NodeId:
    return load.endpoint.id
