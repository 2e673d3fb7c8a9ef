"""What lint finds, and that it finds nothing where there is nothing."""

from __future__ import annotations

import pytest

from gossipmesh.model import Protocol
from gossipmesh.policy.lint import MAX_NAMED, Known, lint
from gossipmesh.policy.rules import EVERY, Kind, Policy, Rule, Subject

WEB = (Subject(Kind.SERVICE, "web"),)
OPS = (Subject(Kind.GROUP, "ops"),)
ID = "ab" * 32
MESH = Known(
    services={"web": Protocol.HTTP, "orders": Protocol.HTTP, "db": Protocol.TCP},
    groups=frozenset({"ops"}),
    nodes=frozenset({ID}),
)


def found(policy: Policy, known: Known = MESH) -> list[tuple[str, str, str]]:
    return [(each.level, each.code, each.rule) for each in lint(policy, known)]


def allow(label: str = "a", **more: object) -> Rule:
    return Rule(True, label, **{"services": ("orders",), **more})  # type: ignore[arg-type]


def deny(label: str = "d", **more: object) -> Rule:
    return Rule(False, label, **{"services": ("orders",), **more})  # type: ignore[arg-type]


def test_there_is_nothing_odd_about_a_plain_policy() -> None:
    policy = Policy((allow(sources=WEB), deny(sources=WEB, methods=(b"PUT",))))
    assert found(policy) == []
    assert found(policy, Known()) == []


@pytest.mark.parametrize(
    ("policy", "finding"),
    [
        (Policy((allow(sources=WEB), deny(services=(EVERY,)))), ("warning", "never-decides", "a")),
        (Policy((allow(sources=WEB),), default_allow=True), ("warning", "no-effect", "a")),
        (Policy((deny(), deny("e", sources=WEB)), default_allow=True), ("warning", "no-effect", "e")),
        (Policy((deny(), deny("e")), default_allow=True), ("warning", "no-effect", "e")),
        (Policy((allow(sources=WEB), deny(services=("web",)))), ("note", "no-effect", "d")),
        (Policy((allow(), allow("b", sources=WEB))), ("note", "no-effect", "b")),
        (Policy((allow(), allow("b"))), ("note", "no-effect", "b")),
        (Policy((allow(services=("order",)),)), ("warning", "unknown-service", "a")),
        (Policy((allow(sources=(Subject(Kind.SERVICE, "wbe"),)),)), ("warning", "unknown-service", "a")),
        (Policy((allow(sources=(Subject(Kind.GROUP, "op"),)),)), ("warning", "unknown-group", "a")),
        (Policy((allow(sources=(Subject(Kind.NODE, "cd" * 32),)),)), ("warning", "unknown-node", "a")),
        (Policy((allow(services=("db",), methods=(b"PUT",)),)), ("warning", "tcp-never-allowed", "a")),
        (Policy((allow(services=(EVERY,), methods=(b"PUT",)),)), ("note", "tcp-never-allowed", "a")),
        (Policy((deny(services=("db",), methods=(b"PUT",)),), True), ("warning", "tcp-refused", "d")),
        (Policy((deny(services=(EVERY,), methods=(b"PUT",)),), True), ("warning", "tcp-refused", "d")),
        (Policy((deny(sources=OPS),), True), ("warning", "group-denied", "d")),
        (Policy((deny(methods=(b"GET",)),), True), ("warning", "get-without-head", "d")),
        (Policy((), True, "audit"), ("note", "audit", "")),
        (Policy((allow(paths=(b"/a",)),)), ("note", "ambiguous-paths", "")),
    ],
)
def test_what_is_odd_is_found_and_nothing_else(policy: Policy, finding: tuple[str, str, str]) -> None:
    assert found(policy) == [finding]


def test_paths_for_all_services_are_told_with_what_they_do_to_each() -> None:
    policy = Policy((deny(services=(EVERY,), paths=(b"/admin/*",)),), default_allow=True)
    assert found(policy) == [("warning", "tcp-refused", "d"), ("warning", "paths-everywhere", "d")]


def test_nodes_that_speak_as_none_of_their_services_are_told_what_becomes_of_them() -> None:
    known = Known(nameless={"box": frozenset({"web", "cron"}), "other": frozenset({"cron", "mail"})})
    assert found(Policy((allow(sources=WEB),)), known) == [("warning", "nameless-caller", "a")]
    assert found(Policy((deny(sources=WEB),), True), known) == [("note", "nameless-caller", "d")]
    (finding,) = lint(Policy((allow(sources=WEB),)), known)
    assert "box" in finding.text
    assert "other" not in finding.text


def test_a_line_does_not_list_names_without_end() -> None:
    names = tuple(f"s{number}" for number in range(MAX_NAMED + 3))
    (finding,) = lint(Policy((allow(services=names),)), MESH)
    assert finding.text.endswith("s4 and 3 more")
