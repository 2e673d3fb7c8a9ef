"""Nodes find each other: one after the other, all at once, with seeds that are down, and in circles."""

from __future__ import annotations

import pytest

from gossipmesh.model import MemberState
from gossipmesh.sim.world import World


@pytest.mark.parametrize(("seed", "size"), [(1, 2), (2, 2), (1, 5), (2, 5), (1, 8), (2, 8), (1, 32)])
def test_everybody_who_joins_by_one_seed_knows_everybody(seed: int, size: int) -> None:
    world = World(seed)
    world.add("n0")
    for i in range(1, size):
        world.add(f"n{i}", seeds=["n0"])
        world.run(0.1)
    # Gossip alone tells everybody in well under 2 s; what it missed, anti-entropy brings.
    world.run_until(world.complete, within=2 if size < 32 else 5)
    world.run_until(lambda: all(node.running.joined for node in world.up), within=15)


@pytest.mark.parametrize("size", [5, 16, 32])
def test_all_that_start_at_once_with_one_seed_complete(size: int) -> None:
    world = World(3)
    for i in range(size):
        world.add(f"n{i}", seeds=["n0"], start=False)
    for name in [*world.nodes][::-1]:
        world.start(name)
    world.run_until(world.complete, within=8)


def test_seeds_that_are_down_at_first_are_tried_until_they_are_up() -> None:
    world = World(4)
    seed_names = ["s0", "s1"]
    for name in seed_names:
        world.add(name, start=False)
    late = [world.add(f"n{i}", seeds=seed_names) for i in range(3)]
    world.run(60)
    for node in late:
        assert not node.running.joined
        # Somebody who reads the log learns which seed does not answer, and is not told each time.
        assert 2 <= node.told("join.unanswered") <= 6
    world.start("s1")
    world.run_until(world.complete, within=8)
    world.run_until(lambda: all(node.running.joined for node in world.up), within=2)


def test_a_first_node_whose_only_seed_is_itself_waits_for_nobody() -> None:
    world = World(5)
    alone = world.add("n0", seeds=["n0"])
    world.run(0.1)
    assert alone.running.joined
    assert alone.exchanges == 0
    world.add("n1", seeds=["n0"])
    world.run_until(world.complete, within=2)


@pytest.mark.parametrize("pause_s", [0, 20])
def test_two_nodes_that_seed_each_other_join(pause_s: float) -> None:
    world = World(6)
    world.add("a", start=False)
    world.add("b", seeds=["a"], start=False)
    world.nodes["a"].seeds = (world.nodes["b"].address,)
    world.start("a")
    world.run(pause_s)
    assert not world.nodes["a"].running.joined
    world.start("b")
    world.run_until(world.complete, within=6)
    world.run_until(lambda: all(node.running.joined for node in world.up), within=6)


def test_a_node_that_joins_while_the_mesh_is_cut_in_two_is_known_to_both_sides_in_the_end() -> None:
    world = World(7)
    world.add("n0")
    for i in range(1, 6):
        world.add(f"n{i}", seeds=["n0"])
    world.run_until(world.complete, within=8)
    there = ["n3", "n4", "n5"]
    world.cut(["n0", "n1", "n2"], there)
    world.run(60)
    newcomer = world.add("late", seeds=["n0", "n3"])
    world.cut(["late"], there)
    world.run_until(lambda: newcomer.running.joined, within=8)
    assert world.believes("n3", "late") is None
    world.heal()
    world.run_until(world.complete, within=45)
    assert world.everyone_believes("late", MemberState.ALIVE)


def test_a_node_that_restarts_remembering_members_asks_its_seed_at_once() -> None:
    world = World(8)
    world.add("n0")
    world.add("n1", seeds=["n0"])
    world.add("n2", seeds=["n0"])
    world.run_until(world.complete, within=8)
    node = world.nodes["n2"]
    node.known = node.running.known()
    assert len(node.known) == 4
    world.crash("n2")
    world.run(1)
    world.start("n2")
    assert len(node.running.members) == 2
    world.run_until(lambda: node.running.joined, within=0.5)


def test_a_node_without_reachable_seeds_comes_back_by_the_members_that_it_remembers() -> None:
    world = World(9)
    world.add("n0")
    world.add("n1", seeds=["n0"])
    world.add("n2", seeds=["n0"])
    world.run_until(world.complete, within=8)
    node = world.nodes["n2"]
    node.known = node.running.known()
    world.crash("n2")
    world.crash("n0")
    world.run(1)
    world.start("n2")
    world.run_until(lambda: node.running.joined, within=12)
    assert world.believes("n1", "n2") is MemberState.ALIVE
