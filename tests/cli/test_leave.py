from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner

from gossipmesh.cli.main import cli
from gossipmesh.daemon.admin.server import serve_unix


class Node:
    """A node that takes its time."""

    def __init__(self) -> None:
        self.drained = False
        self.left = trio.Event()

    async def drain(self) -> None:
        await trio.lowlevel.checkpoint()
        self.drained = True

    async def leave(self) -> None:
        await trio.lowlevel.checkpoint()
        self.left.set()


async def test_leaving_returns_when_the_node_has_left_even_if_it_ends_at_once(tmp_path: Path) -> None:
    node = Node()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_unix, node, tmp_path / "admin.sock"))

        async def end_when_left() -> None:
            await node.left.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(end_when_left)
        with trio.CancelScope(shield=True):
            result = await trio.to_thread.run_sync(
                CliRunner().invoke, cli, ["leave", "--state", str(tmp_path)]
            )
    assert node.left.is_set()
    assert (result.exit_code, result.output) == (0, "")


async def test_draining_returns_when_that_is_done_and_does_not_end_the_node(tmp_path: Path) -> None:
    node = Node()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_unix, node, tmp_path / "admin.sock"))
        result = await trio.to_thread.run_sync(CliRunner().invoke, cli, ["drain", "--state", str(tmp_path)])
        assert (result.exit_code, result.output) == (0, "")
        assert node.drained
        assert not node.left.is_set()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("command", ["drain", "leave"])
def test_without_a_daemon_there_is_nothing_to_leave(command: str, tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, [command, "--state", str(tmp_path)]).exit_code == 3
