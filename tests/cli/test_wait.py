from __future__ import annotations

from functools import partial
from pathlib import Path

import trio
from click.testing import CliRunner, Result

from gossipmesh.cli.main import cli
from gossipmesh.daemon.admin import serve_unix
from gossipmesh.daemon.view import Readiness, Services


class Node:
    """A node that becomes ready after it was asked ``after`` times."""

    def __init__(self, *, after: int = 0, healthy: int = 1) -> None:
        self.after = after
        self.healthy = healthy

    def ready(self) -> Readiness:
        self.after -= 1
        return Readiness(self.after < 0, "" if self.after < 0 else "no seed answered yet")

    def services(self) -> Services:
        return {"services": [{"name": "hello", "endpoints": 1, "healthy": self.healthy}]}


def run(state: Path, *args: str) -> Result:
    return CliRunner().invoke(cli, ["wait", "--state", str(state), *args])


async def waited(node: Node, state: Path, *args: str) -> Result:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_unix, node, state / "admin.sock"))
        result = await trio.to_thread.run_sync(run, state, *args)
        nursery.cancel_scope.cancel()
    return result


async def test_it_ends_as_soon_as_node_and_service_are_ready(tmp_path: Path) -> None:
    node = Node(after=2)
    result = await waited(node, tmp_path, "--service", "hello")
    assert (result.exit_code, result.output) == (0, "")
    assert node.after == -1


async def test_when_the_time_is_over_it_says_what_is_missing(tmp_path: Path) -> None:
    result = await waited(Node(after=1_000), tmp_path, "--timeout", "1ms")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "gossipmesh: not ready after 1ms: no seed answered yet\n"


async def test_a_service_nobody_offers_and_one_that_nobody_can_reach_are_told_apart(tmp_path: Path) -> None:
    args = ("--timeout", "1ms", "--service")
    assert "nobody offers other" in (await waited(Node(), tmp_path, *args, "other")).stderr
    assert (
        "no endpoint of hello is healthy" in (await waited(Node(healthy=0), tmp_path, *args, "hello")).stderr
    )


async def test_a_daemon_that_starts_later_is_waited_for(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        result: list[Result] = []

        async def wait() -> None:
            result.append(await trio.to_thread.run_sync(run, tmp_path))
            nursery.cancel_scope.cancel()

        nursery.start_soon(wait)
        await nursery.start(partial(serve_unix, Node(), tmp_path / "admin.sock"))
    assert result[0].exit_code == 0


def test_no_daemon_at_all_is_another_answer_than_not_ready(tmp_path: Path) -> None:
    assert run(tmp_path, "--timeout", "1ms").exit_code == 3


def test_a_service_that_can_have_no_such_name_is_wrong_usage(tmp_path: Path) -> None:
    assert run(tmp_path, "--service", "Hello").exit_code == 2
