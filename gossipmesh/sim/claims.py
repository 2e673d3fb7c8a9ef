"""What SWIM's paper says of the protocol (Das, Gupta, Motivala 2002), as experiments whose outcome can be compared.

Three claims: a crash is first noticed within a time that does not depend on the size of the group, e/(e - 1) protocol
periods in expectation; each member sends and receives the same whatever that size is; and news reaches everybody in a
time logarithmic in it. For the load, play the scenario ``idle``; here are the other two, with what they expect.

All of it runs without Lifeguard and without anti-entropy: rounds over TCP find a crash and carry news as well, by
ways that SWIM does not have.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import partial
from typing import Final

from attrs import evolve, frozen

from gossipmesh.membership.parameters import LAN, Parameters, without_lifeguard
from gossipmesh.model import MemberState
from gossipmesh.sim.measure import Death, Spread
from gossipmesh.sim.scenarios.run import SETTLING_PERIODS, UNLUCKY_PERIODS
from gossipmesh.sim.world import World

NEVER_S: Final = 1e9
MAX_AT_ONCE_SHARE: Final = 64
"""At most one of so many members crashes in the same round, so that those left probe as if it were the only one."""
QUIET_PERIODS: Final = 5
"""From the last news of one round of crashes to the next round."""
SPREAD_WITHIN_PERIODS: Final = 60
"""By then every member that heard of a change has told it as often as it ever does."""
LIMIT: Final = math.e / (math.e - 1)
"""SWIM's expected time to the first detection for large groups, in protocol periods."""


def plain_swim() -> Parameters:
    """Give the `lan` profile without Lifeguard and without anti-entropy."""
    return evolve(
        without_lifeguard(LAN),
        sync_period_s=NEVER_S,
        sync_unequal_after_s=NEVER_S,
        reconnect_min_s=NEVER_S,
        reconnect_max_s=NEVER_S,
    )


def piggyback_only() -> Parameters:
    """Give plain SWIM whose news rides on probes alone (SWIM, section 4.1), without gossip ticks of its own."""
    return evolve(plain_swim(), gossip_targets=0)


def expected_periods(nodes: int) -> float:
    """Give the expected number of protocol periods up to and including the one in which a crash is first probed.

    Each of the ``nodes - 1`` others probes one of its ``nodes - 1`` peers in every period, so nobody probes the
    crashed one with probability ``(1 - 1/(nodes - 1)) ** (nodes - 1)``, and the number of periods is geometric. For
    large groups it is :data:`LIMIT`.
    """
    others = nodes - 1
    return 1 / (1 - (1 - 1 / others) ** others)


def first_probes(seed: int, *, nodes: int, crashes: int) -> list[float]:
    """Let members vanish from a settled mesh; give how long each was unprobed, in protocol periods.

    The time from the crash to the ping of whose failure somebody first suspects it. The moment of the crash has
    nothing to do with anybody's periods. What the paper counts is this, rounded up: whole periods, the one of the
    ping included. (Our verdict over a failed probe comes ``probe_least_s`` after its ping, that of the paper at the end
    of its period.)

    Args:
        seed: of everything random.
        nodes: at least 8.
        crashes: how many members vanish; at most half of them.
    """
    parameters = plain_swim()
    world = World(seed, profile=parameters)
    rng = random.Random(seed)
    names = world.populate(nodes)
    period_s = parameters.probe_period_s
    world.run(SETTLING_PERIODS * period_s)
    doomed = rng.sample(names, crashes)
    found: list[float] = []
    at_once = max(1, nodes // MAX_AT_ONCE_SHARE)
    while doomed:
        batch, doomed = doomed[:at_once], doomed[at_once:]
        found += [
            (death_s - parameters.probe_least_s) / period_s
            for death_s in _suspicions(world, rng, batch, period_s)
        ]
        world.run(QUIET_PERIODS * period_s)
    return found


def _suspicions(world: World, rng: random.Random, batch: Sequence[str], period_s: float) -> list[float]:
    """Let these members vanish within one period; give when each was first suspected, in seconds since it did."""
    deaths: list[Death] = []

    def vanish(name: str) -> None:
        death = Death(world.nodes[name].key.id, since=world.now)
        deaths.append(death)
        world.listeners.append(death.hear)
        world.crash(name, silent=True)

    for name in batch:
        world.at(rng.uniform(0.0, period_s), partial(vanish, name))
    world.run(period_s)
    world.run_until(
        lambda: all(world.everyone_believes(name, MemberState.DEAD) for name in batch),
        within=2 * UNLUCKY_PERIODS * period_s,
    )
    for death in deaths:
        world.listeners.remove(death.hear)
    return [death.first_suspicion_s for death in deaths if death.first_suspicion_s is not None]


def spread(seed: int, *, nodes: int, parameters: Parameters) -> list[float]:
    """Let one member of a settled mesh change its record; give when others knew, in seconds, ascending.

    There may be fewer than ``nodes - 1`` of them. Each member tells a piece of news only so many times, and by bad
    luck all of these reach others that know already; that is what anti-entropy is for.

    Args:
        seed: of everything random.
        nodes: at least 2.
        parameters: :func:`plain_swim` or :func:`piggyback_only`.
    """
    world = World(seed, profile=parameters)
    names = world.populate(nodes)
    world.run(SETTLING_PERIODS * parameters.probe_period_s)
    subject = world.nodes[names[-1]]
    world.drain(subject.name)
    news = Spread(world, subject)
    news.begin()
    for _ in range(SPREAD_WITHIN_PERIODS):
        if not news.waiting:
            break
        world.run(parameters.probe_period_s)
    return sorted(news.known_s)


@frozen
class Line:
    """A straight line through points, and how much of their spread it explains (0 to 1)."""

    at_zero: float
    slope: float
    explained: float


def fit(points: Sequence[tuple[float, float]]) -> Line:
    """Give the line of least squares through points, at least two of them with different abscissas."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x in xs)
    at_zero = mean_y - slope * mean_x
    left = sum((y - at_zero - slope * x) ** 2 for x, y in points)
    whole = sum((y - mean_y) ** 2 for y in ys)
    return Line(at_zero, slope, 1.0 if whole == 0 else 1 - left / whole)
