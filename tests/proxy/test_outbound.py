"""Listeners for local apps, in a mesh where nobody offers anything."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from types import ModuleType

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from gossipmesh.identity.credentials import Peer
from gossipmesh.model import Address, NodeId
from gossipmesh.proxy.access import Direction, RequestReport, path_in, text_in
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.outbound import Outbound
from gossipmesh.proxy.ports import OutboundPorts
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.routing.upstreams import Upstreams
from gossipmesh.transport.pool import ChannelPool
from gossipmesh.transport.reactor import Reactor
from gossipmesh.transport.secure_stream import ChannelIdentity

LOCAL = NodeId(b"w" * 32)
ANY_PORT = Address("127.0.0.1", 0)
FRAGMENTS = [
    b"GET / HTTP/1.1\r\n",
    b"POST http://a/ HTTP/1.1\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n",
    b"PUT * HTTP/1.0\r\n",
    b"Host: a\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: upgrade\r\nUpgrade: x\r\n",
    b"\r\n",
    b"\n",
    b"abc",
    b"3\r\nabc\r\n",
    b"0\r\n",
    b"X: y\r\n",
    b" ",
    b"\0",
    b"\xff",
]
GET = b"GET /secret?password=1 HTTP/1.1\r\nHost: nobody\r\n\r\n"


def nobody(*_: object) -> Peer:
    raise AssertionError("there is nobody to shake hands with")


def outbound(
    reactor: Reactor, reports: list[RequestReport] | None = None, *, fast_lane: bool = True, **limits: float
) -> Outbound:
    identity = ChannelIdentity(bytes(32), lambda _: b"", nobody, lambda: bytes(32), os.urandom)
    return Outbound(
        OutboundPorts(
            node="web-1",
            source_service="web",
            snapshot=lambda: Snapshot(LOCAL),
            reactor=reactor,
            pool=ChannelPool(reactor, identity, lambda node: None, connect_timeout_s=1.0),
            upstreams=Upstreams({}, origin=LOCAL, key=b"", rng=Random(1)),
            report=lambda node, outcome: None,
            observe=[].append if reports is None else reports.append,
            entropy=os.urandom,
            limits=ProxyLimits(**limits),  # type: ignore[arg-type]
            fast_lane=fast_lane,
        )
    )


@asynccontextmanager
async def serving(
    lab: ModuleType, hops: ModuleType, reports: list[RequestReport] | None = None, **limits: float
) -> AsyncIterator[tuple[Outbound, Address]]:
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        proxy = outbound(reactor, reports, fast_lane=lab.FAST_LANE, **limits)
        yield proxy, await nursery.start(proxy.serve, ANY_PORT)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def connected(
    lab: ModuleType, hops: ModuleType, reports: list[RequestReport] | None = None, **limits: float
) -> AsyncIterator[trio.SocketStream]:
    async with (
        serving(lab, hops, reports, **limits) as (_, address),
        await trio.open_tcp_stream(address.host, address.port) as stream,
    ):
        yield stream


async def read_all(stream: trio.SocketStream) -> bytes:
    received = b""
    async for data in stream:
        received += data
    return received


async def test_a_listener_says_where_it_listens(lab: ModuleType, hops: ModuleType) -> None:
    async with serving(lab, hops) as (_, address):
        assert address.host == "127.0.0.1"
        assert address.port > 0


async def test_an_address_that_is_taken_cannot_be_bound(lab: ModuleType, hops: ModuleType) -> None:
    async with serving(lab, hops) as (_, address), hops.reactor() as reactor:
        with pytest.raises(OSError, match="in use"):
            await outbound(reactor).serve(address)


async def test_a_request_that_is_refused_leaves_its_connection_usable(
    lab: ModuleType, hops: ModuleType
) -> None:
    reports: list[RequestReport] = []
    async with connected(lab, hops, reports) as stream:
        await stream.send_all(GET + GET + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await read_all(stream)).count(b"HTTP/1.1 404 Not Found\r\n") == 3
    assert len(reports) == 3
    report = reports[0]
    assert (report.direction, report.source, report.service) == (Direction.OUTBOUND, "web", "nobody")
    assert (text_in(report.method), path_in(report.path)) == ("GET", "/secret")
    assert (report.code, report.flag) == (404, "NR")
    assert len(report.request_id) == len(report.trace_id) == 32
    assert report.attempts == 0


@pytest.mark.parametrize("missing", [0, 1])
async def test_a_refused_request_keeps_its_connection_only_if_all_of_its_body_was_read(
    lab: ModuleType, hops: ModuleType, missing: int
) -> None:
    async with connected(lab, hops) as stream:
        size = len(GET) + missing
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: nobody\r\nContent-Length: %d\r\n\r\n" % size + GET)
        answer = await stream.receive_some()
        if not missing:
            await stream.send_all(GET)
            answer += await stream.receive_some()
        await stream.send_eof()
        answer += await read_all(stream)
    assert answer.count(b"HTTP/1.1 404 ") == 2 - missing
    assert (b"\r\nConnection: close\r\n" in answer) is bool(missing)


async def test_what_hides_behind_a_request_in_doubt_is_never_read_as_one(
    lab: ModuleType, hops: ModuleType
) -> None:
    reports: list[RequestReport] = []
    async with connected(lab, hops, reports) as stream:
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


async def test_an_idle_connection_is_closed_in_silence(
    lab: ModuleType, hops: ModuleType, autojump_clock: MockClock
) -> None:
    reports: list[RequestReport] = []
    async with connected(lab, hops, reports, keep_alive_s=60.0) as stream:
        assert await stream.receive_some() == b""
        assert trio.current_time() >= 60.0
    assert reports == []


async def test_a_connection_that_comes_to_nothing_is_no_request(lab: ModuleType, hops: ModuleType) -> None:
    reports: list[RequestReport] = []
    async with connected(lab, hops, reports) as stream:
        await stream.send_all(b"GET / HT")
        await stream.send_eof()
        assert await read_all(stream) == b""
    assert reports == []


async def test_an_app_that_asks_without_end_and_never_reads_is_left_waiting_and_then_closed(
    lab: ModuleType, hops: ModuleType, autojump_clock: MockClock
) -> None:
    reports: list[RequestReport] = []
    async with serving(lab, hops, reports) as (proxy, address):
        sock = trio.socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await sock.connect((address.host, address.port))
        async with trio.SocketStream(sock) as stream:
            await hops.until(lambda: proxy.connections)
            (connection,) = proxy._connections
            # Else the system keeps megabytes, and they are many small answers.
            connection.link._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
            with contextlib.suppress(trio.BrokenResourceError):
                while True:
                    await stream.send_all(GET * 1_000)
        assert trio.current_time() >= 30.0  # Later where the system finds room for some more bytes meanwhile.
    assert reports[-1].flag == "DC"


async def test_500_idle_connections_are_kept_and_all_are_closed_in_the_end(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with serving(lab, hops) as (proxy, address):
        streams = [await trio.open_tcp_stream(address.host, address.port) for _ in range(500)]
        await hops.until(lambda: proxy.connections == 500)
        for stream in streams[::50]:
            await stream.send_all(GET)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 404 ")
    await hops.settled()
    assert proxy.connections == 0
    for stream in streams:
        assert await stream.receive_some() == b""
        await stream.aclose()


@given(
    fragments=st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=12), lane=st.booleans()
)
@settings(max_examples=80)
def test_any_bytes_are_answered_or_ignored_and_harm_no_daemon(fragments: list[bytes], lane: bool) -> None:
    async def say() -> None:
        reactor = Reactor()
        async with trio.open_nursery() as nursery:
            await nursery.start(reactor.run)
            proxy = outbound(reactor, fast_lane=lane, linger_s=0.001)
            address = await nursery.start(proxy.serve, ANY_PORT)
            stream = await trio.open_tcp_stream(address.host, address.port)
            async with stream:
                await stream.send_all(b"".join(fragments))
                await stream.send_eof()
                assert (await read_all(stream))[:9] in (b"", b"HTTP/1.1 ")
            nursery.cancel_scope.cancel()
        assert (proxy.connections, proxy.in_flight) == (0, 0)

    trio.run(say)
