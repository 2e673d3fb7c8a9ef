"""The laws that every run is held to: each is broken here on purpose."""

from __future__ import annotations

import pytest

from gossipmesh.identity.record import MemberRecord
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import MemberChanged
from gossipmesh.model import MemberState, NodeId
from gossipmesh.sim.checks import BOUNDS, LEGAL, MAX_SPINS, Checker, LawBroken, Ledger, collections_of
from gossipmesh.sim.history import History
from gossipmesh.sim.world import World

ALIVE, SUSPECT, DEAD, LEFT = MemberState.ALIVE, MemberState.SUSPECT, MemberState.DEAD, MemberState.LEFT


def pair() -> tuple[Mesh, NodeId]:
    world = World(1)
    world.add("a")
    world.add("b", seeds=["a"])
    world.run(2)
    return world.nodes["a"].running, world.nodes["b"].key.id


def checker(*, ledger: Ledger | None = None, now: float = 2.0, trusted: bool = True) -> Checker:
    return Checker("a", History(77), ledger or Ledger(), now=now, trusted=trusted)


def change(node: NodeId, old: MemberState | None, new: MemberState) -> MemberChanged:
    return MemberChanged(node, "b", old, new, "because")


def records(count: int, *, boot: int = 1) -> list[MemberRecord]:
    """Give that many records of one node, each newer than the one before."""
    world = World(1)
    node = world.add("b", start=False)
    node.boot = boot - 1
    world.start("b")
    found = [node.running.own]
    for _ in range(count - 1):
        world.drain("b")
        found.append(node.running.own)
    return found


def test_a_run_that_keeps_the_laws_passes() -> None:
    mesh, other = pair()
    checks = checker()
    checks.watch(mesh)
    checks.signed(mesh.own)
    for _ in range(2 * len(BOUNDS)):
        checks.after_event()
    checks.changed(mesh, change(other, None, ALIVE), None)
    checks.changed(mesh, change(other, ALIVE, SUSPECT), ALIVE)


def test_an_own_version_that_does_not_rise_breaks_a_law_and_seed_and_time_are_told() -> None:
    mesh, _ = pair()
    checks = checker()
    checks.signed(mesh.own)
    with pytest.raises(LawBroken, match=r"seed 77, t=2\.000 s: node a: its own version did not rise"):
        checks.signed(mesh.own)


def test_a_members_version_that_falls_breaks_a_law() -> None:
    (record,) = records(1)
    with pytest.raises(LawBroken, match="the version of b fell"):
        checker().learned(record, (9, 9), record.version)


def test_a_node_in_its_own_table_breaks_a_law() -> None:
    mesh, _ = pair()
    checks = checker()
    checks.watch(mesh)
    with pytest.raises(LawBroken, match="a member of its own table"):
        checks.learned(mesh.own, None, mesh.own.version)


def test_two_records_of_one_version_break_a_law_unless_the_key_is_in_use_twice() -> None:
    first, second = records(2)
    # Two runs with one seed give one key; what they sign after different orders has equal versions.
    twin = records(1, boot=1)[0]
    ledger = Ledger()
    checks = checker(ledger=ledger)
    for record in (first, second, first, twin):
        checks.learned(record, None, record.version)
    world = World(1)
    other = world.add("b", start=False)
    world.move("b")
    world.start("b")
    forged = other.running.own
    assert forged.version == first.version
    with pytest.raises(LawBroken, match="b has two records of version"):
        checks.learned(forged, None, forged.version)
    ledger.clones.add(forged.id)
    checks.learned(forged, None, forged.version)


def test_every_transition_that_no_evidence_makes_breaks_a_law() -> None:
    mesh, other = pair()
    states = [None, ALIVE, SUSPECT, DEAD, LEFT]
    for old in states:
        for new in (ALIVE, SUSPECT, DEAD, LEFT):
            if (old, new) not in LEGAL:
                with pytest.raises(LawBroken, match=f"to {new.value}"):
                    checker().changed(mesh, change(other, old, new), old)
                checker(trusted=False).changed(mesh, change(other, old, new), old)


def test_a_change_from_a_state_that_was_not_told_breaks_a_law() -> None:
    mesh, other = pair()
    with pytest.raises(LawBroken, match=r"from suspect \(seen before: alive\) to alive"):
        checker().changed(mesh, change(other, SUSPECT, ALIVE), ALIVE)
    # Those that were gone for long enough are forgotten without a word.
    checker().changed(mesh, change(other, None, ALIVE), DEAD)


def test_a_return_from_the_dead_without_a_newer_record_breaks_a_law() -> None:
    mesh, other = pair()
    checks = checker()
    checks.changed(mesh, change(other, SUSPECT, DEAD), SUSPECT)
    with pytest.raises(LawBroken, match="came back without a newer record"):
        checks.changed(mesh, change(other, DEAD, ALIVE), DEAD)


def test_a_change_of_somebody_forgotten_in_the_same_turn_is_fine() -> None:
    mesh, _ = pair()
    checker().changed(mesh, change(NodeId(bytes(32)), SUSPECT, DEAD), SUSPECT)


def test_a_farewell_and_the_return_after_it_in_one_turn_are_fine() -> None:
    mesh, other = pair()
    checks = checker()
    # Told one after the other, when the table holds the second already.
    checks.changed(mesh, change(other, ALIVE, LEFT), ALIVE)
    checks.changed(mesh, change(other, LEFT, ALIVE), LEFT)


def test_every_bound_is_of_something_that_a_mesh_has() -> None:
    mesh, _ = pair()
    assert [path for path, _, _ in collections_of(mesh)] == [path for path, _ in BOUNDS]


def test_a_collection_beyond_its_bound_breaks_a_law() -> None:
    checks = checker()
    checks.bounded = [("_registry._pool", range(3), 3), ("_registry", range(5), 4)]
    with pytest.raises(LawBroken, match=r"registry holds 5, and 4 are allowed"):
        checks.after_event()
    checks.after_event()  # the turn of the other one, which is full and no more


def test_a_deadline_that_is_never_done_with_breaks_a_law() -> None:
    checks = checker()
    for _ in range(MAX_SPINS):
        checks.after_timer(2.0)
    with pytest.raises(LawBroken, match="again and again"):
        checks.after_timer(2.0)
    checks.after_timer(2.1)
    assert checks.spins == 0
