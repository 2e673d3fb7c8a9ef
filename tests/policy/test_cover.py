"""How rules relate: held to what the rules themselves say of requests."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.model import NodeId
from gossipmesh.policy.cover import covers, overlap
from gossipmesh.policy.decision import Source
from gossipmesh.policy.rules import ANYBODY, Kind, Policy, Rule, Subject

NODES = [NodeId(bytes([number]) * 32) for number in range(2)]
SUBJECTS = [
    *ANYBODY,
    Subject(Kind.SERVICE, "web"),
    Subject(Kind.GROUP, "ops"),
    *(Subject(Kind.NODE, node.hex()) for node in NODES),
]
PATHS = [b"/", b"/*", b"/a", b"/A", b"/a/", b"/a/*", b"/a/b", b"/a/b/*", b"/%61/*"]
SOURCES = [
    Source(node, service, frozenset(services), frozenset(groups))
    for node in NODES
    for service, services in (("", ()), ("web", ("web",)), ("", ("web", "cron")))
    for groups in ((), ("ops",))
]
TARGETS = [b"/", b"/a", b"/a/", b"/A/", b"/a/b", b"/A/b/c", b"/a/b/c/d", b"/x"]


def some(elements: list[object], least: int) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(st.sampled_from(elements), min_size=least, max_size=2, unique=True).map(tuple)


RULES = st.builds(
    Rule,
    st.booleans(),
    st.just("x"),
    some(list(SUBJECTS), 1),
    some(["*", "orders", "carts"], 1),
    some([b"GET", b"PUT"], 0),
    some(list(PATHS), 0),
)
REQUESTS = [
    (source, service, method, target)
    for source in SOURCES
    for service in ("orders", "carts", "other")
    for method in (b"GET", b"PUT", b"POST")
    for target in TARGETS
]


def matched(rule: Rule) -> set[int]:
    """Give the requests that a rule matches."""
    policy = Policy((rule,), default_allow=not rule.allow)
    return {n for n, request in enumerate(REQUESTS) if policy.decide(*request).allow is rule.allow}


@given(RULES, RULES)
def test_what_one_rule_covers_it_matches(one: Rule, other: Rule) -> None:
    other = evolve(other, allow=True) if one.allow else other
    if covers(one, other):
        assert matched(other) <= matched(one)


@given(RULES, RULES)
def test_rules_that_match_one_request_overlap(one: Rule, other: Rule) -> None:
    if matched(one) & matched(other):
        assert overlap(one, other)
        assert overlap(other, one)


@given(RULES)
def test_a_rule_covers_itself_and_overlaps_with_itself(rule: Rule) -> None:
    assert covers(rule, rule)
    assert overlap(rule, rule)
    assert covers(Rule(False, "all"), rule)


@pytest.mark.parametrize(
    ("wide", "narrow", "allow"),
    [
        ((), (b"/a",), True),
        ((b"/*",), (b"/a/*", b"/"), True),
        ((b"/a/*",), (b"/a/b", b"/a/b/*"), True),
        ((b"/a/*",), (b"/a",), False),
        ((b"/a/*",), (b"/A/b",), False),
        ((b"/a",), (b"/a/",), False),
    ],
)
def test_paths_are_covered_as_a_rule_of_their_kind_reads_them(
    wide: tuple[bytes, ...], narrow: tuple[bytes, ...], allow: bool
) -> None:
    assert covers(Rule(False, "x", paths=wide), Rule(True, "y", paths=narrow))
    assert covers(Rule(True, "x", paths=wide), Rule(True, "y", paths=narrow)) is allow


def test_rules_about_other_nodes_or_other_paths_do_not_overlap() -> None:
    one, other = (Rule(True, "x", (Subject(Kind.NODE, node.hex()),)) for node in NODES)
    assert not overlap(one, other)
    assert not overlap(Rule(True, "x", paths=(b"/a/*",)), Rule(True, "y", paths=(b"/b/*", b"/c")))
    assert overlap(Rule(True, "x", paths=(b"/a/*",)), Rule(True, "y", paths=(b"/a/b/*",)))
