"""``gossipmesh tap``: single requests, as they end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import click

from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.options import with_state
from gossipmesh.cli.render import NOTHING, coloured, printable, put
from gossipmesh.daemon.admin.requests_view import DEFAULT_LAST, MAX_TOLD
from gossipmesh.daemon.telemetry.access_lines import has_failed
from gossipmesh.errors import ConfigError
from gossipmesh.model import is_name

POLL_S: Final = 0.2
COLUMNS: Final = (
    ("TIME", 12),
    ("WAY", 3),
    ("SOURCE", 12),
    ("SERVICE", 12),
    ("CODE", 4),
    ("FLAG", 4),
    ("MS", 9),
    ("TRIES", 5),
    ("NODE", 12),
    ("REQUEST", 0),
)
"""The columns and their least widths; nothing follows the last one."""


@click.command(short_help="Show single requests as they end.")
@click.option("--service", metavar="NAME", help="Only requests for this service.")
@click.option(
    "--direction",
    type=click.Choice(["outbound", "inbound"]),
    help="Only those of local apps into the mesh, or those from the mesh to local apps.",
)
@click.option(
    "--failed",
    is_flag=True,
    help="Only 5xx and what has a flag: the mesh answered itself, or somebody went away.",
)
@click.option(
    "--last",
    metavar="N",
    type=click.IntRange(0, MAX_TOLD),
    default=DEFAULT_LAST,
    show_default=True,
    help="Begin with so many that are over already.",
)
@click.option("--no-follow", is_flag=True, help="Show only these, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each, as in the access log.")
@with_state
def tap(  # noqa: PLR0917 -- one for each option
    service: str | None,
    direction: str | None,
    failed: bool,
    last: int,
    no_follow: bool,
    as_json: bool,
    state: Path,
) -> None:
    """Show the requests that pass this node, each when it is over, until Ctrl-C.

    `explain REQUEST-ID` says more of one. The daemon remembers the newest 1,024: where more end between two looks, how
    many were not seen is said on standard error.
    """
    if service is not None and not is_name(service):
        raise ConfigError("config.value", f"{service!r} is not a service's name: 1 to 63 of a-z, 0-9 and -")
    client = AdminClient(state)
    wanted = {"service": service or "", "direction": direction or "", "failed": "yes" if failed else ""}
    query = {name: value for name, value in wanted.items() if value}
    document = client.document("/v1/requests?" + urlencode({**query, "last": last}))
    if not as_json:
        put(_line([name for name, _ in COLUMNS]))
    while True:
        _show(document, as_json=as_json)
        if no_follow:
            return
        if len(document["requests"]) < MAX_TOLD:
            time.sleep(POLL_S)
        document = client.document("/v1/requests?" + urlencode({**query, "after": document["next"]}))


def _show(document: Mapping[str, Any], *, as_json: bool) -> None:
    if document["missed"]:
        click.echo(f"gossipmesh: {document['missed']} requests went by too fast to be shown", err=True)
    if as_json:
        lines = [json.dumps(each) for each in document["requests"]]
    else:
        colours = coloured(os.environ)
        lines = [_drawn(each, colours=colours) for each in document["requests"]]
    if lines:
        put("\n".join(lines))


def _drawn(entry: Mapping[str, Any], *, colours: bool) -> str:
    """Give one request as a line; click takes the colours away where no terminal shows them."""
    line = _line(
        [
            datetime.fromisoformat(entry["time"]).astimezone().strftime("%H:%M:%S.%f")[:-3],
            "out" if entry["direction"] == "outbound" else "in",
            entry["source"],
            entry["service"],
            str(entry["code"] or NOTHING),
            entry["flag"],
            f"{entry['duration_ms']:.1f}",
            str(entry["attempts"]),
            entry["endpoint"],
            f"{entry['method']} {entry['path'] or NOTHING}  {entry['request_id']}",
        ]
    )
    failed = has_failed(entry["code"], entry["flag"])
    return click.style(line, fg="red") if failed and colours else line


def _line(cells: Sequence[str]) -> str:
    shown = [printable(cell) or NOTHING for cell in cells]
    return "  ".join(cell.ljust(width) for cell, (_, width) in zip(shown, COLUMNS, strict=True)).rstrip()
