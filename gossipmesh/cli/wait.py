"""``gossipmesh wait``: until this node, and services, are ready; for container entry points."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from gossipmesh.cli.client import NOT_FOUND, OK, TOO_MANY, AdminClient, document_of
from gossipmesh.cli.options import duration, with_state
from gossipmesh.config.durations import format_duration
from gossipmesh.errors import ConfigError, MeshError, UnreachableError
from gossipmesh.model import is_name

POLL_S: Final = 0.2
"""Between two tries while no daemon answers, or too many wait there already."""
MAX_WAIT_S: Final = 60.0
"""Of one question: a daemon that went away without a word is noticed after so long."""


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
    waiting = Waiting(AdminClient(state))
    deadline = time.monotonic() + timeout_s
    while True:
        missing: MeshError
        try:
            reason = waiting.what_is_missing(services)
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
        if not waiting.until_it_changes(left):
            time.sleep(min(POLL_S, left))


class Waiting:
    """Asks a daemon what is missing, and has it say when that may be something else."""

    def __init__(self, client: AdminClient) -> None:
        self._client = client
        self._watched: tuple[str, str] | None = None  # what was missing last, by path and index

    def what_is_missing(self, services: tuple[str, ...]) -> str:
        """Give, in words, what keeps this node or one of ``services`` from being ready; empty where nothing does.

        Raises:
            UnreachableError: the daemon cannot be asked.
        """
        self._watched = None
        status, body = self._look("/readyz")
        if status != OK:
            return body.decode("utf-8", "replace").strip() or "the node is not ready"
        for service in services:
            status, body = self._look(f"/v1/services/{service}")
            if status == NOT_FOUND:
                return f"nobody offers {service}"
            endpoints = document_of(status, body)["endpoints"]
            if not any(entry["healthy"] for entry in endpoints):
                return f"no endpoint of {service} is healthy; see: gossipmesh endpoints {service}"
        return ""

    def _look(self, path: str) -> tuple[int, bytes]:
        status, body, index = self._client.wait(path, "", wait_s=0)
        self._watched = (path, index) if index else None
        return status, body

    def until_it_changes(self, left_s: float) -> bool:
        """Return when what was missing last may be there, or after ``left_s`` seconds; False: one has to poll."""
        if self._watched is None:
            return False
        try:
            status, _, _ = self._client.wait(*self._watched, wait_s=min(MAX_WAIT_S, left_s))
        except UnreachableError:
            return False
        return status != TOO_MANY
