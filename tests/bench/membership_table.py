"""Fill the table of membership's figures from the simulator: what is asked, what was got, what memberlist gave.

    python membership_table.py [--quick] [--only WORD] [--nodes N[,N]] [--jobs J] [--json FILE]

Below each table are the exact `gossipmesh sim` commands that make it. Rows that need the same runs share them. What is
done is kept in the JSON file after every run, and not done again: delete the file, or name another, to begin anew. All
of it takes some hours on two cores; --quick takes minutes, and its tails say little.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from gossipmesh.sim.statistics import short

Document = dict[str, Any]
Figure = Callable[[Document], float | None]

SIZES: Final = (128, 256, 1000)
SMALL: Final = (2, 3, 4, 8)
SEEDS: Final = {2: 100, 3: 100, 4: 100, 8: 100, 128: 100, 256: 20, 1000: 5}
QUICK: Final = {2: 10, 3: 10, 4: 10, 8: 10, 128: 4, 256: 2, 1000: 1}
LONG_SEEDS: Final = 10
"""Of what takes ten virtual minutes or real cryptography, or is the same in every run, where that is less."""
MEMBERLIST: Final = (
    "memberlist 0.2.2, its LAN profile, on an in-memory network, on a machine of the same kind"
)
"""Where the figures beside ours come from. They were measured once and are not measured again here."""


DONE: Final = Path(__file__).parents[2] / "docs" / "measurements" / "membership.json"
"""What was measured already: the same command gives the same figures, so nobody needs to run it again."""


@frozen
class Runs:
    """The runs that a row needs, but for the number of nodes and of seeds."""

    scenario: str
    options: tuple[str, ...] = ()
    long: bool = False
    at_1000: tuple[str, ...] | None = None
    """The options at 1,000 nodes, where those of smaller meshes would take days."""

    def command(self, nodes: int, *, quick: bool) -> list[str]:
        """Give the words after ``gossipmesh``."""
        options = self.at_1000 if nodes >= 1000 and self.at_1000 is not None else self.options
        seeds = (QUICK if quick else SEEDS)[nodes]
        if self.long:
            seeds = min(seeds, LONG_SEEDS)
        return ["sim", "--scenario", self.scenario, "--nodes", str(nodes), "--seeds", str(seeds), *options]


@frozen
class Row:
    """One line of the table."""

    name: str
    runs: Runs
    figure: Figure
    unit: str = "s"
    asked: dict[int, float] = field(factory=dict)
    """At most, by number of nodes; nothing where it is only told."""
    memberlist: str = "-"


def time_of(name: str, kind: str) -> Figure:
    """Give what takes one statistic of one time out of a document; None where no run has it."""

    def figure(document: Document) -> float | None:
        statistic = document[name]
        return None if statistic is None else statistic[kind]

    return figure


def most_in_a_run(name: str) -> Figure:
    """Give what takes the greatest count of a run out of a document."""
    return lambda document: document["per_run"][name]["max"]


def total(name: str, whose: str) -> Figure:
    """Give what takes a count over all runs out of a document."""
    return lambda document: document[name][whose]


def idle(name: str) -> Figure:
    """Give what takes a rate out of a document."""
    return lambda document: document["idle"][name]


def at(small: float, middle: float, large: float) -> dict[int, float]:
    """Give what is asked at each size."""
    return dict(zip(SIZES, (small, middle, large), strict=True))


CRASH: Final = Runs("crash")
UPDATE: Final = Runs("update")
JOIN: Final = Runs("join-storm")
SLOW_16: Final = Runs("slow", ("--slow-members", "16"), long=True)
SLOW_32: Final = Runs(
    "slow", ("--slow-members", "32"), long=True, at_1000=("--slow-members", "32", "--duration", "33s")
)
LOSS_10: Final = Runs("loss", ("--loss", "0.1"), long=True, at_1000=("--loss", "0.1", "--duration", "1m"))
LOSS_30: Final = Runs("loss", ("--loss", "0.3"), long=True, at_1000=("--loss", "0.3", "--duration", "1m"))
PARTITION: Final = Runs("partition")
IDLE: Final = Runs("idle", long=True)
FORGE: Final = Runs("forge", long=True)
CUT: Final = Runs("asymmetric")
ONE_SLOW: Final = Runs("slow", ("--slow-members", "1"), long=True)


def slow_rows(slow: str, runs: Runs, *, asked: int, memberlist: str) -> tuple[Row, Row, Row]:
    """Give the rows about so many slow members; ``asked`` is for 128 nodes."""
    return (
        Row(
            f"false positives, {slow} slow, most in a run",
            runs,
            most_in_a_run("false_positives"),
            "",
            {128: asked},
            memberlist,
        ),
        Row(
            "... at healthy observers, in all runs",
            runs,
            total("false_positives", "healthy"),
            "",
            at(0, 0, 0),
            "0",
        ),
        Row(
            "... out of rotation at healthy observers",
            runs,
            total("routability_false_positives", "healthy"),
            "",
        ),
    )


def loss_rows(percent: str, runs: Runs, *, asked: dict[int, float], memberlist: str) -> tuple[Row, Row]:
    """Give the rows about so much loss."""
    name = f"false positives at {percent} % loss, most in a run"
    return (
        Row(name, runs, most_in_a_run("false_positives"), "", asked, memberlist),
        Row("... out of rotation, in all runs", runs, total("routability_false_positives", "all"), ""),
    )


ROWS: Final = (
    Row(
        "crash to first detection, median",
        CRASH,
        time_of("first_detection_s", "median"),
        asked=at(9.7, 11.6, 14),
        memberlist="9.65 s / 11.57 s / -",
    ),
    Row(
        "first detection to everyone knows, median",
        CRASH,
        time_of("all_know_s", "median"),
        asked=at(0.6, 0.6, 1.0),
        memberlist="0.52 s / 0.46 s / -",
    ),
    Row(
        "silent crash to first suspicion, p99",
        CRASH,
        time_of("first_suspicion_s", "p99"),
        asked=at(6.5, 6.5, 6.5),
    ),
    Row(
        "a change to everyone, median",
        UPDATE,
        time_of("update_all_s", "median"),
        asked=at(0.7, 0.9, 1.5),
        memberlist="0.61 s / 0.80 s / -",
    ),
    Row(
        "all start at once to every view complete, max",
        JOIN,
        time_of("join_complete_s", "max"),
        asked=at(8, 8, 15),
        memberlist="92 to 120 s in 5 of 8 runs",
    ),
    *slow_rows("16", SLOW_16, asked=10, memberlist="3 to 18"),
    *slow_rows("32", SLOW_32, asked=25, memberlist="18 to 24"),
    *loss_rows("10", LOSS_10, asked=at(0, 0, 0), memberlist="0"),
    *loss_rows("30", LOSS_30, asked=at(2, 0, 0), memberlist="1 in 2 min"),
    Row(
        "50/50 partition to healed, max",
        PARTITION,
        time_of("healed_s", "max"),
        asked=at(35, 35, 45),
        memberlist="never by itself",
    ),
    Row("idle, per node, UDP and TCP", IDLE, idle("packets_per_s"), "packets/s", at(2.5, 2.5, 2.5), "2.0"),
    Row("... of which UDP", IDLE, idle("udp_packets_per_s"), "packets/s"),
    Row("... bytes", IDLE, idle("bytes_per_s"), "B/s", at(500, 500, 500), "143 B/s"),
    Row(
        "forgeries accepted",
        FORGE,
        lambda document: document["accepted_forgeries"],
        "",
        at(0, 0, 0),
        "all of them",
    ),
)
SMALL_ROWS: Final = (
    Row("crash to first detection, median", CRASH, time_of("first_detection_s", "median")),
    Row("silent crash to first suspicion, p99", CRASH, time_of("first_suspicion_s", "p99")),
    Row("first detection to everyone knows, max", CRASH, time_of("all_know_s", "max")),
    Row(
        "one-way cut: declared dead across it, in all runs",
        CUT,
        lambda document: document["counts"]["deaths_across_the_cut"],
        "",
        {3: 0, 4: 0, 8: 0},
    ),
    Row("... declared dead elsewhere", CUT, total("false_positives", "all"), "", dict.fromkeys(SMALL, 0)),
    Row("... to all views complete after healing, max", CUT, time_of("healed_s", "max")),
    Row("one slow member: false positives by it, in all runs", ONE_SLOW, total("false_positives", "all"), ""),
    Row(
        "... by healthy observers",
        ONE_SLOW,
        total("false_positives", "healthy"),
        "",
        dict.fromkeys(SMALL, 0),
    ),
    Row(
        "... out of rotation by healthy observers",
        ONE_SLOW,
        total("routability_false_positives", "healthy"),
        "",
    ),
)


@frozen
class Results:
    """The documents of all commands that were run, kept in a file after each."""

    path: Path
    jobs: int | None
    documents: dict[str, Document]

    def of(self, command: Sequence[str]) -> Document:
        """Give what a command printed, from the file or from running it now."""
        key = " ".join(command)
        if key not in self.documents:
            print(f"$ gossipmesh {key}", file=sys.stderr, flush=True)
            jobs = [] if self.jobs is None else ["--jobs", str(self.jobs)]
            done = subprocess.run(
                [sys.executable, "-m", "gossipmesh", *command, *jobs, "--json"],
                stdout=subprocess.PIPE,
                check=False,
            )
            if done.returncode not in (0, 1):
                raise SystemExit(done.returncode)
            self.documents[key] = json.loads(done.stdout)
            self.path.write_text(json.dumps(self.documents, indent=1))
        return self.documents[key]


def cell(row: Row, nodes: int, document: Document) -> str:
    """Give what was got, what was asked, and whether that was missed or runs failed."""
    got, asked = row.figure(document), row.asked.get(nodes)
    text = "-" if got is None else f"{short(got)} {row.unit}".rstrip()
    if asked is not None:
        missed = got is None or got > asked
        text += f" ({'**missed**, ' if missed else ''}asked: {asked:g})"
    failed, runs = len(document["failures"]), document["seeds"]
    return text + (f", {failed} of {runs} runs failed" if failed else "")


def show(title: str, rows: Sequence[Row], sizes: Sequence[int], results: Results, *, quick: bool) -> None:
    """Run what is missing and print a table, as markdown, and the commands that made it."""
    lines = []
    commands: dict[str, None] = {}
    for row in rows:
        cells = []
        for nodes in sizes:
            command = row.runs.command(nodes, quick=quick)
            cells.append(cell(row, nodes, results.of(command)))
            commands["gossipmesh " + " ".join(command)] = None
        lines.append((row.name, *cells, row.memberlist))
    print(f"\n{title}\n")
    print("| | " + " | ".join(f"N={nodes}" for nodes in sizes) + " | memberlist |")
    print("|---" * (len(sizes) + 2) + "|")
    for line in lines:
        print("| " + " | ".join(line) + " |")
    print("\nMade by:\n")
    for words in commands:
        print(f"    {words}")


def main() -> None:
    """Run what is missing, and print both tables."""
    parser = argparse.ArgumentParser(description="Fill the table of membership's figures from the simulator.")
    parser.add_argument("--quick", action="store_true", help="few seeds")
    parser.add_argument("--only", default="", metavar="WORD", help="rows with this word in name or scenario")
    parser.add_argument("--nodes", default="", metavar="N[,N]", help="of 2, 3, 4, 8, 128, 256 and 1000")
    parser.add_argument("--jobs", type=int, help="runs at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="what is done, to be continued")
    asked = parser.parse_args()
    path = asked.json or (Path("membership-quick.json") if asked.quick else DONE)
    results = Results(path, asked.jobs, json.loads(path.read_text()) if path.exists() else {})
    wanted = {int(word) for word in asked.nodes.split(",") if word} or {*SIZES, *SMALL}
    if asked.quick and not asked.nodes:
        wanted.discard(1000)
    for title, rows, sizes in (
        (f"Large meshes, profile lan. Beside ours: {MEMBERLIST}.", ROWS, SIZES),
        ("Small meshes, profile lan.", SMALL_ROWS, SMALL),
    ):
        chosen = [row for row in rows if asked.only in row.name or asked.only == row.runs.scenario]
        kept = [size for size in sizes if size in wanted]
        if chosen and kept:
            show(title, chosen, kept, results, quick=asked.quick)


if __name__ == "__main__":
    main()
