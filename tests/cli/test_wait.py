from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import cast

import trio
from click.testing import CliRunner, Result

from gossipmesh.cli.main import cli
from gossipmesh.daemon.admin.changes import Picture
from gossipmesh.daemon.admin.news import News
from gossipmesh.daemon.admin.server import serve_unix
from gossipmesh.daemon.admin.view import Endpoints, Readiness


class Node:
    """A node that is not ready while it ``lacks`` something."""

    def __init__(self, *, lacks: str = "", healthy: int = 1) -> None:
        self.lacks = lacks
        self.healthy = healthy
        self.asked = trio.Event()
        self.questions = 0
        self.news = News(self._picture, first=1, rng=Random(1))

    def _picture(self) -> Picture:
        return Picture({}, {"hello": self.healthy}, self.lacks, lambda _: None, lambda _: {})

    def becomes(self, *, lacks: str = "", healthy: int = 1) -> None:
        self.lacks, self.healthy, self.asked = lacks, healthy, trio.Event()
        self.news.touch()

    def ready(self) -> Readiness:
        self._is_asked()
        return Readiness(not self.lacks, self.lacks)

    def endpoints(self, name: str) -> Endpoints | None:
        self._is_asked()
        if name != "hello":
            return None
        return cast("Endpoints", {"service": name, "endpoints": [{"healthy": bool(self.healthy)}]})

    def _is_asked(self) -> None:
        self.questions += 1
        self.asked.set()


def run(state: Path, *args: str) -> Result:
    return CliRunner().invoke(cli, ["wait", "--state", str(state), *args])


async def nothing(_: Node) -> None:
    await trio.lowlevel.checkpoint()


async def waited(
    node: Node, state: Path, *args: str, meanwhile: Callable[[Node], Awaitable[None]] = nothing
) -> Result:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_unix, node, state / "admin.sock"))
        nursery.start_soon(node.news.run)
        nursery.start_soon(meanwhile, node)
        result = await trio.to_thread.run_sync(run, state, *args)
        nursery.cancel_scope.cancel()
    return result


async def test_it_ends_as_soon_as_node_and_service_are_ready_and_asks_only_when_something_has_changed(
    tmp_path: Path,
) -> None:
    async def mend(node: Node) -> None:
        await node.asked.wait()
        node.becomes(healthy=0)
        await node.asked.wait()
        node.becomes(healthy=1)

    node = Node(lacks="no seed answered yet")
    result = await waited(node, tmp_path, "--service", "hello", meanwhile=mend)
    assert (result.exit_code, result.output) == (0, "")
    # Each change makes the answer that waited for it, and one more look at everything.
    assert node.questions <= 8


async def test_when_the_time_is_over_it_says_what_is_missing(tmp_path: Path) -> None:
    result = await waited(Node(lacks="no seed answered yet"), tmp_path, "--timeout", "1ms")
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
