"""Credentials: a channel key, a chain and a record that belong together."""

from __future__ import annotations

import random

import pytest

from gossipmesh import crypto, wire
from gossipmesh.errors import RemoteProtocolError, TrustError
from gossipmesh.identity.bundle import TrustStore, new_bundle, successor
from gossipmesh.identity.chain import MAX_CHAIN, VerifiedChain, chain_hash, join_chain, verify_chain_untrusted
from gossipmesh.identity.checks import Checks
from gossipmesh.identity.credentials import (
    AES_RECORDS,
    FEATURES,
    MAX_CREDENTIALS,
    WHOLE_MESSAGES,
    decode_hello_untrusted,
    encode_credentials,
    encode_hello,
    verify_credentials_untrusted,
)
from gossipmesh.identity.grants import Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import MAX_RECORD, MemberRecord, sign_record
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


def no_chain(raw: bytes, trust: TrustStore, *, wall: float) -> VerifiedChain:
    raise TrustError("chain.expired", "not one of them")


NO_CHAIN_IS_GOOD = Checks(verify_chain=no_chain)


def chain_under(root: NodeKey, newer: TrustStore) -> bytes:
    """Give the node's chain, hung on a newer root."""
    caveats = Caveats(NOW, 2 * NOW)
    token = new_token(BUNDLE, root.seed, caveats, random.Random(8).randbytes, successors=newer.path[1:])
    return join_chain(token, NODE.seed, "node")


