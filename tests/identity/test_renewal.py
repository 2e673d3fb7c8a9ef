"""Renewal: a mesh outlives its tokens, and nobody gains by it."""

from __future__ import annotations

import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh.errors import LocalProtocolError, TrustError
from gossipmesh.identity.block import BlockKind, append_block, encode_blocks
from gossipmesh.identity.bundle import TrustStore, new_bundle, successor
from gossipmesh.identity.chain import VerifiedChain, join_chain, verify_chain_untrusted
from gossipmesh.identity.grants import Capability, Caveats, Restrictions
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.renewal import renew, renew_from_root, renewal_due, renewal_overdue
from gossipmesh.identity.token import BACKDATE_S, narrow, new_token

DAY = 86_400
NOW = 1_000 * DAY
ROOT = NodeKey.from_seed(b"r" * 32)
NODE = NodeKey.from_seed(b"n" * 32)
ISSUERS = [NodeKey.from_seed(bytes([i]) * 32) for i in range(1, 5)]
BUNDLE = new_bundle([ROOT.id], default_allow=True)
TRUST = TrustStore(BUNDLE)
ENTROPY = random.Random(7).randbytes
ISSUE = frozenset({Capability.JOIN, Capability.ISSUE, Capability.POLICY})


def chain(key: NodeKey, caveats: Caveats, *more: Caveats, name: str = "node") -> VerifiedChain:
    """Give the chain of a node that joined at ``NOW`` with a token of these caveats, narrowed by the others."""
    token = new_token(BUNDLE, ROOT.seed, caveats, ENTROPY)
    for narrower in more:
        token = narrow(token, narrower, ENTROPY)
    return verify_chain_untrusted(join_chain(token, key.seed, name), TRUST, wall=NOW)


def issuer(days: int = 3_650, key: NodeKey = ISSUERS[0], **caveats: object) -> VerifiedChain:
    full = Caveats(NOW, NOW + days * DAY, caps=ISSUE, **caveats)  # type: ignore[arg-type]
    return chain(key, full, name="issuer")


def renewed(by: VerifiedChain, key: NodeKey, old: VerifiedChain, wall: float) -> VerifiedChain:
    raw = renew(by, key.seed, old, mesh_id=TRUST.mesh_id, wall=wall)
    return verify_chain_untrusted(raw, TRUST, wall=wall)


def assert_not_wider(new: VerifiedChain, old: VerifiedChain, names: list[str]) -> None:
    for name in names:
        assert old.grants.allows_service(name) or not new.grants.allows_service(name)
        assert old.grants.allows_name(name) or not new.grants.allows_name(name)
    assert new.grants.groups <= old.grants.groups
    assert new.grants.caps <= old.grants.caps
    assert set(new.token_ids) >= set(old.token_ids)
    assert set(new.issuers) >= set(old.issuers)


def test_a_renewed_chain_keeps_key_name_and_grants_and_lives_as_long_again() -> None:
    old = chain(NODE, Caveats(NOW, NOW + 30 * DAY, services=("web-*",), names=("n*",), groups=()))
    wall = NOW + 20 * DAY
    new = renewed(issuer(), ISSUERS[0], old, wall)
    assert (new.id, new.name) == (NODE.id, "node")
    assert new.grants.services == old.grants.services
    assert new.grants.names == old.grants.names
    assert new.grants.caps == old.grants.caps
    assert new.grants.not_before == wall - BACKDATE_S
    assert new.grants.expires_at == wall + 30 * DAY
    assert new.issuers == (ISSUERS[0].id,)
    assert set(old.token_ids) < set(new.token_ids)


def test_a_renewed_chain_ends_with_its_issuers_and_nobodys_word_gives_back_what_that_took() -> None:
    old = chain(NODE, Caveats(NOW, NOW + 30 * DAY))
    short_lived = renewed(issuer(days=16), ISSUERS[0], old, NOW + 15 * DAY)
    assert short_lived.grants.expires_at == NOW + 16 * DAY
    wall = NOW + 15 * DAY + 10
    again = renewed(issuer(key=ISSUERS[1]), ISSUERS[1], short_lived, wall)
    assert again.grants.expires_at == wall + DAY
    assert set(again.issuers) == {ISSUERS[0].id, ISSUERS[1].id}


