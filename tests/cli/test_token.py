from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from gossipmesh.cli.main import cli
from gossipmesh.cli.token import in_vain
from gossipmesh.daemon.admin.server import serve_unix
from gossipmesh.identity.token import parse_token


def run(*args: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, args, input=stdin)


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    assert run("init", str(tmp_path / "mesh")).exit_code == 0
    return tmp_path / "mesh"


def shown(token: str) -> dict[str, object]:
    return dict(json.loads(run("token", "show", "-", "--json", stdin=token).stdout))


def test_a_new_token_is_alone_on_stdout_and_allows_what_was_said(mesh: Path) -> None:
    result = run(
        "token", "new", "--root", str(mesh), "--service", "web*", "--service", "api", "--group", "ops",
        "--name", "web-*", "--can", "join", "--can", "issue", "--ttl", "30d",
    )  # fmt: skip
    assert (result.exit_code, result.stdout.count("\n"), result.stderr) == (0, 1, "")
    document = shown(result.stdout)
    assert document["services"] == [["web*", "api"]]
    assert (document["names"], document["groups"]) == ([["web-*"]], ["ops"])
    assert document["capabilities"] == ["issue", "join"]
    assert int(str(document["expires_at"])) - int(str(document["not_before"])) == 30 * 86_400 + 300


def test_a_token_that_says_nothing_admits_any_node_for_a_year(mesh: Path) -> None:
    document = shown(run("token", "new", "--root", str(mesh)).stdout)
    assert (document["capabilities"], document["default"]) == (["join"], "allow")
    assert int(str(document["expires_at"])) - int(str(document["not_before"])) == 365 * 86_400 + 300


def test_a_narrowed_token_never_allows_more(mesh: Path) -> None:
    wide = run("token", "new", "--root", str(mesh), "--service", "web*", "--ttl", "1d").stdout
    narrow = run("token", "narrow", "-", "--can", "policy", "--name", "a", "--ttl", "300d", stdin=wide).stdout
    before, after = parse_token(wide).grants, parse_token(narrow).grants
    assert after.expires_at == before.expires_at
    assert after.caps == frozenset()
    assert after.allows_service("web-1")
    assert not after.allows_service("db")
    assert not after.allows_name("b")


def test_what_a_narrowed_token_asks_for_in_vain_is_said(mesh: Path) -> None:
    wide = run("token", "new", "--root", str(mesh), "--service", "web*", "--group", "eu").stdout
    asked = {
        "services": ("web-1", "db", "d*", "*-1", "w*"),
        "groups": ("eu", "us"),
        "names": ("any",),
        "caps": ("join", "policy"),
    }
    assert list(in_vain(parse_token(wide).grants, **asked)) == [
        "service db",
        "service d*",
        "group us",
        "capability policy",
    ]


