"""A mesh of the release before this one is upgraded node by node, and lives on where one node stays behind."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

import gossipmesh
from harness import Mesh, Node, eventually, said, unused_port
from oldrelease import old_release
from webapp import WebApp
from webclient import Answer, Asking, request

OLD = "0.1.0"
DENY_ALL = """\
default = "allow"

[[rule]]
name = "nobody"
action = "deny"
from = ["*"]
to = ["hello", "legacy"]
"""


@frozen
class Mixed:
    """Two nodes of hello, one that only asks, and one of release 0.1.0 that offers legacy and stays as it is."""

    mesh: Mesh
    root: Path
    release: Path
    apps: dict[str, WebApp]
    nodes: dict[str, Node]

    def restart(self, name: str, *, old: bool = False) -> Node:
        """End a node in good order, start it of a release with the same state, and wait until it takes part."""
        node = self.nodes[name]
        assert node.terminate() == 0
        if old:
            run_old(node, self.release)
        else:
            run_new(node)
        node.start().ready()
        assert node.ask("status")["version"] == (OLD if old else gossipmesh.__version__)
        self.all_agree()
        return node

    def all_agree(self) -> None:
        """Wait until every node knows all as alive, with the same records, and both hellos as healthy."""
        alive = dict.fromkeys(self.nodes, "alive")
        for node in self.nodes.values():
            eventually(lambda node=node: node.members() == alive)
            eventually(lambda node=node: node.ask("status")["agreement"] == 1.0)
            eventually(lambda node=node: (node.healthy("hello"), node.healthy("legacy")) == (2, 1))

    def ask(self, name: str, url: str) -> Answer:
        return request(self.nodes[name].listen("proxy"), url)

    def load(self, name: str, url: str) -> Asking:
        asking = Asking(self.nodes[name].listen("proxy"), url)
        asking.start()
        return asking


def run_old(node: Node, release: Path) -> None:
    """Have the next start of ``node`` be one of the old release, which knows no DNS."""
    node.variables["PYTHONPATH"] = str(release)
    if "--dns" in node.arguments:
        at = node.arguments.index("--dns")
        del node.arguments[at : at + 2]


def run_new(node: Node) -> None:
    """Have the next start of ``node`` be one of this release."""
    del node.variables["PYTHONPATH"]
    node.arguments += ["--dns", "127.0.0.1:0"]


def answered_to_a_stranger(node: Node) -> bytes:
    """Give what a node says to a first message of a handshake that anybody could make."""
    host, _, port = node.listen("mesh").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10.0) as connection:
        connection.sendall((32).to_bytes(2, "big") + os.urandom(32))
        return connection.recv(65_536)


def unharmed(asking: Asking, *instances: str) -> None:
    """Check that every request was answered, and by whom."""
    asking.finish()
    assert asking.errors == []
    assert {answer.status for answer in asking.answers} == {200}
    assert {answer.instance for answer in asking.answers} == set(instances)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return old_release(tmp_path_factory.mktemp("old"))


def started(release: Path, root: Path, *, old: tuple[str, ...]) -> Iterator[Mixed]:
    """Start all four, those in ``old`` of the old release, and wait until they agree; stays is everybody's seed."""
    mesh = Mesh(said("init", str(root)))
    apps = {name: WebApp(name) for name in ("hello-1", "hello-2", "stays")}
    offered = {"hello-1": "hello", "hello-2": "hello", "stays": "legacy"}
    seed: Node | None = None
    try:
        for name in ("stays", "hello-1", "hello-2", "client"):
            services = {offered[name]: apps[name].port} if name in apps else {}
            # A port of its own, as in earnest: whoever restarts is found where it was.
            bind = ("--bind", f"127.0.0.1:{unused_port()}")
            node = mesh.node(name, *bind, join=seed, services=services)
            if name in old:
                run_old(node, release)
            node.start()
            seed = seed or node.ready()
        found = Mixed(mesh, root, release, apps, {node.name: node for node in mesh.nodes})
        found.all_agree()
        yield found
    finally:
        mesh.show_logs()
        mesh.close()
        for app in apps.values():
            app.close()


@pytest.fixture
def old_mesh(release: Path, tmp_path: Path) -> Iterator[Mixed]:
    yield from started(release, tmp_path / "root", old=("stays", "hello-1", "hello-2", "client"))


