"""Who may do what, asked of a node about any member."""

from __future__ import annotations

import pytest

from gossipmesh.daemon.policy.can import Judge
from gossipmesh.errors import ConfigError
from gossipmesh.model import Protocol, Service
from gossipmesh.policy.rules import Kind, Policy, Rule, Subject
from gossipmesh.sim.world import World

HELLO, WEB, CRON, DB = (Service(name, 80) for name in ("hello", "web", "cron", "db"))
WEB_READS = Rule(True, "web-reads", (Subject(Kind.SERVICE, "web"),), ("hello",), (b"GET",), (b"/v1/*",))
NO_CRON = Rule(False, "no-cron", (Subject(Kind.SERVICE, "cron"),), ("hello",))
TO_DB = Rule(True, "to-db", services=("db",))


@pytest.fixture(scope="module")
def judge() -> Judge:
    world = World(7)
    world.add("alice", services=(HELLO, Service("db", 5432, Protocol.TCP)))
    world.add("web-1", services=(WEB,), seeds=["alice"])
    world.add("web-2", services=(WEB, CRON), seeds=["alice"])
    world.run_until(world.complete, within=10)
    policy = Policy((WEB_READS, NO_CRON, TO_DB), version=3)
    return Judge(world.nodes["alice"].mesh, lambda: policy)


def ask(judge: Judge, source: str, *request: str, speaks_as: str | None = None) -> tuple[str, str]:
    service, method, path = (*request, "GET", "/")[:3] if len(request) == 1 else request
    found = judge.can(source, service, method, path, speaks_as=speaks_as)
    return found["verdict"], found["rule"]


def test_a_member_speaks_as_its_only_service_and_the_rule_is_named(judge: Judge) -> None:
    assert ask(judge, "web-1", "hello", "GET", "/v1/x") == ("allow", "web-reads")
    assert ask(judge, "web-1", "hello", "POST", "/v1/x") == ("deny", "default")
    assert ask(judge, "web-1", "hello") == ("deny", "default")
    assert ask(judge, "web-1", "hello", "GET", "/v1/../x") == ("deny", "ambiguous-path")


def test_what_asks_the_server_is_a_question_too_for_options_alone(judge: Judge) -> None:
    assert ask(judge, "web-1", "hello", "OPTIONS", "*") == ("deny", "default")
    with pytest.raises(ConfigError, match=r"'\*' is not a path; write one such as /v1/orders, or OPTIONS \*"):
        ask(judge, "web-1", "hello", "GET", "*")


def test_one_with_two_services_speaks_as_none_unless_it_is_said(judge: Judge) -> None:
    # A rule that denies by service counts any of its services; one that allows, only the one that it speaks as.
    assert ask(judge, "web-2", "hello", "GET", "/v1/x") == ("deny", "no-cron")
    assert ask(judge, "web-2", "hello", "GET", "/v1/x", speaks_as="web") == ("deny", "no-cron")
    assert ask(judge, "web-1", "hello", "GET", "/v1/x", speaks_as="") == ("deny", "default")


def test_a_service_is_every_member_that_offers_it_and_one_denied_is_the_answer(judge: Judge) -> None:
    found = judge.can("service:web", "hello", "GET", "/v1/x", speaks_as=None)
    assert {each["node"]: each["verdict"] for each in found["callers"]} == {"web-1": "allow", "web-2": "deny"}
    assert (found["verdict"], found["rule"], found["version"]) == ("deny", "no-cron", 3)


def test_an_id_or_its_beginning_names_a_member_too(judge: Judge) -> None:
    node = judge.can("web-1", "hello", "GET", "/", speaks_as=None)["callers"][0]["id"]
    for name in (node, node[:8], node[:8].upper()):
        assert judge.can(name, "hello", "GET", "/", speaks_as=None)["callers"][0]["node"] == "web-1"


def test_of_a_tcp_service_neither_method_nor_path_is_asked(judge: Judge) -> None:
    found = judge.can("alice", "db", "GET", "/x", speaks_as=None)
    assert (found["verdict"], found["rule"], found["protocol"]) == ("allow", "to-db", "tcp")
    assert (found["method"], found["path"], found["offered"]) == ("", "", True)
    assert not judge.can("alice", "unknown", "GET", "/x", speaks_as=None)["offered"]


@pytest.mark.parametrize(
    ("source", "service", "path", "speaks_as"),
    [
        ("nobody", "hello", "/", None),
        ("", "hello", "/", None),
        ("service:unknown", "hello", "/", None),
        ("service:web", "hello", "/", "web"),
        ("web-1", "hello", "/", "cron"),
        ("web-1", "Hello", "/", None),
        ("web-1", "hello", "x", None),
        ("web-1", "hello", "/a b", None),
        ("web-1", "hello", "/\n", None),
        ("web-1", "hello", "/x#y", None),
    ],
)
def test_what_is_no_question_says_what_would_be_one(
    judge: Judge, source: str, service: str, path: str, speaks_as: str | None
) -> None:
    with pytest.raises(ConfigError) as raised:
        judge.can(source, service, "GET", path, speaks_as=speaks_as)
    assert "\n" not in str(raised.value)


def test_what_no_policy_lets_through_is_no_question_either(judge: Judge) -> None:
    with pytest.raises(ConfigError, match="tcp services"):
        judge.can("web-1", "hello", "CONNECT", "/", speaks_as=None)
