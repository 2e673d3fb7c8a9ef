"""Lifeguard's interval experiment, with each of its parts off in turn.

    python lifeguard.py [--quick] [--nodes N] [--slow C[,C]] [--seeds K] [--seed S] [--only WORD] [--json FILE]
                        [--plot FILE]

C of N members are blocked for 16.384 s and free for 64 ms, again and again for 120 s, and one that is well vanishes
half-way (the scenario ``lifeguard`` of `gossipmesh sim`). Prints a Markdown table, a row for each protocol. What is
done is kept in the JSON file after every run and not done again: with more seeds it goes on. --plot draws the table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from attrs import evolve

from cells import Cell, Cells, table
from gossipmesh.membership.parameters import LAN, Parameters, without_lifeguard
from gossipmesh.sim.runner import run_one
from gossipmesh.sim.scenarios.plan import Plan

PLAIN: Final = without_lifeguard(LAN)


def dogpile(parameters: Parameters) -> Parameters:
    """Give the same numbers with suspicions that are long at first and fall with each accuser."""
    factor, accusers = LAN.suspicion_max_factor, LAN.suspicion_accusers
    return evolve(parameters, suspicion_max_factor=factor, suspicion_accusers=accusers)


PROTOCOLS: Final[Mapping[str, Parameters]] = {
    "plain SWIM": PLAIN,
    "+ awareness only": evolve(PLAIN, awareness_max=LAN.awareness_max),
    "+ dogpile only": dogpile(PLAIN),
    "+ buddy only": evolve(PLAIN, buddy=True),
    "Lifeguard (all three)": dogpile(evolve(PLAIN, awareness_max=LAN.awareness_max, buddy=True)),
    "+ own evidence only": evolve(PLAIN, own_evidence=True),
    "gossipmesh without awareness": evolve(LAN, awareness_max=0),
    "gossipmesh without dogpile": evolve(LAN, suspicion_max_factor=1.0, suspicion_accusers=0),
    "gossipmesh without buddy": evolve(LAN, buddy=False),
    "gossipmesh without own evidence": evolve(LAN, own_evidence=False),
    "gossipmesh": LAN,
}
"""The paper's rows, each part of Lifeguard alone on plain SWIM and all together; then ours, with each part off."""
FIRST_SEED: Final = 101
"""Not 1, with which the simulator does all cryptography for real: ten times as slow, for the same beliefs."""
DURATION_S: Final = 120.0
HEAD: Final = [
    "protocol",
    "slow",
    "runs",
    "FP a run, all observers",
    "FP a run, healthy observers",
    "healthy members out of rotation a run, at healthy observers",
    "crash to first detection",
    "... to all healthy",
    "packets/s a node",
    "B/s a node",
]


def measure(nodes: int, slow: int, parameters: Parameters, seed: int) -> Cell:
    """Play one run; give what is kept of it."""
    # `lifeguard` off: what the scenario claims with it on is not claimed of a protocol with parts missing.
    plan = Plan(
        "lifeguard", nodes, lifeguard=False, slow_members=slow, duration_s=DURATION_S, numbers=parameters
    )
    made = run_one(plan, seed)
    return {
        **made.figures,
        **made.counts,
        "failure": made.failure.partition("\n")[0],
        "wall_s": round(made.wall_s, 1),
    }


def row(name: str, slow: int, cells: Sequence[Cell]) -> list[str]:
    """Give a line of the table: means of counts and loads, medians of times."""
    return [
        name,
        str(slow),
        str(len(cells)),
        _mean(cells, "false_positives"),
        _mean(cells, "false_positives_healthy"),
        _mean(cells, "routability_false_positives_healthy"),
        _median(cells, "first_detection_s"),
        _median(cells, "all_know_s"),
        _mean(cells, "load_packets_per_s"),
        _mean(cells, "load_bytes_per_s", digits=0),
    ]


def _mean(cells: Sequence[Cell], name: str, *, digits: int = 1) -> str:
    values = [cell[name] for cell in cells if name in cell]
    return f"{statistics.mean(values):,.{digits}f}" if values else "-"


def _median(cells: Sequence[Cell], name: str) -> str:
    values = [cell[name] for cell in cells if name in cell]
    return f"{statistics.median(values):.2f} s" if values else "-"


def draw(made: Mapping[tuple[str, int], Sequence[Cell]], nodes: int, path: Path) -> None:
    """Draw false positives of each protocol, at all observers and at healthy ones; the axis is logarithmic from 1."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.hashsalt": "lifeguard", "svg.fonttype": "none"})
    import matplotlib.pyplot as plt

    numbers = sorted({slow for _, slow in made})
    figure, all_axes = plt.subplots(
        1, len(numbers), figsize=(4.2 * len(numbers) + 2.0, 4.6), sharey=True, layout="constrained"
    )
    for axes, slow in zip([all_axes] if len(numbers) == 1 else all_axes, numbers, strict=True):
        names = [name for name in PROTOCOLS if (name, slow) in made][::-1]
        for shift, key, colour, words in (
            (0.2, "false_positives", "#1f4e79", "at all observers"),
            (-0.2, "false_positives_healthy", "#c0392b", "at healthy observers"),
        ):
            values = [statistics.mean(cell[key] for cell in made[name, slow]) for name in names]
            places = [place + shift for place in range(len(names))]
            bars = axes.barh(places, values, height=0.38, color=colour, label=words)
            axes.bar_label(bars, [f"{value:.3g}" for value in values], padding=2, fontsize=7)
        axes.set_xscale("symlog", linthresh=1)
        axes.set(xlabel="false positives in a run", xlim=(0, None), title=f"{slow} of {nodes} slow for 120 s")
        axes.set_yticks(range(len(names)), names)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.15)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def main() -> int:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="32 nodes, one seed: minutes")
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--slow", help="how many members are slow, as 8,16")
    parser.add_argument("--seeds", type=int, help="runs of each")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first run")
    parser.add_argument("--only", action="append", default=[], help="protocols with exactly this name")
    parser.add_argument("--json", type=Path, default=Path("lifeguard.json"))
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    nodes = asked.nodes or (32 if asked.quick else 64)
    numbers = [int(word) for word in (asked.slow or ("4,8" if asked.quick else "8,16")).split(",")]
    seeds = asked.seeds or (1 if asked.quick else 3)
    names = [name for name in PROTOCOLS if not asked.only or name in asked.only]
    cells = Cells(asked.json)
    made: dict[tuple[str, int], list[Cell]] = {}
    # Seed by seed: whoever stops it half-way has the same runs of every protocol.
    for seed in range(asked.seed, asked.seed + seeds):
        for slow in numbers:
            for name in names:
                key = f"{name}, {slow} of {nodes}, seed {seed}"
                cell = cells.get(key, partial(measure, nodes, slow, PROTOCOLS[name], seed))
                made.setdefault((name, slow), []).append(cell)
                print(f"{key}: {cell['wall_s']} s {cell['failure']}", file=sys.stderr, flush=True)
    print(table(HEAD, [row(name, slow, made[name, slow]) for slow in numbers for name in names]))
    if asked.plot is not None:
        draw(made, nodes, asked.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
