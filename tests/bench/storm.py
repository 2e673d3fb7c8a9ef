"""Retry storms: apps that fail everything, and how often they are asked for each request that was sent."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from cells import table
from failover_sites import AppProcess, apps, ended
from forwarders import HERE, until
from harness import Mesh, Node, said
from loopback import unused_ports

PER_S: Final = 500
BACKS: Final = 3
FRONTS: Final = 2


@frozen
class Storm:
    """Apps behind so many hops that fail in one way.

    ``503`` says so, ``close`` closes the connection at once, and ``late`` after 100 ms. ``gone``: they are killed just
    before the load.
    """

    hops: int
    fails: str

    @property
    def name(self) -> str:
        return f"{self.fails}, {self.hops} hop{'s' * (self.hops > 1)}"


STORMS: Final = tuple(Storm(hops, fails) for hops in (1, 2) for fails in ("503", "close", "late", "gone"))


def beside(mesh: Mesh, client: Node, app: AppProcess, service: str, bind: int, *extra: str) -> None:
    """Start a daemon beside an app."""
    where = ("--bind", f"127.0.0.1:{bind}")
    mesh.node(app.name, *where, *extra, join=client, services={service: app.port}).start().ready()


def measure(storm: Storm, seconds: float, seed: int) -> dict[str, Any]:
    """Give how many requests were sent, and how many each row of apps got."""
    with tempfile.TemporaryDirectory() as home:
        mesh = Mesh(said("init", f"{home}/root"))
        mesh.config.write_text("")
        folder = Path(home)
        failing = ["--fail", storm.fails] if storm.fails != "gone" else []
        backs = apps(folder, BACKS, *failing, name="back")
        fronts: list[AppProcess] = []
        try:
            client = mesh.node("client").start().ready()
            for app in backs:
                (bind,) = unused_ports(1)
                beside(mesh, client, app, "hello" if storm.hops == 1 else "back", bind)
            for number in range(FRONTS if storm.hops > 1 else 0):
                _, bind, proxy = unused_ports(3)  # the first one is the app's
                (app,) = apps(folder, 1, "--through", f"127.0.0.1:{proxy}", "back", name=f"front-{number}")
                fronts.append(app)
                beside(mesh, client, app, "hello", bind, "--proxy", f"127.0.0.1:{proxy}")
            until(lambda: client.healthy("hello") == (len(fronts) or BACKS), "not all are known")
            if storm.hops > 1:
                until(lambda: all(node.healthy("back") == BACKS for node in mesh.nodes), "not all are known")
            for app in backs if storm.fails == "gone" else ():
                app.end(signal.SIGKILL)
            out = folder / "rows"
            command = [sys.executable, str(HERE / "openloop.py"), client.listen("proxy"), str(out)]
            command += ["--gets", str(PER_S), "--posts", "20", "--large", "0"]
            subprocess.run([*command, "--seconds", str(seconds), "--seed", str(seed)], check=True)
            rows = [json.loads(line) for line in out.read_text().splitlines()]
        finally:
            with ended([*backs, *fronts]):
                mesh.close()
        got = {
            name: sum(len(app.journal.read_text().splitlines()) for app in row)
            for name, row in (("front", fronts), ("back", backs))
        }
    answers = Counter(f"{row['status']} {row['flag'] or row['error']}".strip() for row in rows)
    return {"sent": len(rows), **got, "answers": dict(answers.most_common(6))}


def main(options: argparse.Namespace) -> None:
    lines, found = [], {}
    for storm in STORMS:
        print(f"  storm: {storm.name}", file=sys.stderr, flush=True)
        found[storm.name] = got = measure(storm, min(options.seconds, 10.0), options.seed)
        per = f"{got['back'] / got['sent']:.2f}"
        lines.append(
            [storm.name, *map(str, (got["sent"], got["front"] or "", got["back"])), per, str(got["answers"])]
        )
    print(table(["apps fail with", "sent", "fronts got", "they got", "per request", "answers"], lines))
    options.json.write_text(json.dumps(found, indent=1) + "\n")
