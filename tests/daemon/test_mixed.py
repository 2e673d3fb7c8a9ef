"""When a knock without a mac is answered, and who is known to make one."""

from __future__ import annotations

import pytest

from gossipmesh.daemon.mixed import Mode, OldPeers
from gossipmesh.mesh.machine import Mesh
from gossipmesh.sim.world import World
from oldrecords import as_before


@pytest.fixture
def world() -> World:
    world = World(1)
    world.populate(3)
    return world


def mesh_of(world: World) -> Mesh:
    return world.nodes["n0"].running


def old(world: World, mode: Mode = "auto") -> OldPeers:
    return OldPeers(mesh_of(world), lambda: mode)


def goes_back(world: World, name: str) -> None:
    """Have n0 hold a record of ``name`` as release 0.1 would sign it."""
    node, registry = world.nodes[name], mesh_of(world).registry
    record = as_before(registry.records[node.key.id], node.key.seed, world.trust.mesh_id)
    registry.offer_record_untrusted(record.signed.raw, source=node.key.id, wall=world.wall)
    assert registry.records[node.key.id] == record


def test_a_stranger_is_answered_only_while_a_member_of_the_old_release_is_known(world: World) -> None:
    peers = old(world)
    assert not peers.answers()
    goes_back(world, "n1")
    assert peers.answers()
    assert [peers.is_old(world.nodes[name].key.id) for name in ("n0", "n1", "n2")] == [False, True, False]
    assert not peers.is_old(type(world.nodes["n1"].key.id)(bytes(32)))


def test_a_node_that_knows_nobody_may_have_forgotten_such_members() -> None:
    world = World(1)
    world.populate(1)
    assert old(world).answers()


def test_the_operator_has_the_last_word(world: World) -> None:
    always, never = old(world, "always"), old(world, "never")
    assert (always.answers(), always.tries()) == (True, True)
    goes_back(world, "n1")
    assert (never.answers(), never.tries()) == (False, False)
    assert old(world).tries()
