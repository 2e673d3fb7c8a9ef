"""Rules: who may call what. The compiled decision is held to a naive one."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.model import NodeId
from gossipmesh.policy.decision import DEFAULT_RULE, Decision, Source
from gossipmesh.policy.paths import ambiguous_path, folded
from gossipmesh.policy.rules import MAX_MEMO, MAX_WEIGHT, Kind, Policy, Rule, Subject

NODE = NodeId(b"w" * 32)
WEB = Source(NODE, "web", frozenset({"web", "cron"}), frozenset({"ops"}))
FROM_WEB = (Subject(Kind.SERVICE, "web"),)
FROM_CRON = (Subject(Kind.SERVICE, "cron"),)
FROM_OPS = (Subject(Kind.GROUP, "ops"),)

NODES = [NodeId(bytes([number]) * 32) for number in range(3)]
NAMES = ["web", "cron", "orders"]
SUBJECTS = [
    Subject(Kind.EVERY),
    *(Subject(Kind.SERVICE, name) for name in NAMES),
    *(Subject(Kind.GROUP, name) for name in ("ops", "eu")),
    Subject(Kind.NODE, NODES[0].hex()),
]
TARGETS = [
    b"/",
    b"/a",
    b"/A",
    b"/a/",
    b"/a/b",
    b"/a/B/c",
    b"/%61/b",
    b"/a;x/b",
    b"/b?x=/a/b",
    b"*",
    b"/a/b/c/d",
]
METHODS = [b"GET", b"POST", b"get", b"PATCH"]


def some(elements: list[object], least: int = 1) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(st.sampled_from(elements), min_size=least, max_size=3, unique=True).map(tuple)


RULES = st.lists(
    st.builds(
        Rule,
        st.booleans(),
        st.just(""),
        some(list(SUBJECTS)),
        some(["*", *NAMES]),
        some([b"GET", b"POST"], 0),
        some([b"/", b"/*", b"/a", b"/a/*", b"/a/b/*", b"/A/b", b"/b"], 0),
    ),
    max_size=8,
).map(
    lambda rules: tuple(
        Rule(rule.allow, f"rule {place}", rule.sources, rule.services, rule.methods, rule.paths)
        for place, rule in enumerate(rules)
    )
)
SOURCES = st.builds(
    Source,
    st.sampled_from(NODES),
    st.sampled_from(["", *NAMES]),
    st.frozensets(st.sampled_from(NAMES)),
    st.frozensets(st.sampled_from(["ops", "eu"])),
)
ASKED = st.tuples(
    SOURCES, st.sampled_from([*NAMES, "other"]), st.sampled_from(METHODS), st.sampled_from(TARGETS)
)


def says(rule: Rule, source: Source, service: str, method: bytes, target: bytes, *, tcp: bool) -> bool:
    """Tell whether a rule matches, word by word as the documentation has it."""

    def is_meant(subject: Subject) -> bool:
        match subject.kind:
            case Kind.EVERY:
                return True
            case Kind.SERVICE if rule.allow:
                return source.service == subject.name
            case Kind.SERVICE:
                return subject.name in source.services | {source.service}
            case Kind.GROUP:
                return subject.name in source.groups
            case Kind.NODE:
                return source.node == bytes.fromhex(subject.name)

    if not any(map(is_meant, rule.sources)) or not {"*", service} & set(rule.services):
        return False
    if tcp:
        return not rule.allow or not (rule.methods or rule.paths)
    if rule.methods and (method if rule.allow else method.upper()) not in rule.methods:
        return False
    return not rule.paths or any(names(each, target.partition(b"?")[0], rule.allow) for each in rule.paths)


def names(rule: bytes, path: bytes, allow: bool) -> bool:
    below = rule.endswith(b"/*")
    base = rule[:-2] if below else rule
    if allow:
        under = path.startswith(base + b"/") and (not base or len(path) > len(base) + 1)
        return under if below else path == base
    path = folded(path)
    if not base:
        return path.startswith(b"/") or path == b"*"
    base = folded(base)
    return path == base or (below and path.startswith(base + b"/"))


def naive(policy: Policy, asked: tuple[Source, str, bytes, bytes], tcp: bool) -> tuple[bool, set[str]]:
    """Give what is decided, and the rules that may be said to have done it."""
    matching = [rule for rule in policy.rules if says(rule, *asked, tcp=tcp)]
    for allow in (False, True):
        if labels := {rule.label for rule in matching if rule.allow is allow}:
            return allow, labels
    return policy.default_allow, {DEFAULT_RULE}


@given(RULES, st.booleans(), st.lists(ASKED, min_size=1, max_size=20), st.booleans())
def test_the_compiled_decision_is_the_naive_one(
    rules: tuple[Rule, ...], default: bool, asked: list[tuple[Source, str, bytes, bytes]], tcp: bool
) -> None:
    policy = Policy(rules, default)
    # Each with all methods, and twice: the second time from memory.
    for each in [(one[0], one[1], method, one[3]) for one in asked for method in METHODS] * 2:
        decision = policy.decide(*each, tcp=tcp)
        allow, labels = naive(policy, each, tcp)
        assert decision.allow is allow
        assert decision.rule in labels


@given(RULES, ASKED, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_rules_means_nothing(
    rules: tuple[Rule, ...], asked: tuple[Source, str, bytes, bytes], tcp: bool, rng: Random
) -> None:
    shuffled = list(rules)
    rng.shuffle(shuffled)
    decided = [Policy(tuple(each)).decide(*asked, tcp=tcp).allow for each in (rules, shuffled)]
    assert decided[0] == decided[1]


@given(RULES, RULES, ASKED, st.booleans())
def test_what_is_denied_stays_so_whatever_else_is_allowed(
    rules: tuple[Rule, ...], more: tuple[Rule, ...], asked: tuple[Source, str, bytes, bytes], tcp: bool
) -> None:
    decision = Policy(rules, True).decide(*asked, tcp=tcp)
    if not decision.allow:
        assert not Policy((*more, *rules), True).decide(*asked, tcp=tcp).allow


@given(RULES, ASKED)
def test_another_spelling_of_a_path_is_never_allowed_more(
    rules: tuple[Rule, ...], asked: tuple[Source, str, bytes, bytes]
) -> None:
    """Where all that is not allowed is denied, who spells a path otherwise gains nothing by it but the default."""
    source, service, method, _ = asked
    policy = Policy(rules, default_allow=True)
    if not policy.decide(source, service, method, b"/a/b").allow:
        for spelling in (b"/A/b", b"/%61/%62", b"/a;x/b;y", b"/a/b/", b"/a/%2562"):
            assert ambiguous_path(spelling) is None
            assert not policy.decide(source, service, method, spelling).allow


def test_without_rules_the_default_decides() -> None:
    assert Policy.of_default(True).decide(WEB, "orders", b"GET", b"/") == Decision(True, DEFAULT_RULE)
    assert Policy.of_default(False).decide(WEB, "orders", b"GET", b"/") == Decision(False, DEFAULT_RULE)
    assert Policy.of_default(True).version == 0


def test_a_rule_that_denies_wins_whatever_the_order() -> None:
    allow = Rule(True, "web-reads", FROM_WEB, ("orders",), (b"GET",))
    deny = Rule(False, "no-admin", services=("orders",), paths=(b"/admin/*",))
    for rules in ((allow, deny), (deny, allow)):
        policy = Policy(rules)
        assert policy.decide(WEB, "orders", b"GET", b"/admin/users") == Decision(False, "no-admin")
        assert policy.decide(WEB, "orders", b"GET", b"/orders?x=/admin/") == Decision(True, "web-reads")
        assert policy.decide(WEB, "orders", b"POST", b"/orders") == Decision(False, DEFAULT_RULE)


def test_a_service_that_the_caller_does_not_speak_as_counts_where_a_rule_denies_only() -> None:
    allowed = Policy((Rule(True, "crons", FROM_CRON),))
    assert allowed.decide(WEB, "orders", b"GET", b"/") == Decision(False, DEFAULT_RULE)
    denied = Policy((Rule(False, "no-crons", FROM_CRON),), default_allow=True)
    assert denied.decide(WEB, "orders", b"GET", b"/") == Decision(False, "no-crons")


def test_a_caller_without_a_name_is_denied_by_any_of_its_services_and_allowed_by_none() -> None:
    nameless = Source(NODE, "", frozenset({"web", "cron"}))
    assert not Policy((Rule(True, "x", FROM_WEB),)).decide(nameless, "orders", b"GET", b"/").allow
    assert not Policy((Rule(False, "x", FROM_WEB),), True).decide(nameless, "orders", b"GET", b"/").allow
    assert Policy((Rule(True, "x"),)).decide(nameless, "orders", b"GET", b"/").allow


def test_methods_are_compared_as_they_are_where_a_rule_allows_and_in_any_case_where_it_denies() -> None:
    allow = Policy((Rule(True, "reads", methods=(b"GET",)),))
    assert [allow.decide(WEB, "x", method, b"/").allow for method in (b"GET", b"get", b"PUT")] == [
        True,
        False,
        False,
    ]
    deny = Policy((Rule(False, "no-reads", methods=(b"GET",)),), default_allow=True)
    assert [deny.decide(WEB, "x", method, b"/").allow for method in (b"GET", b"gEt", b"PUT")] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("more", [{"methods": (b"GET",)}, {"paths": (b"/a",)}])
def test_a_tcp_service_is_allowed_without_methods_and_paths_only_and_denied_with_them_altogether(
    more: dict[str, tuple[bytes, ...]],
) -> None:
    allow, deny = Rule(True, "a", FROM_WEB, ("db",), **more), Rule(False, "d", FROM_WEB, ("db",), **more)
    assert not Policy((allow,)).decide(WEB, "db", b"", b"", tcp=True).allow
    assert Policy((Rule(True, "a", FROM_WEB, ("db",)),)).decide(WEB, "db", b"", b"", tcp=True).allow
    assert not Policy((deny,), default_allow=True).decide(WEB, "db", b"", b"", tcp=True).allow


def test_rules_with_paths_name_their_services_and_one_for_all_names_each() -> None:
    one = Policy(
        (Rule(True, "x", services=("orders",), paths=(b"/a",)), Rule(False, "y", services=("carts",)))
    )
    assert [one.has_paths(name) for name in ("orders", "carts", "other")] == [True, False, False]
    every = Policy((Rule(False, "x", paths=(b"/a",)),))
    assert every.has_paths("anything")
    assert not Policy.of_default(True).has_paths("orders")


def test_a_deep_path_is_looked_into_no_deeper_than_the_rules_go() -> None:
    policy = Policy((Rule(False, "x", paths=(b"/a/*",)),), default_allow=True)
    assert policy.decide(WEB, "orders", b"GET", b"/b" * 100_000).allow
    assert not policy.decide(WEB, "orders", b"GET", b"/a" * 100_000).allow


def test_what_a_caller_may_choose_freely_fills_no_memory() -> None:
    policy = Policy((Rule(True, "reads", FROM_OPS, ("orders",), (b"GET",)),))
    for number in range(3 * MAX_MEMO):
        source = Source(NodeId(number.to_bytes(32, "big")), f"s{number}", frozenset({f"s{number}"}))
        assert not policy.decide(source, f"x{number}", b"M%d" % number, b"/").allow
        assert policy.remembered <= MAX_MEMO
    for number in range(3):
        policy.decide(WEB, f"x{number}", b"M%d" % number, b"/%d" % number)
    assert policy.decide(WEB, "orders", b"GET", b"/") == Decision(True, "reads")


def test_two_policies_are_equal_if_they_say_the_same() -> None:
    assert Policy((Rule(True, "x"),), version=3) == Policy((Rule(True, "x"),), version=3)
    assert Policy((Rule(True, "x"),)) != Policy((Rule(True, "y"),))


def test_callers_that_each_match_other_rules_with_many_paths_fill_no_memory() -> None:
    many = tuple(b"/%d" % number for number in range(256))
    rules = tuple(
        Rule(True, f"rule {n}", (Subject(Kind.SERVICE, f"s{n}"), Subject(Kind.GROUP, "ops")), paths=many)
        for n in range(64)
    )
    policy = Policy(rules)
    for number in range(64):
        asked = Source(NODE, f"s{number}", frozenset({f"s{number}"}))
        assert policy.decide(asked, "orders", b"GET", b"/255").allow
    assert policy.remembered == 64
    heavy = MAX_WEIGHT // (64 * 257)
    for number in range(4 * heavy):
        names = frozenset(f"s{number}-{each}" for each in range(64 * 64))
        policy.decide(Source(NODE, f"x{number}", names, frozenset({"ops"})), "orders", b"GET", b"/255")
        assert policy.remembered <= 64 + MAX_WEIGHT // (64 * 64)
