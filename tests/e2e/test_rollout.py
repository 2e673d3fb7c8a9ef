"""A policy in stages, on five real daemons: a bad one is returned by every node itself, and a good one goes through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from gossipmesh.model import NodeId
from gossipmesh.policy.rollout import takes_part
from harness import Mesh, Node, eventually, said
from webapp import WebApp
from webclient import Asking

GOOD, BAD = 'default = "allow"\n', 'default = "deny"\n'
SIZE = 5
SOON_S = 15.0
"""Each node looks once a second, and the machine has other work."""


@frozen
class Five:
    """Five nodes that all offer hello."""

    mesh: Mesh
    root: Path
    nodes: list[Node]

    def apply(self, text: str, *stages: str, status: int = 0) -> str:
        """Apply a policy; give what the command says on standard error."""
        flags = [word for stage in stages for word in ("--stage", stage)]
        file = str(self.mesh.write("policy.toml", text))
        done = self.nodes[1].command("policy", "apply", file, "--root", str(self.root), *flags)
        assert done.returncode == status, done.stderr
        return done.stderr

    def standing(self) -> set[tuple[str, int]]:
        """Give verdict and version in force of each node, as it says it itself."""
        shown = [node.ask("policy") for node in self.nodes]
        return {(each["verdict"], each["enforced"]) for each in shown}

    def newest(self) -> dict[str, Any]:
        return self.nodes[0].ask("policy")

    def some_take_part_in(self, version: int) -> bool:
        ids = [NodeId(bytes.fromhex(node.id)) for node in self.nodes]
        return 0 < sum(takes_part(id_, version, 400) for id_ in ids) < SIZE


@pytest.fixture
def five(tmp_path: Path) -> Iterator[Five]:
    root = tmp_path / "root"
    mesh = Mesh(said("init", str(root)))
    with WebApp("hello") as app:
        try:
            seed: Node | None = None
            for number in range(SIZE):
                node = mesh.node(f"n{number}", join=seed, services={"hello": app.port}).start()
                seed = seed or node.ready()
            for node in mesh.nodes:
                node.ready()
                eventually(lambda node=node: node.healthy("hello") == SIZE)
            yield Five(mesh, root, list(mesh.nodes))
        finally:
            mesh.show_logs()
            mesh.close()


@pytest.mark.timeout(150)
def test_a_bad_policy_is_returned_by_every_node_for_good_and_a_good_one_goes_through(five: Five) -> None:
    version = 1
    five.apply(GOOD)
    while not five.some_take_part_in(version + 1):
        version += 1
        five.apply(f"{GOOD}# once more, as version {version}\n")
    before = five.newest()["policy"]["hash"]

    asking = Asking(five.nodes[0].listen("proxy"), "http://hello/echo")
    asking.start()
    eventually(lambda: len(asking.answers) > 50)
    five.apply(BAD, "40%,1h", "100%,1h")
    eventually(lambda: five.standing() == {("returned", version)}, within_s=SOON_S)
    answered = len(asking.answers)
    eventually(lambda: len(asking.answers) > answered + 50)
    asking.finish()
    statuses = [answer.status for answer in asking.answers]
    # Some were denied, which is how it was found out; the others' nodes never went by it.
    assert set(statuses) == {200, 403}
    assert 200 in statuses[answered - 50 : answered]
    assert set(statuses[answered:]) == {200}

    # All of them lose power at once: what was returned stays so. And who is new is not the one to try it.
    five.nodes[0].arguments += ["--bind", five.nodes[0].listen("mesh")]
    for node in five.nodes:
        node.kill()
    for node in five.nodes:
        node.start()
    for node in five.nodes:
        node.ready()
    late = five.mesh.node("late", join=five.nodes[0]).start().ready()
    assert five.standing() == {("returned", version)}
    assert late.ask("policy")["enforced"] == version
    eventually(lambda: late.ask("policy")["verdict"] == "returned")
    late.terminate()

    # The next one returns to what held, not to what failed, and is not ended by another apply unasked.
    five.apply(GOOD, "40%,2s", "100%,2s")
    assert "is being rolled out" in five.apply(BAD, status=1)
    shown = five.newest()
    assert shown["policy"]["version"] == version + 2
    assert shown["body"].endswith(before)
    eventually(lambda: five.standing() == {("done", version + 2)}, within_s=SOON_S)
