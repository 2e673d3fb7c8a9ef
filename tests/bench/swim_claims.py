"""SWIM's own claims: when a crash is first noticed, what each member sends, and how fast news spreads.

    python swim_claims.py [--quick] [--only probes|load|spread] [--seed S] [--json FILE] [--plot FILE]

Prints a Markdown table for each claim. What is done is kept in the JSON file after every world and not done again.
--plot draws first probes and spreading over the size of the mesh. See ``gossipmesh.sim.claims`` for what is compared.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from cells import Cell, Cells, table
from gossipmesh.membership.parameters import LAN, Parameters, without_lifeguard
from gossipmesh.sim.claims import (
    LIMIT,
    expected_periods,
    first_probes,
    fit,
    piggyback_only,
    plain_swim,
    spread,
)
from gossipmesh.sim.runner import run_one
from gossipmesh.sim.scenarios.plan import Plan

FIRST_SEED: Final = 101
CRASHES: Final[Mapping[int, tuple[int, int]]] = {8: (200, 1), 32: (25, 4), 128: (4, 20), 512: (2, 16)}
"""By number of nodes: how many worlds, and how many members vanish in each."""
QUICK_CRASHES: Final[Mapping[int, tuple[int, int]]] = {8: (50, 1), 32: (10, 4), 128: (1, 20)}
LOAD_NODES: Final = (8, 32, 128, 512)
LOAD_S: Final = 60.0
SPREAD_SEEDS: Final[Mapping[int, int]] = {8: 50, 16: 50, 32: 50, 64: 20, 128: 10, 256: 3, 512: 1, 1000: 1}
QUICK_SPREAD: Final[Mapping[int, int]] = {8: 10, 32: 10, 128: 2}
LOADS: Final[Mapping[str, Parameters]] = {"plain SWIM": without_lifeguard(LAN), "gossipmesh": LAN}
WAYS: Final[Mapping[str, Callable[[], Parameters]]] = {
    "with gossip ticks": plain_swim,
    "on probes alone": piggyback_only,
}
Z_95: Final = 1.96


def probes(cells: Cells, wanted: Mapping[int, tuple[int, int]], first: int) -> dict[int, list[float]]:
    """Measure how long crashed members go unprobed, in periods, by number of nodes."""
    made: dict[int, list[float]] = {}
    for nodes, (worlds, crashes) in wanted.items():
        for seed in range(first, first + worlds):

            def measure(nodes: int = nodes, seed: int = seed, crashes: int = crashes) -> Cell:
                return {"periods": first_probes(seed, nodes=nodes, crashes=crashes)}

            cell = cells.get(f"probes, {nodes} nodes, {crashes} crashes, seed {seed}", measure)
            made.setdefault(nodes, []).extend(cell["periods"])
        say(f"probes, {nodes} nodes: {len(made[nodes])} crashes")
    return made


def probes_table(made: Mapping[int, Sequence[float]]) -> str:
    """Give what was measured beside what the paper expects."""
    rows = []
    for nodes, values in made.items():
        whole = [math.ceil(value) for value in values]
        rows.append(
            [
                str(nodes),
                str(len(values)),
                _mean_with_interval(values),
                _mean_with_interval(whole),
                f"{expected_periods(nodes):.3f}",
                f"{_mean_with_interval([value + LAN.probe_least_s / LAN.probe_period_s for value in values])}",
                f"{max(values):.1f}",
            ]
        )
    head = [
        "nodes",
        "crashes",
        "to the first probe",
        "in whole periods",
        "expected",
        "to the first suspicion",
        "longest to the first probe",
    ]
    return table(head, rows)


def _mean_with_interval(values: Sequence[float]) -> str:
    half = Z_95 * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.3f} ± {half:.3f}"


def load(cells: Cells, wanted: Sequence[int], seed: int) -> str:
    """Measure what each member of an idle mesh sends, and give it as a table."""
    rows = []
    for nodes in wanted:
        line = [str(nodes)]
        for name, parameters in LOADS.items():

            def measure(nodes: int = nodes, parameters: Parameters = parameters) -> Cell:
                plan = Plan("idle", nodes, lifeguard=False, duration_s=LOAD_S, numbers=parameters)
                made = run_one(plan, seed)
                return {**made.figures, "failure": made.failure.partition("\n")[0]}

            cell = cells.get(f"load, {name}, {nodes} nodes, seed {seed}", measure)
            line += [
                f"{cell['udp_packets_per_s']:.2f}",
                f"{cell['udp_bytes_per_s']:.0f}",
                f"{cell['packets_per_s']:.2f}",
                f"{cell['bytes_per_s']:.0f}",
            ]
            say(f"load, {name}, {nodes} nodes {cell['failure']}")
        rows.append(line)
    kinds = ("UDP packets/s", "UDP B/s", "UDP and TCP packets/s", "UDP and TCP B/s")
    return table(["nodes", *(f"{name}: {kind}" for name in LOADS for kind in kinds)], rows)


def spreads(cells: Cells, wanted: Mapping[int, int], first: int) -> dict[str, dict[int, list[float]]]:
    """Measure when the last member knew of a change, in seconds, by way and number of nodes; inf if one never did."""
    made: dict[str, dict[int, list[float]]] = {name: {} for name in WAYS}
    for nodes, worlds in wanted.items():
        for name, parameters in WAYS.items():
            for seed in range(first, first + worlds):
                key = f"spread, {name}, {nodes} nodes, seed {seed}"
                cell = cells.get(key, partial(_spread, seed, nodes, parameters()))
                made[name].setdefault(nodes, []).append(math.inf if cell["all_s"] is None else cell["all_s"])
            say(f"spread, {name}, {nodes} nodes: {worlds} worlds")
    return made


def _spread(seed: int, nodes: int, parameters: Parameters) -> Cell:
    known_s = spread(seed, nodes=nodes, parameters=parameters)
    return {"all_s": known_s[-1] if len(known_s) == nodes - 1 else None, "knew": len(known_s)}


def spreads_table(made: Mapping[str, Mapping[int, Sequence[float]]]) -> str:
    """Give medians, and the straight line over log2 N that is nearest to the means of the runs in which all knew."""
    ways = list(WAYS)
    known = {
        name: {nodes: _finite(each) for nodes, each in by_nodes.items()} for name, by_nodes in made.items()
    }
    rows = [
        [
            str(nodes),
            str(len(values)),
            f"{statistics.median(values):.2f} s",
            f"{statistics.mean(known[ways[0]][nodes]) / LAN.gossip_period_s:.1f}",
            f"{statistics.median(made[ways[1]][nodes]):.2f}",
            f"{statistics.median(made[ways[1]][nodes]) / math.log2(nodes):.2f}",
            " / ".join(str(sum(each == math.inf for each in made[name][nodes])) for name in ways),
        ]
        for nodes, values in made[ways[0]].items()
    ]
    head = [
        "nodes",
        "runs",
        "with gossip ticks, everyone knows",
        f"... in ticks of {LAN.gossip_period_s:g} s",
        "on probes alone, in periods",
        "... over log2 N",
        "runs in which somebody never knew, with ticks / without",
    ]
    lines = []
    for name, by_nodes in known.items():
        line = fit([(math.log2(nodes), statistics.mean(values)) for nodes, values in by_nodes.items()])
        lines.append(
            f"{name}: {line.at_zero:.2f} s + {line.slope:.3f} s * log2 N, R² = {line.explained:.3f} over the means"
        )
    return table(head, rows) + "\n\n" + "\n".join(lines)


def _finite(values: Sequence[float]) -> list[float]:
    return [each for each in values if each != math.inf]


def draw(
    probed: Mapping[int, Sequence[float]], spread_s: Mapping[str, Mapping[int, Sequence[float]]], path: Path
) -> None:
    """Draw both claims over the size of the mesh."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.hashsalt": "swim", "svg.fonttype": "none"})
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 4.2), layout="constrained")
    sizes = list(probed)
    whole = [[math.ceil(value) for value in probed[nodes]] for nodes in sizes]
    half = [Z_95 * statistics.stdev(values) / math.sqrt(len(values)) for values in whole]
    left.errorbar(
        sizes,
        [statistics.mean(values) for values in whole],
        yerr=half,
        fmt="o",
        color="#1f4e79",
        capsize=3,
        label="measured, mean and 95 %",
    )
    left.plot(sizes, [expected_periods(nodes) for nodes in sizes], color="#c0392b", label="expected at N")
    left.axhline(LIMIT, color="#c0392b", linestyle=":", label="e/(e - 1)")
    left.set(xlabel="nodes", ylabel="periods until a crash is probed", ylim=(0, 2.5))
    for name, by_nodes in spread_s.items():
        means = [statistics.mean(_finite(values)) for values in by_nodes.values()]
        right.plot(list(by_nodes), means, marker="o", label=f"{name}, mean")
    right.set(xlabel="nodes", ylabel="time until everyone knows a change (s)", ylim=(0, None))
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Measure what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="up to 128 nodes, few seeds: minutes")
    parser.add_argument("--only", choices=("probes", "load", "spread"))
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first world")
    parser.add_argument("--json", type=Path, default=Path("swim_claims.json"))
    parser.add_argument("--plot", type=Path, help="needs both probes and spread")
    asked = parser.parse_args()
    if asked.plot is not None and asked.only is not None:
        parser.error("--plot draws probes and spread; leave --only away")
    cells = Cells(asked.json)
    probed: dict[int, list[float]] = {}
    spread_s: dict[str, dict[int, list[float]]] = {}
    if asked.only in (None, "spread"):
        spread_s = spreads(cells, QUICK_SPREAD if asked.quick else SPREAD_SEEDS, asked.seed)
        print(spreads_table(spread_s), end="\n\n", flush=True)
    if asked.only in (None, "load"):
        print(load(cells, LOAD_NODES[:3] if asked.quick else LOAD_NODES, asked.seed), end="\n\n", flush=True)
    if asked.only in (None, "probes"):
        probed = probes(cells, QUICK_CRASHES if asked.quick else CRASHES, asked.seed)
        print(probes_table(probed), flush=True)
    if asked.plot is not None:
        draw(probed, spread_s, asked.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
