"""A policy is applied to a mesh that denies by default: everywhere, whole, and on what is under way too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from attrs import frozen

from harness import Mesh, Node, eventually, said
from webapp import WebApp
from webclient import Answer, Asking, Reading, request

ONLY_WEB = """\
default = "deny"

[[rule]]
name = "web-reads"
action = "allow"
from = ["service:web"]
to = ["hello"]
methods = ["GET"]
paths = ["/echo", "/drip"]
"""
NEITHER_DRIPS = """\
default = "allow"

[[rule]]
name = "no-drip"
action = "deny"
from = ["service:web"]
to = ["hello"]
paths = ["/drip"]
"""
NO_PATH_FOR_WEB = """\
default = "allow"

[[rule]]
name = "no-path"
action = "deny"
from = ["service:web"]
to = ["hello"]
paths = ["/*"]
"""
ONE_OF_TWO = """\
default = "deny"

[[rule]]
action = "allow"
from = ["*"]
to = ["hello"]
paths = ["/{}"]
"""
APPLIES = 6


@frozen
class Denying:
    """Four nodes of a mesh that denies by default: hello, web, other, which offers nothing, and ops."""

    mesh: Mesh
    root: Path
    app: WebApp
    nodes: dict[str, Node]

    def write(self, text: str) -> str:
        return str(self.mesh.write("policy.toml", text))

    def apply(self, text: str, *more: str, by: str = "ops") -> int:
        """Apply a policy, wait until all have it, and give its version."""
        done = self.nodes[by].command(
            "policy", "apply", self.write(text), "--root", str(self.root), "--json", *more
        )
        assert done.returncode == 0, done.stderr
        applied = json.loads(done.stdout)
        assert (applied["have"], applied["nodes"]) == (len(self.nodes), len(self.nodes))
        return int(applied["version"])

    def ask(self, source: str, path: str, method: str = "GET") -> Answer:
        return request(self.nodes[source].listen("proxy"), f"http://hello{path}", method=method)

    def outcome(self, source: str, path: str, method: str = "GET") -> tuple[int, str]:
        answer = self.ask(source, path, method)
        return answer.status, answer.error


@pytest.fixture
def denying(tmp_path: Path) -> Iterator[Denying]:
    root = tmp_path / "root"
    mesh = Mesh(said("init", str(root), "--default-deny"))
    with WebApp("hello") as app:
        try:
            hello = mesh.node("hello", services={"hello": app.port}).start().ready()
            for name, services in (("web", {"web": app.port}), ("other", {}), ("ops", {})):
                mesh.node(name, join=hello, services=services).start()
            for node in mesh.nodes:
                node.ready()
                eventually(lambda node=node: (len(node.members()), node.healthy("hello")) == (4, 1))
            yield Denying(mesh, root, app, {node.name: node for node in mesh.nodes})
        finally:
            mesh.show_logs()
            mesh.close()


def test_only_what_a_policy_allows_gets_through_and_what_it_denies_ends(denying: Denying) -> None:
    nodes = denying.nodes
    assert denying.outcome("web", "/echo") == (403, "AZ")
    assert denying.apply(ONLY_WEB) == 1
    assert denying.outcome("web", "/echo") == (200, "")
    for source, path, method, status in (
        ("web", "/", "GET", 403),
        ("web", "/echo", "POST", 403),
        ("web", "/echo/../pattern", "GET", 400),
        ("web", "/%65cho", "GET", 403),
        ("other", "/echo", "GET", 403),
    ):
        assert denying.outcome(source, path, method) == (status, "AZ"), (source, path, method)

    answer = nodes["ops"].command("can", "web", "hello", "GET", "/echo", "--json")
    found = json.loads(answer.stdout)
    assert (answer.returncode, found["rule"], found["version"]) == (0, "web-reads", 1)
    assert nodes["other"].command("can", "other", "hello").returncode == 1
    explained = nodes["web"].command("explain", "http://hello/x", "--json")
    assert json.loads(explained.stdout)["policy"]["rule"] == "default"

    # What is under way is judged again, and only what is denied now ends.
    drip = Reading(nodes["web"].listen("proxy"), "http://hello/drip")
    eventually(drip.flows)
    assert denying.apply(NEITHER_DRIPS) == 2
    assert denying.apply(NEITHER_DRIPS) == 2, "what holds already was signed again"
    assert drip.ended.wait(10.0)
    kept = Reading(nodes["other"].listen("proxy"), "http://hello/drip")
    eventually(kept.flows)
    assert denying.apply(NEITHER_DRIPS + "\n[service.hello]\ntimeout = '9s'\n") == 3
    blocks = kept.blocks
    eventually(lambda: kept.blocks > blocks)
    assert nodes["hello"].metric("gossipmesh_policy_version") == 3

    # A node keeps its last good policy, and decides by it from its first request on.
    hello = nodes["hello"]
    hello.kill()
    hello.start().ready()
    assert hello.ask("status")["policy_version"] == 3
    eventually(lambda: nodes["web"].healthy("hello") == 1)
    eventually(lambda: denying.outcome("web", "/echo") == (200, ""))

    # Every path is denied, and so is what names none; who is not meant reaches the app with both.
    assert denying.apply(NO_PATH_FOR_WEB) == 4
    for source, refused in (("web", True), ("other", False)):
        server = request(nodes[source].listen("proxy"), "*", method="OPTIONS", host="hello")
        assert (server.status == 403, server.error == "AZ") == (refused, refused), server
        assert nodes["ops"].command("can", source, "hello", "OPTIONS", "*").returncode == int(refused)
        assert (denying.outcome(source, "/echo")[0] == 403) is refused


def test_a_rollback_is_a_new_version_and_lint_tells_what_was_really_asked_for(denying: Denying) -> None:
    nodes = denying.nodes
    assert denying.apply(ONLY_WEB) == 1
    assert denying.outcome("web", "/echo") == (200, "")
    assert denying.apply(NEITHER_DRIPS) == 2
    assert denying.outcome("other", "/echo") == (200, "")

    # The rollback is a new version with an old text, signed by whoever may sign policies; others may not.
    signer = denying.mesh.write(
        "signer", said("token", "new", "--root", str(denying.root), "--can", "policy")
    )
    done = nodes["web"].command("policy", "rollback", "1", "--root", str(signer), "--json")
    assert (done.returncode, json.loads(done.stdout)["version"]) == (0, 3)
    assert denying.outcome("other", "/echo") == (403, "AZ")
    shown = json.loads(nodes["ops"].command("policy", "show", "--json").stdout)
    assert {(node["version"], node["verdict"]) for node in shown["nodes"]} == {(3, "done")}
    assert shown["text"] == ONLY_WEB
    assert shown["policy"]["signer"].startswith("token ")
    history = json.loads(nodes["hello"].command("policy", "history", "--json").stdout)["policies"]
    assert [entry["version"] for entry in history] == [3, 2, 1]

    # What is not valid is refused whole, with file, line and reason, and changes nothing.
    bad = denying.write(
        ONLY_WEB + "\n[[rule]]\naction = 'allow'\nfrom = ['*']\nto = ['hello']\npath = ['/']\n"
    )
    for status, command in ((2, ["apply", bad, "--root", str(denying.root)]), (1, ["lint", bad])):
        done = nodes["ops"].command("policy", *command)
        assert (done.returncode, f"{bad}:15:" in done.stderr) == (status, True), done

    # What was really asked for is what lint tries a policy on; at every member, if an authority signs the question.
    candidate = denying.write('default = "deny"\n')
    lint = ["policy", "lint", candidate, "--seen", "--json"]
    here = json.loads(nodes["hello"].command(*lint).stdout)["seen"]
    done = nodes["ops"].command(*lint, "--root", str(signer))
    everywhere = json.loads(done.stdout)["seen"]
    assert done.returncode == 1
    assert everywhere["denied"] == here["denied"] > 0
    assert {node["node"]: node["answered"] for node in everywhere["nodes"]} == dict.fromkeys(nodes, True)
    # Who asks again at once is not told that nothing would be denied because the members are tired of it.
    again = nodes["ops"].command(*lint, "--root", str(signer))
    assert (again.returncode, json.loads(again.stdout)["seen"]["denied"]) == (1, everywhere["denied"])
    assert ("web", "GET", "/echo") in {(f["source"], f["method"], f["path"]) for f in everywhere["findings"]}
    plain = nodes["ops"].command(
        "policy", "apply", denying.write(ONLY_WEB), "--root", str(denying.mesh.token_file)
    )
    assert (plain.returncode, "lacks the capability policy" in plain.stderr) == (2, True)
    assert denying.outcome("web", "/echo") == (200, "")

    # A file is looked at although a service's only node is gone.
    nodes["web"].terminate()
    eventually(lambda: nodes["ops"].members()["web"] in ("left", "dead"))
    assert nodes["ops"].command("policy", "lint", candidate).returncode == 0
    done = nodes["ops"].command("policy", "lint", denying.write(ONLY_WEB))
    assert "nobody offers web, so nobody speaks as it" in done.stdout, done


def test_a_client_that_hammers_sees_whole_documents_only(denying: Denying) -> None:
    texts = [ONE_OF_TWO.format(name) for name in ("echo", "line")]
    denying.apply(texts[0])
    # Each of two documents allows exactly one of two paths. So every answer tells which of them was in force, and
    # anything between the two (none in force, or half of one) would show as one change more than there were applies.
    asking = [
        Asking(denying.nodes[name].listen("proxy"), f"http://hello/{path}")
        for name, path in (("web", "echo"), ("web", "line"), ("other", "echo"), ("other", "line"))
    ]
    for each in asking:
        each.start()
    for number in range(1, APPLIES + 1):
        seen = [len(each.answers) for each in asking]
        denying.apply(texts[number % 2], by="web" if number % 2 else "ops")
        eventually(
            lambda seen=seen: all(len(each.answers) > n + 1 for each, n in zip(asking, seen, strict=True))
        )
    for each in asking:
        each.finish()
    for each, first in zip(asking, (200, 403) * 2, strict=True):
        statuses = [answer.status for answer in each.answers]
        assert not each.errors
        assert set(statuses) == {200, 403}
        changes = sum(one != other for one, other in pairwise(statuses))
        assert (statuses[0], changes) == (first, APPLIES)
