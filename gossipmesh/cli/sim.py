"""``gossipmesh sim``: run the shipped simulator, and show what came out."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from gossipmesh.cli.options import SomePath, duration, with_json
from gossipmesh.cli.render import put, show_pairs, show_table, span
from gossipmesh.cli.signals import terminable
from gossipmesh.errors import ConfigError

if TYPE_CHECKING:
    from gossipmesh.sim.report import Report
    from gossipmesh.sim.scenarios.plan import Plan

PROFILES: Final = ("local", "lan", "wan")
"""As in :data:`gossipmesh.membership.parameters.PROFILES`, which `--help` need not load."""
DEFAULT_NODES: Final = 32
DEFAULT_SEEDS: Final = 5
SAY_EVERY_S: Final = 10.0
"""How often a log that is no terminal gets a line about progress."""
PAIR_BYTES: Final = 2_048
"""Memory for what one node knows of another: 1.8 GiB with 1,000 nodes; twice as much in a partition."""
BROKEN: Final = 1
ALL: Final = "all"
"""As a scenario: each one, in the order of `--list`."""


class Numbers(click.ParamType[tuple[int, ...]]):
    """One whole number, or several with commas between them, for a plot over them."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Give the numbers, in ascending order."""
        if isinstance(value, tuple):
            return value
        words = str(value).split(",")
        if not all(word.isascii() and word.isdecimal() and len(word) <= 6 for word in words):
            self.fail(f"{value!r} is no whole number, nor several as 16,32,64", param, ctx)
        return tuple(sorted({int(word) for word in words}))