def test_a_node_that_wrote_itself_a_hundred_years_is_renewed_for_its_tokens_day() -> None:
    token = new_token(BUNDLE, ROOT.seed, Caveats(NOW, NOW + DAY), ENTROPY)
    greedy = Restrictions(not_before=NOW, expires_at=NOW + 36_500 * DAY)
    blocks = append_block(
        token.blocks, BlockKind.NODE, NODE.id, "node", greedy, mesh_id=TRUST.mesh_id, seed=token.seed
    )
    old = verify_chain_untrusted(encode_blocks(blocks), TRUST, wall=NOW)
    by_root = verify_chain_untrusted(renew_from_root(TRUST, ROOT.seed, old, wall=NOW), TRUST, wall=NOW)
    by_issuer = renewed(issuer(), ISSUERS[0], old, NOW)
    for new in (by_root, by_issuer):
        assert new.grants.expires_at <= NOW + DAY + BACKDATE_S


def test_lifetimes_do_not_grow_by_being_renewed() -> None:
    now = chain(NODE, Caveats(NOW, NOW + 30 * DAY))
    by = issuer()
    for step in range(1, 11):
        now = renewed(by, ISSUERS[0], now, NOW + step * 15 * DAY)
    assert now.grants.expires_at - now.grants.not_before == 30 * DAY + BACKDATE_S
    assert len(now.token_ids) == 2


def test_a_mesh_outlives_its_first_token() -> None:
    trust = TRUST
    old = chain(NODE, Caveats(NOW, NOW + DAY))
    by = issuer(days=365)
    wall = float(NOW)
    for _ in range(2_000):
        wall += DAY / 2
        if renewal_due(by, wall):
            by = verify_chain_untrusted(renew_from_root(trust, ROOT.seed, by, wall=wall), trust, wall=wall)
        if renewal_due(old, wall):
            old = renewed(by, ISSUERS[0], old, wall)
    assert wall > NOW + 900 * DAY
    assert old.grants.expires_at > wall
    assert not renewal_overdue(old, wall)


def test_a_chain_is_due_from_half_and_overdue_from_two_thirds_of_its_life() -> None:
    young = chain(NODE, Caveats(NOW + 300, NOW + 600))
    assert (renewal_due(young, NOW + 299), renewal_due(young, NOW + 300)) == (False, True)
    assert (renewal_overdue(young, NOW + 399), renewal_overdue(young, NOW + 400)) == (False, True)


CAVEATS = st.builds(
    Caveats,
    not_before=st.just(NOW),
    expires_at=st.integers(NOW + DAY, NOW + 400 * DAY),
    services=st.none() | st.lists(st.text("ab*-", min_size=1, max_size=4), max_size=3).map(tuple),
    names=st.none() | st.just(("*a", "b*", "node", "i*")),
    groups=st.none() | st.lists(st.sampled_from(["x", "y", "z"]), unique=True).map(tuple),
    caps=st.just(ISSUE) | st.just(frozenset(Capability)) | st.just(ISSUE - {Capability.POLICY}),
)


@settings(max_examples=60)
@given(
    st.lists(CAVEATS, min_size=1, max_size=3),
    st.lists(CAVEATS, min_size=1, max_size=2),
    CAVEATS,
    st.lists(st.text("ab-", min_size=1, max_size=5), min_size=8, max_size=8),
)
def test_a_renewed_chain_verifies_and_never_grants_more(
    own: list[Caveats], issuers: list[Caveats], second: Caveats, names: list[str]
) -> None:
    old = chain(NODE, own[0], *own[1:])
    wall = NOW + DAY / 2
    first_by = chain(ISSUERS[0], issuers[0], *issuers[1:], name="issuer")
    second_by = chain(ISSUERS[1], second, name="issuer")
    new = renewed(first_by, ISSUERS[0], old, wall)
    assert_not_wider(new, old, names)
    again = renewed(second_by, ISSUERS[1], new, wall)
    assert_not_wider(again, new, names)
    rooted = verify_chain_untrusted(renew_from_root(TRUST, ROOT.seed, again, wall=wall), TRUST, wall=wall)
    assert_not_wider(rooted, again, names)
    assert rooted.grants.services == again.grants.services


