"""How soon a change of a service is in every node's registry and DNS: asked and got, on real daemons.

    python registry.py [--rounds N] [--json FILE]

Eight daemons on loopback, the LAN profile as it is shipped. One of them is told of a service, then of its end; the
clock runs from the command's own request until the last of the eight has it in `/v1/services`, and until the last one
answers so in DNS. Run with ``make bench-registry``.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import dns.message
import dns.query
import dns.rcode

from cells import table

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from harness import Mesh, Node, UnixConnection, eventually, said
from webapp import WebApp

SIZE: Final = 8
ASKED_S: Final = 1.0
LOOK_S: Final = 0.005
"""How often each node is asked: the resolution."""
PATIENCE_S: Final = 20.0


def change(node: Node, method: str, name: str, fields: dict[str, object] | None = None) -> None:
    """Have a node's own services changed, as `gossipmesh service` does."""
    connection = UnixConnection(node.state / "admin.sock")
    connection.request(method, f"/v1/own-services/{name}", None if fields is None else json.dumps(fields))
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body


def registered(node: Node, name: str) -> Callable[[], bool]:
    """Give what tells whether a node lists a healthy endpoint of a service, over one kept connection."""
    connection = http.client.HTTPConnection(node.listen("admin"), timeout=10)

    def look() -> bool:
        connection.request("GET", "/v1/services")
        services = json.loads(connection.getresponse().read())["services"]
        return any(each["name"] == name and each["healthy"] for each in services)

    return look


def in_dns(node: Node, name: str) -> Callable[[], bool]:
    """Give what tells whether a node gives an address of a service in DNS."""
    host, _, port = node.listen("dns").rpartition(":")

    def look() -> bool:
        question = dns.message.make_query(f"{name}.mesh", "A")
        return bool(dns.query.udp(question, host, port=int(port), timeout=10).answer)

    return look


def last_s(looks: list[Callable[[], bool]], wanted: bool, act: Callable[[], None]) -> float:
    """Act, and give how many seconds after the beginning of that the last of ``looks`` gave what is wanted."""
    ends: list[float] = []

    def watch(look: Callable[[], bool]) -> None:
        while look() is not wanted:
            if time.monotonic() > began + PATIENCE_S:
                return
            time.sleep(LOOK_S)
        ends.append(time.monotonic())

    began = time.monotonic()
    threads = [threading.Thread(target=watch, args=(look,)) for look in looks]
    for thread in threads:
        thread.start()
    act()
    for thread in threads:
        thread.join()
    return max(ends) - began if len(ends) == len(looks) else float("inf")


def measured(rounds: int) -> dict[str, list[float]]:
    """Give the seconds of each round, by what was measured."""
    got: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="gm") as home, WebApp("hello-1") as app:
        mesh = Mesh(said("init", f"{home}/root").strip())
        try:
            mesh.config.write_text("")
            first = mesh.node("n0").start().ready()
            nodes = [first, *(mesh.node(f"n{number}", join=first).start() for number in range(1, SIZE))]
            eventually(lambda: all(node.is_ready() and len(node.members()) == SIZE for node in nodes))
            for number in range(rounds):
                name, node = f"hello-{number}", nodes[1 + number % (SIZE - 1)]
                for where, look in (("registry", registered), ("DNS", in_dns)):
                    looks = [look(each, f"{name}-{where.lower()}") for each in nodes]
                    service = f"{name}-{where.lower()}"
                    for what, wanted, act in (
                        ("added", True, lambda n=node, s=service: change(n, "PUT", s, {"port": app.port})),
                        ("removed", False, lambda n=node, s=service: change(n, "DELETE", s)),
                    ):
                        got.setdefault(f"{what}, in all of {SIZE}: {where}", []).append(
                            last_s(looks, wanted, act)
                        )
                        time.sleep(1.0)  # So that each change is one of its own, and no burst.
        finally:
            mesh.close()
    return got


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    got = measured(arguments.rounds)
    rows = [
        [what, f"<= {ASKED_S:g}", f"{statistics.median(times):.2f}", f"{max(times):.2f}"]
        for what, times in got.items()
    ]
    print(table(["change", "asked, s", "median", "longest"], rows))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(got, indent=1) + "\n")


if __name__ == "__main__":
    main()