def test_a_token_may_be_named_by_its_file(mesh: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(run("token", "new", "--root", str(mesh)).stdout)
    result = run("token", "show", str(tmp_path / "token"))
    assert result.exit_code == 0
    assert "let nodes join" in result.stdout
    assert "gmt1." not in result.stdout


def test_a_root_that_is_none_and_a_token_that_is_none_are_named(tmp_path: Path) -> None:
    result = run("token", "new", "--root", str(tmp_path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "has no root.key" in result.stderr
    assert run("token", "show", "gmt1.AAAA").exit_code == 1
    assert run("token", "show", str(tmp_path / "none")).exit_code == 2
    assert run("token", "show", "-", stdin="").exit_code == 2


def test_what_no_token_can_say_is_wrong_usage(mesh: Path) -> None:
    result = run("token", "new", "--root", str(mesh), "--service", "WEB")
    assert (result.exit_code, result.stdout) == (2, "")
    assert run("token", "new", "--root", str(mesh), "--can", "fly").exit_code == 2
    assert run("token", "new", "--root", str(mesh), "--ttl", "30").exit_code == 2
    assert run("token", "new", "--root", "").exit_code == 2
    token = run("token", "new", "--root", str(mesh)).stdout
    for args in (["new", "--root", str(mesh)], ["narrow", token]):
        result = run("token", *args, "--ttl", "0s")
        assert (result.exit_code, result.stdout) == (2, "")


def test_a_token_that_was_cut_is_refused_in_words_for_people(mesh: Path) -> None:
    token = run("token", "new", "--root", str(mesh)).stdout.strip()
    for length in (5, 8, len(token) // 2, len(token) - 4):
        result = run("token", "show", token[:length])
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("gossipmesh: this join token is damaged or cut short; copy it again")
        assert "Error" not in result.stderr
    result = run("token", "show", "")
    assert (result.exit_code, result.stderr) == (2, "gossipmesh: TOKEN is empty; is a variable unset?\n")


def test_showing_takes_a_token_or_join_and_not_both() -> None:
    assert run("token", "show").exit_code == 2
    assert run("token", "show", "gmt1.AAAA", "--join").exit_code == 2


class Node:
    """As much of a node as says where it can be joined."""

    def status(self) -> dict[str, object]:
        return {"address": "192.0.2.1:7946"}


async def test_the_join_line_has_the_advertised_address_and_a_good_token(mesh: Path) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_unix, Node(), mesh / "admin.sock"))
        result = await trio.to_thread.run_sync(run, "token", "show", "--join", "--state", str(mesh))
        nursery.cancel_scope.cancel()
    assert result.exit_code == 0
    *words, token = result.stdout.split()
    assert words == ["gossipmesh", "up", "--join", "192.0.2.1:7946", "--token"]
    assert parse_token(token).mesh_id


def test_a_join_line_needs_a_running_node_that_keeps_the_root_key(mesh: Path, tmp_path: Path) -> None:
    assert run("token", "show", "--join", "--state", str(mesh)).exit_code == 3
    assert run("token", "show", "--join", "--state", str(tmp_path)).exit_code == 1


def test_a_token_is_shown_block_by_block_with_what_remains(mesh: Path) -> None:
    wide = run(
        "token", "new", "--root", str(mesh), "--service", "web*", "--quota", "9", "--ttl", "30d"
    ).stdout
    narrow = run("token", "narrow", "-", "--name", "web-*", "--quota", "3", "--ttl", "3h", stdin=wide).stdout
    said = run("token", "show", "-", stdin=narrow).stdout
    first, rest = said.split("block 2, by the holder of the block before:\n")
    second, remains = rest.split("what remains:\n")
    assert "  services: web*\n" in first
    assert "  quota: at most 9 living nodes, as each member counts them\n" in first
    assert second.splitlines()[:2] == [
        "  node names: web-*",
        "  quota: at most 3 living nodes, as each member counts them",
    ]
    assert "services" not in second
    for line in ("may: let nodes join", "node names: web-*", "services: web*", "expires in 2 hours"):
        assert f"  {line}\n" in remains
    assert "  quota: 3, or less where others narrowed this token too\n" in remains
    assert "  can be narrowed once more\n" in remains
    document = shown(narrow)
    assert document["quota"] == 3
    blocks = document["blocks"]
    assert isinstance(blocks, list)
    assert [block["quota"] for block in blocks] == [9, 3]
    assert (blocks[0]["capabilities"], blocks[1]["capabilities"]) == (["join"], None)
    # Every id that a revocation may name is there.
    assert document["token_ids"] == [token_id for block in blocks for token_id in block["token_ids"]]


def test_an_expired_token_can_be_shown_and_says_so(mesh: Path) -> None:
    token = run("token", "new", "--root", str(mesh), "--ttl", "1s").stdout
    assert "which is to say:" in run("token", "show", "-", stdin=token).stdout


@pytest.mark.parametrize("quota", ["0", "-1", "many"])
def test_a_quota_is_a_number_of_nodes(mesh: Path, quota: str) -> None:
    done = run("token", "new", "--root", str(mesh), "--quota", quota)
    assert (done.exit_code, done.stdout) == (2, "")
