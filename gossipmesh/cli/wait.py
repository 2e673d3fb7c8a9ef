"""``gossipmesh wait``: until this node, and services, are ready; for container entry points."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from gossipmesh.cli.client import OK, AdminClient
from gossipmesh.cli.options import duration, with_state
from gossipmesh.config.durations import format_duration
from gossipmesh.errors import ConfigError, MeshError, UnreachableError
from gossipmesh.model import is_name

POLL_S: Final = 0.2


class NotReadyError(MeshError):
    """The time is over, and something is still missing."""


@click.command(short_help="Wait until this node, and services, are ready.")
@click.option(
    "--service", "services", multiple=True, metavar="S", help="Wait for a healthy endpoint of it, too."
)
@click.option("--timeout", "timeout_s", type=duration, default="30s", show_default=True, metavar="D")
@with_state
def wait(services: tuple[str, ...], timeout_s: float, state: Path) -> None:
    """Wait until this node is ready and each service has a healthy endpoint.

    Exit status 1: it took too long, and stderr says what is missing; 3: no daemon answered at all.
    """
    for service in services:
        if not is_name(service):
            raise ConfigError(
                "config.value", f"{service!r} is not a service's name: 1 to 63 of a-z, 0-9 and -"
            )
    client = AdminClient(state)
    deadline = time.monotonic() + timeout_s
    while True:
        missing: MeshError
        try:
            reason = what_is_missing(client, services)
            if not reason:
                return
            missing = NotReadyError(
                "wait.not-ready", f"not ready after {format_duration(timeout_s)}: {reason}"
            )
        except UnreachableError as error:
            # A container's entry point may well be quicker than the daemon beside it.
            missing = error
        left = deadline - time.monotonic()
        if left <= 0:
            raise missing
        time.sleep(min(POLL_S, left))


def what_is_missing(client: AdminClient, services: tuple[str, ...]) -> str:
    """Give, in words, what keeps this node or one of ``services`` from being ready; empty where nothing does.

    Raises:
        UnreachableError: the daemon cannot be asked.
    """
    status, body = client.get("/readyz")
    if status != OK:
        return body.decode("utf-8", "replace").strip() or "the node is not ready"
    if not services:
        return ""
    healthy = {entry["name"]: entry["healthy"] for entry in client.document("/v1/services")["services"]}
    for service in services:
        if service not in healthy:
            return f"nobody offers {service}"
        if not healthy[service]:
            return f"no endpoint of {service} is healthy; see: gossipmesh endpoints {service}"
    return ""
