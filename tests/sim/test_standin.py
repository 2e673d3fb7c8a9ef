"""Stand-ins: they look alive to those that observe, and count as nobody's observer."""

from __future__ import annotations

from gossipmesh.model import MemberState
from gossipmesh.sim.standin import StandIn
from gossipmesh.sim.world import World

DEAD = MemberState.DEAD


def crowd(size: int = 30, observers: int = 5, seed: int = 1) -> World:
    world = World(seed)
    world.populate(size, observers=observers)
    return world


def test_observers_know_everybody_and_stand_ins_know_nobody() -> None:
    world = crowd()
    assert [isinstance(node.running, StandIn) for node in world.up] == [False] * 5 + [True] * 25
    assert {len(node.running.members) for node in world.up} == {29, 0}
    assert world.complete()
    assert world.wrong_views() == 0


def test_observers_that_probe_stand_ins_see_nothing_but_life_and_equal_registries() -> None:
    world = crowd()
    world.run(60)
    assert world.wrong_views() == 0
    assert world.coverage["suspected"] == 0
    assert sum(node.refused.total() for node in world.up) == 0
    assert all(node.sent > 0 for node in world.up)
    for name in ("n0", "n1"):
        assert world.nodes[name].running.agreement == 1.0


def test_a_stand_in_that_is_gone_is_found_dead_by_observers() -> None:
    world = crowd()
    world.run(5)
    world.crash("n20", silent=True)
    assert world.wrong_views() == 5
    world.run_until(lambda: world.everyone_believes("n20", DEAD), within=300)
    assert world.coverage["nack"] > 0
    world.start("n20")
    assert not world.complete()


def test_a_helper_that_stands_in_vouches_for_those_that_it_reaches() -> None:
    world = crowd(30, 3, seed=2)
    world.cut(["n0"], ["n9"])
    world.run(120)
    member = world.nodes["n0"].running.members[world.nodes["n9"].key.id]
    assert member.living
    assert not member.routable
    assert world.coverage["died"] == 0


def test_an_observer_that_restarts_is_understood_by_stand_ins_again() -> None:
    world = crowd()
    world.run(5)
    node = world.nodes["n1"]
    node.known = node.running.known()
    world.crash("n1")
    world.start("n1")
    world.run(90)
    assert world.nodes["n1"].running.members
    assert {m.state for m in node.running.members.values()} == {MemberState.ALIVE}
