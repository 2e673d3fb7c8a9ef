"""The group of all commands, and the boundary where errors become one line and an exit status."""

from __future__ import annotations

import errno
import importlib
import io
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

import gossipmesh
from gossipmesh.cli.render import put
from gossipmesh.errors import ConfigError, MeshError, UnreachableError

NO: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130

_CANNOT_BE_WRITTEN: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EAGAIN}
)
"""What writing to a full disk, a terminal that is gone or a descriptor of another kind gives."""

COMMANDS: Final[dict[str, str]] = {
    "init": "gossipmesh.cli.init:init",
    "token": "gossipmesh.cli.token:token",
    "root": "gossipmesh.cli.root:root",
    "up": "gossipmesh.cli.up:up",
    "wait": "gossipmesh.cli.wait:wait",
    "status": "gossipmesh.cli.reading:status",
    "members": "gossipmesh.cli.reading:members",
    "services": "gossipmesh.cli.reading:services",
    "service": "gossipmesh.cli.service:service",
    "endpoints": "gossipmesh.cli.reading:endpoints",
    "check": "gossipmesh.cli.check:check",
    "explain": "gossipmesh.cli.explain:explain",
    "reachability": "gossipmesh.cli.reachability:reachability",
    "tap": "gossipmesh.cli.tap:tap",
    "top": "gossipmesh.cli.top:top",
    "can": "gossipmesh.cli.can:can",
    "policy": "gossipmesh.cli.policy:policy",
    "config": "gossipmesh.cli.reading:config",
    "trace": "gossipmesh.cli.trace:trace",
    "drain": "gossipmesh.cli.leave:drain",
    "leave": "gossipmesh.cli.leave:leave",
    "revoke": "gossipmesh.cli.revoke:revoke",
    "revocations": "gossipmesh.cli.revoke:revocations",
    "sim": "gossipmesh.cli.sim:sim",
    "version": "gossipmesh.cli.main:version",
}
"""Each command and where it is; nothing is imported before it is asked for."""


class Commands(click.Group):
    """A group that imports a command when it is called, and ends every error in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the commands in the order of a first acquaintance."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command ``cmd_name``."""
        if (place := COMMANDS.get(cmd_name)) is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and exit with the status that the module ``gossipmesh.cli`` describes."""
        try:
            code = super().main(args, "gossipmesh", complete_var, standalone_mode=False, **extra)
        except BaseExceptionGroup as group:
            code = _status_of_group(group)
        except (MeshError, click.ClickException, click.Abort, KeyboardInterrupt) as error:
            code = _status_of(error)
        except OSError as error:
            code = _status_of_output(error)
        sys.exit(code if isinstance(code, int) else 0)


def _status_of(error: BaseException) -> int:
    """Say on stderr what is wrong, in one line, and give the exit status for it."""
    match error:
        case click.UsageError():
            command = error.ctx.command_path if error.ctx is not None else "gossipmesh"
            _say(f"{error.format_message().rstrip('.')}; see: {command} --help")
            return USAGE
        case click.ClickException():
            _say(error.format_message())
            return USAGE
        case UnreachableError():
            _say(str(error))
            return UNREACHABLE
        case ConfigError():
            _say(str(error))
            return USAGE
        case MeshError():
            _say(str(error))
            return NO
        case _:
            return INTERRUPTED


def _status_of_group(group: BaseExceptionGroup[BaseException]) -> int:
    """Treat a nursery's error as the one error that it is about.

    Raises:
        BaseExceptionGroup: what is in it beside our own errors and Ctrl-C: a bug, to be seen whole.
    """
    known, unknown = group.split((MeshError, KeyboardInterrupt))
    if known is None or unknown is not None:
        raise group
    error: BaseException = known
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return _status_of(error)


def _status_of_output(error: OSError) -> int:
    """Say that standard output takes nothing. A closed pipe does not come here: click ends that quietly.

    Raises:
        OSError: ``error``, where it is about something else: a bug, to be seen whole.
    """
    if error.filename is not None or error.errno not in _CANNOT_BE_WRITTEN:
        raise error
    # What is left in its buffer would be tried again, and fail again, when Python ends.
    sys.stdout = io.StringIO()
    _say(f"standard output cannot be written: {error.strerror}")
    return NO


def _say(text: str) -> None:
    line = "".join(letter if letter.isprintable() else " " for letter in text.replace("\n", " "))
    try:
        click.echo(f"gossipmesh: {line}", err=True)
    except OSError:
        sys.stderr = io.StringIO()  # The exit status still tells, and only it can.


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        put(gossipmesh.release())
        ctx.exit()


@click.group(
    cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """A service mesh of equal peers: no control plane, one small daemon beside your apps.

    Start with `gossipmesh up --service hello=8080`; it prints what to run on the next node.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(USAGE)


@click.command(short_help="Show the version.")
def version() -> None:
    """Show the version of gossipmesh."""
    put(gossipmesh.release())
