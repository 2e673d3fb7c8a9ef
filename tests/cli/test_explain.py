"""``gossipmesh explain``: what it asks, and what people see of the answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from adminlab import asking
from gossipmesh.cli.main import cli
from gossipmesh.daemon.admin.explained_view import Explained
from gossipmesh.errors import MeshError, RequestError

OUT = "out of rotation for 5 s after 5 failures in a row; 4.5 s left"


def candidate(node: str, *, eligible: bool, reason: str = "", **more: Any) -> dict[str, Any]:
    return {
        "node": node,
        "id": "ab" * 32,
        "address": "10.0.0.1:7946",
        "zone": "eu-1a",
        "tags": ["v1"],
        "eligible": eligible,
        "reason": reason,
        "weight": 3.0,
        "share": 0.9,
        "score": 0.0,
        "in_flight": 2,
    } | more


DRY: dict[str, Any] = {
    "service": "hello",
    "method": "GET",
    "target": "/x",
    "decision": "send",
    "flag": "",
    "why": "",
    "candidates": [
        candidate("web-1", eligible=True),
        candidate("web-2", eligible=False, reason=OUT, score=None, share=0.0),
        candidate("web-3", eligible=True),
    ],
    "chosen": "web-1",
    "policy": {"version": 0, "rule": "default", "verdict": "allow", "mode": "enforce"},
    "attempts": [],
    "tag": "v1",
    "zone": "eu-1a",
    "session": "",
    "state": {
        "balancer": "ewma",
        "split": {"v1": 90, "v2": 10},
        "breaker": "1 of 1024 in flight, 0 of 128 waiting",
        "budget": 10.0,
        "hedging": "hedging is off",
        "traffic": "policy",
    },
    "past": None,
    "related": [],
}
REFUSED = DRY | {
    "decision": "refuse",
    "flag": "UH",
    "why": "no endpoint of this service is healthy",
    "chosen": None,
    "candidates": [],
}
PAST = DRY | {
    "decision": "answered",
    "session": "moved",
    "state": None,
    "candidates": [
        candidate("web-2", eligible=True, share=None, score=None, in_flight=None),
        candidate("web-1", eligible=True, share=None, score=None, in_flight=None),
    ],
    "attempts": [
        {
            "node": node,
            "id": "ab" * 32,
            "address": "10.0.0.1:7946",
            "outcome": outcome,
            "flag": flag,
            "status": status,
            "begun_ms": 0.0,
            "sent_ms": 1.0,
            "first_byte_ms": first_byte,
            "ended_ms": 25.04,
            "app_ms": None,
        }
        for node, outcome, flag, status, first_byte in (
            ("web-2", "failed", "UC", 0, None),
            ("web-1", "answered", "", 200, 24.0),
        )
    ],
    "past": {
        "request_id": "r-1\x1b[31m",
        "trace_id": "cd" * 16,
        "direction": "outbound",
        "ended": "2026-01-01T00:00:00.000Z",
        "code": 200,
        "bytes_in": 1,
        "bytes_out": 2,
        "duration_ms": 25.04,
        "caller": "",
        "times": {"queue": 0.0, "retries": 1.0, "connect": 2.0, "hop": 3.0, "app": None, "body": 19.04},
    },
}
THERE = PAST | {
    "attempts": [],
    "candidates": [],
    "past": PAST["past"] | {"direction": "inbound", "caller": "client-1"},
}


class Node:
    """Explains what it was told to, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def explain(self, method: str, url: str, headers: list[tuple[str, str]]) -> Explained:
        self.asked.append((method, url, headers))
        if "wrong" in url:
            raise RequestError("DPE", 400, "this is no method, or no target of a request")
        return cast("Explained", REFUSED if "refused" in url else DRY)

    def explain_past(self, name: str) -> Explained:
        self.asked.append(name)
        if name == "unknown":
            raise MeshError("explain.unknown", "no request unknown is known to this node")
        return cast("Explained", PAST | {"related": [THERE]})


@asynccontextmanager
async def daemon(state: Path) -> AsyncIterator[tuple[Node, Callable[..., Awaitable[Result]]]]:
    node = Node()
    async with asking(node, state, "explain") as ask:
        yield node, ask


