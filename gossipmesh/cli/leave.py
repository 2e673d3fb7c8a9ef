"""``gossipmesh drain`` and ``gossipmesh leave``: take no more work, and go."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.options import with_state

PATIENCE_S: Final = 600.0
"""Requests that are being answered end first; the daemon bounds that itself, by ``[proxy] drain_timeout``."""


@click.command(short_help="Take no more work from the mesh.")
@with_state
def drain(state: Path) -> None:
    """Tell the others to ask elsewhere, and return once the requests in flight are answered.

    The daemon goes on serving this host's own apps, and is not ready any more; `gossipmesh leave` or SIGTERM ends it,
    and only a new start makes it take work again.
    """
    AdminClient(state).post("/v1/drain", timeout_s=PATIENCE_S)


@click.command(short_help="Leave the mesh; the daemon ends.")
@with_state
def leave(state: Path) -> None:
    """Finish the requests in flight, tell the others, and end the daemon."""
    AdminClient(state).post("/v1/leave", timeout_s=PATIENCE_S)
