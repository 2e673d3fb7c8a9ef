"""``gossipmesh reachability``: who is not what he is believed to be, and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

from click.testing import CliRunner

from adminlab import asking
from gossipmesh.cli.main import cli
from gossipmesh.cli.reachability import HINTS, WORDS
from gossipmesh.daemon.admin.reachability_view import Reachability, Reached, Verdict
from gossipmesh.errors import MeshError

WELL: Reached = {
    "name": "web-1",
    "id": "ab" * 32,
    "address": "10.0.0.1:7946",
    "state": "alive",
    "udp_ms": 0.5,
    "tcp_ms": 2.25,
    "tcp_error": "",
    "verdict": "ok",
}
DEAD: Reached = {
    **WELL,
    "name": "web-2",
    "state": "dead",
    "udp_ms": None,
    "tcp_ms": None,
    "tcp_error": "10.0.0.2:7946 refused the connection",
}
CUT: Reached = {**DEAD, "name": "web-3", "state": "alive", "verdict": "unreached"}


class Node:
    """A node that found something."""

    def __init__(self, *members: Reached, busy: bool = False) -> None:
        self.found: Reachability = {
            "ok": all(each["verdict"] == "ok" for each in members),
            "node": "here",
            "members": list(members),
            "took_s": 2.04,
        }
        self.busy = busy

    async def reachability(self) -> Reachability:
        if self.busy:
            raise MeshError("survey.busy", "somebody else's survey is under way here")
        return self.found


async def test_where_all_are_as_believed_it_is_one_line(tmp_path: Path) -> None:
    async with asking(Node(WELL, DEAD), tmp_path, "reachability") as ask:
        result = await ask()
    assert result.exit_code == 0
    assert result.stdout == (
        "here reaches 1 of 1 members by UDP and TCP, in 2.0s; 1 more are dead, and do not answer\n"
    )


async def test_all_are_shown_if_asked_for(tmp_path: Path) -> None:
    async with asking(Node(WELL, DEAD), tmp_path, "reachability") as ask:
        result = await ask("--all")
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["web-1", "alive", "0.5ms", "2.2ms", "10.0.0.1:7946", "ok"]
    assert lines[2].startswith("web-2  dead   -      10.0.0.2:7946 refused the connection")


async def test_who_is_not_as_believed_is_shown_with_what_to_do_and_status_1(tmp_path: Path) -> None:
    async with asking(Node(WELL, CUT), tmp_path, "reachability") as ask:
        result = await ask()
    assert result.exit_code == 1
    assert "web-1" not in result.stdout
    assert WORDS["unreached"] in result.stdout
    assert f"web-3: {HINTS['unreached']}" in result.stdout
    assert result.stdout.splitlines()[-1] == "here reaches 1 of 2 members by UDP and TCP, in 2.0s"


async def test_with_json_it_is_the_daemons_document(tmp_path: Path) -> None:
    node = Node(WELL, CUT)
    async with asking(node, tmp_path, "reachability") as ask:
        result = await ask("--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, node.found)


async def test_a_survey_under_way_is_said(tmp_path: Path) -> None:
    async with asking(Node(busy=True), tmp_path, "reachability") as ask:
        result = await ask()
    assert (result.exit_code, "under way" in result.stderr) == (1, True)


def test_each_verdict_but_ok_has_words_and_a_hint() -> None:
    assert set(get_args(Verdict)) - {"ok"} == set(WORDS) == set(HINTS)


def test_without_a_daemon_it_says_so(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, ["reachability", "--state", str(tmp_path)]).exit_code == 3
