from __future__ import annotations

import socket
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio

from gossipmesh.cli.client import AdminClient
from gossipmesh.daemon.admin.changes import Picture
from gossipmesh.daemon.admin.news import News
from gossipmesh.daemon.admin.server import serve_unix
from gossipmesh.errors import MeshError, StateError, UnreachableError


class Node:
    """As much of a node as a client needs to see."""

    def __init__(self) -> None:
        self.left = False
        self.news = News(lambda: Picture({}, {}, "", lambda _: None, lambda _: {}), first=1, rng=Random(1))

    def status(self) -> dict[str, object]:
        return {"name": "web-1"}

    def endpoints(self, name: str) -> None:
        return None

    async def leave(self) -> None:
        self.left = True


async def test_a_daemon_is_asked_and_told_over_its_socket(tmp_path: Path) -> None:
    node = Node()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_unix, node, tmp_path / "admin.sock"))
        client = AdminClient(tmp_path)
        in_thread = trio.to_thread.run_sync
        assert await in_thread(client.document, "/v1/status") == {"name": "web-1"}
        assert await in_thread(client.get, "/healthz") == (200, b"alive\n")
        with pytest.raises(MeshError, match="nobody in the mesh offers"):
            await in_thread(client.document, "/v1/services/hello")
        with pytest.raises(MeshError, match="gave no JSON"):
            await in_thread(client.document, "/healthz")
        # What another release's daemon does not have is for people to read, not a traceback.
        with pytest.raises(MeshError, match="of another release than this command, and does not say 'chain'"):
            _ = (await in_thread(client.document, "/v1/status"))["chain"]
        with pytest.raises(MeshError, match="of another release than this command, and cannot tell this"):
            await in_thread(client.document, "/v1/not-invented-yet")
        with pytest.raises(MeshError, match="of another release than this command, and cannot tell this"):
            await in_thread(partial(client.post, "/v1/not-invented-yet", timeout_s=5.0))
        assert await in_thread(partial(client.post, "/v1/leave", timeout_s=5.0)) == {"done": True}
        nursery.cancel_scope.cancel()
    assert node.left


def test_without_a_daemon_the_hint_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="start one with `gossipmesh up`, or name its --state DIR"):
        AdminClient(tmp_path).get("/healthz")


def test_a_socket_that_a_killed_daemon_left_is_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "admin.sock"))
    with pytest.raises(UnreachableError, match="no daemon answers"):
        AdminClient(tmp_path).get("/healthz")


def test_a_daemon_that_is_stopped_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(tmp_path / "admin.sock"))
        stopped.listen()
        with pytest.raises(UnreachableError, match=r"did not answer within 0\.05s"):
            AdminClient(tmp_path).post("/v1/leave", timeout_s=0.05)


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="use a shorter --state"):
        AdminClient(tmp_path / ("x" * 100))


def test_a_state_that_is_a_file_is_called_no_directory() -> None:
    with pytest.raises(UnreachableError, match="/etc/passwd is not a directory, so no state directory"):
        AdminClient(Path("/etc/passwd")).get("/healthz")
