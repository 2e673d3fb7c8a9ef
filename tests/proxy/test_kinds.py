"""What a header is by its name, and what is remembered of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.proxy.kinds import (
    CHECKED,
    DROPPED,
    FORWARDED_ALIAS,
    FRAMING_ALIAS,
    HOP,
    HOST,
    KINDS,
    MAX_NAME,
    MAX_NAMES,
    TO_APP,
    TO_MESH,
    TRACED,
    Rule,
    canonical,
)

RULES: tuple[Rule, ...] = (TO_MESH, TO_APP, HOP, CHECKED, TRACED)


@pytest.mark.parametrize("name", [b"Host", b"host", b"HOST", b"hOsT"])
def test_a_name_is_what_it_is_however_it_is_written(name: bytes) -> None:
    assert KINDS[name] == HOST


def test_a_name_is_nothing_special_until_it_reads_like_one_that_is() -> None:
    assert KINDS[b"X-Custom"] == 0
    assert KINDS[b"Content_Length"] == FRAMING_ALIAS
    assert KINDS[b"X_Forwarded_For"] == FORWARDED_ALIAS
    assert KINDS[b"X_Gossipmesh_Node"] == DROPPED


@given(name=st.binary(min_size=1, max_size=80))
def test_no_rule_overlooks_a_name_that_concerns_it(name: bytes) -> None:
    kind = KINDS[name]
    assert KINDS[name] == kind
    for rule in RULES:
        assert not (name in rule.others and kind & rule.kinds)


def test_what_is_remembered_is_bounded_and_what_is_forgotten_is_judged_anew() -> None:
    for number in range(2 * MAX_NAMES):
        assert KINDS[b"x-odd-%d" % number] == 0
    assert len(KINDS) <= MAX_NAMES
    assert all(len(rule.others) <= MAX_NAMES for rule in RULES)
    assert KINDS[b"Host"] == HOST
    assert KINDS[b"x" * (MAX_NAME + 1)] == 0
    assert b"x" * (MAX_NAME + 1) not in KINDS


def test_canonical_is_what_cgi_sees() -> None:
    assert canonical(b"Content_Length") == canonical(b"content.length") == b"content-length"
