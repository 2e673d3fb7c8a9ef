"""A node that the admin API's listeners serve, and what asks them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import cast

import trio
from click.testing import CliRunner, Result

from gossipmesh.cli.main import cli
from gossipmesh.daemon.admin.bugs import Bugs
from gossipmesh.daemon.admin.changes import Picture
from gossipmesh.daemon.admin.check_view import Checked
from gossipmesh.daemon.admin.identities import Identities, Revocations
from gossipmesh.daemon.admin.news import News
from gossipmesh.daemon.admin.server import (
    serve_tcp,
    serve_unix,
)
from gossipmesh.daemon.admin.view import Endpoints, Members, NodeView, Readiness, Services, Status
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.errors import MeshError
from gossipmesh.model import Address

NOTHING = Picture({}, {}, "", lambda _: None, lambda _: {})


class Node:
    """A node that knows itself and one service, and has not left yet."""

    def __init__(self, *, waits_for: str = "") -> None:
        self.readiness = Readiness(not waits_for, waits_for)
        self.drained = self.left = False
        self.recorded = True
        self.offered: list[tuple[str, bytes]] = []
        self.news = News(lambda: NOTHING, first=1, rng=Random(1))

    async def offer(self, kind: str, raw: bytes) -> str:
        await trio.lowlevel.checkpoint()
        self.offered.append((kind, raw))
        return "taken" if raw == b"good" else "refused: version 3 is older"

    def revocations(self) -> Revocations:
        return {"revocations": []}

    def identities(self) -> Identities:
        return {"identities": []}

    def status(self) -> Status:
        return {
            "name": "web-1",
            "id": "ab" * 32,
            "mesh": "cd" * 32,
            "version": "0.1.0",
            "uptime_s": 1.5,
            "listen": {"mesh": "0.0.0.0:7946", "proxy": None, "admin": None, "dns": None, "gateways": []},
            "address": "10.0.0.1:7946",
            "members": {"alive": 1, "suspect": 0, "dead": 0, "left": 0},
            "agreement": 1.0,
            "awareness": 0,
            "policy_version": 0,
            "services": [],
            "chain_expires_at": 1_900_000_000,
            "bundle": 0,
            "roots": [],
            "clones": [],
        }

    def members(self) -> Members:
        return {"members": []}

    def services(self) -> Services:
        return {"services": [{"name": "hello", "endpoints": 1, "healthy": 1}]}

    def endpoints(self, name: str) -> Endpoints | None:
        return {"service": "hello", "endpoints": []} if name == "hello" else None

    def check(self) -> Checked:
        return {"ok": True, "version": "0.1.0", "node": "web-1", "id": "ab" * 32, "checks": []}

    def config(self) -> Mapping[str, object]:
        return {"node.name": {"value": "web-1", "origin": "default"}}

    def ready(self) -> Readiness:
        return self.readiness

    def metrics_text(self) -> bytes:
        return Metrics().text()

    def trace(self) -> bytes:
        if not self.recorded:
            raise MeshError("trace.none", "there is no recording: nothing was recorded yet")
        return b"gossipmesh trace"

    async def drain(self) -> None:
        await trio.lowlevel.checkpoint()
        self.drained = True

    async def leave(self) -> None:
        await trio.lowlevel.checkpoint()
        self.left = True


@asynccontextmanager
async def over_tcp(node: Node, bugs: Bugs | None = None) -> AsyncIterator[Address]:
    """Serve ``node``; a bug fails the test that meets it, if it has no ``bugs`` of its own."""
    found = Bugs() if bugs is None else bugs
    async with trio.open_nursery() as nursery:
        yield await nursery.start(partial(serve_tcp, node, Address("127.0.0.1", 0), found))
        nursery.cancel_scope.cancel()
    assert bugs is not None or not found.count


@asynccontextmanager
async def over_unix(node: Node, path: Path) -> AsyncIterator[None]:
    bugs = Bugs()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_unix, node, path, bugs))
        yield
        nursery.cancel_scope.cancel()
    assert not bugs.count


async def said(stream: trio.SocketStream, raw: bytes) -> bytes:
    """Send ``raw`` and give everything that comes until the end."""
    async with stream:
        await stream.send_all(raw)
        return b"".join([part async for part in stream])


def get(path: str, host: str, *, method: str = "GET", more: str = "Connection: close\r\n") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


async def asked(address: Address, raw: bytes) -> tuple[int, bytes]:
    """Ask once over TCP; give the status and body."""
    answer = await said(await trio.open_tcp_stream(address.host, address.port), raw)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@asynccontextmanager
async def asking(node: object, state: Path, *command: str) -> AsyncIterator[Callable[..., Awaitable[Result]]]:
    """Serve a node of any kind at a state directory's socket; give what runs a command there with more arguments."""

    async def ask(*args: str) -> Result:
        return await trio.to_thread.run_sync(
            CliRunner().invoke, cli, [*command, *args, "--state", str(state)]
        )

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_unix, cast("NodeView", node), state / "admin.sock"))
        yield ask
        nursery.cancel_scope.cancel()
