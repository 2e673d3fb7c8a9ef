"""Nodes that crash, leave and come back while the mesh is in use."""

from __future__ import annotations

import shutil
import signal
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


class Posting(threading.Thread):
    """Sends POSTs one after the other, each with another id, until it is told to stop."""

    def __init__(self, proxy: str, name: str) -> None:
        super().__init__(daemon=True)
        self._proxy = proxy
        self._name = name
        self._enough = threading.Event()
        self.answers: dict[str, int] = {}

    def run(self) -> None:
        while not self._enough.is_set():
            body = f"{self._name}-{len(self.answers)}"
            self.answers[body] = request(
                self._proxy, "http://hello/echo", method="POST", body=body.encode()
            ).status

    def finish(self) -> None:
        self._enough.set()
        self.join()


def test_no_get_fails_and_every_post_is_done_once_while_each_node_is_restarted_in_turn(five: Five) -> None:
    asking, posting = Asking(five.proxy, "http://hello/"), [Posting(five.proxy, name) for name in ("a", "b")]
    for each in (asking, *posting):
        each.start()
    for name in ("hello-1", "hello-2"):
        node = five.nodes[name]
        eventually(lambda name=name: asking.answered_by(name) >= 3)
        assert node.terminate() == 0
        node.start().ready()
        eventually(lambda: five.client.healthy("hello") == 2)
    for each in (asking, *posting):
        each.finish()
    assert asking.errors == []
    assert {answer.status for answer in asking.answers} == {200}
    sent = {body: status for each in posting for body, status in each.answers.items()}
    assert set(sent.values()) == {200}
    done = [
        seen.body.decode() for app in five.apps.values() for seen in app.requests if seen.method == "POST"
    ]
    assert sorted(done) == sorted(sent)


def test_a_node_that_drains_finishes_what_it_has_and_serves_its_own_apps_on(five: Five) -> None:
    node, app = five.nodes["hello-1"], five.apps["hello-1"]
    held: list[Answer] = []
    five.apps["hello-2"].release.set()
    threads = [
        threading.Thread(target=lambda: held.append(request(five.proxy, "http://hello/hold")), daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: app.held.acquire(timeout=0))
    draining = threading.Thread(target=node.command, args=("drain",), daemon=True)
    draining.start()
    eventually(lambda: five.client.healthy("hello") == 1)
    assert not node.is_ready()
    assert request(node.listen("proxy"), "http://world/").status == 200
    assert {request(five.proxy, "http://hello/").instance for _ in range(4)} == {"hello-2"}
    assert draining.is_alive()
    app.release.set()
    for thread in (*threads, draining):
        thread.join()
    assert sorted({answer.instance for answer in held}) == ["hello-1", "hello-2"]
    assert node.terminate() == 0
    told = [event for event in ("draining", "drained", "leaving") if f'"event":"{event}"' in node.log()]
    assert told == ["draining", "drained", "leaving"]


def test_a_second_signal_ends_a_node_at_once(five: Five) -> None:
    node, app = five.nodes["world-1"], five.apps["world-1"]
    answers: list[Answer] = []

    def ask() -> None:
        answers.append(request(five.proxy, "http://world/hold", method="POST"))

    five.apps["world-2"].release.set()
    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: app.held.acquire(timeout=0))
    assert node.process is not None
    node.process.send_signal(signal.SIGTERM)
    eventually(lambda: not node.is_ready())
    assert node.terminate() == 0
    for thread in threads:
        thread.join()
    assert not app.release.is_set()
    assert {answer.error for answer in answers} == {"", "UC"}


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
        # It serves as soon as it has heard which policy holds, and says so then.
        eventually(lambda: seed.healthy("hello") == 1)
        assert request(seed.listen("proxy"), "http://hello/").status == 200
