"""``gossipmesh root``: replacing what a mesh's trust begins with."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
import trio
from click.testing import CliRunner, Result

from adminlab import NOTHING
from gossipmesh import crypto
from gossipmesh.cli.main import cli
from gossipmesh.cli.root import check_told
from gossipmesh.daemon.admin.news import News
from gossipmesh.daemon.admin.server import serve_unix
from gossipmesh.daemon.admin.view import NodeView
from gossipmesh.daemon.disk.root import load_root
from gossipmesh.errors import MeshError
from gossipmesh.identity.authority import split_untrusted
from gossipmesh.identity.bundle import TrustStore


def run(*args: str | Path, status: int = 0) -> Result:
    done = CliRunner().invoke(cli, [str(arg) for arg in args])
    assert done.exit_code == status, done.output
    return done


def test_a_node_that_has_not_heard_of_the_roots_is_to_be_told_first(mesh: Path, tmp_path: Path) -> None:
    run("root", "rotate", "--root", mesh)
    trust = load_root(mesh).trust
    status = {"mesh": trust.mesh_id.hex(), "bundle": 0, "name": "us"}
    with pytest.raises(MeshError, match=f"tell it first: gossipmesh root tell --root {mesh}$"):
        check_told(status, trust, mesh)
    with pytest.raises(MeshError, match=r"tell it first: gossipmesh root tell --root DIR$"):
        check_told(status, trust, tmp_path / "token")
    check_told(status | {"bundle": 1}, trust, mesh)
    check_told(status | {"mesh": "ab" * 32}, trust, mesh)


def test_what_is_damaged_names_the_flag_that_names_it(mesh: Path) -> None:
    run("root", "rotate", "--root", mesh)
    (mesh / "bundles").write_bytes(b"\x93")
    assert "another directory (--state or --root)" in run("root", "show", "--root", mesh, status=1).stderr


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    run("init", tmp_path / "mesh")
    return tmp_path / "mesh"


def test_a_root_is_rotated_and_the_next_steps_are_said(mesh: Path) -> None:
    old = load_root(mesh)
    done = run("root", "rotate", "--root", mesh, "--state", mesh / "nobody")
    assert "the mesh does not know of it yet" in done.stderr
    assert "--can join --can issue [--can CAP]... [--group G]... > TOKEN" in done.stderr
    assert f"gossipmesh root tell --root {mesh} --state DIR" in done.stderr
    assert done.stdout.startswith("trust bundle 1 lists the new root ")
    assert f"gossipmesh root drop --root {mesh}" in done.stderr
    shown = json.loads(run("root", "show", "--root", mesh, "--json").stdout)
    assert shown["bundle"] == 1
    assert shown["roots"] == [crypto.signing_public(old.seed).hex(), shown["present"]]
    assert f"root: {shown['present']} (in root.key)" in run("root", "show", "--root", mesh).stdout
    # Tokens made now tell of the new root.
    token = run("token", "new", "--root", mesh).stdout.strip()
    assert json.loads(run("token", "show", token, "--json").stdout)["root"] == shown["present"]


def test_a_root_is_not_dropped_blindly(mesh: Path, tmp_path: Path) -> None:
    run("root", "rotate", "--root", mesh)
    # Nobody can say who hangs on it.
    run("root", "drop", "--root", mesh, "--state", tmp_path / "nobody", status=3)
    assert len(load_root(mesh).trust.roots) == 2
    done = run("root", "drop", "--root", mesh, "--force")
    assert done.stdout.startswith("trust bundle 2 lists the root ")
    assert len(load_root(mesh).trust.roots) == 1
    assert "has one root" in run("root", "drop", "--root", mesh, "--force", status=1).stderr


def test_a_second_rotation_waits_for_the_end_of_the_first(mesh: Path) -> None:
    run("root", "rotate", "--root", mesh)
    assert "finish it first: gossipmesh root drop" in run("root", "rotate", "--root", mesh, status=1).stderr


class Node:
    """A daemon that takes bundles, and shows members that hang on the roots that it is given."""

    def __init__(self, mesh: Path) -> None:
        self.trust = load_root(mesh).trust.copy()
        self.hanging: dict[str, bytes] = {}
        self.news = News(lambda: NOTHING, first=1, rng=Random(1))

    def status(self) -> dict[str, Any]:
        mesh, members = self.trust.mesh_id.hex(), {"alive": 3}
        return {"name": "us", "mesh": mesh, "bundle": self.trust.n, "members": members}

    def policy(self, version: int | None) -> dict[str, Any]:
        return {"policy": {"signer": "root", "version": 7}, "body": b"the very body".hex()}

    def identities(self) -> dict[str, Any]:
        more = {"capabilities": ["join", "policy"], "groups": ["ops", "eu"]}
        return {
            "identities": [more | {"name": name, "root": key.hex()} for name, key in self.hanging.items()]
        }

    async def offer(self, kind: str, raw: bytes) -> str:
        await trio.lowlevel.checkpoint()
        if kind == "policy":
            assert split_untrusted(raw, 1_000)[0] == b"the very body"
            return "stale"
        return "taken" if self.trust.offer_successor_untrusted(raw) else "stale"


async def test_the_node_of_this_host_is_told_and_names_who_still_hangs_on_the_old_root(
    mesh: Path, tmp_path: Path
) -> None:
    async def command(name: str, status: int = 0) -> Result:
        arguments = ("root", name, "--root", mesh, "--state", tmp_path)
        return await trio.to_thread.run_sync(partial(run, *arguments, status=status))

    node = Node(mesh)
    node.hanging = {"us": b""}
    old = load_root(mesh).trust.roots[0]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_unix, cast("NodeView", node), tmp_path / "admin.sock"))
        done = await command("rotate")
        assert "told the node us, and by it the mesh (3 members)" in done.stdout
        needed = "--can join --can issue --can policy --group eu --group ops > TOKEN"
        assert f"gossipmesh token new --root {mesh} {needed}\n" in done.stderr
        assert node.trust.n == 1
        newest = node.trust.newest_root
        node.hanging = {"us": newest, "web-2": old, "web-1": old}
        done = await command("drop", status=1)
        assert "2 members hang on the old root and would be shut out (web-1, web-2)" in done.stderr
        assert len(load_root(mesh).trust.roots) == 2
        # A daemon that came later, or whose mesh has heard nothing, is told first.
        node.trust = TrustStore(node.trust.path[0])
        assert "told the node us" in (await command("tell")).stdout
        assert (
            await command("tell")
        ).stdout == "there is nothing to tell: the mesh has trust bundle 1 already\n"
        node.hanging = {"us": newest, "web-2": newest}
        done = await command("drop")
        assert done.stdout.startswith("trust bundle 2 lists the root ")
        assert "signed policy version 7 again with the new root" in done.stdout
        assert node.trust.roots == (newest,)
        nursery.cancel_scope.cancel()
