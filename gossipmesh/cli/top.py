"""``gossipmesh top``: live: rates, failures and latencies by service."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
from attrs import frozen

from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.options import duration, wall_now, with_state
from gossipmesh.cli.rates import Reading, Row, reading_of, retries_between, rows_between
from gossipmesh.cli.render import printable, put, show_table
from gossipmesh.cli.signals import terminable
from gossipmesh.errors import MeshError

LEAST_S: Final = 0.2
MANY_FAILED: Final = 0.01
"""The share of failed requests from which a row is drawn in red."""
COLUMNS: Final = ("SERVICE", "WAY", "REQ/S", "FAILED", "P50", "P90", "P99", "HEALTHY", "EJECTED")
NO_SERVICE: Final = "(no such service)"
"""Stands for all that nobody offers."""


@frozen
class Frame:
    """What is shown at once: the time between two readings, in seconds, and what happened in it."""

    wall: float
    seconds: float
    reading: Reading
    rows: Sequence[Row]
    retries_per_s: float


@click.command(short_help="Show rates, failures and latencies by service, live.")
@click.option(
    "--interval",
    type=duration,
    default="2s",
    show_default=True,
    metavar="DURATION",
    help="Between two readings.",
)
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="End after so many; otherwise with Ctrl-C."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document a line, one for each interval.")
@with_state
def top(interval: float, count: int | None, as_json: bool, state: Path) -> None:
    """Show what passes this node: requests a second by service, how many of them failed, how long they took.

    `out`: of local apps into the mesh; `in`: from the mesh to local apps. Times are from head to last byte, estimated
    from the metrics' buckets. HEALTHY: endpoints that get requests, of those known; EJECTED: taken out of rotation
    in the last interval. Single requests: `gossipmesh tap`.
    """
    if interval < LEAST_S:
        raise click.BadParameter(f"it is at least {LEAST_S:g}s", param_hint="--interval")
    frames = _frames(AdminClient(state), interval, count)
    if as_json:
        for frame in frames:
            put(json.dumps(_document(frame)))
    elif sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        with terminable():
            _live(frames)
    else:
        for frame in frames:
            put(_heading(frame))
            show_table(COLUMNS, [_cells(row) for row in frame.rows])


def _frames(client: AdminClient, interval_s: float, count: int | None) -> Iterator[Frame]:
    before, began = _read(client), time.monotonic()
    shown = 0
    while count is None or shown < count:
        time.sleep(max(0.0, began + interval_s - time.monotonic()))
        after, ended = _read(client), time.monotonic()
        seconds = ended - began
        rows = rows_between(before, after, seconds)
        yield Frame(wall_now(), seconds, after, rows, retries_between(before, after, seconds))
        before, began = after, ended
        shown += 1


def _read(client: AdminClient) -> Reading:
    try:
        return reading_of(client.content("/metrics").decode())
    except (ValueError, KeyError) as error:
        text = f"the daemon's metrics cannot be read ({error}); is it of another release?"
        raise MeshError("admin.release", text) from None


def _live(frames: Iterator[Frame]) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    def drawn(frame: Frame) -> Group:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for place, column in enumerate(COLUMNS):
            table.add_column(column, justify="left" if place < 2 else "right")
        for row in frame.rows:
            style = "red" if row.failed >= MANY_FAILED else "" if row.per_s else "dim"
            # Text, not markup: a name must not be able to draw.
            table.add_row(*(Text(printable(cell), style=style) for cell in _cells(row)))
        return Group(Text(_heading(frame)), table)

    with Live(Text("gossipmesh: the first interval ..."), auto_refresh=False) as live:
        live.refresh()
        for frame in frames:
            live.update(drawn(frame), refresh=True)


def _heading(frame: Frame) -> str:
    members = ", ".join(f"{count} {state}" for state, count in frame.reading.members.items() if count)
    clock = time.strftime("%H:%M:%S", time.localtime(frame.wall))
    return (
        f"{clock}  members: {members}  in flight: {frame.reading.in_flight:.0f}  "
        f"retries: {frame.retries_per_s:.1f}/s"
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.service or NO_SERVICE,
        "out" if row.direction == "outbound" else "in",
        f"{row.per_s:.1f}",
        f"{row.failed:.1%}" if row.per_s else "",
        *(_time(seconds) for seconds in (row.p50_s, row.p90_s, row.p99_s)),
        f"{row.healthy}/{row.endpoints}",
        str(row.ejected) if row.ejected else "",
    )


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1_000:.3g}ms" if seconds < 1 else f"{seconds:.3g}s"


def _document(frame: Frame) -> dict[str, Any]:
    return {
        "time": round(frame.wall, 3),
        "interval_s": round(frame.seconds, 3),
        "members": dict(frame.reading.members),
        "in_flight": int(frame.reading.in_flight),
        "retries_per_s": round(frame.retries_per_s, 3),
        "services": [
            {
                "direction": row.direction,
                "service": row.service,
                "per_s": round(row.per_s, 3),
                "failed": round(row.failed, 6),
                "p50_ms": _ms(row.p50_s),
                "p90_ms": _ms(row.p90_s),
                "p99_ms": _ms(row.p99_s),
                "endpoints": row.endpoints,
                "healthy": row.healthy,
                "ejected": row.ejected,
            }
            for row in frame.rows
        ],
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1_000, 3)
