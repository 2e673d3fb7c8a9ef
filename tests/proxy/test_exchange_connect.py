"""CONNECT through two daemons' proxies, with raw sockets at both ends: to tcp services, and to nothing else."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import trio

from gossipmesh.model import Address, NodeId, Protocol, Service

GET = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"


async def read_all(stream: trio.SocketStream) -> bytes:
    received = b""
    async for data in stream:
        received += data
    return received


async def open_tunnel(lab: ModuleType, daemon: Any, head: bytes) -> tuple[trio.SocketStream, bytes]:
    """Send a request and give the connection, and the head of the answer."""
    stream: trio.SocketStream = await lab.connect(daemon)
    await stream.send_all(head)
    return stream, await read_head(stream)


async def read_head(stream: trio.SocketStream) -> bytes:
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        data = await stream.receive_some(1)
        assert data, f"closed after {received!r}"
        received += data
    return received


async def shouting(stream: trio.SocketStream) -> None:
    """Give back what comes in capitals, and close when the other end has."""
    async for data in stream:
        await stream.send_all(data.upper())
    await stream.send_eof()


async def closing_last(stream: trio.SocketStream) -> None:
    """Say something, say no more, and count what still comes."""
    await stream.send_all(b"bye")
    await stream.send_eof()
    assert await read_all(stream) == b"and thanks"


@asynccontextmanager
async def tcp_pair(lab: ModuleType, handler: Any) -> AsyncIterator[tuple[Any, Any, int]]:
    """Give a caller's daemon, that of the tcp service db, and db's port."""
    async with lab.mesh() as members:
        port = await members.app(handler)
        db = await members.daemon("db-1", {"hello": port}, tcp={"db": port})
        yield await members.daemon("web-1", {"web": port}, speaks_as="web"), db, port


def connect_to(port: int, name: bytes = b"db") -> bytes:
    return b"CONNECT %b:%d HTTP/1.1\r\nHost: %b:%d\r\n\r\n" % (name, port, name, port)


@pytest.mark.parametrize("name", [b"db", b"db.mesh", b"DB.mesh."])
async def test_connect_leads_to_a_tcp_service(lab: ModuleType, name: bytes) -> None:
    async with tcp_pair(lab, shouting) as (web, db, port):
        stream, head = await open_tunnel(lab, web, connect_to(port, name) + b"early")
        async with stream:
            assert head == b"HTTP/1.1 200 OK\r\nVia: 1.1 web-1\r\n\r\n"
            assert await lab.read_until(stream, b"EARLY") == b"EARLY"
            await stream.send_all(b"late")
            await lab.read_until(stream, b"LATE")
            await stream.send_eof()
            assert await read_all(stream) == b""
        await lab.until(lambda: web.reports and db.reports)
    for report, endpoint in ((web.report, "db-1"), (db.report, "web-1")):
        assert (report.source, report.service, report.method, report.path) == ("web", "db", "CONNECT", "")
        assert (report.code, report.flag, report.endpoint, report.attempts) == (200, "", endpoint, 1)
        assert (report.bytes_in, report.bytes_out) == (9, 9)


async def test_who_speaks_first_behind_a_connect_may_be_the_service(lab: ModuleType) -> None:
    async with tcp_pair(lab, closing_last) as (web, _, port):
        stream, _head = await open_tunnel(lab, web, connect_to(port))
        async with stream:
            assert await read_all(stream) == b"bye"
            await stream.send_all(b"and thanks")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"CONNECT hello:%d HTTP/1.1\r\nHost: hello\r\n\r\n", (405, "AZ")),
        (b"CONNECT db:1 HTTP/1.1\r\nHost: db\r\nX: %d\r\n\r\n", (405, "AZ")),
        (b"CONNECT nobody:%d HTTP/1.1\r\nHost: nobody\r\n\r\n", (404, "NR")),
        (b"CONNECT www.example.com:%d HTTP/1.1\r\nHost: www.example.com\r\n\r\n", (403, "NR")),
        (b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: db\r\n\r\n", (403, "NR")),
        (b"CONNECT db HTTP/1.1\r\nHost: db\r\nX: %d\r\n\r\n", (400, "DPE")),
        (b"CONNECT http://db:%d/ HTTP/1.1\r\nHost: db\r\n\r\n", (400, "DPE")),
        (b"CONNECT db:%d HTTP/1.1\r\nHost: db\r\nContent-Length: 5\r\n\r\nhello", (400, "DPE")),
        (b"CONNECT db:%d HTTP/1.1\r\nHost: db\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400, "DPE")),
        (b"GET http://db:%d/ HTTP/1.1\r\nHost: db\r\nConnection: close\r\n\r\n", (403, "AZ")),
        (b"CONNECT db:%d HTTP/1.1\r\nHost: db\r\nVia: " + b"1.1 web-1, " * 8 + b"\r\n\r\n", (508, "LP")),
    ],
)
async def test_connect_leads_nowhere_else(lab: ModuleType, head: bytes, expected: tuple[int, str]) -> None:
    async with tcp_pair(lab, lab.refusing) as (web, _, port):
        # Behind a CONNECT that is refused nothing is read as a request.
        received = await lab.ask(web, head % port + GET)
        assert lab.flag_of(received) == expected
        assert received.count(b"HTTP/1.1 ") == 1
        assert (web.report.code, web.report.flag) == expected


async def test_connect_on_the_port_of_a_service_is_refused(lab: ModuleType) -> None:
    async with lab.pair(lab.refusing) as (web, _), trio.open_nursery() as nursery:
        web.proxy = await nursery.start(partial(web.outbound.serve, service="hello"), Address("127.0.0.1", 0))
        assert lab.flag_of(await lab.ask(web, connect_to(80, b"hello"))) == (405, "AZ")
        nursery.cancel_scope.cancel()


async def test_the_far_daemon_refuses_connect_to_what_it_knows_to_speak_http(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        hello = await members.daemon("hello-1", {"hello": await members.app(lab.refusing)})
        members.endpoints.clear()
        members.offer(Service("hello", 80, Protocol.TCP), "hello-1", hello.id, hello.mesh)
        web = await members.daemon("web-1")
        assert lab.flag_of(await lab.ask(web, connect_to(80, b"hello") + GET)) == (405, "AZ")
        assert [web.report.flag, hello.report.flag] == ["AZ", "AZ"]


async def test_a_denied_connect_reaches_no_app(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        port = await members.app(lab.refusing)
        await members.daemon("db-1", tcp={"db": port}, allow=False)
        web = await members.daemon("web-1")
        assert lab.flag_of(await lab.ask(web, connect_to(port) + b"hello")) == (403, "AZ")


async def test_where_an_endpoint_does_not_listen_connect_leads_to_the_next(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        port = await members.app(shouting)
        # The endpoints of one service may declare different ports; only those that fit are asked.
        await members.daemon("db-0", tcp={"db": await members.app(lab.refusing)})
        ghost = NodeId(os.urandom(32))
        members.offer(
            Service("db", port, Protocol.TCP), "db-1", ghost, Address("127.0.0.1", await lab.unused_port())
        )
        await members.daemon("db-2", tcp={"db": port})
        web = await members.daemon("web-1")
        stream, head = await open_tunnel(lab, web, connect_to(port) + b"hello")
        async with stream:
            assert head.startswith(b"HTTP/1.1 200 ")
            await lab.read_until(stream, b"HELLO")
        await lab.until(lambda: web.reports)
        assert (web.report.attempts, web.report.endpoint, web.report.retried) == (2, "db-2", ("UF",))


async def test_a_service_that_does_not_listen_is_said_to_whoever_connects(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        port = await lab.unused_port()
        await members.daemon("db-1", tcp={"db": port})
        web = await members.daemon("web-1")
        assert lab.flag_of(await lab.ask(web, connect_to(port))) == (503, "UF")


async def test_a_daemon_that_stops_breaks_its_tunnels(lab: ModuleType) -> None:
    async with tcp_pair(lab, shouting) as (web, _, port):
        async with trio.open_nursery() as nursery:
            web.proxy = await nursery.start(web.outbound.serve, Address("127.0.0.1", 0))
            stream, _head = await open_tunnel(lab, web, connect_to(port))
            nursery.cancel_scope.cancel()
        async with stream:
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
        assert (web.report.flag, web.outbound.in_flight, web.outbound.connections) == ("DR", 0, 0)
