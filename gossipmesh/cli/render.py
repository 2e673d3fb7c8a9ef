"""What goes to standard output: lines for scripts, and tables for people, drawn by rich on a terminal only.

rich is imported only where there is a terminal, for it takes longer to load than a command to answer.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

import click

from gossipmesh.config.durations import UNITS
from gossipmesh.errors import MeshError

NOTHING: Final = "-"
STYLES: Final = {
    "alive": "green",
    "answered": "green",
    "chosen": "bold green",
    "eligible": "green",
    "healthy": "green",
    "suspect": "yellow",
    "draining": "yellow",
    "leaving": "yellow",
    "dead": "red",
    "out": "red",
    "failed": "red",
    "connect-failed": "red",
    "refused": "yellow",
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
    "unhealthy": "red",
    "left": "dim",
}
"""How a word is drawn, where it is a whole cell."""


class OutputError(MeshError):
    """What a command has to say cannot be written where it should go."""


def coloured(environ: Mapping[str, str]) -> bool:
    """Tell whether colours are wanted where there is a terminal (https://no-color.org)."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def put(text: str) -> None:
    """Write lines to standard output.

    Raises:
        OutputError: ``output.closed``, where there is none.
        OSError: it cannot be written; ``main`` says so.
    """
    if sys.stdout is None:
        raise OutputError("output.closed", "standard output is closed; send it to a file, or to /dev/null")
    click.echo(text)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; an empty cell is shown as ``-``."""
    shown = [[printable(cell) or NOTHING for cell in row] for row in rows]
    if sys.stdout is None or not sys.stdout.isatty():
        put("\n".join(plain_table(columns, shown)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in shown:
        # Text, not markup: a name must not be able to draw.
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console().print(table)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Give a table's lines, columns aligned by spaces."""
    everything = [columns, *rows]
    widths = [max(len(row[index]) for row in everything) for index in range(len(columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in everything
    ]


def show_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair a line."""
    width = max(len(name) for name, _ in pairs)
    put("\n".join(f"{name.ljust(width)}  {printable(value) or NOTHING}" for name, value in pairs))


def span(seconds: float) -> str:
    """Give a length of time for people: its largest unit and the next, ``2h 5m``."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit in ("d", "h", "m", "s"):
        size = int(UNITS[unit])
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join(parts[:2])


def printable(text: str) -> str:
    """Give ``text`` with a ``?`` for whatever could move a cursor or colour a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