@click.command(short_help="Run a mesh in a box: seeded faults, virtual time.")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    default=("crash",),
    metavar="NAME|FILE",
    help="See --list; or a TOML file; or all. [crash]",
)
@click.option("--nodes", type=Numbers(), metavar="N[,N]...", help=f"How large the mesh is. [{DEFAULT_NODES}]")
@click.option(
    "--seeds",
    type=click.IntRange(1, 100_000),
    default=DEFAULT_SEEDS,
    show_default=True,
    metavar="K",
    help="Runs.",
)
@click.option(
    "--seed",
    "first",
    type=click.IntRange(0, 2**31),
    default=1,
    show_default=True,
    metavar="S",
    help="Of the first run.",
)
@click.option("--profile", type=click.Choice(PROFILES), help="The numbers of the protocol. [lan]")
@click.option("--lifeguard", type=click.Choice(["on", "off"]), help="off: plain SWIM. [on]")
@click.option("--loss", type=click.FloatRange(0, 1), metavar="P", help="Share of datagrams that are lost.")
@click.option(
    "--slow-members", type=Numbers(), metavar="C[,C]...", help="How many are slow: `slow`, `lifeguard`."
)
@click.option(
    "--duration",
    "duration_s",
    type=duration,
    metavar="D",
    help="How long the trouble lasts, in virtual time.",
)
@click.option("--jobs", type=click.IntRange(1, 256), metavar="J", help="Runs at a time. [one a processor]")
@click.option(
    "--plot",
    type=SomePath(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw it: .png, .svg or .pdf.",
)
@click.option(
    "--replay",
    "trace",
    type=SomePath(path_type=Path),
    metavar="TRACE",
    help="Run a daemon's recording again instead; see `gossipmesh trace`.",
)
@click.option("--list", "show_list", is_flag=True, help="Show all scenarios.")
@with_json
@click.pass_context
def sim(
    ctx: click.Context,
    /,
    *,
    scenarios: tuple[str, ...],
    seeds: int,
    first: int,
    jobs: int | None,
    plot: Path | None,
    trace: Path | None,
    show_list: bool,
    as_json: bool,
    **numbers: Any,
) -> None:
    """Run a whole mesh in virtual time, over the very machines that the daemon runs, and measure it.

    The same seed gives the same run, to the last packet. Exit status 1: a run broke a law or a claim of its
    scenario; its seed, what it was and the last events are shown, and the command that runs it alone.
    Several scenarios, and several numbers for --nodes or --slow-members, run one after the other and give a line each;
    --plot draws over the numbers.
    """
    if show_list:
        _show_list()
        return
    if trace is not None:
        from gossipmesh.cli.replay import replay

        _refuse_beside_replay(ctx)
        ctx.exit(replay(trace, as_json))
    from gossipmesh.sim.plot import check_plot, draw
    from gossipmesh.sim.report import failure_lines

    chosen = [plan for name in scenarios for plan in plans(name, **numbers)]
    if plot is not None:
        check_plot(plot)
        if len({plan.scenario for plan in chosen}) > 1:
            raise ConfigError("plot.several", "--plot draws one scenario; give one --scenario")
    at_once = min(jobs or os.cpu_count() or 1, seeds)
    _warn_of_memory(max(plan.nodes for plan in chosen), at_once)
    made = _run_all(chosen, range(first, first + seeds), at_once)
    if as_json:
        _print_documents(made)
    else:
        _show(made)
    for each in made:
        for line in failure_lines(each):
            click.echo(line, err=True)
    if plot is not None:
        draw(made, plot)
    if any(each.failures for each in made):
        ctx.exit(BROKEN)


def _refuse_beside_replay(ctx: click.Context) -> None:
    """Refuse options that a recording leaves no room for: all but ``--json``."""
    for param in ctx.command.params:
        given = param.name is not None and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
        if given and param.name not in {"trace", "as_json"}:
            raise click.UsageError(f"--replay runs a recording as it was; leave {param.opts[0]} out")


def _warn_of_memory(nodes: int, at_once: int) -> None:
    """Say so before runs that may need more memory than this machine has."""
    needed = nodes**2 * PAIR_BYTES * at_once
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        runs = "a run" if at_once == 1 else f"{at_once} runs at a time"
        hint = "fewer --nodes, or --jobs 1," if needed / at_once <= there < needed else "fewer --nodes"
        text = f"{runs} of {nodes} nodes may take {needed / 2**30:.0f} GiB, and this machine has {there / 2**30:.0f}"
        click.echo(f"gossipmesh: {text}; {hint} if that is too much", err=True)


def plans(
    scenario: str,
    *,
    nodes: tuple[int, ...] | None,
    lifeguard: str | None,
    slow_members: tuple[int, ...] | None,
    **numbers: Any,
) -> list[Plan]:
    """Give what is to be run: one plan for each number of nodes and of slow members; ``all``: of every scenario.

    Raises:
        ConfigError: ``scenario.unknown``, ``scenario.file`` or ``scenario.option``; nothing was run.
    """
    from gossipmesh.sim.scenarios.catalogue import SCENARIOS, plan_of

    return [
        plan_of(
            name,
            nodes=count,
            lifeguard=None if lifeguard is None else lifeguard == "on",
            slow_members=slow,
            **numbers,
        )
        for name in (SCENARIOS if scenario == ALL else (scenario,))
        for count in nodes or (None,)
        for slow in slow_members or (None,)
    ]


def _run_all(chosen: Sequence[Plan], seeds: range, jobs: int) -> list[Report]:
    """Run all seeds of all plans and show how far it is; Ctrl-C and SIGTERM end it at once."""
    from gossipmesh.sim.report import report
    from gossipmesh.sim.runner import run_seeds

    made: list[Report] = []
    count = 0
    total = len(chosen) * len(seeds)
    with progress(total) as shown, terminable():
        try:
            for plan in chosen:
                began = time.monotonic()
                outcomes = []
                tick = partial(shown.tick, sum(run.virtual_s for each in made for run in each.outcomes))
                with closing(run_seeds(plan, seeds, jobs=jobs, tick=tick)) as results:
                    for outcome in results:
                        outcomes.append(outcome)
                        count += 1
                        shown.done(count)
                made.append(report(plan, seeds, outcomes, wall_s=time.monotonic() - began))
        except KeyboardInterrupt:
            click.echo(f"gossipmesh: interrupted; {count} of {total} runs were done", err=True)
            raise
    return made


class Lines:
    """Progress for a log: nothing on short runs, then a line now and then."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._said = self._began = time.monotonic()

    def tick(self, before_s: float, virtual_s: float) -> None:
        """Hear how many virtual seconds have passed in all worlds, of the plans before and of this one."""
        now = time.monotonic()
        if now - self._said >= SAY_EVERY_S:
            self._said = now
            click.echo(
                f"gossipmesh: {self._done} of {self._total} runs done after {span(now - self._began)}, "
                f"{span(before_s + virtual_s)} of virtual time",
                err=True,
            )

    def done(self, count: int) -> None:
        """Hear how many runs are done."""
        self._done = count


class Bar:
    """Progress for a terminal, drawn by rich."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.drawn = Progress(
            TextColumn("runs"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[virtual]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self.drawn.add_task("runs", total=total, virtual="")

    def tick(self, before_s: float, virtual_s: float) -> None:
        """Hear how many virtual seconds have passed in all worlds, of the plans before and of this one."""
        self.drawn.update(self._task, virtual=f"{span(before_s + virtual_s)} of virtual time")

    def done(self, count: int) -> None:
        """Hear how many runs are done."""
        self.drawn.update(self._task, completed=count)


@contextmanager
def progress(total: int) -> Iterator[Bar | Lines]:
    """Show progress on stderr: a bar on a terminal, else a line now and then."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield Lines(total)
        return
    bar = Bar(total)
    with bar.drawn:
        yield bar


def _show_list() -> None:
    from gossipmesh.sim.scenarios.catalogue import SCENARIOS

    show_table(("SCENARIO", "WHAT HAPPENS"), [(name, each.summary) for name, each in SCENARIOS.items()])


def _show(made: Sequence[Report]) -> None:
    from gossipmesh.sim.report import counts, line, rows

    if len(made) > 1:
        show_table(
            ("SCENARIO", "NODES", "SLOW", "RUNS", "FAILED", "WHAT", "MEDIAN", "P99", "MAX", "WRONGLY DEAD"),
            [row for each in made for row in line(each)],
        )
        return
    plan, runs = made[0].plan, made[0].outcomes
    kind = "" if plan.lifeguard else ", plain SWIM"
    virtual_s = sum(each.virtual_s for each in runs)
    show_pairs(
        [
            ("scenario", f"{plan.scenario}, {plan.nodes} nodes, profile {plan.profile}{kind}"),
            ("runs", f"{len(runs)}, {len(made[0].failures)} failed"),
            ("time", f"{span(virtual_s)} of virtual time in {span(made[0].wall_s)}"),
        ]
    )
    put("")
    if shown := rows(made[0]):
        show_table(("FIGURE", "MEDIAN", "P99", "MAX", "RUNS"), shown)
        put("")
    show_table(("COUNTED OVER ALL RUNS", "EVENTS"), counts(made[0]))


def _print_documents(made: Sequence[Report]) -> None:
    from gossipmesh.sim.report import document

    documents: Iterable[dict[str, Any]] = [document(each) for each in made]
    put(json.dumps(*documents) if len(made) == 1 else json.dumps({"runs": documents}))
