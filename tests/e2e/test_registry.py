"""Services that are registered, changed and removed while daemons run, and those who wait for that."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness import Mesh, Node, UnixConnection, eventually, gossipmesh, said
from webapp import WebApp
from webclient import request

KNOWN_WITHIN_S = 5.0
"""From a change to the last of eight registries. A second is promised, and held to in virtual time; here eight daemons
and all other tests share two cores."""


def change(node: Node, method: str, name: str, fields: dict[str, Any] | None = None) -> tuple[int, Any]:
    """Ask at a node's admin socket for a change, as an app would."""
    connection = UnixConnection(node.state / "admin.sock")
    body = None if fields is None else json.dumps(fields)
    connection.request(method, f"/v1/own-services/{name}", body)
    answer = connection.getresponse()
    given = answer.status, json.loads(answer.read())
    connection.close()
    return given


def events_of(node: Node) -> Iterator[tuple[str, dict[str, Any]]]:
    """Follow the events of a node over its read-only port; ends with the connection."""
    connection = http.client.HTTPConnection(node.listen("admin"), timeout=10)
    connection.request("GET", "/v1/events?types=services")
    answer = connection.getresponse()
    assert answer.headers["content-type"] == "text/event-stream"
    kind = ""
    for line in answer:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def test_a_service_that_an_app_registers_is_everywhere_within_a_second_and_so_is_its_end(mesh: Mesh) -> None:
    # The LAN profile, as it is shipped.
    mesh.config.write_text("")
    first = mesh.node("n0").start().ready()
    nodes = [first, *(mesh.node(f"n{number}", join=first).start() for number in range(1, 8))]
    for node in nodes:
        node.ready()
    eventually(lambda: all(len(node.members()) == 8 for node in nodes))
    following = events_of(nodes[7])
    assert next(following)[0] == "reset"
    with WebApp("hello-1") as app:
        status, entry = change(nodes[1], "PUT", "hello", {"port": app.port, "tags": ["v2"], "ttl": "1h"})
        assert (status, entry["state"], entry["origin"], entry["ttl_s"]) == (200, "healthy", "run time", 3600)
        eventually(lambda: all(node.healthy("hello") == 1 for node in nodes), within_s=KNOWN_WITHIN_S)
        assert next(following) == ("services", {"name": "hello", "endpoints": 1, "healthy": 1})
        assert request(nodes[5].listen("proxy"), "http://hello/").status == 200
        assert change(nodes[1], "PATCH", "hello", {"weight": 7})[1]["weight"] == 7
        eventually(lambda: nodes[6].ask("services/hello")["endpoints"][0]["weight"] == 7)
        assert change(nodes[1], "DELETE", "hello") == (200, {"done": True})
        eventually(lambda: not any(node.healthy("hello") for node in nodes))
        while (event := next(following))[1]["endpoints"]:
            assert event[0] == "services"


def test_what_may_not_be_registered_is_one_line_and_changes_nothing(mesh: Mesh, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    said("init", root)
    narrow = said("token", "new", "--root", root, "--service", "web-*")
    mesh.token_file.write_text(narrow)
    node = mesh.node("narrow").start().ready()
    refused = node.command("service", "add", "hello=8080")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "gossipmesh: this node's token does not allow the service hello; it allows web-*\n"
    )
    assert node.command("service", "add", "web-1=70000").returncode == 2
    assert node.command("service", "add", "Web=80").returncode == 2
    assert change(node, "PUT", "web-1", {"port": 80, "wieght": 3})[0] == 400
    assert node.command("service", "renew", "web-1").returncode == 1
    assert node.ask("own-services") == {"services": [], "speaker": ""}
    assert node.command("service", "add", "web-1=8080", "--ttl", "1h", "--health", "off").returncode == 0
    listed = json.loads(node.command("service", "list", "--json").stdout)["services"]
    assert [(each["name"], each["check"], each["ttl_s"]) for each in listed] == [("web-1", "off", 3600)]
    assert node.command("wait", "--service", "web-1").returncode == 0


def test_a_reload_takes_over_what_the_file_says_now_or_nothing_of_it(mesh: Mesh) -> None:
    with WebApp("hello-1") as app:
        file = mesh.write("node.toml", f'[[service]]\nname = "hello"\nport = {app.port}\n')
        node = mesh.node("n0")
        node.arguments[node.arguments.index(str(mesh.config))] = str(file)
        node.start().ready()
        assert node.command("service", "add", f"cron={app.port}").returncode == 0
        assert node.command("service", "set", "hello", "weight=9").returncode == 0

        def reload(text: str, event: str) -> None:
            file.write_text(text)
            seen = node.log().count(f'"{event}"')
            assert node.process is not None
            node.process.send_signal(signal.SIGHUP)
            eventually(lambda: node.log().count(f'"{event}"') > seen)

        def weights() -> dict[str, int]:
            return {each["name"]: each["weight"] for each in node.ask("own-services")["services"]}

        reload('[[service]]\nname = "hello"\nport = "none"\n', "reload.refused")
        assert weights() == {"hello": 9, "cron": 1}
        new = f'[node]\nzone = "b"\n[[service]]\nname = "world"\nport = {app.port}\nweight = 4\n'
        reload(f'{new}[traffic.world]\nbalancer = "round-robin"\n', "reloaded")
        assert "node.zone: only a new start takes these over" in node.log()
        assert weights() == {"world": 4, "cron": 1}
        eventually(lambda: node.healthy("world") == 1 and node.healthy("hello") == 0)
        assert request(node.listen("proxy"), "http://world/").status == 200
        assert node.ask("config")["traffic"]["value"]["world"]["balancer"] == "round-robin"
        assert node.ask("config")["node.zone"]["value"] == ""
        assert gossipmesh("services", "--state", str(node.state)).returncode == 0


def test_a_request_in_flight_to_a_service_that_is_removed_is_answered(mesh: Mesh) -> None:
    with WebApp("hello-1") as app, ThreadPoolExecutor() as pool:
        server = mesh.node("server", services={"hello": app.port}).start().ready()
        client = mesh.node("client", join=server).start().ready()
        eventually(lambda: client.healthy("hello") == 1)
        proxy = client.listen("proxy")
        # The app's connection is idle now, so that the next request goes the quick way.
        assert request(proxy, "http://hello/").status == 200
        held = pool.submit(request, proxy, "http://hello/hold")
        assert app.held.acquire(timeout=20)
        assert server.command("service", "remove", "hello").returncode == 0
        eventually(lambda: client.fetch("/v1/services/hello")[0] == http.client.NOT_FOUND)
        assert request(proxy, "http://hello/").error == "NR"
        app.release.set()
        assert held.result(20).status == 200
