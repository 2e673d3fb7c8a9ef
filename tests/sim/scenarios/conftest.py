from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from gossipmesh.sim.runner import run_one
from gossipmesh.sim.scenarios.catalogue import plan_of
from gossipmesh.sim.scenarios.plan import Outcome


@pytest.fixture
def play() -> Callable[..., Outcome]:
    """Play one seed of a scenario; what is not said is left to it."""

    def make(scenario: str, *, seed: int = 1, input_first: bool = True, **numbers: Any) -> Outcome:
        names = ("nodes", "profile", "lifeguard", "loss", "slow_members", "duration_s")
        plan = plan_of(scenario, **{name: numbers.get(name) for name in names})
        return run_one(evolve(plan, input_first=input_first), seed)

    return make


@pytest.fixture
def holds(play: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Play one seed of a scenario that must hold."""

    def make(scenario: str, **numbers: Any) -> Outcome:
        outcome = play(scenario, **numbers)
        assert outcome.failure == ""
        return outcome

    return make
