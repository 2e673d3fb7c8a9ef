"""Measure a mesh of five real daemons on this machine: what is asked, what was got. Run with ``make bench-mesh``.

    python run.py [--rounds N] [--idle SECONDS] [--json FILE]

Default profile (lan), every figure the median of several runs unless it says otherwise. Figures of one machine say
little; the ratio of two runs on the same machine says more.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from harness import Mesh, Node, said  # noqa: E402  (its folder is known only now)
from webclient import request  # noqa: E402

TICK_HZ: Final = os.sysconf("SC_CLK_TCK")
PATIENCE_S: Final = 60.0


@frozen
class Figure:
    """One row: what is asked, what was got."""

    name: str
    unit: str
    asked: float | None = None
    """At most; None where nothing is asked."""


FIGURES: Final = (
    Figure("start to ready", "s", 0.7),
    Figure("fifth node in everyone's members", "s", 2),
    Figure("SIGKILL to dead everywhere", "s", 15),
    Figure("GETs failed over all SIGKILLs (sum)", "", 0),
    Figure("GETs sent while a node died (sum)", ""),
    Figure("idle memory per daemon (RSS)", "MiB", 55),
    Figure("idle CPU per daemon", "%", 1),
)


@define
class Results:
    """The samples of each figure."""

    samples: dict[str, list[float]] = field(factory=lambda: {figure.name: [] for figure in FIGURES})

    def add(self, name: str, value: float) -> None:
        self.samples[name].append(value)

    def got(self, figure: Figure) -> float | None:
        values = self.samples[figure.name]
        if not values:
            return None
        return sum(values) if figure.name.endswith("(sum)") else statistics.median(values)

    def table(self) -> str:
        rows = [f"{'figure':40} {'asked':>12} {'got':>12}  {'runs':>4}"]
        for figure in FIGURES:
            got = self.got(figure)
            if got is None:
                continue
            good = figure.asked is None or got <= figure.asked
            asked = "-" if figure.asked is None else f"<= {figure.asked:g} {figure.unit}"
            shown = f"{got:.4g} {figure.unit}" if abs(got) < 1_000 else f"{got:,.0f} {figure.unit}"
            runs = len(self.samples[figure.name])
            rows.append(f"{figure.name:40} {asked:>12} {shown:>12}  {runs:4}{'' if good else '  missed'}")
        return "\n".join(rows)

    def as_json(self) -> str:
        rows = [
            {"name": each.name, "unit": each.unit, "asked": each.asked, "got": self.got(each)}
            | {"samples": self.samples[each.name]}
            for each in FIGURES
        ]
        return json.dumps(
            {"figures": rows, "cores": os.cpu_count(), "python": sys.version.split()[0]}, indent=2
        )


def took(condition: Callable[[], bool], since: float) -> float:
    """Give the seconds from ``since`` until ``condition()`` holds."""
    while not condition():
        if time.monotonic() - since > PATIENCE_S:
            raise SystemExit(f"not within {PATIENCE_S:.0f} s: {condition}")
        time.sleep(0.01)
    return time.monotonic() - since


def cpu_s(node: Node) -> float:
    """Give the processor seconds that a daemon has used."""
    assert node.process is not None
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK_HZ


def rss_mib(node: Node) -> float:
    """Give a daemon's resident memory."""
    assert node.process is not None
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def light_apps(names: list[str]) -> Iterator[dict[str, int]]:
    """Run an app for each name; give their ports."""
    running = []
    try:
        ports = {}
        for name in names:
            command = [sys.executable, str(HERE / "lightapp.py"), name]
            app = subprocess.Popen(command, stdout=subprocess.PIPE)
            running.append(app)
            assert app.stdout is not None
            ports[name] = int(app.stdout.readline())
        yield ports
    finally:
        for app in running:
            app.kill()
            app.wait()
            if app.stdout is not None:
                app.stdout.close()


class Asking(threading.Thread):
    """Sends GETs, one every 10 ms, and counts those that were not answered with 200."""

    def __init__(self, proxy: str) -> None:
        super().__init__(daemon=True)
        self._proxy = proxy
        self._enough = threading.Event()
        self.sent = 0
        self.failed = 0

    def run(self) -> None:
        while not self._enough.wait(0.01):
            try:
                good = request(self._proxy, "http://hello/").status == 200
            except OSError:
                good = False
            self.sent += 1
            self.failed += not good

    def finish(self) -> None:
        self._enough.set()
        self.join()


def start_five(mesh: Mesh, ports: dict[str, int], results: Results) -> None:
    """Start four nodes and then the fifth, with the time that each takes."""
    for name in ("hello-1", "hello-2", "other-1", "other-2", "client"):
        services = {name.partition("-")[0]: ports[name]} if name in ports else {}
        node = mesh.node(name, join=mesh.nodes[0] if mesh.nodes else None, services=services)
        started = time.monotonic()
        node.start()
        results.add("start to ready", took(node.is_ready, started))
    everyone = lambda: all(node.members().get("client") == "alive" for node in mesh.nodes[:-1])  # noqa: E731
    results.add("fifth node in everyone's members", took(everyone, started))
    took(lambda: mesh.nodes[-1].healthy("hello") == 2, started)


def lose_one(mesh: Mesh, results: Results) -> None:
    """Kill a node while GETs go on; see when everybody knows."""
    client = mesh.nodes[-1]
    asking = Asking(client.listen("proxy"))
    asking.start()
    took(lambda: asking.sent >= 20, time.monotonic())
    victim = mesh.nodes.pop(1)
    killed = time.monotonic()
    victim.kill()
    everyone = lambda: all(node.members().get(victim.name) == "dead" for node in mesh.nodes)  # noqa: E731
    results.add("SIGKILL to dead everywhere", took(everyone, killed))
    asking.finish()
    results.add("GETs failed over all SIGKILLs (sum)", asking.failed)
    results.add("GETs sent while a node died (sum)", asking.sent)


def idle(mesh: Mesh, seconds: float, results: Results) -> None:
    """Let five daemons do nothing and see what that costs."""
    before = [cpu_s(node) for node in mesh.nodes]
    started = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - started
    for node, used in zip(mesh.nodes, before, strict=True):
        results.add("idle CPU per daemon", 100 * (cpu_s(node) - used) / passed)
        results.add("idle memory per daemon (RSS)", rss_mib(node))


@contextmanager
def opened(token: str) -> Iterator[Mesh]:
    """Give a mesh of the default profile that is closed again."""
    mesh = Mesh(token)
    mesh.config.write_text("")
    try:
        yield mesh
    finally:
        mesh.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a local mesh.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=float, default=30.0, help="seconds")
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    results = Results()
    with tempfile.TemporaryDirectory() as home:
        token = said("init", f"{home}/root")
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}: start, join, lose a node", flush=True)
        with light_apps(["hello-1", "hello-2"]) as ports, opened(token) as mesh:
            start_five(mesh, ports, results)
            if number == 0:
                print(f"idle for {options.idle:.0f} s", flush=True)
                idle(mesh, options.idle, results)
            lose_one(mesh, results)
    print(f"\n{results.table()}")
    options.json.write_text(results.as_json() + "\n")
    print(f"\nsamples are in {options.json}")


if __name__ == "__main__":
    main()
