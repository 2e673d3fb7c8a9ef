"""Options that several commands share, where a join token is read from, and the time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from gossipmesh.config.durations import parse_duration
from gossipmesh.config.places import default_state
from gossipmesh.errors import ConfigError

MAX_TOKEN_TEXT: Final = 64 * 1024
"""Bytes of a token with what stands around it; more is some other file."""

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def wall_now() -> float:
    """Give the time in unix seconds, for what expires."""
    return time.time()  # noqa: TID251 - a command is where wall time comes from


def duration(text: str) -> float:
    """Give the seconds of an option's value; click says which option, where it is no duration."""
    try:
        return parse_duration(text)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


class SomePath(click.Path):
    """A path that is not empty: an empty one comes from a variable that is not set, and would mean ``.``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Give the path; click says which option or argument, where it is empty."""
        if not os.fspath(value):
            self.fail("it is empty; is a variable unset?", param, ctx)
        return super().convert(value, param, ctx)


def with_state(command: CommandT) -> CommandT:
    """Add ``--state DIR``: which node of this host is meant. The command gets a path."""
    return click.option(
        "--state",
        type=SomePath(path_type=Path),
        envvar="GOSSIPMESH_STATE",
        default=lambda: default_state(os.environ, root=os.geteuid() == 0),
        show_default="as `gossipmesh up` has it",
        metavar="DIR",
        help="The node's state directory.",
    )(command)


def with_json(command: CommandT) -> CommandT:
    """Add ``--json``: one document with stable keys. The command gets ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def token_of_file(path: Path) -> str:
    """Give the token that a file holds.

    Raises:
        ConfigError: it cannot be read, or holds nothing.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_TOKEN_TEXT + 1)
    except IsADirectoryError:
        text = f"{path} is a directory; name the file that holds the token"
        raise ConfigError("config.token", text) from None
    except OSError as error:
        text = (
            f"{path}: {error.strerror}; write the token there, e.g. gossipmesh token new --root DIR > {path}"
        )
        raise ConfigError("config.token", text) from None
    return _checked(data.decode("ascii", "replace"), str(path))


def token_of_stdin() -> str:
    """Give the token that stdin holds.

    Raises:
        ConfigError: there is none.
    """
    return _checked(sys.stdin.read(MAX_TOKEN_TEXT + 1), "standard input")


def token_of_argument(text: str) -> str:
    """Give the token that an argument means: itself, ``-`` for stdin, or a file's name.

    Raises:
        ConfigError: as the others.
    """
    if text == "-":
        return token_of_stdin()
    if not text.strip():
        raise ConfigError("config.token", "TOKEN is empty; is a variable unset?")
    return text if text.startswith("gmt1.") else token_of_file(Path(text))


def _checked(text: str, origin: str) -> str:
    if len(text) > MAX_TOKEN_TEXT or not text.strip():
        raise ConfigError("config.token", f"{origin} holds no join token; it should be one line: gmt1....")
    return text.strip()
