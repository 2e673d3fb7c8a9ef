"""``gossipmesh tap``: requests as lines, each once; what was not seen is said."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from adminlab import asking
from gossipmesh.cli import tap as module
from gossipmesh.cli.main import cli
from gossipmesh.daemon.admin.requests_view import Requests, RequestsAsked

OK = {
    "time": "2026-11-29T10:00:00.123Z",
    "request_id": "r-1",
    "trace_id": "t",
    "direction": "outbound",
    "source": "web",
    "service": "hello",
    "method": "GET",
    "path": "/x",
    "code": 200,
    "flag": "",
    "bytes_in": 0,
    "bytes_out": 5,
    "duration_ms": 1.234,
    "attempts": 1,
    "endpoint": "hello-1",
}
BAD = OK | {"request_id": "r-2", "direction": "inbound", "code": 503, "flag": "UH", "endpoint": ""}


class Node:
    """A node with some answers."""

    def __init__(self, *answers: Requests) -> None:
        self.answers = list(answers)
        self.asked: list[RequestsAsked] = []

    def requests(self, asked: RequestsAsked) -> Requests:
        self.asked.append(asked)
        return self.answers.pop(0)


def told(*entries: dict[str, object], missed: int = 0) -> Requests:
    return {"requests": list(entries), "next": "1.1", "missed": missed}


async def test_a_line_says_what_became_of_a_request(tmp_path: Path) -> None:
    async with asking(Node(told(OK, BAD)), tmp_path, "tap", "--no-follow") as ask:
        result = await ask()
    head, good, bad = result.stdout.splitlines()
    assert head.split() == [name for name, _ in module.COLUMNS]
    assert good.split()[1:] == ["out", "web", "hello", "200", "-", "1.2", "1", "hello-1", "GET", "/x", "r-1"]
    assert bad.split()[1:] == ["in", "web", "hello", "503", "UH", "1.2", "1", "-", "GET", "/x", "r-2"]
    assert good.split()[0].endswith(":00:00.123") or good.split()[0].endswith(":30:00.123")


async def test_the_question_is_what_the_options_say(tmp_path: Path) -> None:
    node = Node(told())
    options = ("--service", "hello", "--direction", "inbound", "--failed", "--last", "3", "--no-follow")
    async with asking(node, tmp_path, "tap") as ask:
        result = await ask(*options)
    assert result.exit_code == 0
    assert node.asked == [RequestsAsked(None, 3, "hello", "inbound", failed=True)]


async def test_with_json_each_is_a_line_and_nothing_else_is(tmp_path: Path) -> None:
    async with asking(Node(told(OK, BAD)), tmp_path, "tap", "--no-follow", "--json") as ask:
        result = await ask()
    assert [json.loads(line) for line in result.stdout.splitlines()] == [OK, BAD]


async def test_a_name_cannot_move_the_cursor(tmp_path: Path) -> None:
    hostile = OK | {"path": "/\x1b[2Jx", "endpoint": "a\u202eb"}
    async with asking(Node(told(hostile)), tmp_path, "tap", "--no-follow") as ask:
        result = await ask()
    assert "/?[2Jx" in result.stdout
    assert "a?b" in result.stdout


async def test_what_went_by_unseen_is_said_beside_the_lines(tmp_path: Path) -> None:
    async with asking(Node(told(OK, missed=12)), tmp_path, "tap", "--no-follow", "--json") as ask:
        result = await ask()
    assert result.stderr == "gossipmesh: 12 requests went by too fast to be shown\n"
    assert len(result.stdout.splitlines()) == 1


def test_failures_are_red_where_colours_are_wanted() -> None:
    assert click.unstyle(module._drawn(BAD, colours=True)) != module._drawn(BAD, colours=True)
    assert click.unstyle(module._drawn(OK, colours=True)) == module._drawn(OK, colours=True)
    assert click.unstyle(module._drawn(BAD, colours=False)) == module._drawn(BAD, colours=False)


@pytest.mark.parametrize(
    "options", [("--service", "No"), ("--service", ""), ("--last", "257"), ("--direction", "up")]
)
def test_wrong_usage_is_refused_before_anybody_is_asked(tmp_path: Path, options: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, ["tap", *options, "--state", str(tmp_path)])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_without_a_daemon_it_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["tap", "--state", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (3, "")
