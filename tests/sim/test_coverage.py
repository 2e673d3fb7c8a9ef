"""Counting what a run exercised."""

from __future__ import annotations

from gossipmesh.model import MemberState
from gossipmesh.sim.coverage import Coverage
from gossipmesh.sim.world import World


def test_a_calm_run_exercised_joins_and_rounds_and_no_failure() -> None:
    world = World(1)
    world.populate(4)
    world.run(25)
    assert world.coverage["joined"] == 12
    assert world.coverage["sync-round"] > 0
    assert world.coverage["suspected"] + world.coverage["died"] + world.coverage["lost"] == 0


def test_a_crash_a_return_and_a_departure_are_counted() -> None:
    world = World(2)
    world.populate(5)
    world.crash("n3", silent=True)
    world.run_until(lambda: world.everyone_believes("n3", MemberState.DEAD), within=60)
    seen = world.coverage
    for name in ("suspected", "died", "indirect-probe", "nack", "stream-probe", "out-of-rotation"):
        assert (name, seen[name] > 0) == (name, True)
    world.start("n3")
    world.agree(30)
    world.leave("n4")
    world.agree(30)
    assert seen["came-back"] > 0
    assert seen["left"] == 4


def test_refusals_that_show_a_defence_are_counted_and_others_are_not() -> None:
    coverage = Coverage()
    for code in ("datagram.replay", "datagram.forged", "gossip.malformed"):
        coverage.refusal(code)
    assert dict(coverage) == {"replay-refused": 1, "forgery-refused": 1}
