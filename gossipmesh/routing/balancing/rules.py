"""The rules by which an endpoint is chosen among those of a group, each with the score that explains it.

Two are enough to look at where the less busy one is wanted: to choose the best of all would send every caller to the
same endpoint at once (Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*, 2001). The two are drawn
by weight, so that idle endpoints get requests in proportion to their weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from attrs import frozen

from gossipmesh.routing.balancing.load import EndpointLoad
from gossipmesh.routing.balancing.members import Members

if TYPE_CHECKING:
    from random import Random

MUCH_SLOWER: Final = 3.0
"""An endpoint that takes so many times as long as another, both equally busy, is left to be for ``least-request``."""

Pick = Callable[[Members, float, "Random"], EndpointLoad]
"""Members, now, dice. Changes nothing: what was picked is then taken."""
Scored = Callable[[Members, EndpointLoad, float], float]


@frozen
class Rule:
    """One balancer."""

    pick: Pick
    score: Scored
    """The less, the sooner it is chosen."""
    in_turn: bool = False
    """Whether who was picked has to be taken out of turn."""
    measures: bool = False
    """Whether it asks how busy, quick and trustworthy an endpoint is."""


def _in_turn(members: Members, now: float, rng: Random) -> EndpointLoad:
    return members.next_in_turn()


def _least_request(members: Members, now: float, rng: Random) -> EndpointLoad:
    if len(members.loads) == 1:
        return members.loads[0]
    one, other = members.two_at_random(rng)
    mine, others = one.request_cost(now), other.request_cost(now)
    if mine == others:
        # Mostly both are idle. Envoy's rule would not see then that one of them is slow.
        mine, others = one.latency_s(now) or 0.0, MUCH_SLOWER * (other.latency_s(now) or math.inf)
    return one if mine <= others else other


def _ewma(members: Members, now: float, rng: Random) -> EndpointLoad:
    if len(members.loads) == 1:
        return members.loads[0]
    one, other = members.two_at_random(rng)
    mean = members.mean
    return one if one.latency_cost(now, mean) <= other.latency_cost(now, mean) else other


def _random(members: Members, now: float, rng: Random) -> EndpointLoad:
    return members.at_random(rng)


_TURNS: Final = Rule(_in_turn, lambda members, load, now: members.turns_until(load), in_turn=True)
RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "round-robin": _TURNS,
        "weighted": _TURNS,
        "least-request": Rule(
            _least_request, lambda members, load, now: load.request_cost(now), measures=True
        ),
        "ewma": Rule(_ewma, lambda members, load, now: load.latency_cost(now, members.mean), measures=True),
        "random": Rule(_random, lambda members, load, now: 0.0),
    }
)
"""By the names in :data:`gossipmesh.routing.traffic.BALANCERS`."""
