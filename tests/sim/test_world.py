"""The world itself: that its faults do what their names say."""

from __future__ import annotations

import pytest

from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Output
from gossipmesh.model import Address, MemberState, Service
from gossipmesh.sim.world import EPOCH, World


def mesh(size: int = 3, seed: int = 1) -> World:
    world = World(seed)
    world.add("n0")
    for i in range(1, size):
        world.add(f"n{i}", seeds=["n0"])
    world.run_until(world.complete, within=10)
    return world


def test_time_passes_as_asked_and_both_clocks_agree() -> None:
    world = World(1)
    world.run(2.5)
    assert (world.now, world.wall) == (2.5, EPOCH + 2.5)


def test_a_wait_in_vain_names_the_seed_and_everybodys_beliefs() -> None:
    world = mesh(2, seed=77)
    with pytest.raises(TimeoutError, match=r"seed 77, t=.*: not within 1 s: n0: n1=alive; n1: n0=alive"):
        world.run_until(lambda: False, within=1)


def test_a_daemon_that_is_down_cannot_be_asked() -> None:
    world = mesh()
    world.crash("n1")
    with pytest.raises(ValueError, match="n1 is down"):
        _ = world.nodes["n1"].running
    assert {node.name for node in world.up} == {"n0", "n2"}


def test_a_start_has_a_higher_boot_and_a_lost_state_another_key() -> None:
    world = mesh()
    node = world.nodes["n1"]
    key = node.key
    world.crash("n1")
    world.start("n1")
    assert (node.key, node.running.own.boot) == (key, 2)
    world.crash("n1")
    world.restart_with_lost_state("n1")
    assert node.key != key
    assert node.running.own.boot == 1


def test_events_of_a_former_life_are_void() -> None:
    world = mesh()
    node = world.nodes["n1"]
    seen: list[str] = []
    world.later(1.0, node, lambda: seen.append("old"))
    world.crash("n1")
    world.start("n1")
    world.later(1.0, node, lambda: seen.append("new"))
    world.run(2)
    assert seen == ["new"]


def test_a_stalled_daemon_takes_in_later_what_came_meanwhile() -> None:
    world = mesh()
    node = world.nodes["n1"]
    world.stall("n1", 2.0)
    seen: list[float] = []
    world.later(0.5, node, lambda: seen.append(world.now))
    sent, began = node.sent, world.now
    world.run(1.9)
    assert seen == []
    assert node.sent == sent
    world.run(0.2)
    assert seen == [began + 2.0]
    assert node.sent > sent


def test_a_daemon_that_crashes_while_stalled_stays_down() -> None:
    world = mesh()
    world.stall("n1", 2.0)
    world.crash("n1")
    world.run(5)
    assert world.nodes["n1"].mesh is None
    world.start("n1")
    world.run_until(world.complete, within=10)


def test_a_tap_sees_every_datagram_and_an_injected_one_arrives_now() -> None:
    world = mesh()
    seen: list[tuple[Address, Address, bytes]] = []
    world.network.tap = lambda *datagram: seen.append(datagram)
    sent = sum(node.sent for node in world.up)
    world.run(5)
    assert len(seen) == sum(node.sent for node in world.up) - sent > 0
    world.inject("n0", b"junk", Address("203.0.113.9", 53))
    assert world.nodes["n0"].refused["datagram.malformed"] == 1


def test_beliefs_are_of_the_present_key() -> None:
    world = mesh()
    assert world.believes("n0", "n1") is MemberState.ALIVE
    assert world.everyone_believes("n1", MemberState.ALIVE)
    world.crash("n1")
    world.restart_with_lost_state("n1")
    assert world.believes("n0", "n1") is None
    assert not world.complete()


def test_a_machine_that_misbehaves_can_take_the_place_of_the_real_one() -> None:
    class Mute(Mesh):
        def handle_timer(self, *, now: float, wall: float, late_s: float = 0.0) -> list[Output]:
            super().handle_timer(now=now, wall=wall, late_s=late_s)
            return []

    world = mesh()
    world.add("mute", machine=Mute, seeds=["n0"], services=(Service("web", 1),))
    world.run(5)
    assert isinstance(world.nodes["mute"].running, Mute)