def record(key: NodeKey = NODE, *, chain: bytes = CHAIN) -> MemberRecord:
    return sign_record(
        seed=key.seed,
        mesh_id=TRUST.mesh_id,
        boot=1,
        incarnation=0,
        name="node",
        addresses=[Address("192.0.2.7", 7946)],
        dh_key=DH,
        dh_generation=0,
        chain_hash=chain_hash(chain),
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


def test_a_peer_of_release_0_1_is_shown_what_it_has_room_for_and_no_more() -> None:
    raw = record().signed.raw
    shown = encode_credentials(3, CHAIN, raw, wall=NOW, newest=None, lacking=[bytes(500)])
    assert shown == wire.pack([3, CHAIN, raw, NOW, FEATURES])
    assert len(encode_credentials(2**32, bytes(MAX_CHAIN), bytes(MAX_RECORD), wall=NOW, newest=None)) <= (
        MAX_CHAIN + MAX_RECORD + 32
    )


def elements(*more: wire.Value) -> bytes:
    """Give credentials as an earlier release made them, and then ``more``."""
    return wire.pack([0, CHAIN, record().signed.raw, NOW, *more])


def test_a_node_says_what_its_release_can_do() -> None:
    assert FEATURES & WHOLE_MESSAGES
    assert bool(FEATURES & AES_RECORDS) is crypto.HAS_AES
    assert verify_credentials_untrusted(payload(), DH, TRUST, wall=NOW).features == FEATURES
    assert payload() == elements(FEATURES, b"", [])


def test_a_release_that_says_nothing_can_do_nothing_more() -> None:
    assert verify_credentials_untrusted(elements(), DH, TRUST, wall=NOW).features == 0


def test_what_a_later_release_can_do_or_appends_is_no_error() -> None:
    later = verify_credentials_untrusted(
        elements(2**31 | FEATURES, b"hash", [], b"new", 7), DH, TRUST, wall=NOW
    )
    assert later.features & WHOLE_MESSAGES
    assert later.id == NODE.id


def test_an_earlier_release_reads_the_four_elements_that_it_knows() -> None:
    fields = wire.Fields(wire.unpack_untrusted(payload(3), code="old", max_bytes=MAX_CREDENTIALS), code="old")
    assert fields.integer() == 3
    assert fields.binary(1, MAX_CREDENTIALS) == CHAIN
    assert fields.binary(1, MAX_CREDENTIALS) == record().signed.raw
    assert fields.integer() == NOW
    assert fields.left == 3


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
        peer = verify_credentials_untrusted(payload(clock=clock), DH, TRUST, wall=NOW)
        assert (peer.id, peer.clock_s) == (NODE.id, NOW - clock)
    with pytest.raises(RemoteProtocolError, match="behind the peer's"):
        verify_credentials_untrusted(payload(clock=NOW + 3600), DH, TRUST, wall=NOW)


def test_roots_that_moved_on_are_told_from_another_mesh() -> None:
    moved = TrustStore(BUNDLE, [successor(BUNDLE, [OTHER.id], ROOT.seed).raw])
    other_mesh = TrustStore(new_bundle([OTHER.id], default_allow=True))
    assert refused(payload(0), trust=moved) == "credentials.bundle"
    assert refused(payload(0), trust=other_mesh) == "chain.root"


def rotated(times: int) -> TrustStore:
    """Give a mesh whose root was replaced that often, each time by one more key of the same signer."""
    trust = TrustStore(BUNDLE)
    for n in range(times):
        roots = [ROOT.id, NodeKey.from_seed(bytes([n]) * 32).id]
        trust.offer_successor_untrusted(successor(trust.latest, roots, ROOT.seed, mesh_id=trust.mesh_id).raw)
    return trust


def shown_by(newer: TrustStore, theirs: int, chain: bytes = CHAIN) -> bytes:
    return encode_credentials(
        newer.n,
        chain,
        (record() if chain == CHAIN else record(chain=chain)).signed.raw,
        wall=NOW,
        newest=newer.latest.hash,
        lacking=newer.after(theirs),
    )


def test_a_hello_says_which_bundle_is_the_newest() -> None:
    assert decode_hello_untrusted(encode_hello(7)) == 7
    assert decode_hello_untrusted(wire.pack([7, b"of a later release"])) == 7
    for wrong in (b"", b"\x07", wire.pack([]), wire.pack([b"7"]), wire.pack([2**32])):
        with pytest.raises(RemoteProtocolError) as caught:
            decode_hello_untrusted(wrong)
        assert caught.value.code == "credentials.malformed"


def test_a_sleeper_is_shown_the_bundles_that_it_lacks_and_believes_what_they_prove() -> None:
    """The peer's chain hangs on a root that was made while we slept."""
    new_root = NodeKey.from_seed(b"2" * 32)
    newer = TrustStore(BUNDLE, [successor(BUNDLE, [ROOT.id, new_root.id], ROOT.seed).raw])
    chain = chain_under(new_root, newer)
    data = shown_by(newer, 0, chain)
    learned: list[tuple[bytes, ...]] = []
    ours = TrustStore(BUNDLE)
    peer = verify_credentials_untrusted(data, DH, ours, wall=NOW, learn=learned.append)
    assert (peer.id, peer.bundle_n, peer.chain.root) == (NODE.id, 1, new_root.id)
    assert learned == [(newer.latest.raw,)]
    assert ours.n == 0  # The handshake itself changes nothing.
    # Without them, and with others' bundles, nothing is believed.
    assert refused(shown_by(newer, 1, chain)) == "credentials.bundle"
    forged = successor(new_bundle([OTHER.id], default_allow=True), [new_root.id], OTHER.seed)
    lying = encode_credentials(1, chain, record(chain=chain).signed.raw, wall=NOW, lacking=[forged.raw])
    assert refused(lying) in ("bundle.link", "bundle.signature")


def test_who_slept_through_more_bundles_than_fit_catches_up_handshake_by_handshake() -> None:
    newer, ours = rotated(30), TrustStore(BUNDLE)
    rounds = 0
    while ours.n < newer.n:
        data = shown_by(newer, ours.n)
        assert len(data) <= MAX_CREDENTIALS
        learned: list[bytes] = []
        assert verify_credentials_untrusted(data, DH, ours, wall=NOW, learn=learned.extend).id == NODE.id
        for raw in learned:
            assert ours.offer_successor_untrusted(raw)
        rounds += 1
    assert 2 <= rounds <= 5


def test_bundles_are_handed_out_also_where_the_peer_itself_is_refused() -> None:
    newer = rotated(2)
    learned: list[bytes] = []
    with pytest.raises(RemoteProtocolError):
        verify_credentials_untrusted(
            shown_by(newer, 0),
            DH,
            TrustStore(BUNDLE),
            wall=NOW,
            learn=learned.extend,
            checks=NO_CHAIN_IS_GOOD,
        )
    assert learned == list(newer.after(0))


def test_another_bundle_of_our_number_is_named_where_it_is_why_a_chain_is_refused() -> None:
    new_root = NodeKey.from_seed(b"2" * 32)
    theirs = TrustStore(BUNDLE, [successor(BUNDLE, [new_root.id], ROOT.seed).raw])
    ours = TrustStore(BUNDLE, [successor(BUNDLE, [ROOT.id], ROOT.seed).raw])
    chain = chain_under(new_root, theirs)
    assert refused(shown_by(theirs, 1, chain), trust=ours) == "bundle.conflict"


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
