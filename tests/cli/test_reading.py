from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio
from click.testing import CliRunner, Result

from adminlab import asking
from gossipmesh.cli.main import cli
from gossipmesh.daemon.admin.changes import Picture
from gossipmesh.daemon.admin.news import News
from gossipmesh.daemon.admin.view import Endpoints, Members, Services, Status

STATUS: Status = {
    "name": "web-1",
    "id": "ab" * 32,
    "mesh": "cd" * 32,
    "version": "0.1.0",
    "uptime_s": 3_725.0,
    "listen": {"mesh": "0.0.0.0:7946", "proxy": "127.0.0.1:4140", "admin": None, "dns": None, "gateways": []},
    "address": "10.0.0.1:7946",
    "members": {"alive": 3, "suspect": 0, "dead": 1, "left": 0},
    "agreement": 1.0,
    "awareness": 0,
    "policy_version": 0,
    "services": [
        {"name": "hello", "port": 80, "state": "healthy", "reason": "", "check": "tcp"},
        {"name": "world", "port": 81, "state": "unhealthy", "reason": "status 503", "check": "GET /up"},
    ],
    "chain_expires_at": 4_000_000_000,
    "bundle": 1,
    "roots": [
        {"root": "ef" * 32, "newest": False, "members": 2},
        {"root": "12" * 32, "newest": True, "members": 1},
    ],
    "clones": ["ab" * 32],
}
MEMBERS: Members = {
    "members": [
        {
            "name": "web-1",
            "id": "ab" * 32,
            "address": "10.0.0.1:7946",
            "state": "alive",
            "serving": "serving",
            "incarnation": 1 << 32,
            "zone": "",
            "services": ["hello", "world"],
            "since": 1.0,
        }
    ]
}
SERVICES: Services = {"services": [{"name": "hello", "endpoints": 2, "healthy": 1}]}
ENDPOINTS: Endpoints = {
    "service": "hello",
    "endpoints": [
        {
            "node": "web-1",
            "id": "ab" * 32,
            "address": "10.0.0.1:7946",
            "weight": 3,
            "tags": ["v2"],
            "healthy": False,
            "reason": "two members do not reach it",
        }
    ],
}
CONFIG: dict[str, object] = {"node.zone": {"value": "eu", "origin": "--zone"}}


NOTHING = Picture({}, {}, "", lambda _: None, lambda _: {})


class Node:
    """A node that always knows the same."""

    def __init__(self) -> None:
        self.news = News(lambda: NOTHING, first=1, rng=Random(1))

    def status(self) -> Status:
        return STATUS

    def members(self) -> Members:
        return MEMBERS

    def services(self) -> Services:
        return SERVICES

    def endpoints(self, name: str) -> Endpoints | None:
        return ENDPOINTS if name == "hello" else None

    def config(self) -> dict[str, object]:
        return CONFIG


@asynccontextmanager
async def daemon(state: Path) -> AsyncIterator[Callable[..., Awaitable[Result]]]:
    async with asking(Node(), state) as ask:
        yield ask


async def test_json_is_the_daemons_document(tmp_path: Path) -> None:
    async with daemon(tmp_path) as ask:
        for args, document in (
            (["status"], STATUS),
            (["members"], MEMBERS),
            (["services"], SERVICES),
            (["endpoints", "hello"], ENDPOINTS),
            (["config"], CONFIG),
        ):
            result = await ask(*args, "--json")
            assert (result.exit_code, result.stderr) == (0, "")
            assert json.loads(result.stdout) == document


async def test_without_json_people_get_what_they_need(tmp_path: Path) -> None:
    async with daemon(tmp_path) as ask:
        status = (await ask("status")).stdout
        assert "members         3 alive, 1 dead" in status
        assert "up              1h 2m" in status
        assert "agreement       100%" in status
        assert "service hello   healthy (check: tcp)" in status
        assert "service world   unhealthy: status 503 (check: GET /up)" in status
        assert "admin" not in status
        assert "chain           expires on 2096-10-02 07:06 UTC, in " in status
        assert "root efefefef   to be dropped when no member hangs on it; 2 members hang on it" in status
        assert "root 12121212   the newest; 1 members hang on it" in status
        assert "key abababab    IN USE TWICE: revoke it" in status
        head, row = (await ask("members")).stdout.splitlines()
        assert head.split() == ["NAME", "STATE", "SERVING", "ADDRESS", "ZONE", "SERVICES", "FOR", "ID"]
        assert row.split()[:7] == ["web-1", "alive", "serving", "10.0.0.1:7946", "-", "hello", "world"]
        assert (await ask("services")).stdout.splitlines()[1].split() == ["hello", "2", "1"]
        assert (
            "unhealthy  10.0.0.1:7946  3       v2    two members do not"
            in (await ask("endpoints", "hello")).stdout
        )
        assert (await ask("config")).stdout.splitlines()[1].split() == ["node.zone", '"eu"', "--zone"]


@pytest.mark.parametrize("command", ["status", "members", "members --json", "services", "config"])
async def test_what_cannot_be_written_is_one_line_and_not_done(tmp_path: Path, command: str) -> None:
    async with daemon(tmp_path):
        for target, words in ((">/dev/full", "cannot be written: No space left"), (">&-", "is closed")):
            script = f'exec "{sys.executable}" -m gossipmesh {command} --state "{tmp_path}" {target}'
            done = await trio.run_process(["/bin/sh", "-c", script], capture_stderr=True, check=False)
            assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
            assert words in done.stderr.decode()


async def test_a_service_that_nobody_offers_is_the_answer_no(tmp_path: Path) -> None:
    async with daemon(tmp_path) as ask:
        result = await ask("endpoints", "other")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "nobody offers other" in result.stderr
        result = await ask("endpoints", "other", "--json")
        assert (result.exit_code, json.loads(result.stdout)) == (1, {"service": "other", "endpoints": []})
        assert (await ask("endpoints", "Not/a/name")).exit_code == 2


@pytest.mark.parametrize("args", [["status"], ["members"], ["services"], ["endpoints", "hello"], ["config"]])
def test_without_a_daemon_every_reading_command_exits_with_3(tmp_path: Path, args: list[str]) -> None:
    result = CliRunner().invoke(cli, [*args, "--state", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("gossipmesh: no daemon answers at ")
