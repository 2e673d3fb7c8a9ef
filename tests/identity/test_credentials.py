"""Credentials: a channel key, a chain and a record that belong together."""

from __future__ import annotations

import random

import pytest

from gossipmesh import wire
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.bundle import TrustStore, new_bundle, successor
from gossipmesh.identity.chain import join_chain, verify_chain_untrusted
from gossipmesh.identity.credentials import (
    FEATURES,
    MAX_CREDENTIALS,
    WHOLE_MESSAGES,
    encode_credentials,
    verify_credentials_untrusted,
)
from gossipmesh.identity.grants import Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import MemberRecord, sign_record
from gossipmesh.identity.token import new_token
from gossipmesh.model import Address

NOW = 1_000_000
ROOT = NodeKey.from_seed(b"r" * 32)
NODE = NodeKey.from_seed(b"n" * 32)
OTHER = NodeKey.from_seed(b"o" * 32)
BUNDLE = new_bundle([ROOT.id], default_allow=True)
TRUST = TrustStore(BUNDLE)
TOKEN = new_token(BUNDLE, ROOT.seed, Caveats(NOW, 2 * NOW), random.Random(7).randbytes)
CHAIN = join_chain(TOKEN, NODE.seed, "node")
DH = b"d" * 32


def record(key: NodeKey = NODE) -> MemberRecord:
    return sign_record(
        seed=key.seed,
        mesh_id=TRUST.mesh_id,
        boot=1,
        incarnation=0,
        name="node",
        addresses=[Address("192.0.2.7", 7946)],
        dh_key=DH,
        dh_generation=0,
        chain_hash=verify_chain_untrusted(CHAIN, TRUST, wall=NOW).hash,
        issued_at=NOW,
    )


def payload(n: int = 0, chain: bytes = CHAIN, of: MemberRecord | None = None, *, clock: float = NOW) -> bytes:
    return encode_credentials(n, chain, (of or record()).signed.raw, wall=clock)


def refused(data: bytes, *, static: bytes = DH, trust: TrustStore = TRUST, wall: float = NOW) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        verify_credentials_untrusted(data, static, trust, wall=wall)
    return caught.value.code


def test_what_a_node_shows_proves_who_it_is() -> None:
    peer = verify_credentials_untrusted(payload(3), DH, TRUST, wall=NOW)
    assert (peer.id, peer.bundle_n) == (NODE.id, 3)
    assert peer.chain == verify_chain_untrusted(CHAIN, TRUST, wall=NOW)
    assert peer.record == record()


def elements(*more: int | bytes) -> bytes:
    """Give credentials as an earlier release made them, and then ``more``."""
    return wire.pack([0, CHAIN, record().signed.raw, NOW, *more])


def test_a_node_says_what_its_release_can_do() -> None:
    assert FEATURES & WHOLE_MESSAGES
    assert verify_credentials_untrusted(payload(), DH, TRUST, wall=NOW).features == FEATURES
    assert payload() == elements(FEATURES)


def test_a_release_that_says_nothing_can_do_nothing_more() -> None:
    assert verify_credentials_untrusted(elements(), DH, TRUST, wall=NOW).features == 0


def test_what_a_later_release_can_do_or_appends_is_no_error() -> None:
    later = verify_credentials_untrusted(elements(2**31 | FEATURES, b"new", 7), DH, TRUST, wall=NOW)
    assert later.features & WHOLE_MESSAGES
    assert later.id == NODE.id


def test_an_earlier_release_reads_the_four_elements_that_it_knows() -> None:
    fields = wire.Fields(wire.unpack_untrusted(payload(3), code="old", max_bytes=MAX_CREDENTIALS), code="old")
    assert fields.integer() == 3
    assert fields.binary(1, MAX_CREDENTIALS) == CHAIN
    assert fields.binary(1, MAX_CREDENTIALS) == record().signed.raw
    assert fields.integer() == NOW
    assert fields.left == 1


def test_features_are_a_number() -> None:
    for wrong in (b"1", 2**32):
        assert refused(elements(wrong)) == "credentials.malformed"


def test_another_channel_key_than_the_records_is_refused() -> None:
    assert refused(payload(), static=b"x" * 32) == "credentials.dh"
    assert refused(payload(), static=b"") == "credentials.dh"


def test_a_chain_or_record_of_somebody_else_is_refused() -> None:
    assert refused(payload(of=record(OTHER))) == "record.chain"
    assert refused(payload(chain=join_chain(TOKEN, OTHER.seed, "node"))) == "record.chain"


def test_an_expired_chain_and_an_expired_record_are_refused() -> None:
    assert refused(payload(clock=3 * NOW), wall=3 * NOW) == "chain.expired"
    later = NOW + 2 * 86_400
    assert refused(payload(clock=later), wall=later) == "record.expired"


def test_clocks_that_are_far_apart_are_named_before_what_they_would_spoil() -> None:
    for clock in (NOW - 121, NOW + 121, 3 * NOW, 0):
        assert refused(payload(clock=clock)) == "credentials.clock"
    for clock in (NOW - 120, NOW + 120):
        assert verify_credentials_untrusted(payload(clock=clock), DH, TRUST, wall=NOW).id == NODE.id
    with pytest.raises(RemoteProtocolError, match="behind the peer's"):
        verify_credentials_untrusted(payload(clock=NOW + 3600), DH, TRUST, wall=NOW)


def test_roots_that_moved_on_are_told_from_another_mesh() -> None:
    moved = TrustStore(BUNDLE, [successor(BUNDLE, [OTHER.id], ROOT.seed).raw])
    other_mesh = TrustStore(new_bundle([OTHER.id], default_allow=True))
    assert refused(payload(0), trust=moved) == "credentials.bundle"
    assert refused(payload(0), trust=other_mesh) == "chain.root"


def test_what_is_too_long_is_malformed_before_anything_is_verified() -> None:
    assert refused(bytes(MAX_CREDENTIALS + 1)) == "credentials.malformed"
    assert refused(payload(2**32)) == "credentials.malformed"


def test_every_truncation_is_refused_and_no_bit_flip_proves_anything_else() -> None:
    data = payload()
    for size in range(len(data)):
        assert refused(data[:size]) == "credentials.malformed"
    proved = verify_credentials_untrusted(data, DH, TRUST, wall=NOW)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            peer = verify_credentials_untrusted(bytes(flipped), DH, TRUST, wall=NOW)
        except RemoteProtocolError:
            continue
        # Bundle number, clock and features are outside every signature; the handshake that carries them is
        # authenticated.
        assert (peer.id, peer.chain, peer.record) == (proved.id, proved.chain, proved.record)
        assert bit // 8 == 1 or bit // 8 >= len(data) - 5
