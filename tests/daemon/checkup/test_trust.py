"""Checks of who says that a node is a member, each in each of its states."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from checkedfacts import assert_found
from gossipmesh.daemon.checkup import trust
from gossipmesh.daemon.checkup.facts import Check, Clone, Facts, Fellow, Quota, Seed, State
from gossipmesh.daemon.checkup.noted import Warned
from gossipmesh.mesh.exchanges import NO_ROOM

OLD, NEW = "aa" * 32, "bb" * 32
BOB = Fellow("bob", "0b" * 32, root=NEW, issuer=True)
NARROW = Fellow("ops-1", "0c" * 32, issuer=True, loses=("group data", "capability policy"))
ELSEWHERE = Fellow("issuer-1", "0d" * 32, issues_others=True)
LATE = Fellow("eve", "0e" * 32, root=OLD, chain_overdue=True)
EVES = Clone("eve", "0e" * 32, b"one", b"other")
MINE = Clone("web-1", "ab" * 32, b"one", b"other", own=True)


def on(root: str, *members: Fellow, roots: tuple[str, ...] = (OLD, NEW)) -> Facts:
    return Facts(root=root, roots=roots, bundle=1, members=members)


@pytest.mark.parametrize(
    ("check", "facts", "state", "words"),
    [
        (trust.chain, Facts(members=(BOB,)), State.OK, "bob may renew it"),
        (trust.chain, Facts(members=(BOB, NARROW, ELSEWHERE)), State.OK, "; bob may renew it"),
        (
            trust.chain,
            Facts(members=(NARROW, ELSEWHERE)),
            State.WARN,
            "ops-1 may renew it only without group data, capability policy",
        ),
        (
            trust.chain,
            Facts(members=(ELSEWHERE,)),
            State.WARN,
            "issuer-1 may not renew it: no --name of its token allows a node called web-1",
        ),
        (
            trust.chain,
            Facts(members=(ELSEWHERE,), wall=1_000.0, chain_expires_at=1_000),
            State.FAIL,
            "expired on",
        ),
        (trust.chain, Facts(), State.OK, "no member that is alive may renew it"),
        (trust.chain, Facts(keeps_root=True), State.OK, "renews it itself"),
        (trust.chain, Facts(chain_overdue=True), State.WARN, "was not renewed"),
        (trust.chain, Facts(members=(LATE,)), State.WARN, "eve"),
        (
            trust.chain,
            Facts(wall=1_000.0, chain_expires_at=1_000),
            State.FAIL,
            "expired on 1970-01-01 00:16 UTC",
        ),
        (trust.chain, Facts(wall=999.0, chain_expires_at=1_000), State.OK, "good until 1970-01-01"),
        (trust.chain, on(OLD, BOB, roots=(NEW,)), State.FAIL, "a root that the mesh has dropped"),
        (trust.roots, on(NEW, BOB), State.OK, "all chains hang on bbbbbbbb"),
        (trust.roots, on(NEW, BOB, LATE), State.WARN, "not on the newest one yet: eve"),
        (trust.roots, on(OLD, BOB), State.WARN, "not on the newest one yet: web-1"),
        (trust.roots, on(OLD, BOB, roots=(NEW,)), State.FAIL, "hangs on aaaaaaaa"),
        (trust.clones, Facts(), State.OK, "no key"),
        (trust.clones, Facts(clones=(EVES, EVES)), State.FAIL, "keys in use twice: eve (0e0e0e0e)"),
        (trust.clones, Facts(clones=(MINE, EVES)), State.FAIL, "this node's own key"),
        (trust.clones, Facts(warned=(Warned("own.clone", "x", 1.0),)), State.FAIL, "this node's own key"),
        (trust.revocations, Facts(), State.OK, "none in force"),
        (trust.revocations, Facts(revocations=("node eve", "token x")), State.OK, "2 in force"),
        (
            trust.revocations,
            Facts(revocations=("node eve",), voided=("node x",)),
            State.OK,
            "1 in force, 1 void;",
        ),
        (trust.revocations, Facts(voided=("node x",)), State.OK, "none in force, 1 void; `gossipmesh"),
        (trust.revocations, Facts(revoked="node web-1: stolen"), State.FAIL, "revoked: node web-1: stolen"),
        (trust.quota, Facts(), State.OK, "no token has one"),
        (
            trust.quota,
            Facts(not_ready="x", seeds=(Seed("192.0.2.8:7946", True, "used up (1 nodes)", NO_ROOM),)),
            State.FAIL,
            "no place in the mesh: 192.0.2.8:7946 says: used up (1 nodes)",
        ),
        (trust.quota, Facts(quotas=(Quota(2, ("bob",)),)), State.OK, "1 token quota, none used up"),
        (trust.quota, Facts(quotas=(Quota(1, ("bob",)),)), State.WARN, "1 of 1 nodes (bob)"),
        (
            trust.quota,
            Facts(quotas=(Quota(1, ("web-1",), own=True),)),
            State.WARN,
            "by this node's own token",
        ),
    ],
)
def test_each_check_in_each_of_its_states(
    check: Callable[[Facts], Check], facts: Facts, state: State, words: str
) -> None:
    assert_found(check, facts, state, words)


def test_both_records_of_a_clone_are_in_the_details_for_together_they_are_the_proof() -> None:
    (detail,) = trust.clones(Facts(clones=(EVES,))).details
    assert detail == {"node": "eve", "id": EVES.id, "ours": b"one".hex(), "theirs": b"other".hex()}


def test_each_root_says_how_many_living_members_hang_on_it_this_node_among_them() -> None:
    details = trust.roots(on(NEW, BOB, LATE)).details
    assert details == (
        {"root": OLD, "members": "1", "newest": "no"},
        {"root": NEW, "members": "2", "newest": "yes"},
    )
