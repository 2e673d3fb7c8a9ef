"""Services that change while a mesh runs, and replicas that lose their state at every restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from gossipmesh.membership.parameters import LAN
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import Service
from gossipmesh.registry.store import RegistryLimits
from gossipmesh.sim.world import World

HELLO = Service("hello", 8_080)


def offers(world: World, name: str, *services: Service) -> None:
    node = world.nodes[name]
    world.perform(node, node.running.set_services(services, now=world.now, wall=world.wall_of(node)))


def everywhere(world: World, service: Service) -> bool:
    """Tell whether every node would choose this very service."""
    found = [node.running.snapshot.eligible(service.name) for node in world.up]
    return all([each.service for each in endpoints] == [service] for endpoints in found)


@pytest.mark.parametrize("seed", range(20))
def test_a_change_of_a_service_is_in_all_of_eight_registries_within_a_second(
    seed: int, settled: Callable[..., World]
) -> None:
    world = settled(seed, 8)
    offers(world, "n3", HELLO)
    world.run_until(lambda: everywhere(world, HELLO), within=1.0)
    other = evolve(HELLO, weight=7, tags=("v2",))
    offers(world, "n3", other)
    world.run_until(lambda: everywhere(world, other), within=1.0)
    offers(world, "n3")
    world.run_until(lambda: not any(n.running.snapshot.knows("hello") for n in world.up), within=1.0)


def test_what_changes_many_times_a_second_is_told_as_often_as_others_pass_it_on(
    settled: Callable[..., World],
) -> None:
    world = settled(7, 8)
    node = world.nodes["n3"]
    first = node.running.own.incarnation
    for change in range(1, 501):
        offers(world, "n3", evolve(HELLO, weight=change))
        world.run(0.02)
    # Ten seconds: some at once, one a gossip period, and one a second from then on.
    assert 10 <= node.running.own.incarnation - first <= 18
    assert sum(each.refused["record.too-soon"] for each in world.up) == 0
    world.run_until(lambda: everywhere(world, evolve(HELLO, weight=500)), within=2.0)


def with_room_for(living: int) -> Callable[..., Mesh]:
    """Give a control plane that takes so many members of one token."""

    def made(setup: Setup, **around: Any) -> Mesh:
        return Mesh(evolve(setup, limits=RegistryLimits(per_token=living)), **around)

    return made


@pytest.mark.parametrize("leaves", [True, False])
def test_replicas_that_lose_their_state_at_every_restart_keep_their_names_and_fill_no_table(
    leaves: bool,
) -> None:
    profile = evolve(LAN, keep_left_s=120.0)
    world, replicas = World(11, profile=profile), ("hello-1", "hello-2", "hello-3")
    observers = [
        world.add(f"n{number}", seeds=["n0"] if number else (), machine=with_room_for(32))
        for number in range(2)
    ]
    for name in replicas:
        world.add(name, services=(HELLO,), seeds=["n0"])
    world.run_until(world.complete, within=15)
    for _ in range(20):
        for name in replicas:
            if leaves:
                world.leave(name)
            else:
                world.crash(name)
            world.run(0.5)
            world.add(name, services=(HELLO,), seeds=["n0"])
            world.run(0.5)
    world.run(30.0)
    ids = {name: world.nodes[name].key.id for name in replicas}
    for node in observers:
        mesh = node.running
        assert {name: mesh.names[id_] for name, id_ in ids.items()} == {name: name for name in replicas}
        assert {e.id for e in mesh.snapshot.eligible("hello")} == set(ids.values())
        assert {m.id for m in mesh.members.values() if m.living} >= set(ids.values())
        assert node.refused["registry.token-quota"] == 0
    # Who crashed is forgotten as soon as somebody has its name; who said goodbye is remembered for a while.
    world.run_until(lambda: all(len(node.running.members) == 4 for node in observers), within=180)
