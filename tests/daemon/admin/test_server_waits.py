"""The admin API for those who register, wait and follow: over real sockets."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from gossipmesh.daemon.admin.bugs import Bugs
from gossipmesh.daemon.admin.changes import MAX_EVENTS, Picture
from gossipmesh.daemon.admin.event_stream import KEEP_ALIVE, KEEP_ALIVE_S
from gossipmesh.daemon.admin.news import News
from gossipmesh.daemon.admin.places import MAX_CONNECTIONS, MAX_WAITING
from gossipmesh.daemon.admin.receiving import MAX_BODY
from gossipmesh.daemon.admin.server import WRITE_TIMEOUT_S, serve_tcp, serve_unix
from gossipmesh.daemon.admin.view import Services
from gossipmesh.errors import MeshError
from gossipmesh.model import Address


class Node:
    """A node whose services tests change, and that notes what is registered."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {"hello": 1}
        self.news = News(self._picture, first=10, rng=Random(1))
        self.added: list[tuple[str, Mapping[str, object]]] = []
        self.book = self

    def _picture(self) -> Picture:
        return Picture({}, dict(self.known), "", lambda _: None, self._entry)

    def _entry(self, name: str) -> dict[str, object]:
        return {"name": name, "healthy": self.known.get(name, 0)}

    def change(self, **services: int) -> None:
        self.known |= services
        self.news.touch()

    def services(self) -> Services:
        return {"services": [{"name": n, "endpoints": 1, "healthy": each} for n, each in self.known.items()]}

    def listing(self) -> dict[str, Any]:
        return {"services": [{"name": name, **fields} for name, fields in self.added], "speaker": ""}

    async def add(self, name: str, fields: Mapping[str, object], *, ttl_s: float) -> None:
        if name == "forbidden":
            raise MeshError("service.not-allowed", "this node's token does not allow the service forbidden")
        self.added.append((name, fields))


@asynccontextmanager
async def running(node: Node, path: Path) -> AsyncIterator[Address]:
    bugs = Bugs()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.news.run)
        await nursery.start(partial(serve_unix, node, path / "admin.sock", bugs))
        yield await nursery.start(partial(serve_tcp, node, Address("127.0.0.1", 0), bugs))
        nursery.cancel_scope.cancel()
    assert not bugs.count


