"""Grants in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.identity.describe import can_meet, describe, describe_block, describe_validity, globs_in_words
from gossipmesh.identity.grants import Capability, Grants, Restrictions, matches_all


def test_a_plain_token_in_words() -> None:
    grants = Grants((), (), frozenset(), frozenset({Capability.JOIN}), 1_767_225_600, 1_798_761_600)
    assert describe(grants) == [
        "may: let nodes join",
        "node names: any",
        "services: any",
        "groups: none",
        "valid: 2026-01-01 00:00 UTC to 2027-01-01 00:00 UTC",
    ]


def test_a_narrowed_token_in_words() -> None:
    grants = Grants(
        (("web-*", "db"), ("*-1",)),
        (("a*",), ()),
        frozenset({"ops", "dev"}),
        frozenset({Capability.JOIN, Capability.POLICY}),
        0,
        60,
    )
    lines = describe(grants, [b"\1" * 8])
    assert lines[0] == "may: let nodes join, sign policy (policy)"
    assert lines[1] == "node names: (nothing)"
    assert lines[2] == "services: (web-* or db) and at the same time *-1"
    assert lines[3] == "groups: dev, ops"
    assert lines[5] == "token ids: 0101010101010101"


def test_nothing_at_all_in_words() -> None:
    assert describe(Grants((), (), frozenset(), frozenset(), 0, 0))[0] == "may: nothing beyond being a member"


def test_one_block_says_what_it_states_and_nothing_that_it_leaves_as_it_was() -> None:
    assert describe_block(Restrictions(0, 60)) == ["valid: 1970-01-01 00:00 UTC to 1970-01-01 00:01 UTC"]
    said = describe_block(
        Restrictions(
            0,
            60,
            (b"token--1",),
            services=(("web*", "db"),),
            names=(("n-*",),),
            groups=frozenset({"ops"}),
            caps=frozenset({Capability.JOIN}),
            quota=5,
        )
    )
    assert said == [
        "may: let nodes join",
        "node names: n-*",
        "services: web* or db",
        "groups: ops",
        "quota: at most 5 living nodes, as each member counts them",
        "valid: 1970-01-01 00:00 UTC to 1970-01-01 00:01 UTC",
        "token id: 746f6b656e2d2d31",
    ]
    assert describe_block(Restrictions(0, 60, caps=frozenset(), groups=frozenset()))[:2] == [
        "may: nothing beyond being a member",
        "groups: none",
    ]


@pytest.mark.parametrize(
    ("wall", "said"),
    [
        (0.0, "not valid yet: it begins in 11 days"),
        (10.0**6, "expires in 11 days"),
        (2 * 10.0**6 - 7_200, "expires in 2 hours"),
        (2 * 10.0**6 - 150, "expires in 2 minutes"),
        (2 * 10.0**6 - 5, "expires in 5 seconds"),
        (2 * 10.0**6 + 5, "expires in 0 seconds"),
        (2 * 10.0**6 + 3_600, "EXPIRED 60 minutes ago"),
    ],
)
def test_how_long_it_is_good_for_in_words(wall: float, said: str) -> None:
    grants = Grants((), (), frozenset(), frozenset(), 10**6, 2 * 10**6)
    assert describe_validity(grants, wall) == said


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ([("web*",)], "web*"),
        ([("web*",), ("foo",)], "(nothing)"),
        ([("web*",), ("foo", "web-1")], "web* and at the same time (foo or web-1)"),
        ([("*",), ("web*",), ("db*",)], "(nothing)"),
        ([("*-1",), ("*-2",)], "(nothing)"),
        (
            [("web*",), ("web-*", "db*"), ("*-1",)],
            "web* and at the same time (web-* or db*) and at the same time *-1",
        ),
    ],
)
def test_several_lists_are_what_a_name_has_to_satisfy_at_once(
    lists: list[tuple[str, ...]], words: str
) -> None:
    assert globs_in_words(lists) == words


GLOBS = st.lists(st.text("ab*", min_size=1, max_size=3), min_size=1, max_size=3).map(tuple)


@given(st.lists(GLOBS, min_size=1, max_size=3), st.text("ab", max_size=4))
def test_what_a_name_satisfies_is_never_called_nothing(lists: list[tuple[str, ...]], name: str) -> None:
    assert can_meet(lists) or not matches_all(name, lists)
