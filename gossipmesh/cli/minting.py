"""From flags to the caveats of a token, and the token."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from gossipmesh.cli.options import duration
from gossipmesh.daemon.disk.root import MeshRoot
from gossipmesh.identity.grants import MAX_QUOTA, Capability, Caveats
from gossipmesh.identity.token import Token

YEAR_S: Final = 365 * 86_400.0
MIN_TTL_S: Final = 1.0
"""Validity is counted in whole seconds; less would be a token that never was."""
SHORT_S: Final = 7 * 86_400.0
"""A chain lives as long as its token; below this a node cannot count on being renewed by hand."""

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def with_caveats(command: CommandT) -> CommandT:
    """Add the options that say what a token allows."""
    for option in (
        click.option(
            "--quota",
            type=click.IntRange(1, MAX_QUOTA),
            metavar="N",
            help="How many living nodes may have joined with it, as each member counts them.",
        ),
        click.option(
            "--can",
            "caps",
            multiple=True,
            type=click.Choice([c.value for c in Capability]),
            help="A capability; with any, exactly those named.",
        ),
        click.option(
            "--group", "groups", multiple=True, metavar="G", help="A group that policy rules may name."
        ),
        click.option("--name", "names", multiple=True, metavar="GLOB", help="Node names that may be taken."),
        click.option(
            "--service", "services", multiple=True, metavar="GLOB", help="Services that may be offered."
        ),
    ):
        command = option(command)
    return command


def with_ttl(default: str | None, text: str) -> Callable[[CommandT], CommandT]:
    """Add ``--ttl``; the command gets ``ttl_s``."""
    return click.option("--ttl", "ttl_s", type=_lifetime, default=default, metavar="DURATION", help=text)


def _lifetime(text: str) -> float:
    seconds = duration(text)
    if seconds < MIN_TTL_S:
        raise click.BadParameter(f"{text} is no time: a token lasts {MIN_TTL_S:g}s at least")
    return seconds


def caveats_of(
    *,
    services: tuple[str, ...],
    names: tuple[str, ...],
    groups: tuple[str, ...],
    caps: tuple[str, ...],
    expires_at: float,
    wall: float,
    quota: int | None = None,
) -> Caveats:
    """Give the caveats that flags state; what none states stays as it is."""
    return Caveats(
        not_before=int(wall),
        expires_at=int(expires_at),
        services=services or None,
        names=names or None,
        groups=groups or None,
        caps=frozenset(Capability(cap) for cap in caps) or None,
        quota=quota,
    )


def mint(root: MeshRoot, caveats: Caveats) -> Token:
    """Make a token of the mesh whose root this is.

    Raises:
        ConfigError: the caveats are too many or malformed, or the root was replaced.
    """
    return root.mint(caveats, os.urandom)


def any_node(wall: float) -> Caveats:
    """Give the caveats of a plain token: any node, any service, for a year."""
    return Caveats(not_before=int(wall), expires_at=int(wall + YEAR_S))


def hint(text: str) -> None:
    """Tell a person at a terminal what to know or do next; a script is left alone."""
    if sys.stderr.isatty():
        click.echo(text, err=True)
