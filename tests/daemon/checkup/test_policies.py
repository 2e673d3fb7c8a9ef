"""Checks of the policy, each in each of its states."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from checkedfacts import assert_found
from gossipmesh.daemon.checkup import policies
from gossipmesh.daemon.checkup.facts import Check, Facts, Fellow, PolicyFound, State
from gossipmesh.daemon.checkup.policies import ALLOWED, DENIED
from gossipmesh.model import MemberState
from gossipmesh.policy.rollout import Verdict

STAGED = PolicyFound(enforced=2, newest=(3, "aa"), stages=2, verdict=Verdict.WATCHING)


def knowing(version: int, hash_: str = "aa", *others: tuple[str, int, str]) -> Facts:
    members = tuple(Fellow(name, "0b", policy=(theirs, tag)) for name, theirs, tag in others)
    return Facts(policy=PolicyFound(enforced=version, newest=(version, hash_)), members=members)


def policy(**found: object) -> Facts:
    return Facts(policy=PolicyFound(**found))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("check", "facts", "state", "words"),
    [
        (policies.policy, Facts(), State.OK, f"no policy document: {ALLOWED}"),
        (policies.policy, policy(default_allow=False), State.OK, DENIED),
        (policies.policy, policy(enforced=3, rules=1), State.OK, f"version 3, 1 rule: {ALLOWED}"),
        (policies.policy, policy(enforced=3, audit=True), State.WARN, "in audit mode"),
        (policies.policy_nodes, knowing(0, "", ("bob", 0, "")), State.OK, "no document at 2 nodes"),
        (policies.policy_nodes, knowing(3, "aa", ("bob", 3, "aa")), State.OK, "version 3 at 2 nodes"),
        (policies.policy_nodes, knowing(3, "aa", ("bob", 2, "cc")), State.WARN, "bob (2)"),
        (policies.policy_nodes, knowing(3, "aa", ("bob", 0, "")), State.WARN, "bob (none)"),
        (
            policies.policy_nodes,
            knowing(3, "aa", ("bob", 3, "bb")),
            State.WARN,
            "another document of version 3: bob",
        ),
        (
            policies.policy_nodes,
            knowing(3, "aa", ("bob", 5, "dd"), ("eve", 4, "")),
            State.FAIL,
            "know up to 5",
        ),
        (policies.rollout, Facts(), State.OK, "none under way"),
        (
            policies.rollout,
            Facts(policy=STAGED),
            State.OK,
            "version 3 is in stage 1 of 2; version 2 is in force",
        ),
        (
            policies.rollout,
            policy(enforced=3, newest=(3, "aa"), stages=2, stage=1, verdict=Verdict.PASSED),
            State.OK,
            "stage 2 of 2; in force here",
        ),
        (
            policies.rollout,
            policy(newest=(3, "aa"), stages=2, stage=2, verdict=Verdict.DONE),
            State.OK,
            "none",
        ),
        (
            policies.rollout,
            policy(newest=(3, "aa"), stages=2, verdict=Verdict.FAILED),
            State.WARN,
            "fails its gate",
        ),
        (
            policies.rollout,
            policy(enforced=2, newest=(3, "aa"), stages=2, verdict=Verdict.RETURNED),
            State.WARN,
            "was returned: version 2 is in force here",
        ),
        (policies.policy_refused, Facts(), State.OK, "no document"),
        (
            policies.policy_refused,
            policy(refused=("version 3: a", "version 4: b")),
            State.WARN,
            "version 4: b",
        ),
    ],
)
def test_each_check_in_each_of_its_states(
    check: Callable[[Facts], Check], facts: Facts, state: State, words: str
) -> None:
    assert_found(check, facts, state, words)


def test_what_the_dead_knew_does_not_matter() -> None:
    dead = Fellow("bob", "0b", state=MemberState.DEAD, policy=(9, "dd"))
    assert policies.policy_nodes(Facts(members=(dead,))).state is State.OK