def test_only_a_node_with_issue_renews_and_never_itself() -> None:
    old = chain(NODE, Caveats(NOW, NOW + DAY))
    plain = chain(ISSUERS[0], Caveats(NOW, NOW + 9 * DAY), name="issuer")
    by = issuer()
    for renewer in (plain, by):
        asker = old if renewer is plain else by
        with pytest.raises(TrustError) as caught:
            renew(renewer, ISSUERS[0].seed, asker, mesh_id=TRUST.mesh_id, wall=NOW)
        assert caught.value.code == "chain.capability"
    with pytest.raises(LocalProtocolError):
        renew(by, NODE.seed, old, mesh_id=TRUST.mesh_id, wall=NOW)


def test_an_issuer_that_expired_or_may_not_use_the_name_refuses() -> None:
    old = chain(NODE, Caveats(NOW, NOW + 90 * DAY))
    with pytest.raises(TrustError) as caught:
        renewed(issuer(days=1), ISSUERS[0], old, NOW + 2 * DAY)
    assert caught.value.code == "chain.expired"
    with pytest.raises(TrustError) as caught:
        renewed(issuer(names=("issuer",)), ISSUERS[0], old, NOW)
    assert caught.value.code == "chain.name"


def test_a_chain_of_four_blocks_issues_nothing() -> None:
    old = chain(NODE, Caveats(NOW, NOW + 90 * DAY))
    plain = Caveats(NOW, NOW + 90 * DAY, caps=ISSUE)
    deep = chain(ISSUERS[0], plain, plain, plain, name="issuer")
    with pytest.raises(TrustError, match="5 blocks") as caught:
        renewed(deep, ISSUERS[0], old, NOW)
    assert caught.value.code == "chain.too-long"


def test_what_does_not_fit_is_refused_with_its_size() -> None:
    long = tuple(f"{i}{'a' * 58}*" for i in range(6))
    old = chain(NODE, Caveats(NOW, NOW + 90 * DAY, services=long))
    by = issuer(services=tuple(f"{i}{'b' * 58}*" for i in range(6)))
    with pytest.raises(TrustError, match="bytes") as caught:
        renewed(by, ISSUERS[0], old, NOW)
    assert caught.value.code == "chain.too-long"
    rooted = verify_chain_untrusted(renew_from_root(TRUST, ROOT.seed, old, wall=NOW), TRUST, wall=NOW)
    assert rooted.grants.services == old.grants.services


def test_a_history_of_more_than_sixteen_tokens_is_too_long() -> None:
    old = chain(NODE, Caveats(NOW, NOW + 90 * DAY))
    many = attrs.evolve(old, token_ids=tuple(bytes([i]) * 8 for i in range(17)))
    with pytest.raises(TrustError, match="does not fit") as caught:
        renew_from_root(TRUST, ROOT.seed, many, wall=NOW)
    assert caught.value.code == "chain.too-long"


def test_an_issuer_that_is_in_the_history_already_adds_nothing_to_it() -> None:
    old = chain(NODE, Caveats(NOW, NOW + 30 * DAY))
    by = issuer()
    once = renewed(by, ISSUERS[0], old, NOW + 15 * DAY)
    twice = renewed(by, ISSUERS[0], once, NOW + 30 * DAY)
    assert (twice.issuers, twice.token_ids) == (once.issuers, once.token_ids)
    assert len(twice.raw) == len(once.raw)


def test_only_a_root_of_today_renews_from_the_root() -> None:
    old = chain(NODE, Caveats(NOW, NOW + 90 * DAY))
    moved = TrustStore(BUNDLE, [successor(BUNDLE, [NODE.id], ROOT.seed).raw])
    with pytest.raises(TrustError) as caught:
        renew_from_root(moved, ROOT.seed, old, wall=NOW)
    assert caught.value.code == "chain.root"
