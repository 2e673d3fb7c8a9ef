"""The figures of all contenders by load: a table for people, JSON for programs, a chart for reports."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from loads import Figures

BESIDE: Final = ("envoy", "haproxy")
"""Ratios are given to these."""
FULL: Final = 0.85
CROWDED: Final = 0.1
SPAN: Final = 0.5


@frozen
class Column:
    """A column: what is shown of one value's samples."""

    key: str
    title: str
    digits: int = 0
    of: Callable[[list[float]], float] = statistics.median


COST: Final = Column("cpu_us", "CPU us")
LEAST: Final = Column("cpu_us", "least", of=min)
"""Other work on the machine only ever adds to processor time, by what it takes from caches."""
COLUMNS: Final = (
    COST,
    LEAST,
    Column("per_s", "per s"),
    Column("p50_ms", "p50 ms", 2),
    Column("p99_ms", "p99 ms", 2),
    Column("rss_mib", "RSS MiB"),
    Column("growth_mib", "grew MiB"),
    Column("failed", "failed", of=sum),
)


@define
class Ranking:
    """All samples, by load and contender, both in the order in which they were first added.

    Attributes:
        versions: of each contender that takes part.
        app: what answered, and what asked.
        remarks: what was left out or failed, and rows of another kind, in words.
    """

    versions: dict[str, str]
    app: str
    remarks: list[str] = field(factory=list)
    _units: dict[str, str] = field(factory=dict)
    _samples: dict[str, dict[str, list[Figures]]] = field(factory=dict)

    def add(self, load: str, unit: str, name: str, figures: Figures) -> None:
        self._units[load] = unit
        self._samples.setdefault(load, {}).setdefault(name, []).append(figures)

    def got(self, load: str, name: str, column: Column) -> float | None:
        values = [
            each.values[column.key] for each in self._samples[load].get(name, ()) if column.key in each.values
        ]
        return column.of(values) if values else None

    def ratio(self, load: str, name: str, to: str) -> float | None:
        """Give the processor time by that of another contender."""
        ours, theirs = self.got(load, name, COST), self.got(load, to, COST)
        return ours / theirs if ours is not None and theirs else None

    def table(self) -> str:
        facts = machine()
        lines = [f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, Python {facts['python']}"]
        lines += [self.app, *(f"  {name}: {version}" for name, version in self.versions.items())]
        for load, by_name in self._samples.items():
            columns = [
                each for each in COLUMNS if any(self.got(load, name, each) is not None for name in by_name)
            ]
            titles = [f"{each.title:>9}" for each in columns] + [f"{'/' + other:>9}" for other in BESIDE]
            lines += [f"\n{f'{load} (per {self._units[load]})':52}", f"{'':16}{''.join(titles)}     core"]
            lines += [self._row(load, name, columns) for name in by_name]
        if any(not line.startswith(" ") and line.endswith("*") for line in lines):
            lines.append(
                "\n* the measured core was not full: the load or the app was slower, per s is a lower bound"
            )
        if any(not line.startswith(" ") and line.endswith("!") for line in lines):
            lines.append("! others used the measured core too: per s and latencies are too bad")
        return "\n".join([*lines, "", *self.remarks]).rstrip()

    def _row(self, load: str, name: str, columns: list[Column]) -> str:
        cells = []
        for column in columns:
            value = self.got(load, name, column)
            digits = 1 if column.key == "cpu_us" and value is not None and value < 100 else column.digits
            cells.append("-" if value is None else f"{value:,.{digits}f}")
        for other in BESIDE:
            ratio = self.ratio(load, name, other)
            cells.append("-" if ratio is None else f"{ratio:.2f}")
        runs = self._samples[load][name]
        use = statistics.median(each.core_use for each in runs)
        crowded = statistics.median(each.others for each in runs) > CROWDED
        mark = "!" if crowded else "*" if use < FULL else ""
        return f"{name:16}{''.join(f'{cell:>9}' for cell in cells)}    {use:4.0%}{mark}"

    def as_json(self) -> str:
        loads = {
            load: {
                "unit": self._units[load],
                "contenders": {name: self._entry(load, name, runs) for name, runs in by_name.items()},
            }
            for load, by_name in self._samples.items()
        }
        about = {"machine": machine(), "versions": self.versions, "app": self.app, "remarks": self.remarks}
        return json.dumps(about | {"loads": loads}, indent=2)

    def _entry(self, load: str, name: str, runs: list[Figures]) -> dict[str, Any]:
        got = {each.key: self.got(load, name, each) for each in COLUMNS if each is not LEAST}
        got["cpu_us_least"] = self.got(load, name, LEAST)
        ratios = {f"to_{other}": self.ratio(load, name, other) for other in BESIDE}
        samples = [each.values | {"core_use": each.core_use, "others": each.others} for each in runs]
        return {key: value for key, value in (got | ratios).items() if value is not None} | {
            "samples": samples
        }

    def plot(self, path: Path) -> None:
        """Draw the processor time of each contender under each load of requests.

        Raises:
            ImportError: there is no matplotlib.
        """
        from matplotlib import pyplot

        loads = [load for load, unit in self._units.items() if unit == "request"]
        figure, axes = pyplot.subplots(figsize=(9, 1 + SPAN * len(loads) * len(self.versions) / 2))
        height = 0.85 / max(1, len(self.versions))
        for place, name in enumerate(self.versions):
            values = [self.got(load, name, COST) or 0.0 for load in loads]
            bars = axes.barh(
                [each + place * height for each in range(len(loads))], values, height, label=name
            )
            axes.bar_label(bars, fmt=lambda value: f"{value:,.0f}" if value else "", fontsize=6, padding=2)
        axes.set_yticks([each + 0.4 for each in range(len(loads))], loads, fontsize=7)
        axes.set_xscale("log")
        axes.invert_yaxis()
        axes.set_xlabel("processor time per request, user and system, us")
        axes.legend(fontsize=7)
        figure.tight_layout()
        figure.savefig(path)


def machine() -> dict[str, str | int | None]:
    """Give what figures depend on besides the contenders."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
