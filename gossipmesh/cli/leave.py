"""``gossipmesh leave``: leave the mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.options import with_state

LEAVE_TIMEOUT_S: Final = 60.0
"""Requests that are being answered end first."""


@click.command(short_help="Leave the mesh; the daemon ends.")
@with_state
def leave(state: Path) -> None:
    """Finish the requests in flight, tell the others, and end the daemon."""
    AdminClient(state).post("/v1/leave", timeout_s=LEAVE_TIMEOUT_S)
