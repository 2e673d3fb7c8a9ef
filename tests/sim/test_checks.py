"""The laws that every run is held to: each is broken here on purpose."""

from __future__ import annotations

import pytest
from attrs import evolve

from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import MemberChanged
from gossipmesh.model import MemberState, NodeId
from gossipmesh.sim.checks import MAX_SPINS, Checker, LawBroken
from gossipmesh.sim.world import World


def pair() -> tuple[Mesh, NodeId]:
    world = World(1)
    world.add("a")
    world.add("b", seeds=["a"])
    world.run(2)
    return world.nodes["a"].running, world.nodes["b"].key.id


def change(node: NodeId, new: MemberState) -> MemberChanged:
    return MemberChanged(node, "b", None, new, "because")


def test_a_run_that_keeps_the_laws_passes() -> None:
    mesh, other = pair()
    checker = Checker(1, "a")
    for _ in range(3):
        checker.after_event(mesh, now=2.0)
        checker.changed(mesh, change(other, MemberState.ALIVE), now=2.0)


def test_an_own_version_that_falls_breaks_a_law_and_the_seed_is_told() -> None:
    mesh, _ = pair()
    with pytest.raises(LawBroken, match=r"seed 77, t=2\.000 s, node a: its own version fell"):
        Checker(77, "a", own=(9, 9)).after_event(mesh, now=2.0)


def test_a_members_version_that_falls_breaks_a_law() -> None:
    mesh, other = pair()
    with pytest.raises(LawBroken, match="the version of b fell"):
        Checker(1, "a", versions={other: (9, 9)}).after_event(mesh, now=2.0)


def test_a_return_from_the_dead_without_a_newer_record_breaks_a_law() -> None:
    mesh, other = pair()
    checker = Checker(1, "a")
    checker.changed(mesh, change(other, MemberState.DEAD), now=2.0)
    with pytest.raises(LawBroken, match="came back without a newer record"):
        checker.changed(mesh, change(other, MemberState.ALIVE), now=3.0)


def test_a_change_of_somebody_forgotten_in_the_same_turn_is_fine() -> None:
    mesh, _ = pair()
    Checker(1, "a").changed(mesh, change(NodeId(bytes(32)), MemberState.DEAD), now=2.0)


def test_a_deadline_that_is_never_done_with_breaks_a_law() -> None:
    mesh, _ = pair()
    checker = Checker(1, "a")
    for _ in range(MAX_SPINS):
        checker.after_timer(mesh, now=mesh.deadline)
    with pytest.raises(LawBroken, match="again and again"):
        checker.after_timer(mesh, now=mesh.deadline)
    spared = evolve(checker, spins=MAX_SPINS)
    spared.after_timer(mesh, now=mesh.deadline - 1)
    assert spared.spins == 0
