"""The samples of two contenders side by side: a table for people, JSON for programs."""

from __future__ import annotations

import json
import os
import statistics
import sys
from typing import Final

from attrs import define, field, frozen

OURS: Final = "gossipmesh"
THEIRS: Final = "serf"


@frozen
class Figure:
    """One row: the median of its samples, or their sum."""

    name: str
    unit: str
    summed: bool = False

    def of(self, samples: list[float]) -> float | None:
        if not samples:
            return None
        return float(sum(samples)) if self.summed else statistics.median(samples)


@define
class Standings:
    """The samples by profile, figure and contender; rows are in the order in which they were first added.

    Attributes:
        versions: of each contender that takes part.
        failures: steps that did not end, in words; what they would have given is missing.
    """

    versions: dict[str, str]
    failures: list[str] = field(factory=list)
    _samples: dict[str, dict[Figure, dict[str, list[float]]]] = field(factory=dict)

    def add(self, profile: str, title: str, figure: Figure, value: float) -> None:
        rows = self._samples.setdefault(profile, {})
        rows.setdefault(figure, {}).setdefault(title, []).append(value)

    def table(self) -> str:
        """Give a table per profile, and what went wrong."""
        lines = [f"{' beside '.join(self.versions.values())}, {os.cpu_count()} cores"]
        for profile, rows in self._samples.items():
            lines.append(f"\n{profile:42} {OURS:>14} {THEIRS:>14} {'ours/serf':>10}  runs")
            lines += [_row(figure, by_title) for figure, by_title in rows.items()]
        lines += [f"failed: {failure}" for failure in self.failures]
        return "\n".join(lines)

    def as_json(self) -> str:
        figures: list[dict[str, object]] = [
            {
                "profile": profile,
                "name": figure.name,
                "unit": figure.unit,
                **{title: figure.of(samples) for title, samples in by_title.items()},
                "ratio": _ratio(figure, by_title),
                "samples": by_title,
            }
            for profile, rows in self._samples.items()
            for figure, by_title in rows.items()
        ]
        surroundings = {"cores": os.cpu_count(), "python": sys.version.split()[0], "versions": self.versions}
        return json.dumps({"figures": figures, "failures": self.failures} | surroundings, indent=2)


def _row(figure: Figure, by_title: dict[str, list[float]]) -> str:
    shown = []
    for title in (OURS, THEIRS):
        value = figure.of(by_title.get(title, []))
        shown.append("-" if value is None else f"{value:.4g} {figure.unit}".strip())
    ratio = _ratio(figure, by_title)
    counts = " / ".join(str(len(by_title[title])) for title in (OURS, THEIRS) if title in by_title)
    return f"{figure.name:42} {shown[0]:>14} {shown[1]:>14} {'-' if ratio is None else f'{ratio:.2f}':>10}  {counts}"


def _ratio(figure: Figure, by_title: dict[str, list[float]]) -> float | None:
    """Give ours by theirs, where both were measured and theirs is not zero."""
    ours, theirs = (figure.of(by_title.get(title, [])) for title in (OURS, THEIRS))
    return None if ours is None or not theirs else ours / theirs