@pytest.fixture
def mixed(release: Path, tmp_path: Path) -> Iterator[Mixed]:
    yield from started(release, tmp_path / "root", old=("stays",))


def test_a_mesh_is_upgraded_node_by_node_and_one_node_back_again_and_no_get_fails(old_mesh: Mixed) -> None:
    throughout = old_mesh.load("stays", "http://hello/")
    asking = [old_mesh.load("client", "http://hello/"), old_mesh.load("client", "http://legacy/")]
    old_mesh.restart("hello-1")
    old_mesh.restart("hello-2")
    unharmed(asking[0], "hello-1", "hello-2")
    unharmed(asking[1], "stays")

    # Its own app's requests would fail while it is not there, as with any proxy that is restarted.
    client = old_mesh.restart("client")
    asking = [old_mesh.load("client", "http://hello/"), old_mesh.load("client", "http://legacy/")]
    entries = {each["name"]: each["enforces"] for each in client.ask("members")["members"]}
    assert entries == {"hello-1": True, "hello-2": True, "client": True, "stays": False}

    # Back, with the state that the new release has left: what the old one does not know it leaves alone.
    allow_all = str(old_mesh.mesh.write("policy.toml", 'default = "allow"\n'))
    assert client.command("policy", "apply", allow_all, "--root", str(old_mesh.root)).returncode == 0
    hello = old_mesh.restart("hello-2", old=True)
    assert {each["name"] for each in client.ask("members")["members"] if not each["enforces"]} == {
        "hello-2",
        "stays",
    }
    assert ((hello.state / "version").read_text(), (hello.state / "charter").exists()) == ("1\n", True)
    seen = len(asking[0].answers)
    eventually(lambda: len(asking[0].answers) > seen + 20)
    unharmed(asking[0], "hello-1", "hello-2")
    unharmed(asking[1], "stays")
    unharmed(throughout, "hello-1", "hello-2")


def test_what_an_old_member_does_not_enforce_is_said_and_harms_nobody(mixed: Mixed) -> None:
    client, stays = mixed.nodes["client"], mixed.nodes["stays"]
    policy = str(mixed.mesh.write("policy.toml", DENY_ALL))
    done = stays.command("policy", "show")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "of another release than this command" in done.stderr
    done = client.command("policy", "apply", policy, "--root", str(mixed.root), "--json")
    applied = json.loads(done.stdout)
    assert (done.returncode, applied["nodes"], applied["have"], applied["old"]) == (0, 3, 3, ["stays"])
    assert "of an older release, which enforces no policies: stays; upgrade them" in done.stderr
    mixed.all_agree()
    for name in ("client", "stays"):
        assert mixed.ask(name, "http://hello/").status == 403
        assert mixed.ask(name, "http://legacy/").status == 200

    # A newcomer that only knows the old one as its seed is ready with the policy, not with the default.
    guest = (
        mixed.mesh.node("guest", join=stays, services={"hello": mixed.apps["hello-1"].port}).start().ready()
    )
    assert guest.ask("status")["policy_version"] == 1
    eventually(lambda: all("guest" in node.members() for node in mixed.nodes.values()))

    done = client.command("revoke", "guest", "--root", str(mixed.root))
    assert done.returncode == 0, done.stderr
    assert "which enforces no revocations: stays" in done.stderr
    assert guest.process is not None
    assert guest.process.wait(20.0) == 1
    for name in ("hello-1", "hello-2", "client"):
        eventually(lambda name=name: "guest" not in mixed.nodes[name].members())
    eventually(lambda: stays.members()["guest"] != "alive")
    assert mixed.ask("stays", "http://hello/").status == 403
    assert mixed.ask("client", "http://legacy/").status == 200

    # A node that is to be deaf to the old release is so, and the others are not.
    closed = mixed.nodes["client"]
    closed.variables["GOSSIPMESH_OLD_PEERS"] = "never"
    assert closed.terminate() == 0
    closed.start().ready()
    eventually(lambda: mixed.ask("client", "http://hello/").status == 403)
    assert mixed.ask("client", "http://legacy/").error == "UF"
    eventually(lambda: mixed.ask("hello-1", "http://legacy/").status == 200)
    # The price of the others: as 0.1 did, they answer whoever knocks.
    assert answered_to_a_stranger(closed) == b""
    assert answered_to_a_stranger(mixed.nodes["hello-1"])
