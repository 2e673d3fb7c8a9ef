"""``gossipmesh service``: what it asks a daemon for, and what it shows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from adminlab import asking
from gossipmesh.cli.main import cli
from gossipmesh.daemon.services.offering import NoSuchServiceError

ENTRY = {
    "name": "web",
    "port": 80,
    "state": "healthy",
    "reason": "",
    "check": "tcp",
    "protocol": "http",
    "weight": 3,
    "tags": ["v2"],
    "origin": "mesh.toml",
    "changed": True,
    "ttl_s": 30.0,
    "expires_in_s": 12.5,
}


class Node:
    """A node that offers web, and notes what is asked of it."""

    def __init__(self) -> None:
        self.book = self
        self.asked: list[tuple[Any, ...]] = []

    def listing(self) -> dict[str, Any]:
        return {"services": [ENTRY], "speaker": "web"}

    async def add(self, name: str, fields: Mapping[str, object], *, ttl_s: float) -> None:
        self.asked.append(("add", name, fields, ttl_s))

    async def change(self, name: str, fields: Mapping[str, object]) -> None:
        self.asked.append(("change", name, fields))

    async def renew(self, name: str) -> None:
        raise NoSuchServiceError("service.unknown", f"this node offers no service {name}")

    async def remove(self, name: str) -> None:
        self.asked.append(("remove", name))


@asynccontextmanager
async def daemon(state: Path) -> AsyncIterator[tuple[Node, Callable[..., Awaitable[Result]]]]:
    node = Node()
    async with asking(node, state, "service") as ask:
        yield node, ask


async def test_a_service_is_added_changed_and_removed_as_the_flag_of_up_would_have_it(tmp_path: Path) -> None:
    async with daemon(tmp_path) as (node, ask):
        result = await ask("add", "web=127.0.0.1:80,weight=3,tag=v2", "--ttl", "30s", "--health", "http=/up")
        assert (result.exit_code, result.stdout) == (0, "web on port 80 is healthy\n")
        assert json.loads((await ask("add", "web=80", "--health", "off", "--json")).stdout) == ENTRY
        assert (await ask("set", "web", "weight=3", "port=81", "health=tcp")).exit_code == 0
        assert (await ask("set", "web", "tag=v2", "tag=x")).exit_code == 0
        assert (await ask("remove", "web")).exit_code == 0
        assert node.asked == [
            ("add", "web", {"port": 80, "weight": 3, "health": {"http": "/up"}, "tags": ["v2"]}, 30.0),
            ("add", "web", {"port": 80, "health": "off", "tags": []}, inf),
            ("change", "web", {"port": 81, "weight": 3, "health": {"tcp": True}}),
            ("change", "web", {"tags": ["v2", "x"]}),
            ("remove", "web"),
        ]


async def test_services_are_listed_with_where_they_come_from(tmp_path: Path) -> None:
    async with daemon(tmp_path) as (_, ask):
        assert json.loads((await ask("list", "--json")).stdout) == {"services": [ENTRY], "speaker": "web"}
        assert (await ask("list")).stdout.splitlines()[1].split() == (
            ["web", "80", "healthy", "3", "v2", "mesh.toml,", "changed", "at", "run", "time", "12s", "-"]
        )


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (("add", "web"), 2),
        (("add", "Web=80"), 2),
        (("add", "web=10.0.0.1:80"), 2),
        (("add", "web=80", "--ttl", "30"), 2),
        (("add", "web=80", "--health", "ftp"), 2),
        (("set", "web"), 2),
        (("set", "web", "wieght=3"), 2),
        (("set", "web", "port=x"), 2),
        (("remove", "../x"), 2),
        (("renew", "web"), 1),
    ],
)
async def test_what_is_wrong_is_one_line_and_an_exit_status(
    args: tuple[str, ...], status: int, tmp_path: Path
) -> None:
    async with daemon(tmp_path) as (node, ask):
        result = await ask(*args)
        assert (result.exit_code, result.stdout, node.asked) == (status, "", [])
        assert result.stderr.count("\n") == 1


def test_without_a_daemon_it_says_so(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, ["service", "list", "--state", str(tmp_path)]).exit_code == 3
