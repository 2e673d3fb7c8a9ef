"""Trust bundles: the path from the first rises by one, and only by a root's word."""

from __future__ import annotations

import attrs
import pytest

from gossipmesh import wire
from gossipmesh.errors import ConfigError, RemoteProtocolError, TrustError
from gossipmesh.identity.bundle import (
    BUNDLE_LABEL,
    MAX_PATH,
    TrustBundle,
    TrustStore,
    decode_bundle_untrusted,
    new_bundle,
    successor,
)
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.signed import seal

ROOT = NodeKey.from_seed(b"r" * 32)
NEXT = NodeKey.from_seed(b"n" * 32)
STRANGER = NodeKey.from_seed(b"s" * 32)
FIRST = new_bundle([ROOT.id], default_allow=True)
SECOND = successor(FIRST, [ROOT.id, NEXT.id], ROOT.seed)


def refused(store: TrustStore, raw: bytes) -> str:
    """Offer ``raw``, which must be refused and change nothing; give the code."""
    before = store.path
    with pytest.raises(RemoteProtocolError) as caught:
        store.offer_successor_untrusted(raw)
    assert store.path == before
    return caught.value.code


def test_the_mesh_id_is_the_hash_of_the_first_bundle_and_commits_to_the_default() -> None:
    store = TrustStore(FIRST)
    assert store.mesh_id == FIRST.hash
    assert len(store.mesh_id) == 32
    assert store.default_allow
    assert new_bundle([ROOT.id], default_allow=False).hash != FIRST.hash
    assert not TrustStore(new_bundle([ROOT.id], default_allow=False)).default_allow


def test_a_bundle_decodes_to_itself() -> None:
    assert decode_bundle_untrusted(FIRST.raw) == FIRST
    assert decode_bundle_untrusted(SECOND.raw) == SECOND


def test_a_successor_signed_by_a_root_replaces_the_roots_and_keeps_the_mesh_id() -> None:
    store = TrustStore(FIRST)
    assert store.offer_successor_untrusted(SECOND.raw)
    assert (store.n, store.roots, store.mesh_id) == (1, (ROOT.id, NEXT.id), FIRST.hash)
    third = successor(SECOND, [NEXT.id], NEXT.seed, mesh_id=store.mesh_id)
    assert store.offer_successor_untrusted(third.raw)
    assert store.roots == (NEXT.id,)
    assert store.path == (FIRST, SECOND, third)


def test_what_is_known_is_no_news() -> None:
    store = TrustStore(FIRST, [SECOND.raw])
    assert not store.offer_successor_untrusted(SECOND.raw)
    assert not store.offer_successor_untrusted(FIRST.raw)


def test_one_bundle_signed_by_another_root_of_the_same_is_no_conflict() -> None:
    store = TrustStore(FIRST, [SECOND.raw])
    third = successor(SECOND, [NEXT.id], ROOT.seed, mesh_id=store.mesh_id)
    again = successor(SECOND, [NEXT.id], NEXT.seed, mesh_id=store.mesh_id)
    assert third.raw != again.raw
    assert store.offer_successor_untrusted(third.raw)
    assert not store.offer_successor_untrusted(again.raw)
    assert store.latest == third


def test_a_second_bundle_with_one_number_is_reported_and_ours_kept() -> None:
    store = TrustStore(FIRST, [SECOND.raw])
    other = successor(FIRST, [STRANGER.id], ROOT.seed)
    assert refused(store, other.raw) == "bundle.conflict"
    assert store.latest == SECOND


def test_a_conflict_needs_a_roots_signature_so_that_no_stranger_raises_the_alarm() -> None:
    store = TrustStore(FIRST, [SECOND.raw])
    forged = seal(BUNDLE_LABEL, store.mesh_id, wire.pack([1, 1, [STRANGER.id], FIRST.hash, 1]), STRANGER.seed)
    assert refused(store, forged.raw) == "bundle.signature"


def test_a_gap_a_wrong_link_a_strangers_signature_and_another_mesh_are_refused() -> None:
    store = TrustStore(FIRST)
    third = successor(SECOND, [NEXT.id], ROOT.seed, mesh_id=FIRST.hash)
    other_mesh = new_bundle([ROOT.id], default_allow=False)
    unlinked = seal(BUNDLE_LABEL, store.mesh_id, wire.pack([1, 1, [NEXT.id], bytes(32), 1]), ROOT.seed)
    forged = seal(BUNDLE_LABEL, store.mesh_id, wire.pack([1, 1, [NEXT.id], FIRST.hash, 1]), NEXT.seed)
    other_default = seal(BUNDLE_LABEL, store.mesh_id, wire.pack([1, 1, [NEXT.id], FIRST.hash, 0]), ROOT.seed)
    assert refused(store, third.raw) == "bundle.gap"
    assert refused(store, other_mesh.raw) == "bundle.mesh"
    assert refused(store, unlinked.raw) == "bundle.link"
    assert refused(store, forged.raw) == "bundle.signature"
    assert refused(store, other_default.raw) == "bundle.mesh"


def test_a_store_begins_with_a_first_bundle() -> None:
    with pytest.raises(TrustError) as caught:
        TrustStore(SECOND)
    assert caught.value.code == "bundle.mesh"


def test_every_bit_flip_and_truncation_of_a_successor_is_refused() -> None:
    store = TrustStore(FIRST)
    raw = SECOND.raw
    for size in range(len(raw)):
        refused(store, raw[:size])
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        refused(store, bytes(flipped))


def test_every_bit_flip_of_the_first_bundle_is_another_mesh_or_nothing() -> None:
    for bit in range(len(FIRST.raw) * 8):
        flipped = bytearray(FIRST.raw)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            other = decode_bundle_untrusted(bytes(flipped))
        except RemoteProtocolError as error:
            assert error.code == "bundle.malformed"
        else:
            assert other.hash != FIRST.hash


def test_the_path_stays_within_16_kib() -> None:
    store = TrustStore(FIRST)
    newest: TrustBundle = FIRST
    for _ in range(MAX_PATH // 100):
        newest = successor(newest, [ROOT.id], ROOT.seed, mesh_id=store.mesh_id)
        try:
            store.offer_successor_untrusted(newest.raw)
        except TrustError as error:
            assert error.code == "bundle.too-many"
            break
    else:
        pytest.fail("the path grew without end")
    assert store.n >= 70
    assert sum(len(bundle.raw) for bundle in store.path) <= MAX_PATH


def test_a_bundle_needs_one_to_four_different_roots_and_its_own_roots_secret() -> None:
    five = [NodeKey.from_seed(bytes([i]) * 32).id for i in range(5)]
    for roots in ([], five, [ROOT.id, ROOT.id], [b"short"]):
        with pytest.raises(ConfigError, match="1 to 4 different roots"):
            new_bundle(roots, default_allow=True)
    with pytest.raises(ConfigError):
        successor(FIRST, [NEXT.id], STRANGER.seed)
    with pytest.raises(ConfigError):
        successor(SECOND, [NEXT.id], ROOT.seed)


def test_what_a_newer_release_appends_is_kept() -> None:
    body = wire.pack([1, 0, [ROOT.id], bytes(32), 1, 7])
    raw = wire.pack([body, b""])
    assert decode_bundle_untrusted(raw).raw == raw
    assert attrs.evolve(FIRST, signed=decode_bundle_untrusted(raw).signed).hash != FIRST.hash
