"""``gossipmesh trace``: the flight recorder of a running daemon, into a file."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from gossipmesh.cli.client import AdminClient
from gossipmesh.cli.options import SomePath, with_state
from gossipmesh.cli.render import OutputError
from gossipmesh.errors import ConfigError, StateError

PRIVATE: Final = 0o600


@click.command(short_help="Save what membership did lately.")
@click.argument("file", type=SomePath(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@with_state
def trace(file: Path, force: bool, state: Path) -> None:
    """Write the daemon's flight recorder to FILE, or to standard output if that is `-`.

    It holds what membership was told lately, so it names all members; it holds no key. Run it again with
    `gossipmesh sim --replay FILE`.
    """
    if str(file) == "-":
        raw = AdminClient(state).content("/v1/trace")
        if sys.stdout is None:
            raise OutputError("output.closed", "standard output is closed; name a file")
        if sys.stdout.isatty():
            raise ConfigError("trace.terminal", "a trace is not for a terminal to show; name a file")
        click.echo(raw, nl=False)
        return
    if not force and os.path.lexists(file):
        raise _exists(file)
    _write(file, AdminClient(state).content("/v1/trace"), force=force)


def _write(file: Path, raw: bytes, *, force: bool) -> None:
    # Beside what is to be replaced: a full disk must not cost the trace that is there.
    made = file.with_name(f"{file.name}.{os.getpid()}.tmp") if force else file
    try:
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE)
    except FileExistsError:
        raise _exists(made) from None
    except OSError as error:
        raise _cannot(file, error) from None
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
        if force:
            made.replace(file)
    except OSError as error:
        with suppress(OSError):
            made.unlink()
        raise _cannot(file, error) from None


def _exists(file: Path) -> ConfigError:
    return ConfigError("trace.exists", f"{file} is there already; name another file, or give --force")


def _cannot(file: Path, error: OSError) -> StateError:
    return StateError("trace.write", f"{file} cannot be written: {error.strerror}")
