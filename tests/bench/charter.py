"""How soon what is signed for the mesh holds in all of it: revocation, policy, rollback, at eight real daemons.

    python tests/bench/charter.py [--rounds N] [--json FILE]

Eight daemons as they come, on loopback. Each figure is the longest of all rounds, in seconds: from when the command
that signs is started, and from when it has returned, until the last daemon has it. A revocation is everywhere when all
seven others have ended what they read from the revoked node (an answer that goes on, on a channel of each) and list it
as a member no longer; the node itself is stopped before, so that nothing of this is its own doing. A policy is
everywhere when each daemon says that its version is in force. Meanwhile four clients ask without a pause for two
paths, of which each policy allows exactly one: an answer that belongs to none of the two documents, or to half of one,
would show as one change more than there were policies.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

from attrs import define, field

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from harness import Mesh, Node, eventually, said  # noqa: E402
from webapp import WebApp  # noqa: E402
from webclient import Asking, Reading  # noqa: E402

NODES: Final = 8
ASKED_S: Final = 2.0
LOOK_S: Final = 0.01
PATIENCE_S: Final = 60.0
ONE_OF_TWO: Final = """\
default = "deny"

[[rule]]
action = "allow"
from = ["*"]
to = ["hello"]
paths = ["/{}"]

[[rule]]
action = "allow"
from = ["*"]
to = ["bad"]
"""
PATHS: Final = ("echo", "line")


@define
class Figure:
    """One row: the samples of what was got. ``asked``: at most."""

    name: str
    asked: float | None
    unit: str = "s"
    samples: list[float] = field(factory=list)

    @property
    def got(self) -> float:
        """The worst sample."""
        return max(self.samples)

    @property
    def missed(self) -> bool:
        """Whether it is worse than what is asked."""
        return self.asked is not None and self.got > self.asked


class Table:
    """The figures, in the order in which they came up first."""

    def __init__(self) -> None:
        self.figures: dict[str, Figure] = {}

    def note(self, name: str, value: float, *, asked: float | None = ASKED_S, unit: str = "s") -> None:
        """Add a sample."""
        self.figures.setdefault(name, Figure(name, asked, unit)).samples.append(value)

    def time(self, what: str, command: Callable[[], object], places: dict[str, Callable[[], bool]]) -> None:
        """Run a command; note how long it took, and until what it is about holds at every place."""
        left = dict(places)
        last = [0.0]

        def watch() -> None:
            while left:
                for place, holds in tuple(left.items()):
                    if holds():
                        del left[place]
                        last[0] = time.monotonic()
                time.sleep(LOOK_S)

        watching = threading.Thread(target=watch, daemon=True)
        began = time.monotonic()
        watching.start()
        command()
        returned = time.monotonic()
        watching.join(PATIENCE_S)
        if left:
            sys.exit(f"{what}: not within {PATIENCE_S:g} s at {', '.join(left)}")
        self.note(f"{what}: everywhere, from the command's return", max(0.0, last[0] - returned))
        self.note(f"{what}: everywhere, from the command's start", last[0] - began, asked=None)


def run(node: Node, *arguments: str) -> None:
    """Run a command that must succeed."""
    done = node.command(*arguments)
    if done.returncode:
        sys.exit(f"gossipmesh {' '.join(arguments)}: {done.stderr}")


def in_force(node: Node, version: int) -> Callable[[], bool]:
    return lambda: int(node.ask("status")["policy_version"]) >= version


def went_on(asking: list[Asking], seen: list[int]) -> bool:
    """Tell whether each client has had two answers more than were seen."""
    return all(len(each.answers) > count + 1 for each, count in zip(asking, seen, strict=True))


def policies(mesh: Mesh, root: Path, rounds: int, table: Table) -> None:
    """Apply two policies in turn and roll back, with clients that ask all the time."""
    nodes = mesh.nodes
    files = [str(mesh.write(f"{path}.toml", ONE_OF_TWO.format(path))) for path in PATHS]
    run(nodes[1], "policy", "apply", files[0], "--root", str(root))
    asking = [
        Asking(node.listen("proxy"), f"http://hello/{path}")
        for node in (nodes[2], nodes[3])
        for path in PATHS
    ]
    for each in asking:
        each.start()
    version, changes = 1, 0
    for number in range(rounds):
        for what, command in (
            ("policy apply", ("policy", "apply", files[1], "--root", str(root), "--no-wait")),
            ("policy rollback", ("policy", "rollback", str(version), "--root", str(root), "--no-wait")),
        ):
            version += 1
            changes += 1
            seen = [len(each.answers) for each in asking]
            by = nodes[number % NODES]
            table.time(what, partial(run, by, *command), {n.name: in_force(n, version) for n in nodes})
            eventually(partial(went_on, asking, seen))
    for each in asking:
        each.finish()
    wrong = sum(len(each.errors) for each in asking)
    for each, first in zip(asking, (200, 403) * 2, strict=True):
        statuses = [answer.status for answer in each.answers]
        turns = sum(one != other for one, other in pairwise(statuses))
        wrong += abs(turns - changes) + (statuses[0] != first) + len(set(statuses) - {200, 403})
    table.note("answers while policies changed", sum(len(e.answers) for e in asking), asked=None, unit="")
    table.note("... that belong to no whole document, and errors", wrong, asked=0, unit="")


def is_rid_of(node: Node, bad: str, reading: Reading) -> bool:
    """Tell whether a node has ended what it read from a revoked member, and lists it no longer."""
    return reading.ended.is_set() and bad not in node.members()


def revocation(mesh: Mesh, root: Path, table: Table, number: int) -> None:
    """Let one more daemon join, make it eight, and revoke it while all others read from it."""
    others = list(mesh.nodes)
    with WebApp("bad") as app:
        bad = mesh.node(f"bad-{number}", join=others[0], services={"bad": app.port}).start().ready()
        eventually(lambda: all(node.healthy("bad") == 1 for node in others))
        reading = {node.name: Reading(node.listen("proxy"), "http://bad/drip") for node in others}
        eventually(lambda: all(each.flows() for each in reading.values()))
        assert bad.process is not None
        bad.process.send_signal(signal.SIGSTOP)
        table.time(
            "revocation",
            lambda: run(others[1], "revoke", bad.name, "--root", str(root), "--reason", "stolen"),
            {node.name: partial(is_rid_of, node, bad.name, reading[node.name]) for node in others},
        )
        app.release.set()
        bad.kill()
        mesh.nodes.remove(bad)


def knows_all(node: Node) -> bool:
    """Tell whether a node knows the service and takes all others for alive."""
    return node.healthy("hello") == 1 and list(node.members().values()).count("alive") >= NODES - 1


def measure(rounds: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as home, WebApp("hello") as app:
        root = Path(home) / "root"
        mesh = Mesh(said("init", str(root)))
        mesh.config.write_text("")
        table = Table()
        try:
            first = mesh.node("n0", services={"hello": app.port}).start().ready()
            for number in range(1, NODES):
                mesh.node(f"n{number}", join=first).start()
            for node in mesh.nodes:
                node.ready()
            eventually(lambda: all(knows_all(node) for node in mesh.nodes))
            policies(mesh, root, rounds, table)
            # Of eight, the last makes room for those that are revoked.
            mesh.nodes.pop().kill()
            for number in range(rounds):
                revocation(mesh, root, table, number)
        finally:
            mesh.close()
        yield from table.figures.values()


def main() -> None:
    """Measure, and say what was asked and got."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = list(measure(options.rounds))
    for row in figures:
        asked = "-" if row.asked is None else f"<= {row.asked:g} {row.unit}"
        print(f"{row.name:56} {asked:>8} {row.got:>10,.2f} {row.unit:2}{' missed' if row.missed else ''}")
    if options.json is not None:
        found = [
            {"name": row.name, "asked": row.asked, "got": row.got, "unit": row.unit, "samples": row.samples}
            for row in figures
        ]
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