async def test_a_url_is_asked_about_with_its_method_and_headers_and_anything_else_by_its_id(
    tmp_path: Path,
) -> None:
    async with daemon(tmp_path) as (node, ask):
        for args in (
            ["http://hello/x?a=1&b=%20"],
            ["POST", "http://hello/", "-H", "X-User: a&b", "--header", "y:z"],
            ["/x", "-H", "Host: hello.mesh"],
            ["CONNECT", "db:5432"],
            ["r-1/%2F ?&"],
        ):
            assert (await ask(*args)).exit_code == 0
        assert node.asked == [
            ("GET", "http://hello/x?a=1&b=%20", []),
            ("POST", "http://hello/", [("X-User", " a&b"), ("y", "z")]),
            ("GET", "/x", [("Host", " hello.mesh")]),
            ("CONNECT", "db:5432", []),
            "r-1/%2F ?&",
        ]


async def test_json_is_the_daemons_document(tmp_path: Path) -> None:
    async with daemon(tmp_path) as (_, ask):
        assert json.loads((await ask("http://hello/x", "--json")).stdout) == DRY
        refused = await ask("http://refused/", "--json")
        assert (refused.exit_code, json.loads(refused.stdout)) == (1, REFUSED)


async def test_people_see_who_is_chosen_and_why_the_others_are_not(tmp_path: Path) -> None:
    async with daemon(tmp_path) as (_, ask):
        lines = (await ask("http://hello/x")).stdout.splitlines()
        assert lines[0] == "GET /x of hello goes to web-1"
        assert "split     v1 90 %, v2 10 %" in lines
        assert "policy    allow, by rule default of version 0" in lines
        assert "settings  from the mesh's policy" in lines
        head, chosen, out, other = lines[-4:]
        assert head.split()[:7] == ["NODE", "STATE", "WEIGHT", "SHARE", "SCORE", "IN", "FLIGHT"]
        assert head.split()[7:] == ["ADDRESS", "ZONE", "TAGS", "REASON"]
        assert chosen.split()[:6] == ["web-1", "chosen", "3", "90%", "0", "2"]
        assert out.split()[:6] == ["web-2", "out", "3", "0%", "-", "2"]
        assert out.endswith(OUT)
        assert other.split()[1] == "eligible"
        refused = await ask("http://refused/")
        assert refused.exit_code == 1
        assert refused.stdout.startswith(
            "GET /x of hello is refused (UH): no endpoint of this service is healthy\n"
        )


async def test_people_see_what_became_of_a_request_here_and_at_the_other_end(tmp_path: Path) -> None:
    async with daemon(tmp_path) as (_, ask):
        text = (await ask("r-1")).stdout
        here, _, there = text.partition("asked by")
        assert here.startswith("GET /x of hello was answered by web-1\n")
        assert (
            "took       25.0 ms: queue 0.0 ms, retries 1.0 ms, connect 2.0 ms, hop 3.0 ms, body 19.0 ms"
            in here
        )
        assert "session    moved" in here
        rows = [line.split() for line in here.splitlines()]
        assert ["1", "web-2", "failed", "UC", "-", "0.0", "ms", "1.0", "ms", "-", "25.0", "ms", "-"] in rows
        assert there.split()[0] == "client-1"
        assert "\x1b" not in text


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        ([], 2, "Missing argument"),
        (["GET", "http://hello/", "more"], 2, "one URL"),
        (["r-1", "-H", "a: b"], 2, "leave out --header"),
        (["http://wrong/"], 2, "no target of a request"),
        (["http://hello/", "-H", "no colon"], 2, "a header is Name: value"),
        (["unknown"], 1, "no request unknown is known"),
    ],
)
async def test_what_cannot_be_explained_is_one_line_and_an_exit_status(
    tmp_path: Path, args: list[str], status: int, words: str
) -> None:
    async with daemon(tmp_path) as (_, ask):
        result = await ask(*args)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (status, "", 1)
        assert words in result.stderr


def test_without_a_daemon_nothing_is_explained(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["explain", "r-1", "--state", str(tmp_path)])
    assert result.exit_code == 3
