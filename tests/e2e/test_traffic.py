"""Hedging, rates per source and ejection between real daemons that share one file, and what metrics and logs say."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from harness import LOCAL_PROFILE, Mesh, Node, eventually
from webapp import WebApp
from webclient import Answer, request

ENOUGH: Final = 110
"""Requests after which a daemon knows what is slow."""


def configure(mesh: Mesh, traffic: str) -> None:
    mesh.config.write_text(f"{LOCAL_PROFILE}\n[traffic.hello]\n{traffic}\n")


def metrics(node: Node) -> dict[str, float]:
    lines = node.fetch("/metrics")[1].decode().splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def events(node: Node, name: str) -> list[dict[str, Any]]:
    """Give the lines of a daemon's log about one kind of event."""
    lines = [json.loads(line) for line in node.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


@contextmanager
def hanging_up() -> Iterator[int]:
    """Give the port of an app that takes connections, and closes each at the first request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection:
                    connection.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_request_that_takes_long_is_answered_by_whichever_of_two_endpoints_is_sooner(mesh: Mesh) -> None:
    configure(mesh, "retries = { hedge = true }")
    with WebApp("hello-1") as first, WebApp("hello-2") as second:
        seed = mesh.node("hello-1", services={"hello": first.port}).start().ready()
        mesh.node("hello-2", services={"hello": second.port}, join=seed).start()
        client = mesh.node("client", join=seed).start()
        eventually(lambda: client.healthy("hello") == 2)
        proxy = client.listen("proxy")
        for _ in range(ENOUGH):
            assert request(proxy, "http://hello/").status == 200
        answers: list[Answer] = []
        asking = threading.Thread(target=lambda: answers.append(request(proxy, "http://hello/hold")))
        asking.start()
        for app in (first, second):
            assert app.held.acquire(timeout=20)
        second.release.set()
        asking.join()
        assert [(answer.status, answer.instance) for answer in answers] == [(200, "hello-2")]
        assert metrics(client)['gossipmesh_hedges_total{service="hello"}'] >= 1.0


def test_who_asks_more_often_than_a_node_allows_is_told_when_to_come_back(mesh: Mesh) -> None:
    configure(mesh, "rate = { per_second = 0.01, burst = 2 }")
    with WebApp("hello-1") as app:
        hello = mesh.node("hello-1", services={"hello": app.port}).start().ready()
        client = mesh.node("client", join=hello).start()
        eventually(lambda: client.healthy("hello") == 1)
        answers = [request(client.listen("proxy"), "http://hello/") for _ in range(3)]
        assert [(answer.status, answer.error) for answer in answers] == [(200, ""), (200, ""), (429, "RL")]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 100
        assert len(app.requests) == 2
        assert metrics(hello)['gossipmesh_rate_limited_total{service="hello"}'] == 1.0


def test_an_endpoint_that_only_fails_is_left_out_and_metrics_and_log_say_so(mesh: Mesh) -> None:
    with ExitStack() as stack:
        app = stack.enter_context(WebApp("hello-1"))
        seed = mesh.node("hello-1", services={"hello": app.port}).start().ready()
        mesh.node("hello-2", services={"hello": stack.enter_context(hanging_up())}, join=seed).start()
        client = mesh.node("client", join=seed).start()
        eventually(lambda: client.healthy("hello") == 2)
        ejected = 'gossipmesh_ejections_total{reason="failures",service="hello"}'

        def is_out() -> bool:
            answer = request(client.listen("proxy"), "http://hello/")
            assert (answer.status, answer.instance) == (200, "hello-1")
            return ejected in metrics(client)

        eventually(is_out)
        assert metrics(client)['gossipmesh_endpoints{service="hello",state="ejected"}'] == 1.0
        (line,) = eventually(lambda: events(client, "ejected"))
        assert (line["service"], line["node"]) == ("hello", "hello-2")
        assert line["why"] == "out of rotation for 5 s after 5 failures in a row"
        shown = {each["node"]: each["reason"] for each in client.ask("services/hello")["endpoints"]}
        assert shown["hello-1"] == ""
        assert "after 5 failures in a row" in shown["hello-2"]
