"""Datagrams between two keyrings, through restarts and rotations; and what strangers get."""

from __future__ import annotations

import random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.channel.datagram import HINT_BYTES, Hint, encode_hint, sender_tag
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import MemberRecord, sign_record
from gossipmesh.mesh.secrecy import (
    HINT_GAP_S,
    KEPT_AFTER_S,
    MAX_HINTED,
    PUBLISHED_BEFORE_USE_S,
    ROTATION_JITTER,
    ROTATION_S,
    Secrecy,
)
from gossipmesh.model import Address

MESH = b"m" * 32
ALICE = NodeKey.from_seed(b"a" * 32)
BOB = NodeKey.from_seed(b"b" * 32)
AT = Address("192.0.2.9", 7946)


def keyring(key: NodeKey, *, seed: int = 0, generation: int = 1) -> Secrecy:
    rng = random.Random(seed * 1000 + key.id[0])
    return Secrecy(id=key.id, mesh_id=MESH, generation=generation, entropy=rng.randbytes, rng=rng, now=0.0)


def record_of(key: NodeKey, ring: Secrecy, boot: int = 1) -> MemberRecord:
    return sign_record(
        seed=key.seed,
        mesh_id=MESH,
        boot=boot,
        incarnation=0,
        name="n",
        addresses=[AT],
        dh_key=ring.public,
        dh_generation=ring.generation,
        chain_hash=bytes(16),
        issued_at=0,
    )


def pair() -> tuple[Secrecy, Secrecy]:
    alice, bob = keyring(ALICE), keyring(BOB)
    alice.learn(record_of(BOB, bob))
    bob.learn(record_of(ALICE, alice))
    return alice, bob


def code_of(ring: Secrecy, datagram: bytes) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        ring.open_untrusted(datagram)
    return caught.value.code


def test_what_one_seals_the_other_opens_once() -> None:
    alice, bob = pair()
    datagram = alice.seal(BOB.id, b"hello")
    assert bob.open_untrusted(datagram) == (ALICE.id, b"hello")
    assert code_of(bob, datagram) == "datagram.replay"
    assert alice.open_untrusted(bob.seal(ALICE.id, b"there")) == (BOB.id, b"there")


def test_at_a_glance_a_members_datagram_and_hint_are_told_from_junk() -> None:
    alice, bob = pair()
    datagram = alice.seal(BOB.id, b"hello")
    assert bob.knows_sender(datagram)
    hint = alice.hint_for(bob.seal(ALICE.id, b"x"), AT, now=0.0)
    assert hint is not None
    assert bob.knows_sender(hint)
    for junk in (b"", datagram[:4], bytes(1_200), datagram[:4] + bytes(40)):
        assert not bob.knows_sender(junk)
    bob.forget(ALICE.id)
    assert not bob.knows_sender(datagram)


def test_nothing_is_sealed_to_a_stranger() -> None:
    with pytest.raises(LocalProtocolError):
        keyring(ALICE).seal(BOB.id, b"hello")


def test_a_stranger_and_a_forgotten_peer_cost_no_key() -> None:
    alice, bob = pair()
    datagram = alice.seal(BOB.id, b"hello")
    assert code_of(keyring(BOB), datagram) == "datagram.stranger"
    bob.forget(ALICE.id)
    bob.forget(ALICE.id)
    assert code_of(bob, datagram) == "datagram.stranger"


