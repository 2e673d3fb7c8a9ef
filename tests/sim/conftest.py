from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gossipmesh.sim.scenarios.catalogue import plan_of
from gossipmesh.sim.scenarios.plan import Outcome, Plan


@pytest.fixture
def plan() -> Callable[..., Plan]:
    """Make a plan as the command line does; what is not said is left to the scenario."""

    def make(scenario: str, **numbers: Any) -> Plan:
        names = ("nodes", "profile", "lifeguard", "loss", "slow_members", "duration_s")
        return plan_of(scenario, **{name: numbers.get(name) for name in names})

    return make


@pytest.fixture
def outcome() -> Callable[..., Outcome]:
    """Make the outcome of a run that was never run."""

    def make(seed: int, **values: Any) -> Outcome:
        return Outcome(seed, **{"figures": {}, "counts": {}, **values})

    return make
