"""What a command says of members of an older release: they do not do what it asks the mesh for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from gossipmesh.cli.client import AdminClient

MAX_NAMED: Final = 16


def old_members(client: AdminClient) -> list[str]:
    """Give the names of the living members whose release enforces neither policies nor revocations.

    Raises:
        MeshError: as :meth:`AdminClient.document`.
    """
    members = client.document("/v1/members")["members"]
    return [
        each["name"] for each in members if each["state"] in ("alive", "suspect") and not each["enforces"]
    ]


def warn_of(names: Sequence[str], what: str) -> None:
    """Say on standard error that members do not enforce ``what``, if there are any."""
    if names:
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        text = f"of an older release, which enforces no {what}: {', '.join(names[:MAX_NAMED])}{more}"
        click.echo(f"gossipmesh: {text}; upgrade them, see docs/upgrading.md", err=True)
