"""Draws what many runs gave: how news spread, detection over the size of the mesh, false positives over slow members.

Needs matplotlib, the extra ``gossipmesh[plot]``; it is imported here only when something is drawn.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gossipmesh.errors import ConfigError
from gossipmesh.sim.report import SECONDS, Report
from gossipmesh.sim.scenarios.plan import Outcome, command_of
from gossipmesh.sim.statistics import quantile, statistic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS: Final = (".png", ".svg", ".pdf")
MAX_CURVES: Final = 200
"""Single runs drawn; more are a smear. The median is of all."""
INK: Final = "#1f4e79"
ACCENT: Final = "#c0392b"
SIZE_INCHES: Final = (8.0, 5.0)


def check_plot(path: Path) -> None:
    """Make sure before any run that its plot can be drawn in the end.

    Raises:
        ConfigError: ``plot.missing``: matplotlib is not installed; ``plot.format``: the file's ending says no format;
            ``plot.file``: there is no folder for it, or it cannot be written there.
    """
    if path.suffix not in ENDINGS:
        raise ConfigError("plot.format", f"--plot {path}: name it *{', *'.join(ENDINGS)}")
    try:
        exists = path.exists()
        if not path.parent.is_dir():
            raise ConfigError("plot.file", f"--plot {path}: there is no directory {path.parent}")
    except OSError as error:
        raise ConfigError("plot.file", f"--plot {path}: {error.strerror}") from None
    if not os.access(path if exists else path.parent, os.W_OK):
        raise ConfigError("plot.file", f"--plot {path}: it cannot be written")
    try:
        import matplotlib  # noqa: F401 - whether it is there is all that is asked
    except ImportError:  # a part of it may be what is missing
        raise ConfigError(
            "plot.missing", "--plot needs matplotlib; install it with: pip install 'gossipmesh[plot]'"
        ) from None


def draw(reports: Sequence[Report], path: Path) -> None:
    """Draw into a file what fits the scenario: curves of one plan, or figures over plans that differ in one number.

    Args:
        reports: at least one, all of one scenario.
        path: its ending says the format.

    Raises:
        ConfigError: ``plot.empty``: the runs measured nothing that could be drawn; ``plot.file``: it cannot be written.
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=SIZE_INCHES, layout="constrained")
    try:
        _fill(axes, reports)
        first = reports[0]
        command = command_of([each.plan for each in reports], seeds=len(first.seeds), first=first.seeds.start)
        axes.set_title(command, fontsize=9)
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ConfigError("plot.file", f"--plot {path}: {error.strerror}") from None
    finally:
        plt.close(figure)


def _fill(axes: Axes, reports: Sequence[Report]) -> None:
    if len(reports) > 1 and reports[0].plan.slow_members is not None:
        _over_slow_members(axes, reports)
    elif len(reports) > 1:
        _over_nodes(axes, reports)
    elif any(each.curve for each in reports[0].outcomes):
        _curves(axes, reports[0])
    else:
        _distribution(axes, reports[0])


def _curves(axes: Axes, made: Report) -> None:
    """Draw the share of members that know, over time: thin for each seed, thick for the median."""
    drawn = [each for each in made.outcomes if each.curve]
    for each in drawn[:MAX_CURVES]:
        axes.step(*_steps(each), where="post", color=INK, alpha=max(0.2, 1 / len(drawn)), linewidth=0.8)
    longest = min(len(each.curve) for each in drawn)
    middle = [quantile(sorted(each.curve[i] for each in drawn), 0.5) for i in range(longest)]
    shares = [(i + 1) / drawn[0].knowers for i in range(longest)]
    axes.step(
        [0.0, *middle], [0.0, *shares], where="post", color=ACCENT, linewidth=2, label="median over seeds"
    )
    axes.step([], [], color=INK, linewidth=0.8, label=f"one of {len(drawn)} seeds")
    since = "the change" if made.plan.scenario == "update" else "the first detection"
    axes.set(
        xlabel=f"time since {since} (s)", ylabel="members that know (share)", ylim=(0, 1.02), xlim=(0, None)
    )
    axes.legend(frameon=False, loc="lower right")


def _steps(each: Outcome) -> tuple[list[float], list[float]]:
    return [0.0, *each.curve], [0.0, *((i + 1) / each.knowers for i in range(len(each.curve)))]


def _over_nodes(axes: Axes, reports: Sequence[Report]) -> None:
    """Draw each time that was measured over the number of nodes, with the span from least to p99."""
    names = [name for name in SECONDS if any(each.values(name) for each in reports)]
    if not names:
        raise ConfigError(
            "plot.empty", "--plot: these runs measured no time that could be drawn over --nodes"
        )
    for name in names:
        found = [(each.plan.nodes, each.values(name)) for each in reports if each.values(name)]
        _line(axes, found, SECONDS[name])
    axes.set(xlabel="nodes", ylabel="time (s)", ylim=(0, None))
    axes.set_xscale("log", base=2)
    ticks = [each.plan.nodes for each in reports]
    axes.set_xticks(ticks, [str(each) for each in ticks])
    axes.legend(frameon=False)


def _over_slow_members(axes: Axes, reports: Sequence[Report]) -> None:
    """Draw false positives of a run over the number of slow members, at all observers and at healthy ones."""
    for name, words in (
        ("false_positives", "at all observers"),
        ("false_positives_healthy", "at healthy observers"),
    ):
        found = [
            (each.plan.slow_members or 0, [float(one.counts.get(name, 0)) for one in each.outcomes])
            for each in reports
        ]
        _line(axes, found, words)
    axes.set_xticks([each.plan.slow_members or 0 for each in reports])
    axes.set(xlabel="slow members", ylabel="false positives in a run", ylim=(0, None))
    axes.legend(frameon=False)


def _line(axes: Axes, found: Sequence[tuple[int, list[float]]], label: str) -> None:
    at = [number for number, _ in found]
    middle = [quantile(sorted(values), 0.5) for _, values in found]
    low = [min(values) for _, values in found]
    high = [quantile(sorted(values), 0.99) for _, values in found]
    (line,) = axes.plot(at, middle, marker="o", label=f"{label}, median; band: least to p99")
    axes.fill_between(at, low, high, color=line.get_color(), alpha=0.15)


def _distribution(axes: Axes, made: Report) -> None:
    """Draw the share of runs in which a figure was at most so much."""
    drawn = False
    known: dict[str, Any] = {**SECONDS}
    for name, words in known.items():
        values = sorted(made.values(name))
        if statistic(values) is not None:
            shares = [(i + 1) / len(values) for i in range(len(values))]
            axes.step([values[0], *values], [0.0, *shares], where="post", label=words)
            drawn = True
    if not drawn:
        raise ConfigError("plot.empty", f"--plot: {made.plan.scenario} measures nothing that could be drawn")
    axes.set(xlabel="time (s)", ylabel="runs in which it was at most this (share)", ylim=(0, 1.02))
    axes.legend(frameon=False, loc="lower right")
