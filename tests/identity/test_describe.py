"""Grants in words."""

from __future__ import annotations

from gossipmesh.identity.describe import day, describe
from gossipmesh.identity.grants import Capability, Grants
from gossipmesh.identity.signed import MAX_WALL


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
    assert lines[1] == "node names: a*, and also none"
    assert lines[2] == "services: web-* or db, and also *-1"
    assert lines[3] == "groups: dev, ops"
    assert lines[5] == "token ids: 0101010101010101"


def test_nothing_at_all_in_words() -> None:
    assert describe(Grants((), (), frozenset(), frozenset(), 0, 0))[0] == "may: nothing beyond being a member"


def test_the_last_time_on_the_wire_can_be_shown() -> None:
    assert day(MAX_WALL) == "9999-12-31 23:59 UTC"
