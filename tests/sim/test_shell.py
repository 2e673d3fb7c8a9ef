"""Time and delivery: what the shell of a simulated daemon does by itself."""

from __future__ import annotations

import gc

import pytest

from gossipmesh.errors import TrustError
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import BootRaised, Output
from gossipmesh.sim.checks import LawBroken
from gossipmesh.sim.shell import MAX_INBOX
from gossipmesh.sim.world import World


def mesh(size: int = 3) -> World:
    world = World(1)
    world.populate(size)
    world.run(2)
    return world


def test_a_stalled_node_reads_at_most_one_bounded_inbox() -> None:
    world = mesh()
    node = world.nodes["n1"]
    world.stall("n1", 5)
    for _ in range(MAX_INBOX + 10):
        world.inject("n1", b"junk", world.nodes["n0"].address)
    assert len(node.inbox or ()) == MAX_INBOX
    world.run(6)
    assert node.inbox is None
    assert node.refused["datagram.malformed"] <= MAX_INBOX


def test_a_machine_that_asks_to_be_called_again_at_once_for_ever_breaks_a_law() -> None:
    class Spinning(Mesh):
        spinning = False

        @property
        def deadline(self) -> float:
            return -1.0 if self.spinning else super().deadline

        def handle_timer(self, *, now: float, wall: float, late_s: float = 0.0) -> list[Output]:
            self.spinning = True
            return super().handle_timer(now=now, wall=wall, late_s=late_s)

    world = World(5)
    world.add("n0", machine=Spinning)
    with pytest.raises(LawBroken, match=r"seed 5, t=.*node n0: a deadline is handled again and again"):
        world.run(30)


def test_a_raised_boot_is_on_the_disk_of_the_next_start() -> None:
    world = mesh()
    node = world.nodes["n1"]
    world.perform(node, [BootRaised(17)])
    world.crash("n1")
    world.start("n1")
    assert node.running.own.boot == 18


def test_a_peer_is_proved_by_the_clocks_of_both_sides() -> None:
    world = mesh()
    node = world.nodes["n1"].running
    assert world.peer_of(node).id == node.id
    with pytest.raises(TrustError, match="clock"):
        world.peer_of(node, shown=world.wall + 3600)
    assert world.at_address(world.nodes["n1"].address) is world.nodes["n1"]


def test_the_collector_of_cycles_rests_during_a_run_only() -> None:
    world = World(1)
    seen: list[bool] = []
    world.at(1.0, lambda: seen.append(gc.isenabled()))
    world.run(2)
    assert seen == [False]
    assert gc.isenabled()
