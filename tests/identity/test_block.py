"""Blocks: who may sign what, and that none can be moved, changed or made by another."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh import wire
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.block import (
    BLOCK_LABEL,
    FIRST_LINK,
    Block,
    BlockKind,
    append_block,
    decode_block_untrusted,
    decode_blocks_untrusted,
    encode_blocks,
    verify_blocks,
)
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.grants import ANY, Capability, Restrictions
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.signed import seal

ROOT = NodeKey.from_seed(b"r" * 32)
KEYS = [NodeKey.from_seed(bytes([i]) * 32) for i in range(1, 7)]
TRUST = TrustStore(new_bundle([ROOT.id], default_allow=True))
FULL = Restrictions(0, 1_000, (b"token--1",), (ANY,), (ANY,), frozenset({"ops"}), frozenset(Capability))
PLAIN = Restrictions(0, 1_000)
D, N = BlockKind.DELEGATION, BlockKind.NODE


def row(*kinds: BlockKind, first: Restrictions = FULL, rest: Restrictions = PLAIN) -> tuple[Block, ...]:
    """Give a row of blocks of these kinds, each rightly signed by the key before it."""
    blocks: tuple[Block, ...] = ()
    signer = ROOT
    for key, kind in zip(KEYS, kinds, strict=False):
        blocks = append_block(
            blocks,
            kind,
            key.id,
            "node" if kind is N else "",
            rest if blocks else first,
            mesh_id=TRUST.mesh_id,
            seed=signer.seed,
        )
        signer = key
    return blocks


def refused(blocks: tuple[Block, ...], trust: TrustStore = TRUST) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        verify_blocks(blocks, trust)
    return caught.value.code


@pytest.mark.parametrize("kinds", [(N,), (D,), (D, N), (D, D, D, N), (D, N, N, N), (N, N)])
def test_delegations_then_nodes_are_proved(kinds: tuple[BlockKind, ...]) -> None:
    proof = verify_blocks(row(*kinds), TRUST)
    assert proof.grants.caps == frozenset(Capability)
    assert proof.token_ids == (b"token--1",)
    assert proof.issuers == tuple(key.id for key, kind in zip(KEYS, kinds[:-1], strict=False) if kind is N)


def test_a_node_delegates_nothing() -> None:
    assert refused(row(D, N, D)) == "chain.capability"
    assert refused(row(N, D)) == "chain.capability"


def test_a_token_needs_join_and_an_issuer_needs_issue() -> None:
    joins = attrs.evolve(FULL, caps=frozenset({Capability.JOIN}))
    issues = attrs.evolve(FULL, caps=frozenset({Capability.ISSUE}))
    assert verify_blocks(row(D, N, first=joins), TRUST).grants.caps == {Capability.JOIN}
    assert refused(row(D, N, first=issues)) == "chain.capability"
    assert refused(row(D, N, N, first=joins)) == "chain.capability"
    assert verify_blocks(row(N, N, first=issues), TRUST)


def test_a_capability_given_away_is_gone_for_all_that_follow() -> None:
    blocks = row(D)
    kept = attrs.evolve(PLAIN, caps=frozenset({Capability.POLICY}))
    for signer, key in ((KEYS[0], KEYS[1]), (KEYS[1], KEYS[2])):
        blocks = append_block(blocks, D, key.id, "", kept, mesh_id=TRUST.mesh_id, seed=signer.seed)
        kept = attrs.evolve(PLAIN, caps=frozenset(Capability))
    assert verify_blocks(blocks, TRUST).grants.caps == {Capability.POLICY}


def test_a_first_block_must_say_everything() -> None:
    for less in (
        attrs.evolve(FULL, services=()),
        attrs.evolve(FULL, names=()),
        attrs.evolve(FULL, groups=None),
        attrs.evolve(FULL, caps=None),
    ):
        assert refused(row(D, N, first=less)) == "chain.malformed"


def test_a_nodes_name_must_match_every_list_and_an_issuers_own_name_binds_nobody() -> None:
    a_only = attrs.evolve(PLAIN, names=(("a*",),))
    token = append_block(row(D), D, KEYS[1].id, "", a_only, mesh_id=TRUST.mesh_id, seed=KEYS[0].seed)

    def named(blocks: tuple[Block, ...], name: str, signer: NodeKey, key: NodeKey) -> tuple[Block, ...]:
        return append_block(blocks, N, key.id, name, PLAIN, mesh_id=TRUST.mesh_id, seed=signer.seed)

    issuer = named(token, "abc", KEYS[1], KEYS[2])
    assert verify_blocks(named(issuer, "axy", KEYS[2], KEYS[3]), TRUST)
    assert refused(named(issuer, "xyz", KEYS[2], KEYS[3])) == "chain.name"
    assert refused(named(token, "xyz", KEYS[1], KEYS[2])) == "chain.name"


def test_blocks_moved_swapped_left_out_or_of_another_mesh_are_refused() -> None:
    blocks = row(D, D, N)
    assert refused((blocks[0], blocks[2])) == "chain.signature"
    assert refused((blocks[1], blocks[2])) == "chain.root"
    assert refused((blocks[0], blocks[2], blocks[1])) == "chain.signature"
    other_mesh = TrustStore(new_bundle([ROOT.id], default_allow=False))
    assert refused(blocks, other_mesh) == "chain.root"
    other_root = TrustStore(new_bundle([KEYS[5].id], default_allow=True))
    assert refused(blocks, other_root) == "chain.root"


def test_a_block_signed_for_one_row_fits_no_other_even_under_the_same_keys() -> None:
    # The same two token keys, but a narrower first block: only the link tells the rows apart.
    wide = row(D, D, N)
    narrow = row(D, D, N, first=attrs.evolve(FULL, services=(("web",),)))
    assert refused((narrow[0], wide[1], wide[2])) == "chain.signature"


def test_a_block_signed_by_a_stranger_is_refused() -> None:
    forged = append_block(row(D), N, KEYS[1].id, "node", PLAIN, mesh_id=TRUST.mesh_id, seed=KEYS[5].seed)
    assert refused(forged) == "chain.signature"


def test_no_blocks_prove_nothing() -> None:
    assert refused(()) == "chain.malformed"


@settings(max_examples=50)
@given(
    st.builds(
        Restrictions,
        not_before=st.integers(0, 10**9),
        expires_at=st.integers(0, 10**9),
        token_ids=st.lists(st.binary(min_size=8, max_size=8), max_size=3).map(tuple),
        services=st.lists(st.lists(st.text("ab*-", min_size=1, max_size=9)).map(tuple), max_size=3).map(
            tuple
        ),
        names=st.lists(st.lists(st.text("ab*-", min_size=1, max_size=9)).map(tuple), max_size=3).map(tuple),
        groups=st.none() | st.frozensets(st.sampled_from(["a", "b"])),
        caps=st.none() | st.frozensets(st.sampled_from(list(Capability))),
        issuers=st.lists(st.binary(min_size=32, max_size=32), max_size=2).map(tuple),
    )
)
def test_every_restriction_survives_the_wire(restrictions: Restrictions) -> None:
    if max(map(len, restrictions.services + restrictions.names), default=0) > 16:
        return
    (block,) = append_block((), D, KEYS[0].id, "", restrictions, mesh_id=TRUST.mesh_id, seed=ROOT.seed)
    assert block.restrictions == restrictions
    assert decode_blocks_untrusted(encode_blocks([block])) == (block,)


def body(
    *, kind: int = 1, key: bytes = bytes(32), name: bytes = b"", rest: list[object] | None = None
) -> bytes:
    values = (
        [1, kind, key, name, 0, 9, [], [], [], [], [], []] if rest is None else [1, kind, key, name, *rest]
    )
    packed: bytes = wire.pack(values)  # type: ignore[arg-type]
    return packed


@pytest.mark.parametrize(
    "made",
    [
        body(kind=0),
        body(kind=3),
        body(key=bytes(31)),
        body(kind=2),
        body(name=b"web"),
        body(kind=2, name=b"Web"),
        body(rest=[0]),
        body(rest=[0, 2**63, [], [], [], [], [], []]),
        body(rest=[0, 9, [b"short"], [], [], [], [], []]),
        body(rest=[0, 9, [], [[b"a?"]], [], [], [], []]),
        body(rest=[0, 9, [], [[b""]], [], [], [], []]),
        body(rest=[0, 9, [], [[b"a"] * 17], [], [], [], []]),
        body(rest=[0, 9, [], [[b"a"]] * 9, [], [], [], []]),
        body(rest=[0, 9, [], [], [], [[b"A"]], [], []]),
        body(rest=[0, 9, [], [], [], [[], []], [], []]),
        body(rest=[0, 9, [], [], [], [], [256], []]),
        body(rest=[0, 9, [], [], [], [], [], [bytes(31)]]),
    ],
)
def test_bodies_outside_the_grammar_are_malformed(made: bytes) -> None:
    signed = seal(BLOCK_LABEL, TRUST.mesh_id, made, ROOT.seed, link=FIRST_LINK)
    with pytest.raises(RemoteProtocolError) as caught:
        decode_block_untrusted(signed.raw)
    assert caught.value.code == "chain.malformed"


def test_what_a_newer_release_appends_or_grants_is_kept_and_ignored() -> None:
    made = body(rest=[0, 9, [], [[b"*"]], [[b"*"]], [[]], [0b1000_0001], [], b"new", 7])
    signed = seal(BLOCK_LABEL, TRUST.mesh_id, made, ROOT.seed, link=FIRST_LINK)
    block = decode_block_untrusted(signed.raw)
    assert block.signed.raw == signed.raw
    assert verify_blocks([block], TRUST).grants.caps == {Capability.JOIN}
