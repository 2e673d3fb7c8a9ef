"""The set of revocations: the same for the same entries in any order, bounded, and what it has effect on."""

from __future__ import annotations

import random

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh.errors import TrustError
from gossipmesh.identity.authority import Authority
from gossipmesh.identity.bundle import TrustStore, successor
from gossipmesh.identity.chain import Capability
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.revocation import Revocation, RevocationKind
from gossipmesh.identity.revoked import MAX_PER_ORIGIN, MAX_REVOCATIONS, Revocations
from tests.identity.test_revocation import (
    BUNDLE,
    DB,
    END,
    REVOKE,
    ROOT,
    START,
    TRUST,
    WEB,
    chain,
    revoke,
    token,
)

HOLDER = token(b"holders-", caps=REVOKE)
BY_HOLDER = Authority.of_token(HOLDER)


def test_an_empty_set_revokes_nobody() -> None:
    held = Revocations()
    assert held.find(WEB) is None
    assert (len(held), held.entries) == (0, ())


def test_entries_add_up_and_are_taken_once() -> None:
    held = Revocations()
    before = held.digest
    entry = revoke(RevocationKind.NODE, WEB.id)
    assert held.offer(entry)
    assert not held.offer(entry)
    assert held.find(WEB) == entry
    assert held.find(DB) is None
    assert held.get(entry.key) == entry
    assert held.digest != before
    assert held.expire(wall=END + 121)
    assert held.digest == before
    assert held.find(WEB) is None


def test_two_who_revoke_each_other_are_both_revoked_in_any_order() -> None:
    alice, bob = chain(HOLDER, "alice"), chain(HOLDER, "bob")
    by_alice = revoke(RevocationKind.NODE, bob.id, Authority(b"alice".ljust(32, b"-"), alice.raw))
    by_bob = revoke(RevocationKind.NODE, alice.id, Authority(b"bob".ljust(32, b"-"), bob.raw))
    for order in ([by_alice, by_bob], [by_bob, by_alice]):
        held = Revocations()
        for entry in order:
            held.offer(entry)
        assert (held.find(alice), held.find(bob)) == (by_bob, by_alice)


def test_a_roots_voiding_entry_takes_the_effect_from_what_its_target_signed() -> None:
    theirs = revoke(RevocationKind.NODE, WEB.id, BY_HOLDER)
    plain = revoke(RevocationKind.TOKEN, b"holders-")
    voiding = revoke(RevocationKind.TOKEN, b"holders-", voids=True)
    held = Revocations()
    held.offer(theirs)
    held.offer(plain)
    assert held.find(WEB) == theirs
    held.offer(voiding)
    assert held.find(WEB) is None
    assert len(held) == 3
    again = Revocations()
    again.offer(voiding)
    again.offer(theirs)
    assert again.find(WEB) is None


def test_what_was_made_of_one_token_shares_one_quota_and_cannot_push_out_a_roots() -> None:
    held = Revocations()
    for n in range(MAX_PER_ORIGIN):
        held.offer(revoke(RevocationKind.TOKEN, n.to_bytes(8, "big"), BY_HOLDER, at=START - n))
    member = Authority(b"alice".ljust(32, b"-"), chain(HOLDER, "alice").raw)
    with pytest.raises(TrustError) as caught:
        held.offer(revoke(RevocationKind.NODE, WEB.id, member, at=START + 1))
    assert caught.value.code == "revocation.full"
    assert held.offer(revoke(RevocationKind.NODE, WEB.id))
    assert held.offer(revoke(RevocationKind.NODE, DB.id, Authority.of_token(token(b"another-", caps=REVOKE))))
    assert len(held) == MAX_PER_ORIGIN + 2


def test_a_full_set_takes_a_roots_word_in_place_of_a_holders() -> None:
    held = Revocations()
    first = revoke(RevocationKind.NODE, WEB.id)
    rest = [evolve(first, revoked_at=START, target=n.to_bytes(32, "big")) for n in range(MAX_REVOCATIONS - 1)]
    held.offer(revoke(RevocationKind.NODE, DB.id, BY_HOLDER))
    for n, entry in enumerate(rest):
        held.offer(evolve(entry, authorised=evolve(entry.authorised, body=n.to_bytes(4, "big"))))
    assert len(held) == MAX_REVOCATIONS
    assert held.find(DB) is not None
    assert held.offer(first)
    assert len(held) == MAX_REVOCATIONS
    assert held.find(DB) is None


ENTRIES = [
    revoke(RevocationKind.TOKEN, bytes([who, n] * 4), authority, at=START - n)
    for who, authority in enumerate(
        [BY_HOLDER, Authority.of_token(token(b"another-", caps=REVOKE)), Authority(ROOT.seed)]
    )
    for n in range(MAX_PER_ORIGIN + 6)
]


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_the_order_of_offers_leaves_no_trace(seed: int) -> None:
    def taken(entries: list[Revocation]) -> Revocations:
        held = Revocations()
        for entry in entries:
            try:
                held.offer(entry)
            except TrustError as error:
                assert error.code == "revocation.full"
        return held

    shuffled = random.Random(seed).sample(ENTRIES, len(ENTRIES))
    one, other = taken(ENTRIES), taken(shuffled)
    assert one.entries == other.entries
    assert one.digest == other.digest
    assert len(one) == 2 * MAX_PER_ORIGIN + MAX_PER_ORIGIN + 6


def test_a_replaced_root_leaves_its_entries_in_force_and_a_new_signature_makes_them_provable() -> None:
    new_root = NodeKey.from_seed(b"s" * 32)
    both = successor(BUNDLE, [ROOT.id, new_root.id], ROOT.seed)
    after = successor(both, [new_root.id], new_root.seed, mesh_id=TRUST.mesh_id)
    trust = TrustStore(BUNDLE, [both.raw, after.raw])
    held = Revocations()
    held.offer(revoke(RevocationKind.NODE, WEB.id, BY_HOLDER))
    before = held.digest
    held.recheck(trust)
    assert held.digest != before
    (entry,) = held.entries
    assert not entry.authorised.current
    assert held.find(WEB) == entry
    renewed = evolve(entry, authorised=evolve(entry.authorised, current=True))
    assert held.offer(renewed)
    assert held.digest == before


def test_a_capability_that_is_not_revoke_is_none() -> None:
    with pytest.raises(TrustError, match="lacks the capability revoke"):
        revoke(RevocationKind.NODE, WEB.id, Authority.of_token(token(caps=frozenset({Capability.POLICY}))))
