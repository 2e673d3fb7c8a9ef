"""Keys in use twice, disks restored from backups, names taken over, chains renewed and keys rotated."""

from __future__ import annotations

from attrs import evolve

from gossipmesh.identity.chain import Capability
from gossipmesh.membership.parameters import LAN
from gossipmesh.model import MemberState, Service
from gossipmesh.sim.world import World

HOUR = 3600.0
DAY = 24 * HOUR
SLOW = evolve(
    LAN,
    probe_period_s=60.0,
    probe_timeout_max_s=3.0,
    gossip_period_s=5.0,
    sync_period_s=300.0,
    sync_unequal_after_s=60.0,
    sync_least_gap_s=60.0,
    reconnect_min_s=300.0,
    reconnect_max_s=600.0,
)
"""Long periods, for runs of days."""


def mesh(seed: int, size: int = 4) -> World:
    world = World(seed)
    world.add("n0")
    for i in range(1, size):
        world.add(f"n{i}", seeds=["n0"])
    world.run_until(world.complete, within=20)
    world.run(5)
    return world


def test_a_cloned_key_raises_the_alarm_and_does_not_flood_the_mesh() -> None:
    world = mesh(1)
    original = world.nodes["n3"]
    clone = world.add("clone", key=original.key, seeds=["n0"], start=False)
    clone.chain_raw = original.chain_raw
    world.start("clone")
    begin = original.running.own.incarnation
    world.run(60)
    assert original.told("own.clone") + clone.told("own.clone") > 0
    # Each of the two goes above the other at most once in ten seconds.
    assert original.running.own.incarnation - begin <= 2 * 7
    world.crash("clone")
    world.run(30)
    assert all(world.believes(name, "n3") is MemberState.ALIVE for name in ("n0", "n1", "n2"))


def test_a_state_directory_that_went_back_in_time_goes_on_above_and_says_so() -> None:
    world = mesh(2)
    node = world.nodes["n3"]
    for _ in range(3):
        world.crash("n3")
        world.run(1)
        world.start("n3")
        world.run_until(world.complete, within=5)
    held = node.running.own.version
    world.crash("n3")
    node.boot -= 2
    world.run(2)
    world.start("n3")
    world.run_until(lambda: node.running.own.version > held, within=15)
    assert node.told("own.clone") == 1
    world.run_until(world.complete, within=15)
    world.run(30)
    assert world.complete()
    assert node.told("own.clone") == 1


def test_a_state_directory_that_went_back_while_the_mesh_held_it_for_dead_goes_on_above_too() -> None:
    world = mesh(3)
    node = world.nodes["n3"]
    world.crash("n3")
    world.start("n3")
    world.run_until(world.complete, within=5)
    held = node.running.own.version
    world.crash("n3")
    world.run_until(lambda: world.everyone_believes("n3", MemberState.DEAD), within=30)
    node.boot -= 2
    world.start("n3")
    world.run_until(world.complete, within=20)
    assert node.running.own.version > held
    assert node.told("own.clone") == 1


def test_a_restored_disk_with_the_very_boot_that_peers_hold_goes_on_above() -> None:
    world = mesh(4)
    node = world.nodes["n3"]
    held = node.running.own.version
    world.crash("n3")
    node.boot -= 1
    world.run(1)
    world.start("n3")
    world.run_until(lambda: node.running.own.version > held, within=15)
    world.run_until(world.complete, within=20)
    assert node.told("own.clone") >= 1


def test_a_name_is_taken_over_when_its_holder_leaves() -> None:
    world = mesh(5)
    first = world.nodes["n3"]
    world.add("second", seeds=["n0"], start=False)
    second = world.nodes["second"]
    second.chain_raw = world.chain_for(second.key, "n3")
    world.start("second")
    world.run_until(world.complete, within=8)
    for node in world.up:
        if node is not second:
            # A live holder keeps its name; the newcomer is known by a mark and its id.
            assert node.running.names[first.key.id] == "n3"
            assert node.running.names[second.key.id] == f"n3~{second.key.id[:2].hex()}"
    world.leave("n3")
    world.run(5)
    assert all(node.running.names[second.key.id] == "n3" for node in world.up)


def test_a_mesh_outlives_its_first_token_by_days() -> None:
    world = World(6, profile=SLOW, ttl_s=int(DAY))
    issuing = world.new_token(ttl_s=365 * int(DAY), caps=(Capability.JOIN, Capability.ISSUE))
    world.add("issuer", token=issuing)
    node = world.add("n1", seeds=["issuer"])
    world.run_until(world.complete, within=300)
    first = node.running.chain
    world.run(2.1 * DAY)
    chain = node.running.chain
    assert world.wall > first.grants.expires_at + HOUR
    assert chain.grants.expires_at > world.wall
    assert (chain.id, chain.name) == (first.id, first.name)
    assert chain.grants.caps == first.grants.caps
    assert node.told("chain.expiring") == 0
    assert world.complete()
    assert chain.raw in world.nodes["issuer"].running.known()
    assert not [c for n in world.up for _, c in n.changes if c.new is MemberState.DEAD]


def test_without_an_issuer_members_warn_and_then_get_no_requests_but_do_not_fall_over() -> None:
    world = World(7, profile=SLOW, ttl_s=int(6 * HOUR))
    for name in ("n0", "n1"):
        world.add(name, services=(Service("web", 8080),), seeds=["n0"])
    world.run_until(world.complete, within=300)
    node = world.nodes["n0"]
    assert sum(each.eligible for each in node.running.snapshot.endpoints("web")) == 2
    world.run(5 * HOUR)
    assert node.told("chain.expiring") in (1, 2)
    world.run(2 * HOUR)
    assert [e.id for e in node.running.snapshot.endpoints("web") if e.eligible] == [node.key.id]


def test_a_node_that_keeps_the_root_key_renews_itself() -> None:
    world = World(8, profile=SLOW, ttl_s=int(6 * HOUR))
    node = world.add("n0", start=False)
    node.root_seed = world.root_seed
    world.start("n0")
    world.run(12 * HOUR)
    assert node.running.chain.grants.expires_at > world.wall
    assert node.chain_raw == node.running.chain.raw


def test_keys_that_rotate_cost_no_datagram_and_no_trust() -> None:
    world = World(9, profile=SLOW)
    for name in ("n0", "n1"):
        world.add(name, seeds=["n0"])
    world.run_until(world.complete, within=300)
    keys = {node.name: node.running.own.dh_key for node in world.up}
    world.run(29 * HOUR)  # a day and a fifth, at most
    assert all(node.running.own.dh_key != keys[node.name] for node in world.up)
    assert world.complete()
    for node in world.up:
        assert [change.new for _, change in node.changes] == [MemberState.ALIVE]
        # News of a key may take longer than the minute that it is published before its use.
        assert node.refused.total() <= 3
        assert set(node.refused) <= {"datagram.stranger"}
