"""What a person or a script reads of many runs. Pure: outcomes to a document, and a document to rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import asdict, frozen

from gossipmesh.sim.scenarios.plan import Outcome, Plan
from gossipmesh.sim.statistics import count_for_people, short, statistic

SECONDS: Final = {
    "first_suspicion_s": "crash to first suspicion",
    "first_detection_s": "crash to first detection",
    "all_know_s": "first detection to everybody knows",
    "update_all_s": "a change to everybody",
    "join_complete_s": "start to every view complete",
    "healed_s": "end of the trouble to every view true",
}
"""The figures that are times, and what they are called for people."""
RATES: Final = {
    "packets_per_s": ("idle, a node, UDP and TCP", "packets/s"),
    "bytes_per_s": ("idle, a node, UDP and TCP", "B/s"),
    "udp_packets_per_s": ("... of which UDP", "packets/s"),
    "udp_bytes_per_s": ("... of which UDP", "B/s"),
}
"""The figures that are rates, what they are called for people, and their units."""
LOAD: Final = {
    "load_packets_per_s": ("under the trouble, a node, UDP and TCP", "packets/s"),
    "load_bytes_per_s": ("under the trouble, a node, UDP and TCP", "B/s"),
}
"""As :data:`RATES`, while something happens."""
COUNTS: Final = (
    "slow_declared_dead",
    "deaths_across_the_cut",
    "cuts",
    "flaps",
    "forgeries_sent",
    "forgeries_refused",
    "blamed_after_stall",
    "suspected_while_well",
)
"""Counts that only some scenarios have."""
SHOWN_FAILURES: Final = 3


@frozen
class Report:
    """All that is known of the runs of one plan."""

    plan: Plan
    seeds: range
    outcomes: tuple[Outcome, ...]
    wall_s: float

    @property
    def failures(self) -> list[Outcome]:
        """The runs in which a law or a claim broke, by seed."""
        return [each for each in self.outcomes if each.failure]

    def total(self, name: str) -> int:
        """Give a count over all runs."""
        return sum(each.counts.get(name, 0) for each in self.outcomes)

    def values(self, name: str) -> list[float]:
        """Give a figure of each run that has it."""
        return [each.figures[name] for each in self.outcomes if name in each.figures]

    def counted(self, name: str) -> bool:
        """Tell whether any run has this count."""
        return any(name in each.counts for each in self.outcomes)


def report(plan: Plan, seeds: range, outcomes: Iterable[Outcome], *, wall_s: float) -> Report:
    """Put outcomes together, in the order of their seeds: they came as they were done."""
    return Report(plan, seeds, tuple(sorted(outcomes, key=lambda each: each.seed)), wall_s)


def document(made: Report) -> dict[str, Any]:
    """Give the JSON document. A statistic is null where the scenario does not measure it; times are in seconds."""
    plan = made.plan
    command = plan.command(seeds=len(made.seeds), first=made.seeds.start)
    return {
        "scenario": plan.scenario,
        "nodes": plan.nodes,
        "profile": plan.profile,
        "lifeguard": plan.lifeguard,
        "seeds": len(made.seeds),
        "first_seed": made.seeds.start,
        "command": command,
        **{name: _statistic(made.values(name)) for name in SECONDS},
        "false_positives": _both(made, "false_positives"),
        "routability_false_positives": _both(made, "routability_false_positives"),
        "idle": _rates(made, RATES),
        "load": _rates(made, LOAD),
        "accepted_forgeries": made.total("accepted_forgeries")
        if made.counted("accepted_forgeries")
        else None,
        "counts": {name: made.total(name) for name in COUNTS if made.counted(name)},
        "per_run": {
            name: _statistic([each.counts.get(name, 0) for each in made.outcomes])
            for name in ("false_positives", "false_positives_healthy")
        },
        "coverage": dict(sorted(sum((Counter(each.coverage) for each in made.outcomes), Counter()).items())),
        "failures": [
            {"seed": each.seed, "text": each.failure, "command": plan.command(seeds=1, first=each.seed)}
            for each in made.failures
        ],
        "virtual_s": round(sum(each.virtual_s for each in made.outcomes), 3),
        "wall_s": round(made.wall_s, 3),
    }


def rows(made: Report) -> list[tuple[str, ...]]:
    """Give the table for people: what, median, p99, max, runs. Only what was measured is in it."""
    shown: list[tuple[str, ...]] = []
    for name, words in SECONDS.items():
        if (found := statistic(made.values(name))) is not None:
            times = (f"{value:.2f} s" for value in (found.median, found.p99, found.max))
            shown.append((words, *times, str(found.runs)))
    for name, (words, unit) in (RATES | LOAD).items():
        if (found := statistic(made.values(name))) is not None:
            rates = (f"{short(value)} {unit}" for value in (found.median, found.p99, found.max))
            shown.append((words, *rates, str(found.runs)))
    return shown


def line(made: Report) -> list[tuple[str, ...]]:
    """Give the short form for people, a row for each figure and at least one.

    Scenario, nodes, slow members, runs, failed, what, median, p99, max, and who was wrongly declared dead.
    """
    plan = made.plan
    slow = "" if plan.slow_members is None else str(plan.slow_members)
    head = (plan.scenario, str(plan.nodes), slow, str(len(made.outcomes)), str(len(made.failures)))
    wrongly = f"{made.total('false_positives')}, {made.total('false_positives_healthy')} by healthy"
    if made.counted("accepted_forgeries"):
        wrongly += f"; {made.total('accepted_forgeries')} forgeries accepted"
    figures = [row[:4] for row in rows(made)] or [("", "", "", "")]
    return [
        (*(head if index == 0 else [" "] * len(head)), *figure, wrongly if index == 0 else " ")
        for index, figure in enumerate(figures)
    ]


def counts(made: Report) -> list[tuple[str, str]]:
    """Give what was counted over all runs, for people."""
    runs = len(made.outcomes)
    pairs = [
        (words, count_for_people(made.total(name), runs))
        for name, words in (
            ("false_positives", "declared dead while well, by anybody"),
            ("false_positives_healthy", "... by healthy observers"),
            ("routability_false_positives", "out of rotation while well, by anybody"),
            ("routability_false_positives_healthy", "... by healthy observers"),
        )
    ]
    if made.counted("accepted_forgeries"):
        pairs.append(("forgeries accepted", count_for_people(made.total("accepted_forgeries"), runs)))
    pairs += [(name.replace("_", " "), str(made.total(name))) for name in COUNTS if made.counted(name)]
    return pairs


def failure_lines(made: Report) -> Sequence[str]:
    """Give what is said of failed runs: each seed with its text and the command that runs it alone."""
    failed = made.failures
    lines: list[str] = []
    for each in failed[:SHOWN_FAILURES]:
        lines += [each.failure, f"run it alone: {made.plan.command(seeds=1, first=each.seed)}", ""]
    if len(failed) > SHOWN_FAILURES:
        rest = ", ".join(str(each.seed) for each in failed[SHOWN_FAILURES:])
        lines.append(f"and {len(failed) - SHOWN_FAILURES} more, with the seeds {rest}")
    return lines


def _statistic(values: Sequence[float]) -> dict[str, Any] | None:
    found = statistic(values)
    return None if found is None else asdict(found)


def _both(made: Report, name: str) -> dict[str, int]:
    return {"all": made.total(name), "healthy": made.total(f"{name}_healthy")}


def _rates(made: Report, names: Iterable[str]) -> dict[str, float] | None:
    found = {name: statistic(made.values(name)) for name in names}
    known = {
        name.removeprefix("load_"): round(each.median, 3) for name, each in found.items() if each is not None
    }
    return known or None
