"""`gossipmesh tap` and `top` beside real daemons: requests as they end, and rates."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from harness import COMMAND, PATIENCE_S, Mesh, Node, environment, eventually
from webapp import WebApp
from webclient import request


@contextmanager
def following(node: Node, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command that goes on by itself; it is ended in any case."""
    # Whoever is started in the background by a shell ignores Ctrl-C, and so do all that it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [COMMAND, *command, "--state", str(node.state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        signal.signal(signal.SIGINT, before)
        try:
            yield process
        finally:
            process.kill()


def test_tap_shows_requests_as_they_end_at_both_ends_and_ctrl_c_ends_it_quietly(mesh: Mesh) -> None:
    with WebApp("hello-1") as app:
        server = mesh.node("hello-1", services={"hello": app.port}).start().ready()
        client = mesh.node("client", join=server).start().ready()
        eventually(lambda: client.healthy("hello") == 1)
        with following(client, "tap", "--json") as out, following(server, "tap", "--json") as inside:
            sent = [request(client.listen("proxy"), f"http://hello/{number}?secret=1") for number in range(3)]
            assert [each.status for each in sent] == [200, 200, 200]
            for process, direction in ((out, "outbound"), (inside, "inbound")):
                assert process.stdout is not None
                lines = [json.loads(process.stdout.readline()) for _ in sent]
                assert [each["path"] for each in lines] == ["/0", "/1", "/2"]
                assert {(each["direction"], each["code"]) for each in lines} == {(direction, 200)}
                process.send_signal(signal.SIGINT)
                assert process.wait(PATIENCE_S) == 130
                assert process.stderr is not None
                assert not process.stderr.read().strip()


def test_tap_ends_with_status_3_when_the_daemon_does(mesh: Mesh) -> None:
    node = mesh.node("alice").start().ready()
    with following(node, "tap") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("TIME")
        node.kill()
        assert process.wait(PATIENCE_S) == 3
        assert process.stderr is not None
        assert process.stderr.read().count("\n") == 1


def test_who_asks_what_is_for_the_owner_alone(mesh: Mesh) -> None:
    node = mesh.node("alice").start().ready()
    status, said = node.over_tcp("GET", "/v1/requests")
    assert (status, b"unix socket" in said) == (403, True)


def test_top_shows_the_rates_of_an_interval(mesh: Mesh) -> None:
    with WebApp("hello-1") as app:
        node = mesh.node("hello-1", services={"hello": app.port}).start().ready()
        eventually(lambda: node.healthy("hello") == 1)
        with following(node, "top", "--interval", "300ms", "--json") as process:
            assert process.stdout is not None

            def rates() -> dict[str, float]:
                request(node.listen("proxy"), "http://hello/")
                assert process.stdout is not None
                services = json.loads(process.stdout.readline())["services"]
                return {each["direction"]: each["per_s"] for each in services if each["per_s"]}

            assert eventually(rates).keys() <= {"outbound", "inbound"}
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 130
