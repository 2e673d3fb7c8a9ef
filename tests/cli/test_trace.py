"""``gossipmesh trace``: the recording of a daemon in a file that only its owner reads, and nothing overwritten."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from adminlab import asking
from gossipmesh.cli.main import cli
from gossipmesh.errors import MeshError

TRACE = b"gossipmesh trace 1\n\xff\0"


class Node:
    """A node with a recording, or without."""

    def __init__(self, *, recorded: bool = True) -> None:
        self.recorded = recorded

    def trace(self) -> bytes:
        if not self.recorded:
            raise MeshError("trace.none", "there is no recording: the mesh is too large")
        return TRACE


@asynccontextmanager
async def daemon(state: Path, node: Node) -> AsyncIterator[Callable[..., Awaitable[Result]]]:
    async with asking(node, state, "trace") as ask:
        yield ask


async def test_a_trace_goes_into_a_new_private_file(tmp_path: Path) -> None:
    async with daemon(tmp_path, Node()) as ask:
        result = await ask(str(tmp_path / "trace"))
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "trace").read_bytes() == TRACE
    assert (tmp_path / "trace").stat().st_mode & 0o777 == 0o600


async def test_a_trace_goes_to_standard_output(tmp_path: Path) -> None:
    async with daemon(tmp_path, Node()) as ask:
        result = await ask("-")
    assert (result.exit_code, result.stdout_bytes) == (0, TRACE)


async def test_a_file_that_is_there_is_replaced_with_force_only(tmp_path: Path) -> None:
    there = tmp_path / "trace"
    there.write_bytes(b"precious")
    there.chmod(0o644)
    async with daemon(tmp_path, Node()) as ask:
        refused = await ask(str(there))
        kept = there.read_bytes()
        replaced = await ask(str(there), "--force")
    assert refused.exit_code == 2
    assert f"{there} is there already; name another file, or give --force" in refused.stderr
    assert kept == b"precious"
    assert replaced.exit_code == 0
    assert there.read_bytes() == TRACE
    assert there.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["trace"]


async def test_a_link_is_not_followed_to_another_file(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "trace").symlink_to(tmp_path / "precious")
    async with daemon(tmp_path, Node()) as ask:
        assert (await ask(str(tmp_path / "trace"))).exit_code == 2
        assert (await ask(str(tmp_path / "trace"), "--force")).exit_code == 0
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "trace").is_symlink()


async def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    async with daemon(tmp_path, Node()) as ask:
        result = await ask(str(tmp_path / "gone" / "trace"))
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "cannot be written: No such file or directory" in result.stderr


async def test_a_daemon_without_a_recording_says_why(tmp_path: Path) -> None:
    async with daemon(tmp_path, Node(recorded=False)) as ask:
        result = await ask(str(tmp_path / "trace"))
    assert (result.exit_code, result.stderr) == (
        1,
        "gossipmesh: there is no recording: the mesh is too large\n",
    )
    assert not (tmp_path / "trace").exists()


def test_without_a_daemon_there_is_nothing_to_save(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["trace", str(tmp_path / "trace"), "--state", str(tmp_path)])
    assert result.exit_code == 3
    assert not (tmp_path / "trace").exists()
