"""Listeners for local apps, in a mesh where nobody offers anything."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from gossipmesh.identity.credentials import Peer
from gossipmesh.model import Address, NodeId
from gossipmesh.proxy.access import Direction, RequestReport
from gossipmesh.proxy.exchange import OutboundPorts
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.outbound import Outbound
from gossipmesh.routing.balancer import RoundRobin
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.transport.pool import ChannelPool
from gossipmesh.transport.secure_stream import ChannelIdentity

LOCAL = NodeId(b"w" * 32)
ANY_PORT = Address("127.0.0.1", 0)
GET = b"GET /secret?password=1 HTTP/1.1\r\nHost: nobody\r\n\r\n"


def nobody(*_: object) -> Peer:
    raise AssertionError("there is nobody to shake hands with")


def outbound(reports: list[RequestReport] | None = None, **limits: float) -> Outbound:
    identity = ChannelIdentity(bytes(32), lambda: b"", nobody, lambda: bytes(32), os.urandom)
    return Outbound(
        OutboundPorts(
            node="web-1",
            source_service="web",
            snapshot=lambda: Snapshot(LOCAL),
            pool=ChannelPool(identity, lambda node: None, connect_timeout_s=1.0),
            balancer=RoundRobin(LOCAL),
            report=lambda node, outcome: None,
            observe=[].append if reports is None else reports.append,
            entropy=os.urandom,
            limits=ProxyLimits(**limits),  # type: ignore[arg-type]
        )
    )


@asynccontextmanager
async def connected(
    reports: list[RequestReport] | None = None, **limits: float
) -> AsyncIterator[trio.SocketStream]:
    async with trio.open_nursery() as nursery:
        address = await nursery.start(outbound(reports, **limits).serve, ANY_PORT)
        async with await trio.open_tcp_stream(address.host, address.port) as stream:
            yield stream
        nursery.cancel_scope.cancel()


async def read_all(stream: trio.SocketStream) -> bytes:
    received = b""
    async for data in stream:
        received += data
    return received


async def test_a_listener_says_where_it_listens() -> None:
    async with trio.open_nursery() as nursery:
        address = await nursery.start(outbound().serve, ANY_PORT)
        assert address.host == "127.0.0.1"
        assert address.port > 0
        nursery.cancel_scope.cancel()


async def test_an_address_that_is_taken_cannot_be_bound() -> None:
    async with trio.open_nursery() as nursery:
        address = await nursery.start(outbound().serve, ANY_PORT)
        with pytest.raises(OSError, match="in use"):
            await outbound().serve(address)
        nursery.cancel_scope.cancel()


async def test_a_request_that_is_refused_leaves_its_connection_usable() -> None:
    reports: list[RequestReport] = []
    async with connected(reports) as stream:
        await stream.send_all(GET + GET + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await read_all(stream)).count(b"HTTP/1.1 404 Not Found\r\n") == 3
    assert len(reports) == 3
    report = reports[0]
    assert (report.direction, report.source, report.service) == (Direction.OUTBOUND, "web", "nobody")
    assert (report.method, report.path, report.code, report.flag) == ("GET", "/secret", 404, "NR")
    assert len(report.request_id) == len(report.trace_id) == 32
    assert report.attempts == 0


async def test_a_refused_request_whose_body_was_not_read_ends_its_connection() -> None:
    async with connected() as stream:
        await stream.send_all(
            b"POST / HTTP/1.1\r\nHost: nobody\r\nContent-Length: %d\r\n\r\n" % len(GET) + GET
        )
        await stream.send_eof()
        answer = await read_all(stream)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in answer


async def test_what_hides_behind_a_request_in_doubt_is_never_read_as_one() -> None:
    reports: list[RequestReport] = []
    async with connected(reports) as stream:
        await stream.send_all(
            b"POST / HTTP/1.1\r\nHost: nobody\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            + GET
        )
        await stream.send_eof()
        answer = await read_all(stream)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert [(report.flag, report.code, report.service, report.request_id) for report in reports] == [
        ("DPE", 400, "", "")
    ]


async def test_an_idle_connection_is_closed_in_silence(autojump_clock: MockClock) -> None:
    reports: list[RequestReport] = []
    async with connected(reports, keep_alive_s=60.0) as stream:
        assert await stream.receive_some() == b""
        assert trio.current_time() >= 60.0
    assert reports == []


async def test_a_connection_that_comes_to_nothing_is_no_request() -> None:
    reports: list[RequestReport] = []
    async with connected(reports) as stream:
        await stream.send_all(b"GET / HT")
        await stream.send_eof()
        assert await read_all(stream) == b""
    assert reports == []
