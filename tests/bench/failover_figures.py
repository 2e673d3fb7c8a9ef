"""What the callers saw of each event: failures, duplicates, waits, and when what was restarted served again."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from attrs import asdict, define, field

from failover_events import Happened
from openloop import SIZES

Row = dict[str, Any]
LONG_S: Final = 1.0
"""Who waits longer at a frozen endpoint is counted apart."""
WAITED_S: Final = 0.25
BEGUN_S: Final = 2.0
"""Who waited longer than WAITED_S, and asked within BEGUN_S of a freeze, waited on what is frozen: not in p99."""
RECENT_S: Final = 0.25
"""Who was asked so shortly before an event, and had no answer yet, is of that event: else nobody waits so long."""
SHOWN: Final = 12
"""Failures of each kind of event that are told one by one."""


@define
class Figures:
    """All events of one kind at one contender, added up; times in seconds."""

    events: int = 0
    gets: int = 0
    failed: int = 0
    cut: int = 0
    """GETs whose answer broke off after its first byte: they are not among the failed."""
    posts: int = 0
    lost: int = 0
    """POSTs that failed, or that no app processed though they were answered; without those in flight at a kill."""
    in_flight: int = 0
    """POSTs that failed and were in flight when something was killed."""
    processed: int = 0
    """POSTs among the two above that an app did process."""
    duplicated: int = 0
    took: list[float] = field(factory=list, repr=False)
    """Of small answers; at a freeze without those that waited on what is frozen."""
    waited: int = 0
    long: int = 0
    long_most: int = 0
    """Of one event."""
    latest: float = -math.inf
    """How long after its freeze the last of the long ones began."""
    back: list[float] = field(factory=list)
    """From a restart to the end of the first request that the new process answered."""
    told: list[str] = field(factory=list)

    def as_json(self) -> Row:
        plain = asdict(self)
        plain["latest"] = self.latest if self.long else None  # JSON has no infinities.
        del plain["took"]
        return plain | {"p50_s": percentile(self.took, 50), "p99_s": percentile(self.took, 99)}


def percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)] if values else math.nan


def good(row: Row) -> bool:
    return not row["error"] and row["status"] == 200 and row["size"] == SIZES[row["kind"]]


def quiet(rows: Sequence[Row], first: float) -> Figures:
    """Give the figures of what was over before the first event; the first second warms up."""
    begin = min(row["due"] for row in rows) + 1.0
    figures = Figures()
    count(figures, [row for row in rows if row["due"] >= begin and row["ended"] < first], Counter(), None)
    return figures


def is_of(row: Row, happened: Happened) -> bool:
    """Tell whether a request belongs to an event; each does to one at most."""
    begin, end = happened.began, happened.ended
    recent = begin - RECENT_S <= row["due"] < begin and row["ended"] >= begin
    left_to_the_next = end - RECENT_S <= row["due"] and row["ended"] >= end
    return recent or (begin <= row["due"] < end and not left_to_the_next)


def tell_of(figures: Figures, happened: Happened, rows: Sequence[Row], processed: Counter[str]) -> None:
    """Add one event to the figures of its kind.

    Args:
        rows: of the whole run.
        processed: how often an app took each POST, by id.
    """
    figures.events += 1
    within = [row for row in rows if is_of(row, happened)]
    count(figures, within, processed, happened)
    if happened.kind.freezes:
        long = [row for row in within if row["ended"] - row["due"] > LONG_S]
        figures.long += len(long)
        figures.long_most = max(figures.long_most, len(long))
        for row in long:
            figures.latest = max(figures.latest, row["due"] - happened.began)
    for app, started in happened.restarts:
        served = [row["ended"] for row in rows if row["app"] == app]
        figures.back.append(min(served) - started if served else math.inf)


def count(figures: Figures, rows: Sequence[Row], processed: Counter[str], event: Happened | None) -> None:
    for row in rows:
        took = row["ended"] - row["due"]
        frozen = event is not None and event.kind.freezes and row["due"] - event.began < BEGUN_S
        if frozen and took > WAITED_S:
            figures.waited += 1
        elif row["kind"] == "small":
            figures.took.append(took)
        if row["method"] == "GET":
            figures.gets += 1
            if not good(row):
                cut = row["first"] > 0 and row["status"] == 200
                figures.cut += cut
                figures.failed += not cut
                tell(figures, row, event, "cut" if cut else "failed")
            continue
        times = processed[str(row["number"])]
        figures.posts += 1
        figures.duplicated += times > 1
        missing = event is not None and not times
        if not good(row) or missing:
            killed = event is not None and row["sent"] <= event.killed
            figures.in_flight += killed
            figures.lost += not killed
            figures.processed += times > 0
            tell(figures, row, event, "in flight" if killed else "lost")
        elif times > 1:
            tell(figures, row, event, f"processed {times} times")


def tell(figures: Figures, row: Row, event: Happened | None, what: str) -> None:
    if len(figures.told) < SHOWN:
        since = row["due"] - event.began if event else math.nan
        figures.told.append(
            f"{what}: {row['method']} /{row['kind']}/{row['number']} due {since:+.3f} s, took "
            f"{row['ended'] - row['due']:.3f} s: {row['status']} {row['flag'] or row['error']}"
        )


COLUMNS: Final = (
    "event",
    "with",
    "times",
    "GETs",
    "failed",
    "cut",
    "POSTs",
    "lost",
    "in flight",
    "twice",
    "p50 ms",
    "p99 ms",
    "x quiet",
    "waited",
    ">1 s, most",
    "latest s",
    "back s",
)


def columns(name: str, contender: str, figures: Figures, calm: Figures) -> list[str]:
    p50, p99 = percentile(figures.took, 50), percentile(figures.took, 99)
    return [
        name,
        contender,
        str(figures.events or ""),
        *map(str, (figures.gets, figures.failed, figures.cut, figures.posts, figures.lost)),
        *map(str, (figures.in_flight, figures.duplicated)),
        f"{p50 * 1e3:.1f}",
        f"{p99 * 1e3:.1f}",
        f"{p99 / percentile(calm.took, 99):.1f}",
        str(figures.waited or ""),
        f"{figures.long} {figures.long_most}" if figures.long else "",
        f"{figures.latest:.2f}" if figures.long else "",
        f"{statistics.median(figures.back):.2f} {max(figures.back):.2f}" if figures.back else "",
    ]