def test_every_bit_flip_and_truncation_of_a_datagram_is_refused() -> None:
    alice, bob = pair()
    datagram = alice.seal(BOB.id, b"hello")
    for bit in range(8 * len(datagram)):
        bad = bytearray(datagram)
        bad[bit // 8] ^= 1 << bit % 8
        assert code_of(bob, bytes(bad)).startswith("datagram.")
    for size in range(len(datagram)):
        assert code_of(bob, datagram[:size]).startswith("datagram.")
    assert bob.open_untrusted(datagram) == (ALICE.id, b"hello")


@given(st.binary(max_size=1500))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    _, bob = pair()
    assert code_of(bob, data).startswith("datagram.")


def test_what_was_recorded_before_a_receivers_restart_opens_nothing() -> None:
    alice, _ = pair()
    datagram = alice.seal(BOB.id, b"hello")
    # The next start may even use the same generation number: it is another key.
    for generation in (1, 2):
        again = keyring(BOB, seed=1, generation=generation)
        again.learn(record_of(ALICE, alice))
        assert code_of(again, datagram) in {"datagram.forged", "datagram.stranger"}


def test_after_a_senders_restart_its_last_datagrams_still_open_and_no_replay_does() -> None:
    alice, bob = pair()
    opened, late = alice.seal(BOB.id, b"opened"), alice.seal(BOB.id, b"late")
    bob.open_untrusted(opened)
    again = keyring(ALICE, seed=1)
    again.learn(record_of(BOB, bob))
    bob.learn(record_of(ALICE, again, boot=2))
    assert bob.open_untrusted(again.seal(BOB.id, b"new")) == (ALICE.id, b"new")
    assert bob.open_untrusted(late) == (ALICE.id, b"late")
    assert code_of(bob, opened) in {"datagram.replay", "datagram.forged"}


def test_learning_the_same_key_again_opens_no_replay() -> None:
    alice, bob = pair()
    datagram = alice.seal(BOB.id, b"hello")
    bob.open_untrusted(datagram)
    bob.learn(record_of(ALICE, alice, boot=2))
    assert code_of(bob, datagram) == "datagram.replay"


def rotate(ring: Secrecy) -> float:
    """Let time pass until the next key is published; give when."""
    now = 0.0
    while not ring.handle_timer(now=now):
        now += 600
    return now


def test_a_key_is_replaced_once_a_day_give_or_take_a_fifth() -> None:
    alice = keyring(ALICE)
    before = alice.public
    at = rotate(alice)
    assert (1 - ROTATION_JITTER) * ROTATION_S <= at <= (1 + ROTATION_JITTER) * ROTATION_S + 600
    assert alice.public != before
    assert alice.generation == 2


def test_a_rotation_loses_no_datagram() -> None:
    alice, bob = pair()
    slow = bob.seal(ALICE.id, b"sent before")
    at = rotate(alice)
    # Published and not yet used: who has not heard of it still reads us.
    assert bob.open_untrusted(alice.seal(BOB.id, b"1")) == (ALICE.id, b"1")
    bob.learn(record_of(ALICE, alice, boot=2))
    assert bob.open_untrusted(alice.seal(BOB.id, b"2")) == (ALICE.id, b"2")
    assert alice.open_untrusted(bob.seal(ALICE.id, b"3")) == (BOB.id, b"3")
    at += PUBLISHED_BEFORE_USE_S
    assert not alice.handle_timer(now=at)
    assert bob.open_untrusted(alice.seal(BOB.id, b"4")) == (ALICE.id, b"4")
    assert alice.open_untrusted(slow) == (BOB.id, b"sent before")


def test_the_key_before_dies_ten_minutes_after_its_last_use() -> None:
    alice, bob = pair()
    late = bob.seal(ALICE.id, b"late")
    at = rotate(alice) + PUBLISHED_BEFORE_USE_S
    alice.handle_timer(now=at)
    alice.handle_timer(now=at + KEPT_AFTER_S - 1)
    later = bob.seal(ALICE.id, b"just in time")
    assert alice.open_untrusted(later) == (BOB.id, b"just in time")
    alice.handle_timer(now=at + KEPT_AFTER_S)
    assert code_of(alice, late) == "datagram.stranger"


def test_generations_wrap_around() -> None:
    alice = keyring(ALICE, generation=255)
    rotate(alice)
    assert alice.generation == 0
    assert keyring(ALICE, generation=2**32 - 1).generation == 255


def test_a_peer_with_a_key_of_low_order_is_an_error_of_its_own() -> None:
    alice = keyring(ALICE)
    alice.learn(evolve(record_of(BOB, keyring(BOB)), dh_key=bytes(32)))
    with pytest.raises(RemoteProtocolError) as caught:
        alice.seal(BOB.id, b"hello")
    assert caught.value.code == "crypto.dh"


# Hints.


def test_a_hint_is_shorter_than_what_it_answers_and_names_both() -> None:
    alice, _ = pair()
    stranger = keyring(BOB)
    datagram = alice.seal(BOB.id, b"")
    hint = stranger.hint_for(datagram, AT, now=0.0)
    assert hint is not None
    assert len(hint) == HINT_BYTES < len(datagram)
    assert alice.hinting_peers(hint) == (BOB.id,)
    assert keyring(ALICE).hinting_peers(hint) == ()
    assert stranger.hinting_peers(hint) == ()


def test_one_source_gets_a_hint_a_second_and_another_its_own() -> None:
    alice, bob = pair()
    datagram = alice.seal(BOB.id, b"hello")
    other = Address("192.0.2.10", 7946)
    times = [0.0, 0.1, HINT_GAP_S - 0.01, HINT_GAP_S, HINT_GAP_S + 0.5, 2 * HINT_GAP_S]
    assert [bob.hint_for(datagram, AT, now=now) is not None for now in times] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]
    assert bob.hint_for(datagram, other, now=times[-1]) is not None


def test_a_hint_is_never_answered_and_nor_is_our_own_echo() -> None:
    alice, bob = pair()
    hint = encode_hint(Hint(sender_tag(ALICE.id), sender_tag(BOB.id)))
    assert bob.hint_for(hint, AT, now=0.0) is None
    assert alice.hint_for(alice.seal(BOB.id, b"hello"), AT, now=0.0) is None


def test_a_flood_from_made_up_sources_gets_a_bounded_number_of_hints() -> None:
    alice, bob = pair()
    datagram = alice.seal(BOB.id, b"hello")
    sources = [Address(f"10.{i >> 8}.{i & 255}.1", 1) for i in range(2 * MAX_HINTED)]
    hints = [bob.hint_for(datagram, source, now=0.0) for source in sources]
    assert sum(hint is not None for hint in hints) == MAX_HINTED
    assert bob.hint_for(datagram, AT, now=HINT_GAP_S) is not None


def test_two_peers_are_told_apart() -> None:
    alice, bob = pair()
    carol_key = NodeKey.from_seed(b"c" * 32)
    carol = keyring(carol_key)
    carol.learn(record_of(BOB, bob))
    bob.learn(record_of(carol_key, carol))
    assert bob.open_untrusted(carol.seal(BOB.id, b"c")) == (carol_key.id, b"c")
    assert bob.open_untrusted(alice.seal(BOB.id, b"a")) == (ALICE.id, b"a")
