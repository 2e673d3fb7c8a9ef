"""`gossipmesh explain`: what would become of a request, and what became of one."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness import Mesh, Node, eventually
from webapp import WebApp
from webclient import request


@contextmanager
def hangs_up() -> Iterator[int]:
    """Run an app that takes every connection, reads something and closes it unanswered; give its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5.0)
                try:
                    connection.recv(65_536)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def explained(node: Node, *what: str) -> tuple[int, dict[str, Any]]:
    """Give the exit status and the document of ``explain``."""
    done = node.command("explain", *what, "--json")
    return done.returncode, json.loads(done.stdout) if done.stdout else {}


def test_an_ejected_endpoint_is_explained_before_a_request_and_an_attempt_at_it_after_one(mesh: Mesh) -> None:
    with WebApp("hello-1") as app, hangs_up() as port:
        seed = mesh.node("hello-1", services={"hello": app.port}).start().ready()
        mesh.node("hello-2", join=seed, services={"hello": port}).start().ready()
        client = mesh.node("client", join=seed).start().ready()
        eventually(lambda: client.healthy("hello") == 2)
        status, document = explained(client, "http://hello/x")
        assert (status, document["decision"], document["service"]) == (0, "send", "hello")
        assert document["policy"] == {"version": 0, "rule": "default", "verdict": "allow", "mode": "enforce"}
        assert {each["node"] for each in document["candidates"] if each["eligible"]} == {"hello-1", "hello-2"}
        assert explained(client, "GET", "http://hello/x") == (0, document), "it left a trace"
        proxy = client.listen("proxy")

        # Turns lead to the one that hangs up every second time; each of these requests is tried once more elsewhere.
        retried = ""
        for number in range(50):
            before = client.metric("gossipmesh_retries_total")
            answer = request(proxy, "http://hello/x?secret=1", headers={"x-request-id": f"r-{number}"})
            assert (answer.status, answer.instance) == (200, "hello-1")
            if client.metric("gossipmesh_retries_total") > before:
                retried = f"r-{number}"
            _, document = explained(client, "http://hello/x")
            (out,) = (each for each in document["candidates"] if each["node"] == "hello-2")
            if not out["eligible"]:
                break
        assert "failures in a row" in out["reason"]
        assert (document["chosen"], out["share"], out["score"]) == ("hello-1", 0.0, None)
        table = client.command("explain", "http://hello/x")
        assert "out of rotation for" in table.stdout

        status, past = explained(client, retried)
        assert (status, past["decision"], past["chosen"], past["target"]) == (0, "answered", "hello-1", "/x")
        assert [(each["node"], each["outcome"], each["flag"]) for each in past["attempts"]] == [
            ("hello-2", "failed", "UC"),
            ("hello-1", "answered", ""),
        ]
        times = past["past"]["times"]
        assert all(times[name] is not None for name in ("queue", "retries", "connect", "hop", "app", "body"))
        assert sum(times.values()) <= past["past"]["duration_ms"] + 0.1
        assert explained(client, past["past"]["trace_id"])[1]["past"] == past["past"]
        # Its destination knows it, too, and asks nobody.
        status, there = explained(seed, retried)
        assert (status, there["past"]["direction"], there["past"]["caller"]) == (0, "inbound", "client")


def test_what_would_be_refused_or_is_not_known_is_said_with_exit_status_one(mesh: Mesh) -> None:
    node = mesh.node("alone").start().ready()
    proxy = node.listen("proxy")
    status, document = explained(node, "http://nowhere/")
    assert (status, document["decision"], document["flag"], document["chosen"]) == (1, "refuse", "NR", None)
    status, document = explained(node, "http://example.com/")
    assert (status, document["flag"]) == (1, "NR")
    assert "no_proxy" in document["why"]

    answer = request(proxy, "http://nowhere/y")
    name = json.loads(answer.body)["request_id"]
    status, past = explained(node, name)
    assert (status, past["decision"], past["flag"], past["past"]["code"]) == (0, "failed", "NR", 404)
    unknown = node.command("explain", "no-such-request")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "it remembers 1 back to" in unknown.stderr
    assert node.command("explain", "http://hello/", "-H", "no colon").returncode == 2
    assert node.command("explain", "GET", "http://hello/", "more").returncode == 2
    node.kill()
    assert node.command("explain", name).returncode == 3
