"""How late a simulated daemon says it is: as the real one's, by what it slept for and not by what came in meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gossipmesh.identity.accusation import Accusation, sign_accusation
from gossipmesh.membership import outputs as believed
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.messages import AccusationNews
from gossipmesh.membership.parameters import LAN
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Output
from gossipmesh.model import MemberState
from gossipmesh.sim.node import SimNode
from gossipmesh.sim.world import World

STALLS = [0.0, 0.05]
"""Not at all; and shorter than anything that counts as a stall."""
Accuse = Callable[..., None]


class Timed(Mesh):
    """Keeps how late it was called."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.late: list[float] = []

    def handle_timer(self, *, now: float, wall: float, late_s: float = 0.0) -> list[Output]:
        self.late.append(late_s)
        return super().handle_timer(now=now, wall=wall, late_s=late_s)


class Unrefuting(Membership):
    """Never says that it lives."""

    def learn_accusation(self, accusation: Accusation, *, now: float) -> list[believed.Output]:
        return [] if accusation.subject == self._own.id else super().learn_accusation(accusation, now=now)


@pytest.fixture
def world() -> World:
    """Give a mesh of eight in which ``late`` keeps how late it was, and ``accused``, once accused, stays accused."""
    world = World(1)
    world.add("late", machine=Timed)
    world.populate(6)
    world.add("accused", seeds=["n0"], membership=Unrefuting)
    world.agree(60)
    world.run(5)
    return world


@pytest.fixture
def accuse(world: World) -> Accuse:
    """Have members tell ``late`` that they accuse ``accused``."""

    def say(*names: str) -> None:
        subject = world.nodes["accused"].running.own
        for name in names:
            node = world.nodes[name]
            accusation = sign_accusation(
                seed=node.key.seed,
                mesh_id=world.trust.mesh_id,
                subject=subject.id,
                boot=subject.boot,
                incarnation=subject.incarnation,
                issued_at=int(world.wall),
            )
            news = AccusationNews(accusation.signed.raw)
            world.perform(node, node.running._gossip.seal(world.nodes["late"].key.id, (news,)))

    return say


def timed(node: SimNode) -> Timed:
    assert isinstance(node.running, Timed)
    return node.running


@pytest.mark.parametrize("stalled_s", STALLS)
def test_confirmations_that_put_an_old_suspicions_end_into_the_past_are_no_stall(
    world: World, accuse: Accuse, stalled_s: float
) -> None:
    late = world.nodes["late"]
    accuse("n1")
    world.run(15)
    assert world.believes("late", "accused") is MemberState.SUSPECT
    timed(late).late.clear()
    if stalled_s:
        world.stall("late", stalled_s)
    accuse("n2", "n3", "n4")
    world.run(0.3)
    assert timed(late).late
    assert max(timed(late).late) <= stalled_s
    assert timed(late).awareness == 0


def test_a_stall_is_as_long_as_it_was_whatever_came_in(world: World, accuse: Accuse) -> None:
    late = world.nodes["late"]
    accuse("n1")
    world.run(15)
    timed(late).late.clear()
    world.stall("late", 5.0)
    accuse("n2", "n3", "n4")
    world.run(5.3)
    stalls = [late_s for late_s in timed(late).late if late_s > 0]
    assert len(stalls) == 1
    assert 5.0 - LAN.probe_period_s < stalls[0] <= 5.0


def test_who_says_goodbye_and_is_stalled_is_gone_when_it_wakes() -> None:
    world = World(1)
    world.populate(3)
    world.run(2)
    world.leave("n1")
    world.stall("n1", 5.0)
    world.run(6)
    assert world.nodes["n1"].mesh is None
