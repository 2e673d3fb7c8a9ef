"""The network is cut and heals; the mesh falls apart and finds itself again, by itself."""

from __future__ import annotations

import itertools

import pytest

from gossipmesh.identity.chain import join_chain
from gossipmesh.model import MemberState
from gossipmesh.sim.world import World


def mesh(seed: int, size: int) -> World:
    world = World(seed)
    world.add("n0")
    for i in range(1, size):
        world.add(f"n{i}", seeds=["n0"])
    world.run_until(world.complete, within=20)
    world.run(5)
    return world


def believe_each_other(world: World, here: list[str], there: list[str], state: MemberState) -> bool:
    pairs = [*itertools.product(here, there), *itertools.product(there, here)]
    return all(world.believes(a, b) is state for a, b in pairs)


@pytest.mark.parametrize(("seed", "size"), [(1, 2), (2, 4), (3, 8), (4, 8), (5, 16)])
def test_halves_that_cannot_reach_each_other_call_each_other_dead_and_come_together_again(
    seed: int, size: int
) -> None:
    world = mesh(seed, size)
    names = [*world.nodes]
    here, there = names[: size // 2], names[size // 2 :]
    world.cut(here, there)
    world.run_until(lambda: believe_each_other(world, here, there, MemberState.DEAD), within=60)
    for side in (here, there):
        assert all(world.believes(a, b) is MemberState.ALIVE for a, b in itertools.permutations(side, 2))
    world.run(20)
    world.heal()
    world.run_until(world.complete, within=45)
    begin = world.now
    world.run(30)
    assert world.complete()
    lost = [c for n in world.up for at, c in n.changes if at > begin and c.new is MemberState.DEAD]
    assert lost == []


def test_a_cut_of_ten_minutes_heals_as_well() -> None:
    world = mesh(6, 4)
    world.cut(["n0", "n1"], ["n2", "n3"])
    world.run(600)
    world.heal()
    world.run_until(world.complete, within=45)


@pytest.mark.parametrize("seed", [7, 8])
def test_a_member_that_one_other_cannot_reach_lives(seed: int) -> None:
    world = mesh(seed, 6)
    world.cut(["n1"], ["n2"], one_way=True)
    begin = world.now
    world.run(120)
    changes = [c for n in world.up for at, c in n.changes if at > begin]
    assert not {c.new for c in changes} & {MemberState.DEAD, MemberState.LEFT}
    assert world.believes("n1", "n2") is MemberState.ALIVE
    # It lives, and n1 sends no requests there: others reach it, n1 does not.
    assert not world.nodes["n1"].running.members[world.nodes["n2"].key.id].routable
    assert all(
        world.nodes[other].running.members[world.nodes["n2"].key.id].routable for other in ("n0", "n3", "n4")
    )
    world.heal()
    world.run_until(lambda: world.nodes["n1"].running.members[world.nodes["n2"].key.id].routable, within=20)


def test_a_member_that_reaches_nobody_believes_in_the_mesh_again_when_healed() -> None:
    world = mesh(9, 5)
    others = [name for name in world.nodes if name != "n4"]
    world.cut(["n4"], others)
    world.run_until(lambda: believe_each_other(world, ["n4"], others, MemberState.DEAD), within=60)
    world.heal()
    world.run_until(world.complete, within=45)


def test_a_member_whose_name_another_took_while_it_was_cut_off_comes_back_all_the_same() -> None:
    world = World(4)
    names = world.populate(8)
    for host in ("w1", "w2"):
        node = world.add(host, seeds=[names[0]], start=False)
        node.chain_raw = join_chain(world.token, node.key.seed, "web")
        world.start(host)
        world.run(10)
    world.partition([*names[:4], "w2"], [*names[4:], "w1"])
    # Its place is taken, so the dead id is kept by nobody on that side ...
    world.run_until(lambda: all(world.believes(name, "w1") is None for name in names[:4]), within=90)
    world.repair()
    # ... and whoever greets it still tells it that its version is buried.
    world.run_until(lambda: world.everyone_believes("w1", MemberState.ALIVE), within=35)


def test_a_member_that_is_cut_off_again_and_again_is_back_soon_each_time() -> None:
    """It holds everybody dead, and must hear something newer of each, however often it has accused them."""
    world = World(1)
    names = world.populate(5)
    world.run(20.0)
    for _ in range(6):
        world.partition(names[:1], names[1:])
        world.run(40.0)
        world.repair()
        assert world.run_until(world.complete, within=60.0) < 18.0
        world.run(40.0)
