"""Half a path: UDP is blocked and TCP is open, and nobody is taken for dead or out of service for it."""

from __future__ import annotations

import pytest

from gossipmesh.model import MemberState, Serving
from gossipmesh.sim.world import World


def mesh(size: int, *, seed: int = 1, cut: bool = False) -> World:
    """Give a mesh, whose first two nodes exchange no datagrams from the start where ``cut``."""
    world = World(seed, profile="lan")
    world.add("n0")
    for number in range(1, size):
        world.add(f"n{number}", seeds=["n0"], start=not cut)
    if cut:
        world.cut(["n0"], ["n1"], udp_only=True)
        for number in range(1, size):
            world.start(f"n{number}")
    world.run_until(world.complete, within=20)
    return world


def blocked(world: World, observer: str, subject: str) -> bool:
    return world.nodes[observer].running.members[world.nodes[subject].key.id].udp_blocked


def troubles(world: World) -> list[object]:
    """Give every belief that somebody is not well, and every removal from rotation."""
    changed = [
        change for node in world.up for _, change in node.changes if change.new is not MemberState.ALIVE
    ]
    return [*changed, *(change for node in world.up for _, change in node.rotations if not change.routable)]


@pytest.mark.parametrize("size", [2, 3, 8])
def test_a_pair_without_udp_stays_alive_and_routable_and_goes_back_to_udp(size: int) -> None:
    world = mesh(size)
    world.cut(["n0"], ["n1"], udp_only=True)
    world.run_until(lambda: blocked(world, "n0", "n1") and blocked(world, "n1", "n0"), within=60)
    before = world.coverage["carried"]
    world.run(600)
    assert troubles(world) == []
    assert world.coverage["carried"] > before + 100
    world.heal()
    world.run_until(
        lambda: not blocked(world, "n0", "n1") and not blocked(world, "n1", "n0"), within=30 + 2 * size
    )
    before = world.coverage["carried"]
    world.run(60)
    assert world.coverage["carried"] == before


def test_two_nodes_that_never_had_udp_are_a_mesh() -> None:
    world = mesh(2, cut=True)
    world.run(120)
    assert troubles(world) == []
    assert world.nodes["n0"].running.agreement == world.nodes["n1"].running.agreement == 1.0


@pytest.mark.parametrize(("teller", "hearer"), [("n0", "n1"), ("n1", "n0")])
def test_news_takes_the_detour_as_fast_as_it_would_take_datagrams(teller: str, hearer: str) -> None:
    world = mesh(2, cut=True)
    world.run(20)
    world.drain(teller)
    told = world.nodes[teller].key.id

    def heard() -> bool:
        return world.nodes[hearer].running.members[told].record.serving is Serving.DRAINING

    world.run_until(heard, within=1.0)


@pytest.mark.parametrize("silent", [False, True])
def test_a_crash_behind_the_detour_is_found_as_soon_as_any(silent: bool) -> None:
    world = mesh(2, cut=True)
    world.run(20)
    world.crash("n1", silent=silent)
    world.run_until(lambda: world.everyone_believes("n1", MemberState.DEAD), within=40)


def test_where_datagrams_get_lost_one_way_only_the_pair_takes_the_detour_both_ways() -> None:
    world = mesh(3)
    world.cut(["n0"], ["n1"], one_way=True, udp_only=True)
    world.run(300)
    assert (blocked(world, "n0", "n1"), blocked(world, "n1", "n0")) == (True, True)
    assert troubles(world) == []


def test_a_whole_mesh_without_udp_holds_together() -> None:
    world = mesh(6)
    world.lose(1.0)
    world.run(300)
    dead = [change for node in world.up for _, change in node.changes if change.new is MemberState.DEAD]
    assert dead == []
    assert world.complete()


def test_a_restored_state_directory_counts_on_from_what_others_have_seen() -> None:
    world = mesh(3)
    node = world.nodes["n1"]
    for _ in range(3):
        world.crash("n1")
        world.start("n1")
        world.run(5)
    assert node.boot == 4
    world.crash("n1")
    node.boot = 1
    world.start("n1")
    world.run_until(lambda: node.running.own.boot == 4, within=30)
    assert node.told("own.clone") == 1
    assert node.boot == 4
    world.crash("n1")
    world.start("n1")
    world.run(30)
    assert node.running.own.boot == 5
    assert node.told("own.clone") == 1


def test_a_lost_state_directory_leaves_no_ghost_at_its_address() -> None:
    world = mesh(5)
    former = world.nodes["n3"].key.id
    world.crash("n3")
    world.restart_with_lost_state("n3")
    took = world.run_until(
        lambda: all(
            (member := node.running.members.get(former)) is None or not member.living
            for node in world.up
            if node.name != "n3"
        ),
        within=30,
    )
    reasons = {change.why for node in world.up for _, change in node.changes if change.id == former}
    assert any("its address now proves the key of" in why for why in reasons), reasons
    # Silence alone would take several seconds; here there is nothing to wait for.
    assert took < 2.0
    assert world.everyone_believes("n3", MemberState.ALIVE)
