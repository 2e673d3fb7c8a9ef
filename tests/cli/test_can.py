"""``gossipmesh can``: what it asks, what people see, and its exit status."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import Result

from adminlab import asking
from gossipmesh.daemon.admin.policy_view import Allowed
from gossipmesh.errors import ConfigError


def caller(node: str, verdict: str, rule: str) -> dict[str, Any]:
    return {"node": node, "id": "ab" * 32, "speaks_as": "web", "verdict": verdict, "rule": rule}


ALLOWED: dict[str, Any] = {
    "source": "web-1",
    "service": "orders",
    "method": "GET",
    "path": "/v1/orders",
    "protocol": "http",
    "offered": True,
    "verdict": "allow",
    "rule": "web-reads",
    "version": 3,
    "mode": "enforce",
    "callers": [caller("web-1", "allow", "web-reads")],
}


class Node:
    """Answers what it was told to, and notes what it was asked."""

    def __init__(self, **more: Any) -> None:
        self.asked: list[object] = []
        self.document = ALLOWED | more

    def can(self, source: str, service: str, method: str, target: str, *, speaks_as: str | None) -> Allowed:
        if source == "nobody":
            raise ConfigError("config.value", "'nobody' is no member's name or id")
        self.asked.append((source, service, method, target, speaks_as))
        return cast("Allowed", self.document)


@asynccontextmanager
async def daemon(state: Path, **more: Any) -> AsyncIterator[tuple[Node, Callable[..., Awaitable[Result]]]]:
    node = Node(**more)
    async with asking(node, state, "can") as ask:
        yield node, ask


async def test_a_request_is_get_of_the_root_unless_it_is_said(tmp_path: Path) -> None:
    async with daemon(tmp_path) as (node, ask):
        for args in (
            ["web-1", "orders"],
            ["service:web", "orders", "POST", "/v1/orders?x=1&y"],
            ["web-1", "orders", "--as", "cron"],
            ["web-1", "orders", "--as", ""],
        ):
            assert (await ask(*args)).exit_code == 0
        assert node.asked == [
            ("web-1", "orders", "GET", "/", None),
            ("service:web", "orders", "POST", "/v1/orders?x=1&y", None),
            ("web-1", "orders", "GET", "/", "cron"),
            ("web-1", "orders", "GET", "/", ""),
        ]


async def test_the_answer_names_the_rule_and_the_version(tmp_path: Path) -> None:
    async with daemon(tmp_path) as (_, ask):
        result = await ask("web-1", "orders")
        assert result.stdout == (
            "web-1 may ask for GET /v1/orders of orders: rule web-reads of policy version 3\n"
        )
        assert json.loads((await ask("web-1", "orders", "--json")).stdout) == ALLOWED


async def test_a_rule_without_a_name_is_called_by_its_number_once(tmp_path: Path) -> None:
    async with daemon(tmp_path, rule="rule 2") as (_, ask):
        assert (await ask("web-1", "orders")).stdout.endswith("of orders: rule 2 of policy version 3\n")


async def test_no_is_exit_status_one_and_audit_mode_is_said(tmp_path: Path) -> None:
    async with daemon(tmp_path, verdict="deny", rule="default", mode="audit") as (_, ask):
        result = await ask("web-1", "orders")
        assert result.exit_code == 1
        assert "may not ask for GET /v1/orders of orders: rule default of policy" in result.stdout
        assert "audit mode" in result.stdout
        assert (await ask("web-1", "orders", "--json")).exit_code == 1


async def test_members_that_are_not_alike_are_listed(tmp_path: Path) -> None:
    some = [caller("web-1", "allow", "web-reads"), caller("web-2\x1b[31m", "deny", "default")]
    async with daemon(tmp_path, verdict="deny", rule="default", callers=some, offered=False) as (_, ask):
        text = (await ask("service:web", "orders")).stdout
        rows = [line.split() for line in text.splitlines()]
        assert ["web-1", "web", "allow", "web-reads", "abababab"] in rows
        assert "Nobody offers that service now." in text
        assert "\x1b" not in text


async def test_a_tcp_service_is_asked_for_without_method_and_path(tmp_path: Path) -> None:
    async with daemon(tmp_path, protocol="tcp", service="db", method="", path="") as (_, ask):
        assert (await ask("web-1", "db")).stdout.startswith("web-1 may ask for db: rule web-reads")


@pytest.mark.parametrize(
    ("args", "words"), [(["nobody", "orders"], "no member's name or id"), (["web-1"], "Missing argument")]
)
async def test_what_is_no_question_is_wrong_usage(tmp_path: Path, args: list[str], words: str) -> None:
    async with daemon(tmp_path) as (_, ask):
        result = await ask(*args)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert words in result.stderr
