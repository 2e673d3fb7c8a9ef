"""Nodes that crash, leave and come back while the mesh is in use."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

from harness import Mesh, Node, eventually
from webapp import WebApp
from webclient import Answer, Asking, request

if TYPE_CHECKING:
    from conftest import Five


def others(five: Five, lost: str) -> list[Node]:
    return [node for name, node in five.nodes.items() if name != lost]


def test_no_get_fails_while_a_node_is_killed_and_everybody_learns_that_it_is_dead(five: Five) -> None:
    asking = [Asking(five.proxy, "http://hello/") for _ in range(4)]
    for each in asking:
        each.start()
    eventually(lambda: all(each.answered_by("hello-2") >= 3 for each in asking))
    five.nodes["hello-2"].kill()
    for node in others(five, "hello-2"):
        eventually(lambda node=node: node.members()["hello-2"] == "dead")
    for each in asking:
        each.finish()
    failed = [answer for each in asking for answer in each.answers if answer.status != 200]
    assert failed == []
    assert [each.errors for each in asking] == [[]] * 4
    assert five.client.healthy("hello") == 1


def test_a_get_that_waits_at_a_node_that_is_killed_is_answered_by_another(five: Five) -> None:
    for app in five.apps.values():
        app.release.clear()
    answers: list[Answer] = []
    asking = threading.Thread(
        target=lambda: answers.append(request(five.proxy, "http://hello/hold")), daemon=True
    )
    asking.start()
    held = eventually(
        lambda: next((name for name, app in five.apps.items() if app.held.acquire(timeout=0)), "")
    )
    other = {"hello-1": "hello-2", "hello-2": "hello-1"}[held]
    five.apps[other].release.set()
    five.nodes[held].kill()
    asking.join(30.0)
    assert [(answer.status, answer.instance) for answer in answers] == [(200, other)]


def test_a_node_that_is_asked_to_end_leaves_and_no_get_fails(five: Five) -> None:
    asking = Asking(five.proxy, "http://world/")
    asking.start()
    eventually(lambda: asking.answered_by("world-1") >= 3)
    assert five.nodes["world-1"].terminate() == 0
    for node in others(five, "world-1"):
        eventually(lambda node=node: node.members()["world-1"] == "left")
    asking.finish()
    assert {answer.status for answer in asking.answers} == {200}
    assert asking.errors == []


def test_a_node_that_restarts_with_its_state_keeps_its_id_and_counts_up(mesh: Mesh) -> None:
    with WebApp("hello-1") as app:
        seed = mesh.node("seed").start().ready()
        node = mesh.node("web", join=seed, services={"hello": app.port}).start().ready()

        def known() -> dict[str, object]:
            return {each["name"]: each for each in seed.ask("members")["members"]}.get("web", {})

        eventually(lambda: known().get("state") == "alive")
        before, own_id = known(), node.id
        node.kill()
        node.start().ready()
        assert node.id == own_id
        eventually(lambda: known()["state"] == "alive" and known()["incarnation"] > before["incarnation"])
        assert known()["id"] == own_id
        assert eventually(lambda: request(seed.listen("proxy"), "http://hello/").status == 200)


def test_a_node_that_lost_its_state_comes_back_under_its_name_with_a_new_id(mesh: Mesh) -> None:
    with WebApp("hello-1") as app:
        seed = mesh.node("seed").start().ready()
        node = mesh.node("web", join=seed, services={"hello": app.port}).start().ready()
        own_id = node.id
        eventually(lambda: seed.members().get("web") == "alive")
        node.kill()
        shutil.rmtree(node.state)
        node.start().ready()
        assert node.id != own_id

        def the_living() -> list[tuple[str, str]]:
            members = seed.ask("members")["members"]
            return [(each["name"], each["id"]) for each in members if each["state"] == "alive"]

        eventually(
            lambda: ("web", node.id) in the_living() and own_id not in dict(map(reversed, the_living()))
        )
        assert request(seed.listen("proxy"), "http://hello/").status == 200
        assert seed.healthy("hello") == 1
