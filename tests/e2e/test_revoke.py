"""A member is revoked: what is open with it ends at once, it says why it ends itself, and it does not come back."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from harness import Mesh, Node, eventually, gossipmesh, said
from webapp import WebApp
from webclient import Reading

SOON_S: Final = 8.0
"""Two seconds are promised, and the machine has other work. Silence alone would end a begun answer after ten."""


@pytest.fixture
def apps() -> Iterator[dict[str, WebApp]]:
    apps = {name: WebApp(name) for name in ("web", "bad")}
    yield apps
    for app in apps.values():
        app.release.set()
        app.close()


def test_what_is_open_with_a_revoked_node_ends_everywhere_and_it_cannot_come_back(
    own_mesh: Mesh, root: Path, apps: dict[str, WebApp]
) -> None:
    ops = own_mesh.node("ops").start().ready()
    web = own_mesh.node("web", join=ops, services={"web": apps["web"].port}).start().ready()
    bad = own_mesh.node("bad", join=ops, services={"bad": apps["bad"].port}).start().ready()
    third = own_mesh.node("third", join=ops).start().ready()
    honest: list[Node] = [ops, web, third]
    for node in honest:
        eventually(lambda node=node: (node.healthy("web"), node.healthy("bad")) == (1, 1))
    eventually(lambda: bad.healthy("web") == 1)
    bad_id = bad.id

    of_bad = [Reading(node.listen("proxy"), "http://bad/drip") for node in (ops, third)]
    by_bad = Reading(bad.listen("proxy"), "http://web/drip")
    eventually(lambda: all(each.flows() for each in (*of_bad, by_bad)))

    # Stopped, so that nothing that follows is its own doing.
    assert bad.process is not None
    bad.process.send_signal(signal.SIGSTOP)
    done = ops.command("revoke", "bad", "--root", str(root), "--reason", "stolen laptop")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"revoked node {bad_id}")
    assert "would let it in again" in done.stderr
    eventually(lambda: all(each.ended.is_set() for each in of_bad), within_s=SOON_S)
    eventually(lambda: all("bad" not in node.members() for node in honest), within_s=SOON_S)
    assert [node.healthy("bad") for node in honest] == [0, 0, 0]
    assert web.metric("gossipmesh_revocations") == 1
    (shown,) = json.loads(third.command("revocations", "--json").stdout)["revocations"]
    assert (shown["target"], shown["reason"], shown["signer"]) == (bad_id, "stolen laptop", "root")

    # It hears of it as soon as it runs, says so and ends; what it asked for has ended at the other side too.
    bad.process.send_signal(signal.SIGCONT)
    assert bad.process.wait(20.0) == 1
    assert "this node is revoked" in bad.log()
    assert by_bad.ended.wait(10.0)

    # It remembers. And where a thief makes it forget, nobody takes it in.
    assert bad.start().process.wait(20.0) == 1  # type: ignore[union-attr]
    (bad.state / "charter").unlink()
    bad.start()
    eventually(lambda: "join." in bad.log().rpartition("this node is revoked")[2])
    assert not bad.is_ready()
    assert all("bad" not in node.members() for node in honest)

    # A node that is new learns it before it is ready, and so does one that starts again.
    late = own_mesh.node("late", join=web).start().ready()
    assert late.metric("gossipmesh_revocations") == 1
    third.kill()
    assert third.start().ready().metric("gossipmesh_revocations") == 1


def test_a_tokens_holder_revokes_and_what_cannot_be_done_is_said_in_one_line(
    own_mesh: Mesh, root: Path
) -> None:
    ops = own_mesh.node("ops").start().ready()
    revoker = own_mesh.write("revoker", said("token", "new", "--root", str(root), "--can", "revoke"))
    plain = own_mesh.write("plain", said("token", "new", "--root", str(root)))
    guest_token = own_mesh.write(
        "guest.token", said("token", "new", "--root", str(root), "--name", "guest-*")
    )
    guests = [
        own_mesh.node(name, "--token-file", str(guest_token), token=False, join=ops).start().ready()
        for name in ("guest-1", "guest-2")
    ]
    eventually(lambda: set(ops.members()) == {"ops", "guest-1", "guest-2"})

    def refused(*arguments: str, status: int) -> str:
        done = ops.command("revoke", *arguments)
        assert (done.returncode, done.stdout) == (status, ""), done
        assert done.stderr.count("\n") == 1
        return done.stderr

    assert "no member is called 'nobody'" in refused("nobody", "--root", str(root), status=2)
    assert "lacks the capability revoke" in refused("guest-1", "--root", str(plain), status=2)
    assert "no root.key" in refused("guest-1", "--root", str(own_mesh.home / "none"), status=1)
    assert "--spare goes with a token" in refused(
        "guest-1", "--root", str(root), "--spare", "guest-2", status=2
    )
    assert "only a root" in refused("guest-1", "--root", str(revoker), "--void", status=2)
    elsewhere = own_mesh.home / "elsewhere"
    gossipmesh("init", str(elsewhere))
    assert "no root of this mesh" in refused("guest-1", "--root", str(elsewhere), status=1)

    done = ops.command("revoke", "guest-1", "--token", "--root", str(revoker), "--spare", "guest-2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("revoked token ")
    assert guests[0].process is not None
    assert guests[0].process.wait(20.0) == 1
    eventually(lambda: set(ops.members()) == {"ops", "guest-2"}, within_s=SOON_S)
    assert guests[1].is_ready()
    # The same again is no second entry, and says who is spared in place of nobody.
    (token_id,) = json.loads(said("token", "show", str(guest_token), "--json"))["token_ids"]
    entries = ops.command("revocations", "--json").stdout
    again = ops.command("revoke", token_id, "--root", str(revoker), "--spare", "guest-2")
    assert (again.returncode, again.stdout) == (0, f"already revoked token {token_id}\n"), again.stderr
    assert "nobody is out: guest-2 spared" in again.stderr
    assert ops.command("revocations", "--json").stdout == entries
    third = own_mesh.node("guest-3", "--token-file", str(guest_token), token=False, join=ops).start()
    _is_told_why(third, ops)

    # A root takes the effect from all that the revoker signed, and who had ended is started again, as it is.
    (entry,) = ops.ask("revocations")["revocations"]
    assert not entry["voided"]
    signer = entry["signer"].removeprefix("token ")
    done = ops.command("revoke", signer, "--void", "--root", str(root))
    assert done.returncode == 0, done.stderr
    shown = {each["target"]: each["voided"] for each in ops.ask("revocations")["revocations"]}
    assert shown == {entry["target"]: True, signer: False}
    guests[0].start().ready()
    assert "this node was revoked when it last ran" in guests[0].log()
    eventually(lambda: set(ops.members()) == {"ops", "guest-1", "guest-2"}, within_s=SOON_S)


def _is_told_why(newcomer: Node, seed: Node) -> None:
    # It has never been in the mesh, every seed says no, and none of them will say yes: it ends, and has said why.
    assert newcomer.process is not None
    assert newcomer.process.wait(20.0) == 1
    assert "no seed takes this node in" in newcomer.log()
    assert "the token that it joined with" in newcomer.log()
    (line,) = [line for line in seed.log().splitlines() if "peer.refused" in line]
    assert f"{newcomer.name} is revoked (token" in line


def test_a_directory_whose_roots_the_mesh_has_not_heard_of_is_to_be_told_first(
    own_mesh: Mesh, root: Path
) -> None:
    ops = own_mesh.node("ops").start().ready()
    rotated = own_mesh.node("nobody")
    gossipmesh("root", "rotate", "--root", str(root), "--state", str(rotated.state))
    done = ops.command("revoke", "ops", "--root", str(root))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"gossipmesh root tell --root {root}" in done.stderr


def test_a_policy_is_signed_again_under_another_key_before_its_signer_is_revoked(
    own_mesh: Mesh, root: Path
) -> None:
    ops = own_mesh.node("ops").start().ready()
    token = said("token", "new", "--root", str(root), "--can", "policy")
    signer = str(own_mesh.write("policy.token", token))
    text = str(own_mesh.write("policy.toml", 'default = "allow"\n'))
    (token_id,) = json.loads(said("token", "show", signer, "--json"))["token_ids"]

    def apply(by: str, *more: str) -> dict[str, object]:
        done = ops.command("policy", "apply", text, "--root", by, "--json", *more)
        assert done.returncode == 0, done.stderr
        shown: dict[str, object] = json.loads(done.stdout)
        return {key: shown[key] for key in ("version", "unchanged", "stages_ignored")}

    assert apply(signer) == {"version": 1, "unchanged": False, "stages_ignored": False}
    assert apply(signer) == {"version": 1, "unchanged": True, "stages_ignored": False}
    assert "--force" in ops.command("revoke", token_id, "--root", str(root)).stderr
    assert apply(str(root)) == {"version": 2, "unchanged": False, "stages_ignored": False}
    assert apply(str(root), "--stage", "50%,1s") == {"version": 2, "unchanged": True, "stages_ignored": True}
    staged = ops.command("policy", "apply", text, "--root", str(root), "--stage", "50%,1s")
    assert "its stages are not gone through" in staged.stdout
    done = ops.command("revoke", token_id, "--root", str(root))
    assert done.returncode == 0, done.stderr
    assert ops.ask("status")["policy_version"] == 2
