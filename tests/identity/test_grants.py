"""Grants: whatever is added, nothing more is allowed."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.identity.grants import Capability, Grants, Restrictions, is_glob, matches_glob

NAMES = st.text("ab-", min_size=1, max_size=6)
GLOBS = st.text("ab*-", min_size=1, max_size=5)
LISTS = st.lists(st.lists(GLOBS, max_size=3).map(tuple), max_size=3).map(tuple)
GROUPS = st.frozensets(st.sampled_from(["ops", "web", "db"]))
CAPS = st.frozensets(st.sampled_from(list(Capability)))
TIMES = st.integers(0, 10_000)

RESTRICTIONS = st.builds(
    Restrictions,
    not_before=TIMES,
    expires_at=TIMES,
    services=LISTS,
    names=LISTS,
    groups=st.none() | GROUPS,
    caps=st.none() | CAPS,
)
GRANTS = st.builds(
    Grants, services=LISTS, names=LISTS, groups=GROUPS, caps=CAPS, not_before=TIMES, expires_at=TIMES
)
EVERYTHING = Grants((), (), frozenset({"ops"}), frozenset(Capability), 1_000, 2_000)


@given(GRANTS, RESTRICTIONS, NAMES, st.sampled_from(list(Capability)), st.integers(0, 12_000))
def test_what_is_allowed_after_a_restriction_was_allowed_before(
    before: Grants, restriction: Restrictions, name: str, capability: Capability, wall: int
) -> None:
    after = before.narrowed(restriction)
    assert not after.allows_service(name) or before.allows_service(name)
    assert not after.allows_name(name) or before.allows_name(name)
    assert not after.allows(capability) or before.allows(capability)
    assert after.groups <= before.groups
    assert after.expired(wall) or not before.expired(wall)
    assert after.not_yet_valid(wall) or not before.not_yet_valid(wall)


@given(RESTRICTIONS, RESTRICTIONS, NAMES)
def test_every_list_of_every_block_must_match(first: Restrictions, second: Restrictions, name: str) -> None:
    grants = first.as_grants().narrowed(second)
    for lists, allowed in (
        (first.services + second.services, grants.allows_service(name)),
        (first.names + second.names, grants.allows_name(name)),
    ):
        assert allowed == all(any(matches_glob(name, glob) for glob in globs) for globs in lists)


def test_the_empty_list_allows_nothing_and_no_list_changes_nothing() -> None:
    assert not EVERYTHING.narrowed(Restrictions(0, 9_000, services=((),))).allows_service("web")
    assert EVERYTHING.narrowed(Restrictions(0, 9_000)) == EVERYTHING


def test_lists_that_cannot_matter_are_left_out() -> None:
    once = EVERYTHING.narrowed(Restrictions(0, 9_000, services=(("web-*",),)))
    assert once.narrowed(Restrictions(0, 9_000, services=(("web-*",), ("*",), ("db", "*")))) == once


def test_a_first_block_grants_what_it_states_and_no_more() -> None:
    assert Restrictions(1, 2).as_grants() == Grants((), (), frozenset(), frozenset(), 1, 2)
    assert not Restrictions(1, 2, services=(("*",),)).complete
    full = Restrictions(1, 2, (), (("*",),), (("*",),), frozenset(), frozenset())
    assert full.complete
    assert not attrs.evolve(full, caps=None).complete
    assert not attrs.evolve(full, groups=None).complete


def test_two_minutes_of_skew_are_forgiven_both_ways_and_no_more() -> None:
    assert not EVERYTHING.not_yet_valid(1_000 - 120)
    assert EVERYTHING.not_yet_valid(1_000 - 120.5)
    assert not EVERYTHING.expired(2_000 + 120)
    assert EVERYTHING.expired(2_000 + 120.5)


def reference_match(name: str, glob: str) -> bool:
    """Match by definition: the textbook table over prefixes."""
    reachable = {0}
    for letter in glob:
        if letter == "*":
            reachable = {end for start in reachable for end in range(start, len(name) + 1)}
        else:
            reachable = {at + 1 for at in reachable if at < len(name) and name[at] == letter}
    return len(name) in reachable


@given(NAMES, GLOBS)
def test_globs_match_by_definition(name: str, glob: str) -> None:
    assert matches_glob(name, glob) == reference_match(name, glob)


@pytest.mark.timeout(5)
def test_a_hostile_glob_costs_nothing() -> None:
    assert not matches_glob("a" * 63, "*a" * 31 + "b")


@pytest.mark.parametrize("text", ["", "a" * 64, "a?", "[ab]", "A", "a.b", "a\n", "é"])
def test_what_is_no_glob(text: str) -> None:
    assert not is_glob(text)
