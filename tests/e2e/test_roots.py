"""A mesh's root key is replaced under three real daemons, and nobody is lost: not even who slept through it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import Mesh, Node, eventually, said

MOVED_S = 40.0
"""Nodes look at their chains every five seconds, and the machine has other work."""


def roots(node: Node) -> dict[str, int]:
    return {each["root"]: each["members"] for each in node.ask("status")["roots"]}


def moved(node: Node, newest: str) -> set[str]:
    """Give who hangs on the newest root, as ``node`` sees it."""
    identities: list[dict[str, Any]] = node.ask("identities")["identities"]
    return {each["name"] for each in identities if each["root"] == newest}


@pytest.mark.timeout(150)
def test_a_root_is_rotated_and_dropped_with_one_command_each_while_everybody_moves(tmp_path: Path) -> None:
    root = tmp_path / "root"
    mesh = Mesh(said("init", str(root)))
    try:
        issuer = mesh.node("issuer").start().ready()
        web = mesh.node("web", join=issuer).start().ready()
        sleeper = mesh.node("sleeper", join=issuer).start().ready()
        for node in mesh.nodes:
            eventually(lambda node=node: len(node.members()) == 3)

        policy = str(mesh.write("policy.toml", 'default = "allow"\n'))
        assert web.command("policy", "apply", policy, "--root", str(root)).returncode == 0
        sleeper.kill()
        done = web.command("root", "rotate", "--root", str(root))
        assert done.returncode == 0, done.stderr
        assert "told the node web, and by it the mesh" in done.stdout
        newest = json.loads(said("root", "show", "--root", str(root), "--json"))["present"]
        eventually(lambda: all(node.ask("status")["bundle"] == 1 for node in (web, issuer)))
        assert roots(issuer)[newest] == 0
        # Nobody has moved: no issuer hangs on the new root yet.
        done = web.command("root", "drop", "--root", str(root))
        assert done.returncode == 1
        assert "would be shut out (issuer" in done.stderr
        assert done.stderr.count("\n") == 1

        # The operator gives the issuer a new token, and all others follow by themselves.
        token = said("token", "new", "--root", str(root), "--can", "join", "--can", "issue")
        assert issuer.terminate() == 0
        issuer.arguments += ["--token-file", str(mesh.write("issuer.token", token))]
        issuer.arguments += ["--join", web.listen("mesh")]
        issuer.start().ready()
        sleeper.arguments += ["--join", web.listen("mesh")]
        sleeper.start().ready()
        everybody = {"issuer", "web", "sleeper"}
        eventually(lambda: moved(web, newest) == everybody, within_s=MOVED_S)

        done = web.command("root", "drop", "--root", str(root))
        assert done.returncode == 0, done.stderr
        for node in mesh.nodes:
            eventually(lambda node=node: roots(node) == {newest: 3})
            assert set(node.members()) == everybody
            assert node.is_ready()
        # Who is new can check what is in force, for it is signed again.
        late = mesh.node("late", join=web, token=False)
        late.arguments += [
            "--token-file",
            str(mesh.write("late.token", said("token", "new", "--root", str(root)))),
        ]
        late.start().ready()
        assert late.ask("status")["policy_version"] == 1
        everybody.add("late")
        # The old token is worth nothing any more; it was made before.
        old = mesh.node("old", join=web).start()
        eventually(lambda: "the mesh has dropped the root that this node's chain hangs on" in old.log())
        eventually(lambda: "peer.refused" in web.log())
        assert set(web.members()) == everybody
    finally:
        mesh.show_logs()
        mesh.close()


def test_whoever_is_shut_out_by_force_is_a_member_no_longer_and_says_why_it_is_not_ready(
    tmp_path: Path,
) -> None:
    root = tmp_path / "root"
    mesh = Mesh(said("init", str(root)))
    try:
        said("root", "rotate", "--root", str(root))
        token = str(mesh.write("new.token", said("token", "new", "--root", str(root))))
        moved = mesh.node("moved", token=False)
        moved.arguments += ["--token-file", token]
        moved.start().ready()
        late = mesh.node("late", join=moved).start().ready()
        eventually(lambda: set(moved.members()) == {"moved", "late"})

        done = moved.command("root", "drop", "--root", str(root), "--force")
        assert done.returncode == 0, done.stderr
        eventually(lambda: set(moved.members()) == {"moved"})
        assert "the root that its chain hangs on was dropped" in moved.log()
        eventually(lambda: not late.is_ready())
        status, body = late.fetch("/readyz")
        assert status == 503
        assert b"a root that the mesh has dropped: give it a new token" in body
        assert "chain.root" in late.log()
    finally:
        mesh.show_logs()
        mesh.close()
