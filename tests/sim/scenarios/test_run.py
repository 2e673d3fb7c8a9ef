from __future__ import annotations

import pytest

from gossipmesh.sim.measure import Judge
from gossipmesh.sim.scenarios.plan import Plan
from gossipmesh.sim.scenarios.run import ClaimBroken, Run
from gossipmesh.sim.world import World


def a_run(nodes: int = 3, profile: str = "lan") -> Run:
    plan = Plan("crash", nodes, profile=profile)
    world = World(5, profile=plan.parameters)
    return Run(plan, 5, world, Judge(world))


def test_a_claim_that_breaks_says_seed_time_and_what_came_before() -> None:
    run = a_run()
    run.settle()
    run.world.crash("n1")
    with pytest.raises(ClaimBroken) as caught:
        run.require(False, "two and two are five")
    first, *rest = str(caught.value).splitlines()
    assert first == "seed 5, t=10.000 s: two and two are five"
    assert "n1: crashes" in rest[-1]


def test_waiting_in_vain_is_a_claim_that_broke() -> None:
    run = a_run()
    with pytest.raises(ClaimBroken, match=r"seed 5, .*: never: not within 2 s"):
        run.wait(lambda: False, within_s=2.0, what="never")


def test_a_run_that_exercised_nothing_fails() -> None:
    run = a_run()
    run.settle()
    with pytest.raises(ClaimBroken, match="the run exercised no died"):
        run.require_exercised(["died"])


def test_limits_grow_with_the_period_and_slowly_with_the_mesh() -> None:
    lan, wan = a_run(), a_run(profile="wan")
    assert wan.longest_detection_s == pytest.approx(5 * lan.longest_detection_s)
    assert a_run(100).longest_detection_s < 3 * lan.longest_detection_s < lan.calming_s * 3
