from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from gossipmesh.cli.main import COMMANDS, Commands, cli
from gossipmesh.errors import ConfigError, StateError, TrustError, UnreachableError


def exits(error: BaseException) -> tuple[int, str]:
    """Give the status and stderr of a command that ends with ``error``."""

    @click.group(cls=Commands, invoke_without_command=True)
    def failing() -> None:
        raise error

    result = CliRunner().invoke(failing, [])
    assert result.stdout == ""
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TrustError("token.malformed", "no token"), 1),
        (StateError("state.locked", "in use"), 1),
        (ConfigError("config.value", "wrong"), 2),
        (UnreachableError("daemon.unreachable", "nobody there"), 3),
    ],
)
def test_our_errors_are_one_line_and_a_status(error: Exception, status: int) -> None:
    assert exits(error) == (status, f"gossipmesh: {error}\n")
    assert exits(ExceptionGroup("nursery", [ExceptionGroup("inner", [error])])) == (
        status,
        f"gossipmesh: {error}\n",
    )


def test_an_error_stays_one_line_whatever_is_in_it() -> None:
    assert exits(ConfigError("x", "a\nb\x1b[31m"))[1] == "gossipmesh: a b [31m\n"


def ended(script: str) -> tuple[int, str]:
    """Give the status and stderr of a shell script in which ``gossipmesh`` is the command."""
    whole = f'gossipmesh() {{ "{sys.executable}" -m gossipmesh "$@"; }}; {script}'
    done = subprocess.run(["/bin/sh", "-c", whole], stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", ["version", "--version", "--help", "up --help"])
def test_a_full_disk_is_one_line_and_not_done(command: str) -> None:
    text = "gossipmesh: standard output cannot be written: No space left on device\n"
    assert ended(f"gossipmesh {command} >/dev/full") == (1, text)
    status, text = ended(f"gossipmesh {command} >/dev/full 2>&1")
    assert (status, text) == (1, "")


def test_no_standard_output_at_all_is_one_line_and_not_done() -> None:
    status, text = ended("gossipmesh version >&-")
    assert (status, text.count("\n")) == (1, 1)
    assert text.startswith("gossipmesh: standard output is closed")
    assert ended("gossipmesh version >&- 2>&-") == (1, "")


def test_a_pipe_that_nobody_reads_any_more_is_quiet() -> None:
    assert ended("{ gossipmesh version; } | :")[1] == ""


def test_an_error_about_something_else_than_output_is_seen_whole() -> None:
    @click.group(cls=Commands, invoke_without_command=True)
    def failing() -> None:
        raise FileNotFoundError(2, "No such file", "x")

    assert isinstance(CliRunner().invoke(failing, []).exception, FileNotFoundError)


def test_ctrl_c_says_nothing() -> None:
    assert exits(KeyboardInterrupt())[0] == 130
    status, text = exits(BaseExceptionGroup("nursery", [KeyboardInterrupt()]))
    assert (status, text.strip()) == (130, "")


def test_a_bug_is_seen_whole() -> None:
    @click.group(cls=Commands, invoke_without_command=True)
    def failing() -> None:
        raise ExceptionGroup("nursery", [ConfigError("x", "y"), ZeroDivisionError()])

    assert isinstance(CliRunner().invoke(failing, []).exception, ExceptionGroup)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["nonsense"], "gossipmesh: No such command 'nonsense'; see: gossipmesh --help\n"),
        (
            ["wait", "--timeout", "5"],
            "gossipmesh: Invalid value for '--timeout': 5 has no unit; write \"5s\" or",
        ),
        (["token"], "gossipmesh: Missing command; see: gossipmesh token --help\n"),
        (["endpoints"], "gossipmesh: Missing argument 'SERVICE'; see: gossipmesh endpoints --help\n"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_help(args: list[str], text: str) -> None:
    result = CliRunner().invoke(cli, args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(text)
    assert result.stderr.count("\n") == 1


def test_every_command_can_be_imported_and_has_a_line_of_help() -> None:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str()


def test_without_a_command_the_help_is_shown_as_wrong_usage() -> None:
    result = CliRunner().invoke(cli, [])
    assert result.exit_code == 2
    assert "Usage: gossipmesh" in result.stderr


@pytest.mark.parametrize("args", [["version"], ["--version"]])
def test_the_version_is_shown(args: list[str]) -> None:
    result = CliRunner().invoke(cli, args)
    assert result.exit_code == 0
    assert result.stdout.startswith("gossipmesh 0.")


@pytest.mark.parametrize(
    ("args", "heavy"),
    [
        (["status", "--state", "/nonexistent"], ["trio", "rich", "cattrs", "nacl"]),
        (["up", "--help"], ["trio", "rich", "cattrs"]),
    ],
)
def test_a_short_command_does_not_wait_for_what_it_does_not_need(args: list[str], heavy: list[str]) -> None:
    program = (
        "import sys\nfrom gossipmesh.cli.main import cli\n"
        f"try: cli({args!r})\nexcept SystemExit: pass\n"
        f"print('LOADED', *[name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED"
