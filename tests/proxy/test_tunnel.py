"""Bytes both ways: upgraded connections and CONNECT, through two daemons, with raw sockets at both ends."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock

from gossipmesh.channel.hop_stream import STREAM_WINDOW
from gossipmesh.model import Protocol
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.transport.link import RECEIVE_SIZE

UPGRADE = b"GET /chat HTTP/1.1\r\nHost: hello\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
CONNECT = b"CONNECT hello:%d HTTP/1.1\r\nHost: hello\r\n\r\n"
KINDS = [Protocol.HTTP, Protocol.TCP]
"""An upgraded request to an http service; a CONNECT to a tcp service. The tunnels are alike."""


def reset(stream: trio.SocketStream) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    stream.socket.close()


def app_of(kind: Protocol, handler: object) -> object:
    """Give an app that goes over to what ``handler`` speaks."""

    async def handle(stream: trio.SocketStream) -> None:
        if kind is Protocol.HTTP:
            received = b""
            while not received.endswith(b"\r\n\r\n"):
                received += await stream.receive_some(1)
            await stream.send_all(SWITCH)
        await handler(stream)

    return handle


@asynccontextmanager
async def pair(
    lab: ModuleType, kind: Protocol, handler: object, limits: ProxyLimits | None = None
) -> AsyncIterator[tuple[object, object]]:
    """Give the daemons of a caller and of a service called hello."""
    async with lab.mesh() as members:
        apps = {"hello": await members.app(app_of(kind, handler))}
        if kind is Protocol.HTTP:
            hello = await members.daemon("hello-1", apps, limits=limits)
        else:
            hello = await members.daemon("hello-1", tcp=apps, limits=limits)
        yield await members.daemon("web-1", limits=limits), hello


async def open_tunnel(lab: ModuleType, web: object, hello: object, ahead: bytes = b"") -> trio.SocketStream:
    """Ask for a tunnel, with bytes sent ahead, and read its head."""
    stream = await lab.connect(web)
    service = hello.services["hello"]
    asking = UPGRADE if service.protocol is Protocol.HTTP else CONNECT % service.port
    await stream.send_all(asking + ahead)
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        received += await stream.receive_some(1)
    status = received.split()[1]
    assert status == (b"101" if service.protocol is Protocol.HTTP else b"200")
    return stream


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)
    await stream.send_eof()


@pytest.mark.parametrize("kind", KINDS)
async def test_bytes_go_both_ways_and_each_direction_ends_by_itself(lab: ModuleType, kind: Protocol) -> None:
    async with pair(lab, kind, echo) as (web, hello):
        async with await open_tunnel(lab, web, hello, b"ahead, ") as stream:
            await stream.send_all(b"hello")
            await lab.read_until(stream, b"ahead, hello")
            await stream.send_all(b"and goodbye")
            await stream.send_eof()
            await lab.read_until(stream, b"goodbye")
            assert await stream.receive_some() == b""
        await lab.until(lambda: web.reports and hello.reports)
        for report in (web.report, hello.report):
            assert (report.flag, report.bytes_in, report.bytes_out) == ("", 23, 23)
        assert web.outbound.connections == 0
        assert web.outbound.in_flight == hello.inbound.in_flight == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_an_app_that_has_said_everything_can_still_be_spoken_to(
    lab: ModuleType, kind: Protocol
) -> None:
    heard = bytearray()
    done = trio.Event()

    async def farewell(stream: trio.SocketStream) -> None:
        await stream.send_all(b"goodbye")
        await stream.send_eof()
        async for data in stream:
            heard.extend(data)
        done.set()

    async with pair(lab, kind, farewell) as (web, hello):
        async with await open_tunnel(lab, web, hello) as stream:
            await lab.read_until(stream, b"goodbye")
            assert await stream.receive_some() == b""
            await stream.send_all(b"so long")
            await stream.send_eof()
            await done.wait()
        assert heard == b"so long"


@pytest.mark.parametrize("kind", KINDS)
async def test_much_goes_both_ways_at_once_and_arrives_whole(lab: ModuleType, kind: Protocol) -> None:
    sent = os.urandom(2_000_000)
    async with pair(lab, kind, echo) as (web, hello):
        stream = await open_tunnel(lab, web, hello)
        async with stream, trio.open_nursery() as nursery:

            async def send() -> None:
                await stream.send_all(sent)
                await stream.send_eof()

            nursery.start_soon(send)
            received = bytearray()
            async for data in stream:
                received += data
    assert received == sent


@pytest.mark.parametrize("kind", KINDS)
async def test_a_caller_that_reads_nothing_stops_the_app_and_fills_no_memory(
    lab: ModuleType, hops: ModuleType, kind: Protocol
) -> None:
    taken = 0

    async def flood(stream: trio.SocketStream) -> None:
        nonlocal taken
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(bytes(65_536))
                taken += 65_536

    async with pair(lab, kind, flood) as (web, hello):
        stream = await open_tunnel(lab, web, hello)
        await hops.settled()
        reset(stream)
        await lab.until(lambda: web.reports and hello.reports)
        assert (web.report.flag, hello.report.flag) == ("DC", "DC")
        # What is beyond the caller's daemon waits for credit.
        assert hello.report.bytes_out - web.report.bytes_out <= STREAM_WINDOW + RECEIVE_SIZE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("half", [False, True])
async def test_a_caller_that_breaks_off_breaks_the_app_off_at_once(
    lab: ModuleType, hops: ModuleType, kind: Protocol, half: bool
) -> None:
    broken = trio.Event()

    async def listening(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                if not await stream.receive_some():
                    await stream.send_all(b"still here")
                    await hops.settled()
        broken.set()

    async with pair(lab, kind, listening) as (web, hello):
        stream = await open_tunnel(lab, web, hello)
        if half:
            await stream.send_eof()
            await hops.settled()
        reset(stream)
        await broken.wait()
        await lab.until(lambda: web.reports and hello.reports)
        assert web.report.flag == "DC"
        assert web.outbound.in_flight == hello.inbound.in_flight == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("half", [False, True])
async def test_an_app_that_breaks_off_breaks_the_caller_off_at_once(
    lab: ModuleType, hops: ModuleType, kind: Protocol, half: bool
) -> None:
    async def breaking(stream: trio.SocketStream) -> None:
        if half:
            await stream.send_eof()
            await hops.settled()
        reset(stream)

    async with pair(lab, kind, breaking) as (web, hello):
        async with await open_tunnel(lab, web, hello) as stream:
            with contextlib.suppress(trio.BrokenResourceError):
                while True:
                    if not await stream.receive_some():
                        # After the end of one direction, only the other shows that both are broken.
                        await hops.settled()
                        await stream.send_all(b"hello?")
        await lab.until(lambda: web.reports and hello.reports)
        assert (web.report.flag, hello.report.flag) == ("UC", "UC")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tunnel_that_is_silent_for_too_long_is_closed(
    lab: ModuleType, kind: Protocol, autojump_clock: MockClock
) -> None:
    limits = ProxyLimits(tunnel_idle_timeout_s=100.0, keep_alive_s=10.0)
    async with pair(lab, kind, echo, limits) as (web, hello), await open_tunnel(lab, web, hello) as stream:
        for _ in range(3):
            await trio.sleep(80.0)
            await stream.send_all(b"ping")
            await lab.read_until(stream, b"ping")
        began = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        assert 99.0 <= trio.current_time() - began <= 101.0
        assert web.report.flag == "UT"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_daemon_that_stops_breaks_its_tunnels_off(lab: ModuleType, kind: Protocol) -> None:
    async with pair(lab, kind, echo) as (web, hello):
        stream = await open_tunnel(lab, web, hello)
    async with stream:
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
    assert web.report.flag in ("DR", "UC")
    assert web.outbound.in_flight == hello.inbound.in_flight == 0
