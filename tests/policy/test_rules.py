"""Rules: who may call what."""

from __future__ import annotations

from gossipmesh.model import NodeId
from gossipmesh.policy.decision import DEFAULT_RULE, Decision, Source
from gossipmesh.policy.rules import Kind, Policy, Rule, Subject

WEB = Source(NodeId(b"w" * 32), "web", frozenset({"web", "cron"}), frozenset({"ops"}))
FROM_WEB = (Subject(Kind.SERVICE, "web"),)
FROM_CRON = (Subject(Kind.SERVICE, "cron"),)


def test_without_rules_the_default_decides() -> None:
    assert Policy.of_default(True).decide(WEB, "orders", b"GET", b"/") == Decision(True, DEFAULT_RULE)
    assert Policy.of_default(False).decide(WEB, "orders", b"GET", b"/") == Decision(False, DEFAULT_RULE)


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
