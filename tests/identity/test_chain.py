"""Chains: a node proves its membership, and nothing else passes for it."""

from __future__ import annotations

import random

import pytest

from gossipmesh import crypto, wire
from gossipmesh.errors import RemoteProtocolError, TrustError
from gossipmesh.identity.block import BlockKind, append_block, decode_blocks_untrusted, encode_blocks
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import (
    Capability,
    Caveats,
    chain_hash,
    join_chain,
    verify_chain_untrusted,
)
from gossipmesh.identity.grants import Restrictions
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.token import Token, narrow, new_token

START, END = 1_000_000, 2_000_000
ROOT = NodeKey.from_seed(b"r" * 32)
NODE = NodeKey.from_seed(b"n" * 32)
OTHER = NodeKey.from_seed(b"o" * 32)
BUNDLE = new_bundle([ROOT.id], default_allow=True)
TRUST = TrustStore(BUNDLE)
ENTROPY = random.Random(7).randbytes


def token(**caveats: object) -> Token:
    return new_token(BUNDLE, ROOT.seed, Caveats(START, END, **caveats), ENTROPY)  # type: ignore[arg-type]


def refused(raw: bytes, trust: TrustStore = TRUST, wall: float = START) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        verify_chain_untrusted(raw, trust, wall=wall)
    return caught.value.code


def test_a_node_that_joins_proves_its_own_key_and_name() -> None:
    made = token(services=("web-*",), token_id=b"12345678")
    raw = join_chain(made, NODE.seed, "web-1")
    chain = verify_chain_untrusted(raw, TRUST, wall=START)
    assert (chain.id, chain.name) == (NODE.id, "web-1")
    assert chain.raw == raw
    assert chain.hash == chain_hash(raw) == crypto.blake2b(raw, 16)
    assert chain.grants == made.grants
    assert (chain.token_ids, chain.issuers) == ((b"12345678",), ())
    assert made.seed not in raw


def test_several_roots_may_sign() -> None:
    bundle = new_bundle([OTHER.id, ROOT.id], default_allow=True)
    made = new_token(bundle, ROOT.seed, Caveats(START, END), ENTROPY)
    assert verify_chain_untrusted(join_chain(made, NODE.seed, "n"), made.trust(), wall=START).name == "n"


def test_a_chain_is_valid_in_its_time_and_two_minutes_around_it() -> None:
    raw = join_chain(token(), NODE.seed, "node")
    for wall in (START - 300 - 120, START, END, END + 120):
        verify_chain_untrusted(raw, TRUST, wall=wall)
    assert refused(raw, wall=START - 421) == "chain.not-yet-valid"
    assert refused(raw, wall=END + 121) == "chain.expired"


def test_a_token_without_join_admits_nobody_and_a_name_outside_it_neither() -> None:
    with pytest.raises(TrustError) as caught:
        join_chain(token(caps=frozenset({Capability.POLICY})), NODE.seed, "node")
    assert caught.value.code == "chain.capability"
    with pytest.raises(TrustError) as caught:
        join_chain(token(names=("web-*",)), NODE.seed, "db-1")
    assert caught.value.code == "chain.name"
    with pytest.raises(RemoteProtocolError):
        join_chain(token(), NODE.seed, "No Name")


def forged(made: Token, name: str, restrictions: Restrictions, signer: bytes) -> bytes:
    return encode_blocks(
        append_block(
            made.blocks, BlockKind.NODE, NODE.id, name, restrictions, mesh_id=made.mesh_id, seed=signer
        )
    )


def test_what_join_chain_would_not_make_is_refused_when_somebody_else_makes_it() -> None:
    plain = Restrictions(START, END)
    policy = token(caps=frozenset({Capability.POLICY}))
    assert refused(forged(policy, "node", plain, policy.seed)) == "chain.capability"
    web = token(names=("web-*",))
    assert refused(forged(web, "db-1", plain, web.seed)) == "chain.name"
    assert refused(forged(token(), "node", plain, OTHER.seed)) == "chain.signature"


def test_a_widened_chain_still_gets_only_the_intersection() -> None:
    made = token(services=("web-*",), groups=("dev",))
    wide = Restrictions(
        0,
        END * 2,
        services=(("*",),),
        names=(("*",),),
        groups=frozenset({"dev", "ops"}),
        caps=frozenset(Capability),
    )
    chain = verify_chain_untrusted(forged(made, "node", wide, made.seed), TRUST, wall=START)
    assert chain.grants == made.grants


def test_another_meshs_chain_is_refused_even_under_the_same_root_key() -> None:
    raw = join_chain(token(), NODE.seed, "node")
    assert refused(raw, TrustStore(new_bundle([ROOT.id], default_allow=False))) == "chain.root"


def test_blocks_swapped_between_two_chains_are_refused() -> None:
    ours, theirs = token(), token()
    one = decode_blocks_untrusted(join_chain(narrow(ours, Caveats(START, END), ENTROPY), NODE.seed, "node"))
    two = decode_blocks_untrusted(join_chain(narrow(theirs, Caveats(START, END), ENTROPY), NODE.seed, "node"))
    assert refused(encode_blocks((one[0], two[1], two[2]))) == "chain.signature"
    assert refused(encode_blocks((one[0], one[1], two[2]))) == "chain.signature"
    assert refused(encode_blocks((one[1], one[0], one[2]))) == "chain.root"


def test_five_blocks_and_1101_bytes_are_too_long() -> None:
    made = narrow(
        narrow(token(caps=frozenset(Capability)), Caveats(START, END), ENTROPY), Caveats(START, END), ENTROPY
    )
    four = decode_blocks_untrusted(join_chain(made, NODE.seed, "node"))
    five = append_block(
        four,
        BlockKind.NODE,
        OTHER.id,
        "other",
        Restrictions(START, END),
        mesh_id=made.mesh_id,
        seed=NODE.seed,
    )
    assert len(five) == 5
    assert len(encode_blocks(five)) <= 1_100
    assert refused(encode_blocks(five)) == "chain.too-long"
    assert refused(bytes(1_101)) == "chain.too-long"


def test_a_chain_without_a_node_at_its_end_is_malformed() -> None:
    assert refused(encode_blocks(token().blocks)) == "chain.malformed"
    assert refused(wire.pack([])) == "chain.malformed"


def test_a_second_spelling_of_a_chain_is_refused() -> None:
    raw = join_chain(token(), NODE.seed, "node")
    assert raw[0] == 0x92
    assert refused(b"\xdc\x00\x02" + raw[1:]) == "chain.malformed"


def test_every_bit_flip_and_every_truncation_is_refused() -> None:
    raw = join_chain(token(), NODE.seed, "node")
    for size in range(len(raw)):
        assert refused(raw[:size]) == "chain.malformed"
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(flipped)) in {
            "chain.malformed",
            "chain.root",
            "chain.signature",
            "chain.too-long",
        }


def test_refusals_do_not_change_the_trust_store() -> None:
    before = (TRUST.path, TRUST.roots)
    refused(b"junk")
    refused(join_chain(token(), NODE.seed, "node"), wall=END * 2)
    assert (TRUST.path, TRUST.roots) == before
