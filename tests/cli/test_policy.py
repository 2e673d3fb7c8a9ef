"""``gossipmesh policy``: what people and scripts see, and exit statuses, where nothing has to be signed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, cast

import trio
from click.testing import Result

from adminlab import NOTHING, asking
from gossipmesh.daemon.admin.news import News
from gossipmesh.daemon.admin.policy_view import PolicyEntry, PolicyShown, TrialShown
from gossipmesh.errors import MeshError
from gossipmesh.model import NodeId
from gossipmesh.policy.document import Stage, new_document
from gossipmesh.policy.rollout import takes_part

TEXT = 'default = "deny"\n'
ENTRY: dict[str, Any] = {
    "version": 3,
    "hash": "ab" * 32,
    "signed_at": "2026-01-01T00:00:00.000Z",
    "signer": "root",
    "stages": [],
    "newest": True,
}
NODES = [
    {"node": name, "id": "cd" * 32, "version": version, "hash": "ab" * 8, "verdict": "done", "stage": 0}
    for name, version in (("hello", 3), ("web", 2))
]
SHOWN: dict[str, Any] = {
    "policy": ENTRY,
    "text": TEXT,
    "body": new_document(3, TEXT, signed_at=0).body.hex(),
    "default": "allow",
    "enforced": 3,
    "verdict": "done",
    "stage": 0,
    "nodes": NODES,
}
TRIED: dict[str, Any] = {
    "requests": 100,
    "denied": 14,
    "allowed": 0,
    "unknown": 2,
    "nodes": [
        {"node": "hello", "id": "ab", "answered": True, "why": "", "requests": 100, "denied": 14},
        {
            "node": "web",
            "id": "cd",
            "answered": False,
            "why": "no answer in time",
            "requests": 0,
            "denied": 0,
        },
    ],
    "findings": [
        {
            "node": "hello",
            "source": "",
            "caller": "cron-1\x1b[31m",
            "service": "hello",
            "method": "GET",
            "path": "/x",
            "verdict": "deny",
            "rule": "default",
            "count": 14,
            "ago_s": 61.0,
        }
    ],
}


class Node:
    """Shows what it was told to."""

    def __init__(self) -> None:
        self.shown = SHOWN
        self.trial = TRIED
        self.kept = [ENTRY]
        self.tried: list[tuple[bytes, bool]] = []
        self.news = News(lambda: NOTHING, first=1, rng=Random(1))
        self.found: list[dict[str, Any]] = []

    def policy(self, version: int | None) -> PolicyShown:
        if version not in (None, 3):
            raise MeshError("policy.unknown", f"no policy version {version} is remembered here (known: 3)")
        return cast("PolicyShown", self.shown if version is None else SHOWN)

    def policy_history(self) -> list[PolicyEntry]:
        return [cast("PolicyEntry", entry) for entry in self.kept]

    def members(self) -> dict[str, Any]:
        return {"members": self.found}

    def identities(self) -> dict[str, Any]:
        return {"identities": [{"groups": ["ops"]}]}

    def status(self) -> dict[str, Any]:
        return {"id": "ab"}

    def config(self) -> dict[str, Any]:
        return {"proxy.as": {"value": "web", "origin": "flag"}}

    def can(self, source: str, service: str, method: str, target: str, *, speaks_as: str | None) -> Any:
        # Whoever else is asked about may have left by now.
        assert (source, speaks_as) == ("ab", "")
        return {"protocol": "tcp" if service == "db" else "http"}

    async def try_policy(self, body: bytes, *, signed: bool) -> TrialShown:
        await trio.lowlevel.checkpoint()
        self.tried.append((body, signed))
        return cast("TrialShown", self.trial)


@asynccontextmanager
async def daemon(state: Path) -> AsyncIterator[tuple[Node, Callable[..., Awaitable[Result]]]]:
    node = Node()
    async with asking(node, state, "policy") as ask:
        yield node, ask


async def test_the_text_is_shown_behind_comments_that_say_where_it_holds(tmp_path: Path) -> None:
    async with daemon(tmp_path) as (node, ask):
        shown = (await ask("show")).stdout
        assert shown.endswith(TEXT)
        assert shown.startswith("# version 3 (abababab), signed by root 2026-01-01T00:00:00.000Z\n")
        assert "# known to 1 of 2 nodes; this one goes by version 3" in shown
        assert json.loads((await ask("show", "--json")).stdout) == SHOWN
        rows = [line.split() for line in (await ask("show", "--nodes")).stdout.splitlines()]
        assert ["web", "2", "done", "2", "abababab", "cdcdcdcd"] in rows
        node.shown = SHOWN | {"policy": None, "text": ""}
        assert (await ask("show")).stdout.startswith("# There is no policy document; what holds is")
        unknown = await ask("show", "--version", "2")
        assert (unknown.exit_code, "known: 3" in unknown.stderr) == (1, True)


async def test_while_a_policy_is_tried_it_is_shown_who_goes_by_which_version(tmp_path: Path) -> None:
    first = new_document(1, TEXT, signed_at=0)
    staged = new_document(
        2, TEXT, signed_at=0, stages=[Stage(500, 60), Stage(1000, 60)], return_to=first.hash
    )
    ids = [NodeId(bytes([number]) * 32) for number in range(8)]
    tries = next(each for each in ids if takes_part(each, 2, 500))
    waits = next(each for each in ids if not takes_part(each, 2, 500))
    tag = staged.hash.hex()[:16]

    def row(node: str, id_: NodeId, verdict: str, stage: int = 0, **more: object) -> dict[str, object]:
        said = {"node": node, "id": id_.hex(), "version": 2, "hash": tag, "verdict": verdict, "stage": stage}
        return said | {"enforces": True} | more

    nodes = [
        row("tries", tries, "watching"),
        row("failed", tries, "failed"),
        row("waits", waits, "watching"),
        row("later", waits, "watching", 1),
        row("back", tries, "returned"),
        row("late", tries, "done", version=1, hash=first.hash.hex()[:16]),
        row("new", tries, "", version=0, hash=""),
        row("old", tries, "", version=0, hash="", enforces=False),
    ]
    async with daemon(tmp_path) as (node, ask):
        entry = ENTRY | {"version": 2, "hash": staged.hash.hex()}
        node.shown = SHOWN | {"policy": entry, "body": staged.body.hex(), "nodes": nodes}
        node.kept = [entry, ENTRY | {"version": 1, "hash": first.hash.hex()}]
        lines = (await ask("show", "--nodes")).stdout.splitlines()
        place = lines[0].index("GOES BY")
        by = {line.split()[0]: line[place:].split()[0] for line in lines[1:]}
    assert by == {
        "tries": "2",
        "failed": "2",
        "waits": "1",
        "later": "2",
        "back": "1",
        "late": "1",
        "new": "default",
        "old": "-",
    }


async def test_versions_are_listed(tmp_path: Path) -> None:
    async with daemon(tmp_path) as (_, ask):
        rows = [line.split() for line in (await ask("history")).stdout.splitlines()]
        assert rows[1] == ["3", "newest", "2026-01-01T00:00:00.000Z", "root", "-", "abababab"]
        assert json.loads((await ask("history", "--json")).stdout) == {"policies": [ENTRY]}


async def test_what_a_file_says_otherwise_is_a_line_each_and_exit_status_one(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    async with daemon(tmp_path) as (node, ask):
        file.write_text("# the same, in other words\ndefault = 'deny'\n")
        same = await ask("diff", str(file))
        assert (same.exit_code, same.stdout) == (0, "")
        file.write_text("default = 'allow'\n")
        other = await ask("diff", str(file))
        head = "# against version 3, in force at this node"
        assert (other.exit_code, other.stdout) == (1, f"{head}\ndefault: deny -> allow\n")
        document = json.loads((await ask("diff", str(file), "--json")).stdout)
        assert document == {"version": 3, "newest": 3, "differs": True, "diff": ["default: deny -> allow"]}

        # What is in force counts, not what was returned or is on its way.
        returned = ENTRY | {"version": 4}
        node.shown = SHOWN | {"policy": returned, "text": "default = 'allow'\n", "verdict": "returned"}
        file.write_text(TEXT)
        same = await ask("diff", str(file))
        assert (same.exit_code, same.stdout) == (0, "")
        assert "version 4 is the newest, and not in force at this node (returned)" in same.stderr
        node.shown |= {"enforced": 0}
        assert (await ask("diff", str(file))).stdout.startswith("# against the mesh's default")


async def test_a_file_that_no_node_would_take_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    async with daemon(tmp_path) as (_, ask):
        for text, words in (
            ("default = 'deny'\nrules = 1\n", ":2: "),
            ("x" * 40_000, "at most 32768 bytes"),
        ):
            file.write_text(text)
            refused = await ask("lint", str(file))
            assert (refused.exit_code, refused.stdout) == (1, "")
            assert words in refused.stderr
        found = json.loads((await ask("lint", str(file), "--json")).stdout)
        assert (found["valid"], found["seen"]) == (False, None)
        for flags in ((), ("--json",)):
            missing = await ask("lint", str(tmp_path / "missing"), *flags)
            assert (missing.exit_code, missing.stdout, missing.stderr.count("\n")) == (2, "", 1)
        assert (await ask("apply", str(file), "--root", str(tmp_path))).exit_code == 2


async def test_lint_says_what_would_have_been_denied_and_who_did_not_answer(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(TEXT)
    async with daemon(tmp_path) as (node, ask):
        plain = await ask("lint", str(file))
        assert (plain.exit_code, node.tried) == (0, [])
        result = await ask("lint", str(file), "--seen")
        assert (result.exit_code, node.tried) == (1, [(TEXT.encode(), False)])
        assert "would have denied 14 of 100 requests in the last hour" in result.stdout
        assert "(1 of 2 nodes answered)" in result.stdout
        assert "no answer from web: no answer in time" in result.stdout
        assert "not the whole mesh: no answer from web; run it again" in result.stderr
        assert "of 2 requests too little is kept to tell" in result.stdout
        assert "/x" in result.stdout
        assert "\x1b" not in result.stdout
        document = json.loads((await ask("lint", str(file), "--seen", "--json")).stdout)
        assert (document["valid"], document["seen"]) == (True, TRIED)
        assert (await ask("lint", str(file), "--root", str(tmp_path))).exit_code == 2
        # Nothing denied is no yes, where somebody was not heard.
        node.trial = TRIED | {"denied": 0, "findings": []}
        assert (await ask("lint", str(file), "--seen")).exit_code == 1
        node.trial["nodes"] = TRIED["nodes"][:1]
        alright = await ask("lint", str(file), "--seen")
        assert (alright.exit_code, alright.stderr) == (0, "")


async def test_lint_knows_services_groups_nodes_and_who_speaks_as_nothing(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    rule = "[[rule]]\naction = 'allow'\n"
    file.write_text(
        f"{TEXT}{rule}from = ['service:web', 'group:ops', 'group:opps', 'node:{'ee' * 32}', 'node:{'ff' * 32}']\n"
        "to = ['db', 'dbb']\n"
        f"{rule}from = ['service:cron']\nto = ['db']\nmethods = ['GET']\n"
    )
    async with daemon(tmp_path) as (node, ask):
        node.found = [
            {"name": "us", "id": "ab", "state": "alive", "services": ["web", "db"]},
            {"name": "box", "id": "cd", "state": "suspect", "services": ["cron", "mail"]},
            {"name": "gone", "id": "ee" * 32, "state": "dead", "services": ["dbb", "cron"]},
        ]
        document = json.loads((await ask("lint", str(file), "--json")).stdout)
        assert {(each["code"], each["rule"]) for each in document["findings"]} == {
            ("unknown-service", "rule 1"),
            ("unknown-group", "rule 1"),
            ("unknown-node", "rule 1"),
            ("tcp-never-allowed", "rule 2"),
            ("nameless-caller", "rule 2"),
        }
        said = (await ask("lint", str(file))).stdout
        # One that is dead is a member still, and offers nothing.
        assert "rule 1: nobody offers dbb" in said
        assert f"rule 1: no member has the id {'ff' * 32}\n" in said
        assert "warning: rule 1: no member is in group opps" in said
        assert "warning: rule 2: it allows box only with [proxy] as" in said
