"""The cryptography of a simulation: shared answers are the real ones, and nothing forged gets one."""

from __future__ import annotations

import random

import pytest
from attrs import evolve

from gossipmesh import crypto
from gossipmesh.channel.datagram import derive_pair_keys
from gossipmesh.errors import ConfigError, RemoteProtocolError, TrustError
from gossipmesh.identity.accusation import ACCUSATION_LIFETIME_S, Accusation, sign_accusation
from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.record import RECORD_LIFETIME_S, MemberRecord
from gossipmesh.identity.signed import SKEW_S
from gossipmesh.sim.crypto import MAX_REMEMBERED, Port, _Memory, port
from gossipmesh.sim.world import World

DAY = 86_400


@pytest.fixture
def world() -> World:
    world = World(1, ttl_s=DAY)
    world.add("a")
    return world


@pytest.fixture
def shared() -> Port:
    return port("shared")


def shown(world: World) -> tuple[VerifiedChain, MemberRecord]:
    mesh = world.nodes["a"].running
    return mesh.chain, mesh.own


def accusation(world: World) -> Accusation:
    return sign_accusation(
        seed=world.nodes["a"].key.seed,
        mesh_id=world.trust.mesh_id,
        subject=world.token.blocks[0].key,
        boot=1,
        incarnation=0,
        issued_at=int(world.wall),
    )


def flips(raw: bytes, *, seed: int = 1) -> list[bytes]:
    rng = random.Random(seed)
    found = []
    for place in range(len(raw)):
        bad = bytearray(raw)
        bad[place] ^= 1 << rng.randrange(8)
        found.append(bytes(bad))
    return found


def test_there_are_two_kinds_and_no_third() -> None:
    assert port("real") == Port()
    with pytest.raises(ConfigError, match="'fast' is no cryptography of a simulation: shared or real"):
        port("fast")


def test_an_answer_is_the_real_one_and_the_same_object_for_everybody(world: World, shared: Port) -> None:
    chain, record = shown(world)
    checks = shared.checks
    decoded = checks.decode_record(record.signed.raw)
    assert decoded == record
    assert checks.decode_record(bytes(bytearray(record.signed.raw))) is decoded
    proved = checks.verify_record(decoded, chain, world.trust.mesh_id, wall=world.wall)
    again = evolve(decoded)
    assert checks.verify_record(again, chain, world.trust.mesh_id, wall=world.wall) is proved
    verified = checks.verify_chain(chain.raw, world.trust, wall=world.wall)
    assert verified == chain
    assert checks.verify_chain(bytes(bytearray(chain.raw)), world.trust, wall=world.wall) is verified


def test_no_change_of_one_byte_profits_from_what_was_verified(world: World, shared: Port) -> None:
    chain, record = shown(world)
    checks, accused = shared.checks, accusation(world)
    checks.verify_chain(chain.raw, world.trust, wall=world.wall)
    checks.verify_record(record, chain, world.trust.mesh_id, wall=world.wall)
    claim = checks.decode_accusation(accused.signed.raw)
    checks.verify_accusation(claim, world.trust.mesh_id, wall=world.wall)
    for bad in flips(record.signed.raw):
        with pytest.raises(RemoteProtocolError):
            checks.verify_record(checks.decode_record(bad), chain, world.trust.mesh_id, wall=world.wall)
    for bad in flips(chain.raw):
        with pytest.raises(RemoteProtocolError):
            checks.verify_chain(bad, world.trust, wall=world.wall)
    for bad in flips(accused.signed.raw):
        with pytest.raises(RemoteProtocolError):
            checks.verify_accusation(checks.decode_accusation(bad), world.trust.mesh_id, wall=world.wall)


def test_what_was_verified_in_one_mesh_is_worth_nothing_in_another(world: World, shared: Port) -> None:
    chain, record = shown(world)
    checks, other = shared.checks, World(2).trust
    checks.verify_chain(chain.raw, world.trust, wall=world.wall)
    checks.verify_record(record, chain, world.trust.mesh_id, wall=world.wall)
    checks.verify_accusation(accusation(world), world.trust.mesh_id, wall=world.wall)
    with pytest.raises(TrustError):
        checks.verify_chain(chain.raw, other, wall=world.wall)
    with pytest.raises(TrustError):
        checks.verify_record(record, chain, other.mesh_id, wall=world.wall)
    with pytest.raises(TrustError):
        checks.verify_accusation(accusation(world), other.mesh_id, wall=world.wall)


def test_what_was_verified_still_expires_and_still_has_to_begin(world: World, shared: Port) -> None:
    chain, record = shown(world)
    checks, accused, now = shared.checks, accusation(world), world.wall
    checks.verify_chain(chain.raw, world.trust, wall=now)
    checks.verify_record(record, chain, world.trust.mesh_id, wall=now)
    checks.verify_accusation(accused, world.trust.mesh_id, wall=now)
    for wall in (now - DAY, now + DAY + SKEW_S + 1):
        with pytest.raises(TrustError, match=r"expired|begins"):
            checks.verify_chain(chain.raw, world.trust, wall=wall)
    for wall in (now - SKEW_S - 2, now + RECORD_LIFETIME_S + SKEW_S + 1):
        with pytest.raises(TrustError, match=r"future|no longer valid"):
            checks.verify_record(record, chain, world.trust.mesh_id, wall=wall)
    for wall in (now - SKEW_S - 2, now + ACCUSATION_LIFETIME_S + SKEW_S + 1):
        with pytest.raises(TrustError, match=r"future|older"):
            checks.verify_accusation(accused, world.trust.mesh_id, wall=wall)


def test_both_ends_agree_on_keys_that_no_other_pair_has(world: World) -> None:
    (one, other) = (bytes([n]) * 32 for n in (1, 2))
    ids = world.nodes["a"].key.id, world.token.blocks[0].key
    for pair_keys in (port("shared").pair_keys, derive_pair_keys):
        mesh = {"mesh_id": world.trust.mesh_id}
        ours = pair_keys(one, crypto.dh_public(other), own_id=ids[0], peer_id=ids[1], **mesh)
        theirs = pair_keys(other, crypto.dh_public(one), own_id=ids[1], peer_id=ids[0], **mesh)
        assert (ours.sealing, ours.opening) == (theirs.opening, theirs.sealing)
        third = pair_keys(bytes([3]) * 32, crypto.dh_public(other), own_id=ids[0], peer_id=ids[1], **mesh)
        assert {third.sealing, third.opening}.isdisjoint({ours.sealing, ours.opening})


def test_answers_are_bounded_and_the_oldest_goes_first() -> None:
    memory: _Memory[int, int] = _Memory()
    for number in range(MAX_REMEMBERED + 2):
        memory.keep(number, number)
    assert len(memory) == MAX_REMEMBERED
    assert next(iter(memory)) == 2


def run(seed: int, kind: str) -> object:
    world = World(seed, crypto=kind, loss=0.1)
    world.add("n0")
    for number in range(1, 6):
        world.add(f"n{number}", seeds=["n0"])
    world.run(10)
    world.crash("n3")
    world.run(20)
    world.bounce("n4", down_s=2, lost_state=True)
    world.start("n3")
    world.run(30)
    return {
        node.name: (list(node.changes), node.sent, node.exchanges, dict(node.refused))
        for node in world.nodes.values()
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_shared_and_real_give_the_same_beliefs_and_the_same_traffic(seed: int) -> None:
    assert run(seed, "shared") == run(seed, "real")
