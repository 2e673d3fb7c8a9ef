"""``gossipmesh policy lint``: what is wrong with a policy's text, and what it would have denied."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gossipmesh.cli.options import with_json
from gossipmesh.cli.render import put
from gossipmesh.config.policy_text import PolicyText, read_policy
from gossipmesh.errors import ConfigError
from gossipmesh.policy.document import MAX_TEXT


def policy_of_file(file: Path) -> PolicyText:
    """Give the policy that a file holds.

    Raises:
        ConfigError: ``FILE:LINE: what is wrong``.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_TEXT + 1)
    except OSError as error:
        raise ConfigError(
            "config.file", f"{file}: {error.strerror}; name the file with the policy's text"
        ) from None
    if len(data) > MAX_TEXT:
        raise ConfigError("config.file", f"{file}:1: a policy has at most {MAX_TEXT} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ConfigError("config.file", f"{file}:1: not UTF-8 text; write the policy in TOML") from None
    return read_policy(text, file=str(file))


@click.command(short_help="Say what is wrong with a policy.")
@click.argument("file", type=click.Path(path_type=Path))
@with_json
@click.pass_context
def lint(ctx: click.Context, *, file: Path, as_json: bool) -> None:
    """Say what is wrong with the policy in FILE. Exit status 1: no node would take it."""
    try:
        found = policy_of_file(file)
    except ConfigError as error:
        if as_json:
            put(json.dumps({"valid": False, "error": str(error)}))
        click.echo(f"gossipmesh: {error}", err=True)
        ctx.exit(1)
    if as_json:
        put(
            json.dumps(
                {"valid": True, "error": "", "rules": len(found.policy.rules), "mode": found.policy.mode}
            )
        )
    else:
        put(
            f"{file}: valid, {len(found.policy.rules)} rules, {len(found.traffics)} services, {found.policy.mode} mode"
        )
