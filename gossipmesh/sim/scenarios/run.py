"""One run of a scenario: the world, what is measured in it, and what is claimed of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

from attrs import define, field

from gossipmesh.membership.parameters import Parameters
from gossipmesh.sim.history import LawBroken
from gossipmesh.sim.measure import Judge
from gossipmesh.sim.scenarios.plan import Plan
from gossipmesh.sim.world import World

SETTLING_PERIODS: Final = 10
"""Probe periods before the trouble begins: round trips are measured, and no two nodes are in step any more."""
UNLUCKY_PERIODS: Final = 20
"""Nobody's turn to be probed takes longer in a mesh of any size: (1 - 1/e) of the members are probed in each period,
so 20 in a row leave one out with probability e^-20. In a small mesh the rotation has come round twice by then."""


class ClaimBroken(LawBroken):
    """Every law held, but a scenario did not come out as it must; the text says what, with seed and last events."""


@define(eq=False)
class Run:
    """What a scenario gets: a world with the plan's numbers, and where to write down what it saw."""

    plan: Plan
    seed: int
    world: World
    judge: Judge
    figures: dict[str, float] = field(factory=dict)
    counts: dict[str, int] = field(factory=dict)
    curve: tuple[float, ...] = ()
    knowers: int = 0

    @property
    def parameters(self) -> Parameters:
        """The numbers that all nodes run by."""
        return self.plan.parameters

    @property
    def duration_s(self) -> float:
        """How long the scenario's trouble lasts, in virtual seconds."""
        return self.plan.duration_s or 0.0

    @property
    def longest_detection_s(self) -> float:
        """Within this a crash is known to everybody, whatever the dice say.

        The longest suspicion, as if nobody confirmed it, after an unlucky wait for the first probe.
        """
        p = self.parameters
        least_s = p.suspicion_alpha * max(1.0, math.log10(self.plan.nodes)) * p.probe_period_s
        slowest = 1 + p.awareness_max
        return (UNLUCKY_PERIODS + slowest) * p.probe_period_s + least_s * p.suspicion_max_factor

    @property
    def calming_s(self) -> float:
        """Within this after any trouble every view is equal to the truth.

        The last suspicions run out; whoever was given up is tried again, a few times, since each try is made at
        one random member; then an unconditional anti-entropy carries what gossip missed.
        """
        p = self.parameters
        return self.longest_detection_s + 4 * p.reconnect_max_s + 2 * p.sync_period_s

    def settle(self) -> list[str]:
        """Let the plan's nodes run as one settled mesh; give their names."""
        names = self.world.populate(self.plan.nodes)
        self.world.run(SETTLING_PERIODS * self.parameters.probe_period_s)
        self.world.listeners.append(self.judge.hear)
        return names

    def wait(self, holds: Callable[[], bool], *, within_s: float, what: str) -> float:
        """Let time pass until ``holds()``; give the seconds.

        Raises:
            ClaimBroken: it takes longer than ``within_s``; ``what`` says what was waited for.
        """
        began = self.world.now
        try:
            self.world.run_until(holds, within=within_s)
        except TimeoutError:
            raise self.broken(f"{what}: not within {within_s:g} s: {self.world.describe()}") from None
        return self.world.now - began

    def calm(self) -> None:
        """Let time pass until every view is equal to the truth.

        Raises:
            LawBroken: it takes longer than :attr:`calming_s`.
        """
        self.world.agree(self.calming_s)

    def require(self, holds: bool, claim: str) -> None:
        """Check what the scenario claims.

        Raises:
            ClaimBroken: it does not hold.
        """
        if not holds:
            raise self.broken(claim)

    def require_exercised(self, names: Iterable[str]) -> None:
        """Check that the run did what it is there for.

        Raises:
            ClaimBroken: one of these coverage counters is 0.
        """
        for name in names:
            self.require(self.world.coverage[name] > 0, f"the run exercised no {name}")

    def broken(self, claim: str) -> ClaimBroken:
        """Give the error that says which claim broke, with seed, time and the last events."""
        return ClaimBroken(self.world.history.failure(self.world.now, claim))
