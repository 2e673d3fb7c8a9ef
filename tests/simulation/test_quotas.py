"""A token that admits so many living nodes: the next one is told, and gets in when there is room."""

from __future__ import annotations

from gossipmesh.identity.chain import Caveats
from gossipmesh.identity.token import narrow
from gossipmesh.sim.world import World


def bound(world: World, quota: int) -> World:
    """Give a world of one node with a token of its own, and two of a token that admits ``quota``."""
    token = narrow(
        world.token, Caveats(int(world.wall), int(world.wall) + 10**6, quota=quota), lambda size: b"q" * size
    )
    world.add("seed")
    for name in ("one", "two", "three"):
        world.add(name, seeds=["seed"], token=token, start=False)
    for name in ("one", "two"):
        world.start(name)
    world.run_until(world.complete, within=20)
    world.run(5)
    return world


def test_over_the_quota_a_newcomer_is_told_why_and_gets_in_when_somebody_leaves() -> None:
    world = bound(World(1), 2)
    world.start("three")
    world.run(10)
    newcomer = world.nodes["three"]
    assert newcomer.told("join.unanswered") >= 1
    (said, *_) = [notice.text for notice in newcomer.notices if notice.code == "join.unanswered"]
    assert "the quota of this node's token is used up (2 nodes)" in said
    assert newcomer.told("join.refused") == 0
    assert not newcomer.running.joined
    # Nobody knows it, and it has learned nothing of the mesh.
    assert all(newcomer.key.id not in world.nodes[name].running.members for name in ("seed", "one", "two"))
    assert not newcomer.running.members
    world.leave("one")
    world.run_until(lambda: newcomer.running.joined, within=30)
    world.run_until(world.complete, within=30)


def test_a_member_that_restarts_keeps_its_place_and_one_that_died_gives_it_up() -> None:
    world = bound(World(2), 2)
    world.bounce("one", down_s=1.0)
    world.run_until(world.complete, within=20)
    world.crash("two")
    world.start("three")
    world.run_until(lambda: world.nodes["three"].running.joined, within=60)
    world.run_until(world.complete, within=30)
    assert len(world.nodes["seed"].running.registry) == 3
