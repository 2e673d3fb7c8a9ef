"""What a node has found out about its own place, as it is put together."""

from __future__ import annotations

from gossipmesh.mesh.exchanges import Reached
from gossipmesh.model import Service
from gossipmesh.sim.world import World


def test_a_node_knows_how_its_seeds_answered_and_who_reached_it() -> None:
    world = World(5)
    world.add("seed", start=False)
    new = world.add("new", seeds=["seed"])
    world.run(5)
    (why,) = new.running.circumstances.asked_seeds.values()
    assert why
    assert new.running.circumstances.found.witness is None
    world.start("seed")
    world.run_until(world.complete, within=30)
    world.run(20)
    around = new.running.circumstances
    assert around.asked_seeds == {world.nodes["seed"].address: ""}
    assert (around.found.reached, around.found.witness) == (Reached.YES, world.nodes["seed"].key.id)
    assert around.differing_since == {}
    assert around.refused_services == frozenset()


def test_what_was_given_does_not_change_with_what_happens_later() -> None:
    world = World(5)
    world.add("seed")
    new = world.add("new", seeds=["seed"], services=(Service("hello", 80),))
    before = new.running.circumstances
    world.run_until(world.complete, within=30)
    assert before.asked_seeds == {}
