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
    quota_holder,
    verify_blocks,
)
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.grants import ANY, MAX_QUOTA, Capability, Quota, Restrictions
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
        quota=st.none() | st.integers(1, MAX_QUOTA),
        quotas=st.lists(
            st.builds(Quota, st.binary(min_size=16, max_size=16), st.integers(1, MAX_QUOTA)), max_size=4
        ).map(tuple),
    )
)
def test_every_restriction_survives_the_wire(restrictions: Restrictions) -> None:
    if max(map(len, restrictions.services + restrictions.names), default=0) > 16:
        return
    (block,) = append_block((), D, KEYS[0].id, "", restrictions, mesh_id=TRUST.mesh_id, seed=ROOT.seed)
    assert block.restrictions == restrictions
    assert decode_blocks_untrusted(encode_blocks([block])) == (block,)


def with_quota(n: int) -> Restrictions:
    return attrs.evolve(FULL, quota=n)


def holder(at: int) -> bytes:
    return quota_holder(KEYS[at].id)


def test_a_quota_counts_by_the_key_of_the_delegation_that_states_it_and_later_ones_only_add() -> None:
    blocks = row(D, D, N, first=with_quota(9), rest=attrs.evolve(PLAIN, quota=3))
    assert verify_blocks(blocks, TRUST).quotas == (Quota(holder(0), 9), Quota(holder(1), 3))
    assert verify_blocks(blocks, TRUST).root == ROOT.id


def test_what_a_node_writes_of_quotas_into_the_block_that_it_signs_itself_counts_for_nothing() -> None:
    liar = attrs.evolve(PLAIN, quota=99, quotas=(Quota(holder(5), 1), Quota(holder(0), 99)))
    assert verify_blocks(row(D, N, first=with_quota(2), rest=liar), TRUST).quotas == (Quota(holder(0), 2),)


def test_who_is_admitted_by_an_issuer_counts_against_what_the_issuer_says_and_not_against_its_own_token() -> (
    None
):
    restated = attrs.evolve(PLAIN, quotas=(Quota(holder(5), 7),))
    issued = append_block(
        row(D, N, first=with_quota(2)),
        N,
        KEYS[4].id,
        "node",
        restated,
        mesh_id=TRUST.mesh_id,
        seed=KEYS[1].seed,
    )
    assert verify_blocks(issued, TRUST).quotas == (Quota(holder(5), 7),)


def test_a_block_with_a_quota_has_a_version_that_an_older_release_refuses() -> None:
    plain, bound = row(D)[0].signed.body, row(D, first=with_quota(2))[0].signed.body
    assert (plain[1], bound[1]) == (1, 2)
    # What is not stated does not count, and costs no byte.
    assert len(bound) > len(plain)
    assert (
        wire.unpack_untrusted(plain, code="x", max_bytes=1_100)[1:]
        == wire.unpack_untrusted(  # type: ignore[index]
            bound, code="x", max_bytes=1_100
        )[1:-2]
    )  # type: ignore[index]


@pytest.mark.parametrize("quota", [0, -1, 2**31, b"9", [9]])
def test_a_quota_is_a_number_of_nodes(quota: object) -> None:
    rest = [0, 9, [], [], [], [], [], [], [quota], []]
    values: list[object] = [2, 1, bytes(32), b"", *rest]
    raw = seal(BLOCK_LABEL, TRUST.mesh_id, wire.pack(values), ROOT.seed, link=FIRST_LINK).raw  # type: ignore[arg-type]
    with pytest.raises(RemoteProtocolError) as caught:
        decode_block_untrusted(raw)
    assert caught.value.code == "chain.malformed"


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