class Client:
    """One connection to the read-only port."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._held = b""

    async def ask(self, target: str, *headers: str, method: str = "GET") -> None:
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers, "", ""]
        await self.stream.send_all("\r\n".join(lines).encode())

    async def until(self, end: bytes) -> bytes:
        """Give what comes up to ``end``, and that; what is behind it is kept."""
        while end not in self._held:
            data = await self.stream.receive_some()
            assert data, self._held
            self._held += data
        found, _, self._held = self._held.partition(end)
        return found + end

    async def answer(self) -> tuple[int, int, Any]:
        """Give status, index and document of an answer."""
        head = (await self.until(b"\r\n\r\n")).decode().lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in head[1:] if line)
        while len(self._held) < int(fields["content-length"]):
            self._held += await self.stream.receive_some()
        body, self._held = self._held[: int(fields["content-length"])], b""
        return int(head[0].split()[1]), int(fields.get("x-gossipmesh-index", 0)), json.loads(body)


@asynccontextmanager
async def client_of(address: Address) -> AsyncIterator[Client]:
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        yield Client(stream)


async def test_a_blocking_query_is_answered_by_the_change(tmp_path: Path) -> None:
    node = Node()
    async with running(node, tmp_path) as address, client_of(address) as client:
        await client.ask("/v1/services")
        assert (await client.answer())[:2] == (200, 10)
        await client.ask("/v1/services?index=10&wait=10m")
        await wait_all_tasks_blocked()
        node.change(hello=0)
        status, index, document = await client.answer()
        assert (status, index, document["services"][0]["healthy"]) == (200, 11, 0)
        # An index of another life of the daemon.
        await client.ask("/v1/services?index=99999&wait=10m")
        assert (await client.answer())[1] == 11


async def test_a_wait_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    async with running(Node(), tmp_path) as address, client_of(address) as client:
        for query in ("index=x", "index=1&wait=30"):
            await client.ask(f"/v1/services?{query}")
            assert (await client.answer())[0] == 400
        await client.ask("/v1/events?types=x")
        assert (await client.answer())[0] == 400


async def test_whoever_waits_keeps_nobody_out_and_frees_its_place_when_it_goes(tmp_path: Path) -> None:
    node = Node()
    async with running(node, tmp_path) as address, AsyncExitStack() as held:
        waiting = []
        for _ in range(MAX_WAITING):
            waiting.append(await held.enter_async_context(client_of(address)))
            await waiting[-1].ask("/v1/services?index=10&wait=10m")
        await wait_all_tasks_blocked()
        async with client_of(address) as other:
            await other.ask("/v1/services?index=10&wait=10m")
            assert (await other.answer())[0] == 429
            await other.ask("/v1/services")
            assert (await other.answer())[0] == 200
        # Idle ones fill the rest, and still there is room for a question.
        idle = []
        for _ in range(MAX_CONNECTIONS - MAX_WAITING):
            idle.append(await held.enter_async_context(client_of(address)))
            await idle[-1].ask("/healthz")
        async with client_of(address) as other:
            await other.ask("/v1/services")
            assert (await other.answer())[0] == 200
        await waiting[0].stream.aclose()
        await wait_all_tasks_blocked()
        async with client_of(address) as other:
            await other.ask("/v1/services?index=10&wait=10m")
            await wait_all_tasks_blocked()
            node.change(hello=0)
            assert (await other.answer())[:2] == (200, 11)


@pytest.mark.parametrize("target", ["/v1/services?index=10&wait=10m", "/v1/events"])
async def test_whoever_asked_for_more_before_it_went_frees_its_place_too(tmp_path: Path, target: str) -> None:
    async with running(Node(), tmp_path) as address:
        for _ in range(2 * MAX_WAITING):
            async with client_of(address) as client:
                await client.ask(target)
                await wait_all_tasks_blocked()
                await client.ask("/healthz")
                await wait_all_tasks_blocked()
            await wait_all_tasks_blocked()
        async with client_of(address) as client:
            await client.ask("/v1/services?index=10&wait=1ms")
            assert (await client.answer())[0] == 200


async def test_whoever_sends_without_end_while_it_waits_is_hung_up_on(tmp_path: Path) -> None:
    async with running(Node(), tmp_path) as address, client_of(address) as client:
        await client.ask("/v1/services?index=10&wait=10m")
        with pytest.raises(trio.BrokenResourceError):
            while True:
                await client.ask("/healthz")


async def test_a_next_request_may_already_be_there_while_one_waits(tmp_path: Path) -> None:
    node = Node()
    async with running(node, tmp_path) as address, client_of(address) as client:
        await client.ask("/v1/services?index=10&wait=10m")
        await client.ask("/v1/services?index=0")
        await wait_all_tasks_blocked()
        node.change(hello=0)
        head = b"HTTP/1.1 200"
        await client.until(head)
        await client.until(head)


async def test_changes_are_followed_and_found_again_after_a_break(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    node = Node()
    async with running(node, tmp_path) as address:
        async with client_of(address) as client:
            await client.ask("/v1/events?types=services")
            head = await client.until(b"\r\n\r\n")
            assert b"content-type: text/event-stream\r\n" in head
            assert b'id: 10\nevent: reset\ndata: {"index": 10}\n\n' in await client.until(b"}\n\n")
            node.change(hello=0)
            event = await client.until(b"}\n\n")
            assert b'id: 11\nevent: services\ndata: {"name": "hello", "healthy": 0}\n\n' in event
            began = trio.current_time()
            await client.until(KEEP_ALIVE)
            assert trio.current_time() - began == pytest.approx(KEEP_ALIVE_S, abs=1)
        node.change(world=1)
        async with client_of(address) as client:
            await client.ask("/v1/events?types=services", "Last-Event-ID: 11")
            assert b"id: 12\nevent: services" in await client.until(b"}\n\n")
        for number in range(MAX_EVENTS + 1):
            node.change(world=number)
            assert node.news.last
        async with client_of(address) as client:
            await client.ask("/v1/events?types=services", "Last-Event-ID: 11")
            assert b"event: reset" in await client.until(b"}\n\n")


@pytest.mark.parametrize("more", [b"", b"\n"])
async def test_a_follower_that_breaks_off_in_the_middle_ends_nothing_but_its_stream(
    tmp_path: Path, more: bytes
) -> None:
    node = Node()
    async with running(node, tmp_path) as address:
        for _ in range(MAX_WAITING + 1):
            client = Client(await trio.open_tcp_stream(address.host, address.port))
            await client.ask("/v1/events?types=services")
            await client.until(b"}\n\n")
            await client.stream.send_all(more)
            await wait_all_tasks_blocked()
            node.change(hello=node.known["hello"] + 1)
            # Without waiting for what is still to come: its end is a reset.
            client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await client.stream.aclose()
            await wait_all_tasks_blocked()
            node.change(hello=node.known["hello"] + 1)
            await wait_all_tasks_blocked()
        async with client_of(address) as client:
            await client.ask("/v1/services?index=0")
            assert (await client.answer())[0] == 200


async def test_a_follower_that_reads_nothing_is_let_go_of(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    node = Node()
    async with running(node, tmp_path) as address, client_of(address) as client:
        await client.ask("/v1/events")
        await client.until(b"}\n\n")
        long = "x" * 60
        for number in range(200):
            # More than the buffers of both ends hold.
            node.known = {f"{long}{number}-{each}": 1 for each in range(500)}
            node.news.touch()
            await trio.sleep(0.1)
        await trio.sleep(WRITE_TIMEOUT_S + 1)
        with pytest.raises((trio.BrokenResourceError, AssertionError)):
            while True:
                await client.until(b"\n\n")


async def changed(path: Path, method: str, name: str, body: bytes, *more: str) -> tuple[int, Any]:
    head = [f"{method} /v1/own-services/{name} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *more]
    async with await trio.open_unix_socket(path / "admin.sock") as stream:
        client = Client(stream)
        await stream.send_all("\r\n".join([*head, "", ""]).encode())
        if more:
            assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        await stream.send_all(body)
        status, _, document = await client.answer()
        return status, document


async def test_services_are_registered_at_the_socket_with_a_body_of_bounded_size(tmp_path: Path) -> None:
    node = Node()
    async with running(node, tmp_path) as address:
        assert await changed(tmp_path, "PUT", "web", b'{"port": 80}') == (200, {"name": "web", "port": 80})
        status, _ = await changed(tmp_path, "PUT", "web", b'{"port": 81}', "Expect: 100-continue")
        assert (status, node.added[-1]) == (200, ("web", {"port": 81}))
        status, document = await changed(tmp_path, "PUT", "forbidden", b'{"port": 80}')
        assert (status, document["error"]) == (
            403,
            "this node's token does not allow the service forbidden",
        )
        large = b'{"port": 80}' + b" " * MAX_BODY
        assert (await changed(tmp_path, "PUT", "web", large))[0] == 413
        assert (await changed(tmp_path, "DELETE", "web", b"{}"))[0] == 413
        async with client_of(address) as client:
            await client.ask("/v1/own-services/web", method="DELETE")
            assert (await client.answer())[0] == 405
        async with client_of(address) as client:
            await client.ask("/v1/own-services")
            assert len((await client.answer())[2]["services"]) == 2
