from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from gossipmesh.cli.main import cli
from gossipmesh.cli.minting import any_node, mint
from gossipmesh.cli.up import HIDDEN, announcer, forget_hidden, hide_token, token_text
from gossipmesh.daemon.disk.root import make_root
from gossipmesh.daemon.disk.state import StateDirectory
from gossipmesh.errors import ConfigError, TrustError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def text(
    tmp_path: Path,
    *,
    flag: str | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
    file_from_flag: bool = False,
) -> str | None:
    state = tmp_path / "state"
    return token_text(flag, environ or {}, file, file_from_flag=file_from_flag, state=state)


def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("gmt1.file\n")
    return path


def test_a_token_comes_from_a_flag_then_a_variable_then_the_configured_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, environ = token_file(tmp_path), {"GOSSIPMESH_TOKEN": "gmt1.variable"}
    good = str(mint(make_root(lambda size: b"r" * size, default_allow=True), any_node(1_900_000_000.0)))
    assert text(tmp_path, flag=good, environ=environ, file=file) == good
    assert "see --token in `ps`" in capsys.readouterr().err
    assert text(tmp_path, environ=environ, file=file, file_from_flag=True) == "gmt1.file"
    assert text(tmp_path, environ=environ, file=file) == "gmt1.variable"
    assert text(tmp_path, file=file) == "gmt1.file"
    assert text(tmp_path) is None
    assert capsys.readouterr().err == ""


def test_what_is_no_token_is_one_error_without_advice_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag in ("nonsense", "gmt1.", "gmt1.AAAA"):
        with pytest.raises(TrustError, match="join token"):
            text(tmp_path, flag=flag)
    with pytest.raises(ConfigError, match="--token is empty"):
        text(tmp_path, flag="")
    assert capsys.readouterr().err == ""


def test_two_flags_for_one_token_are_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both given"):
        text(tmp_path, flag="gmt1.a", file=token_file(tmp_path), file_from_flag=True)


def test_a_missing_token_file_is_an_error_only_until_the_node_has_joined(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gone: No such file"):
        text(tmp_path, file=tmp_path / "gone")
    with StateDirectory(tmp_path / "state") as state:
        state.save_chain(b"chain")
    assert text(tmp_path, file=tmp_path / "gone") is None


def test_a_line_with_a_token_is_announced_to_a_terminal_only() -> None:
    line = "gossipmesh up --join 10.0.0.1:7946 --token gmt1.SECRET-_x"
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        announce = announcer(stream, Path("/state"))
        announce("listening on 0.0.0.0:7946")
        announce(line)
        assert stream.getvalue().startswith("listening on 0.0.0.0:7946\n")
        assert (line in stream.getvalue()) is shown
        assert ("gossipmesh token show --join --state /state" in stream.getvalue()) is not shown


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--service", "hello"], '--service: "hello" is not NAME=[HOST:]PORT'),
        (["--bind", "seed.example"], "--bind: 'seed.example' is not an IP address"),
        (["--join", "seed:0"], '--join: "seed:0" is not an address with a port'),
        (["--token-file", "/nonexistent/token"], "/nonexistent/token: No such file or directory"),
        (["-c", "/nonexistent.toml"], "/nonexistent.toml: No such file or directory"),
        (["--state", ""], "Invalid value for '--state': it is empty"),
        (["--token-file", ""], "Invalid value for '--token-file': it is empty"),
        (["-c", ""], "Invalid value for '-c' / '--config': it is empty"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is_started(
    tmp_path: Path, args: list[str], text: str
) -> None:
    result = CliRunner().invoke(cli, ["up", "--state", str(tmp_path / "state"), *args])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"gossipmesh: {text}")
    assert not (tmp_path / "state").exists()


def test_a_token_may_come_from_standard_input(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["up", "--state", str(tmp_path / "state"), "--token", "-"], input=" \n")
    assert result.exit_code == 2
    assert "standard input holds no join token" in result.stderr


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--token", "gmt1.x", "--name", "n"], ["--token-file", "@", "--name", "n"]),
        (["--name", "n", "--token=gmt1.x"], ["--name", "n", "--token-file=@"]),
        (["--token", "--name"], ["--token-file", "@"]),
    ],
)
def test_a_token_on_the_command_line_is_taken_off_it(given: list[str], told: list[str]) -> None:
    """The same process begins again, and finds the token in memory that is nowhere in the file system."""
    begun: list[tuple[str, list[str]]] = []
    read: list[str] = []

    def execute(program: str, argv: list[str]) -> None:
        begun.append((program, argv))
        (place,) = {word.removeprefix("--token-file=") for word in argv if HIDDEN in word}
        read.append(Path(place).read_text())
        assert os.get_inheritable(int(place.removeprefix(HIDDEN)))

    token = given[given.index("--token") + 1] if "--token" in given else "gmt1.x"
    hide_token(["python", "-m", "gossipmesh", "up", *given], token, "/usr/bin/python", execute)
    ((program, argv),) = begun
    assert (program, read) == ("/usr/bin/python", [token])
    assert [re.sub(rf"{HIDDEN}\d+", "@", word) for word in argv] == [
        "python",
        "-m",
        "gossipmesh",
        "up",
        *told,
    ]


def test_a_token_that_is_not_on_the_command_line_changes_nothing() -> None:
    def execute(program: str, argv: list[str]) -> None:
        pytest.fail("begun again")

    hide_token(["pytest", "-q"], "gmt1.x", "/usr/bin/python", execute)


def test_what_held_the_token_is_closed_once_it_was_read(tmp_path: Path) -> None:
    descriptor = os.memfd_create("token", 0)
    forget_hidden(Path(f"{HIDDEN}{descriptor}"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    forget_hidden(tmp_path / "token")
    forget_hidden(None)
