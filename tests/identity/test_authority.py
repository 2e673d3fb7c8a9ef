"""Authority: a root, or who has the capability, signs for the mesh; nobody else, and nothing else passes for it."""

from __future__ import annotations

import random

import pytest

from gossipmesh import wire
from gossipmesh.errors import ConfigError, RemoteProtocolError
from gossipmesh.identity.authority import (
    Authorised,
    Authority,
    check_authority,
    is_current,
    sign_as_authority,
    split_untrusted,
    verify_authorised_untrusted,
)
from gossipmesh.identity.bundle import TrustStore, new_bundle, successor
from gossipmesh.identity.chain import Capability, Caveats, join_chain, verify_chain_untrusted
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.token import narrow, new_token

START, END = 1_000_000, 2_000_000
LABEL = b"gossipmesh/test\0"
ROOT, ROOT2, NODE = (NodeKey.from_seed(letter * 32) for letter in (b"r", b"s", b"n"))
BUNDLE = new_bundle([ROOT.id], default_allow=True)
TRUST = TrustStore(BUNDLE)
ENTROPY = random.Random(7).randbytes
CAPS = frozenset({Capability.JOIN, Capability.POLICY})
TOKEN = new_token(BUNDLE, ROOT.seed, Caveats(START, END, caps=CAPS, token_id=b"12345678"), ENTROPY)
BY_ROOT = Authority(ROOT.seed)
BY_TOKEN = Authority.of_token(TOKEN)


def signed(authority: Authority, body: bytes = b"body") -> bytes:
    return sign_as_authority(LABEL, body, authority, TRUST.mesh_id)


def verified(
    raw: bytes, *, trust: TrustStore = TRUST, at: int = START, wall: float = START, retired: bool = False
) -> Authorised:
    return verify_authorised_untrusted(
        raw,
        LABEL,
        trust,
        Capability.POLICY,
        max_bytes=2_000,
        signed_at=lambda body: at,
        wall=wall,
        retired=retired,
    )


def refused(raw: bytes, **how: object) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        verified(raw, **how)  # type: ignore[arg-type]
    return caught.value.code


def test_a_root_a_tokens_holder_and_a_node_with_the_capability_sign_for_the_mesh() -> None:
    assert str(verified(signed(BY_ROOT)).signer) == "root"
    by_token = verified(signed(BY_TOKEN)).signer
    assert (str(by_token), by_token.id, by_token.origin) == ("token 3132333435363738", None, b"12345678")
    chain = join_chain(TOKEN, NODE.seed, "web-1")
    by_node = verified(signed(Authority(NODE.seed, chain))).signer
    assert (str(by_node), by_node.id, by_node.origin) == ("node web-1", NODE.id, b"12345678")
    held = verify_chain_untrusted(chain, TRUST, wall=START)
    assert (by_node.grants, by_node.token_ids, by_node.issuers) == (held.grants, held.token_ids, held.issuers)


def test_the_origin_is_the_roots_token_however_often_it_is_narrowed() -> None:
    narrowed = narrow(narrow(TOKEN, Caveats(START, END), ENTROPY), Caveats(START, END), ENTROPY)
    signer = verified(signed(Authority.of_token(narrowed))).signer
    assert signer.origin == b"12345678"
    assert len(signer.token_ids) == 3


def test_who_lacks_the_capability_or_lost_it_by_narrowing_signs_nothing() -> None:
    less = narrow(TOKEN, Caveats(START, END, caps=frozenset({Capability.JOIN})), ENTROPY)
    assert refused(signed(Authority.of_token(less))) == "authority.capability"
    with pytest.raises(ConfigError) as caught:
        check_authority(Authority.of_token(less), TRUST, Capability.POLICY, wall=START)
    assert caught.value.code == "authority.capability"
    assert check_authority(BY_TOKEN, TRUST, Capability.POLICY, wall=START).origin == b"12345678"
    assert check_authority(BY_ROOT, TRUST, Capability.POLICY, wall=START).is_root
    with pytest.raises(ConfigError, match="newest trust bundle"):
        check_authority(Authority(NODE.seed), TRUST, Capability.POLICY, wall=START)


def test_a_row_proves_what_it_signed_while_it_was_valid_and_nothing_before_or_after() -> None:
    raw = signed(BY_TOKEN)
    assert verified(raw, at=START, wall=10 * END).body == b"body"
    assert refused(raw, at=END + 121, wall=10 * END) == "authority.expired"
    assert refused(raw, at=START - 421) == "authority.expired"
    assert refused(raw, at=START + 121) == "authority.future"


def test_an_object_cannot_be_shown_under_another_row_of_its_signers_key() -> None:
    body, signature, _ = split_untrusted(
        signed(Authority(NODE.seed, join_chain(TOKEN, NODE.seed, "a"))), 2_000
    )
    other = join_chain(TOKEN, NODE.seed, "b")
    assert refused(wire.pack([body, signature, other])) == "authority.signature"
    assert refused(wire.pack([body, signature, b""])) == "authority.root"


def test_another_label_mesh_key_or_body_is_refused() -> None:
    raw = signed(BY_TOKEN)
    elsewhere = TrustStore(new_bundle([ROOT.id], default_allow=False))
    assert refused(raw, trust=elsewhere) == "authority.signature"
    assert refused(signed(BY_ROOT), trust=elsewhere) == "authority.root"
    assert refused(sign_as_authority(b"x\0", b"body", BY_ROOT, TRUST.mesh_id)) == "authority.root"
    assert refused(signed(Authority(NODE.seed, BY_TOKEN.chain))) == "authority.signature"
    assert refused(signed(Authority(NODE.seed))) == "authority.root"


def test_only_one_spelling_counts_and_every_cut_or_flipped_bit_is_refused() -> None:
    raw = signed(BY_TOKEN)
    body, signature, chain = split_untrusted(raw, 2_000)
    assert refused(wire.pack([body, signature, chain, 0])) == "authority.malformed"
    assert refused(raw + b"\0") == "authority.malformed"
    for end in range(len(raw)):
        assert refused(raw[:end]) == "authority.malformed"
    for place in range(len(raw)):
        flipped = bytearray(raw)
        flipped[place] ^= 1
        refused(bytes(flipped))


def test_a_root_that_was_replaced_signs_no_news_and_what_it_signed_can_be_signed_again() -> None:
    both = successor(BUNDLE, [ROOT.id, ROOT2.id], ROOT.seed)
    new = successor(both, [ROOT2.id], ROOT2.seed, mesh_id=BUNDLE.hash)
    overlap, after = TrustStore(BUNDLE, [both.raw]), TrustStore(BUNDLE, [both.raw, new.raw])
    for authority, code in ((BY_ROOT, "authority.root"), (BY_TOKEN, "chain.root")):
        raw = signed(authority)
        assert verified(raw, trust=overlap).current
        assert refused(raw, trust=after) == code
        kept = verified(raw, trust=after, retired=True)
        assert not kept.current
        assert not is_current(kept, after)
        assert is_current(kept, overlap)
        body, _, _ = split_untrusted(raw, len(raw))
        signed_again = sign_as_authority(LABEL, body, Authority(ROOT2.seed), TRUST.mesh_id)
        again = verified(signed_again, trust=after)
        assert again.current
        assert again.hash == kept.hash
    assert refused(signed(Authority(NODE.seed)), trust=after, retired=True) == "authority.root"
