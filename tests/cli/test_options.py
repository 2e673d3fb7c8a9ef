from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gossipmesh.cli.options import MAX_TOKEN_TEXT, token_of_argument, token_of_file, with_state
from gossipmesh.errors import ConfigError


def test_a_token_file_is_read_without_what_stands_around_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n gmt1.AAAA \n\n")
    assert token_of_file(tmp_path / "token") == "gmt1.AAAA"
    assert token_of_argument(str(tmp_path / "token")) == "gmt1.AAAA"
    assert token_of_argument("gmt1.BBBB") == "gmt1.BBBB"


def test_a_token_file_that_is_missing_empty_or_huge_is_named(tmp_path: Path) -> None:
    for name, text in (("empty", " \n"), ("huge", "a" * (MAX_TOKEN_TEXT + 1))):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=f"{name} holds no join token"):
            token_of_file(tmp_path / name)
    with pytest.raises(ConfigError, match="none: No such file"):
        token_of_file(tmp_path / "none")
    with pytest.raises(ConfigError, match="is a directory; name the file that holds the token"):
        token_of_file(tmp_path)


def test_the_state_is_the_flags_then_the_variables_then_the_users_own() -> None:
    @click.command()
    @with_state
    def show(state: Path) -> None:
        click.echo(state)

    run = CliRunner().invoke
    environ = {"GOSSIPMESH_STATE": "/variable"}
    assert run(show, ["--state", "/flag"], env=environ).stdout == "/flag\n"
    assert run(show, [], env=environ).stdout == "/variable\n"
    assert run(show, [], env={"GOSSIPMESH_STATE": None}).stdout.endswith("/gossipmesh\n")


def test_an_empty_path_is_refused_by_name_instead_of_meaning_this_directory() -> None:
    @click.command()
    @with_state
    def show(state: Path) -> None:
        click.echo(state)

    result = CliRunner().invoke(show, ["--state", ""])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value for '--state': it is empty; is a variable unset?" in result.stderr
    assert CliRunner().invoke(show, ["--state", "."]).stdout == ".\n"
