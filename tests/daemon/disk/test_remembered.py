"""Whom a node remembers: the living, the dead as they last were, and never nobody where there was somebody."""

from __future__ import annotations

from gossipmesh.daemon.disk.remembered import MAX_REMEMBERED, Remembered
from gossipmesh.daemon.disk.state import MAX_PEERS
from gossipmesh.identity.record import RECORD_LIFETIME_S
from gossipmesh.model import MemberState
from gossipmesh.registry.sync import ChainLearned, RecordLearned
from gossipmesh.sim.world import World


def mesh(size: int) -> World:
    world = World(11)
    for number in range(size):
        world.add(f"n{number}", seeds=["n0"] if number else [])
    world.run_until(world.complete, within=10)
    return world


def test_what_is_kept_is_chains_and_records_in_turn_and_comes_back_as_such() -> None:
    world = mesh(3)
    kept = Remembered(()).update(world.nodes["n0"].running)
    assert len(kept) == 4
    again = Remembered(kept)
    assert [type(each) for each in again.learned] == [ChainLearned, RecordLearned] * 2
    assert set(again.addresses) == {world.nodes["n1"].address, world.nodes["n2"].address}


def test_an_outage_makes_nobody_forgotten() -> None:
    world = mesh(3)
    remembered = Remembered(())
    remembered.update(world.nodes["n0"].running)
    world.crash("n1")
    world.crash("n2")
    world.run_until(lambda: world.everyone_believes("n1", MemberState.DEAD), within=60)
    world.run_until(lambda: world.everyone_believes("n2", MemberState.DEAD), within=60)
    kept = remembered.update(world.nodes["n0"].running)
    assert set(Remembered(kept).addresses) == {world.nodes["n1"].address, world.nodes["n2"].address}


def test_whoever_left_is_let_go() -> None:
    world = mesh(3)
    remembered = Remembered(())
    remembered.update(world.nodes["n0"].running)
    world.leave("n1")
    world.run_until(lambda: world.everyone_believes("n1", MemberState.LEFT), within=10)
    kept = remembered.update(world.nodes["n0"].running)
    assert Remembered(kept).addresses == (world.nodes["n2"].address,)


def test_a_record_that_proves_nothing_any_more_still_gives_an_address_back_into_the_mesh() -> None:
    world = mesh(2)
    kept = Remembered(()).update(world.nodes["n1"].running)
    world.crash("n0")
    world.crash("n1")
    world.run(RECORD_LIFETIME_S + 3_600)
    node = world.nodes["n1"]
    node.known, node.seeds = kept, Remembered(kept).addresses
    world.start("n0")
    world.start("n1")
    world.run_until(world.complete, within=10)


def test_junk_is_left_out() -> None:
    world = mesh(2)
    chain, record = Remembered(()).update(world.nodes["n0"].running)
    assert Remembered((b"x", b"junk", chain, record, chain)).addresses == (world.nodes["n1"].address,)


def test_what_is_remembered_fits_the_file_that_keeps_it() -> None:
    assert 2 * MAX_REMEMBERED <= MAX_PEERS
