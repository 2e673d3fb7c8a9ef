"""Tunnels have places of their own, at either daemon: they may last for days."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import trio

from gossipmesh.proxy.limits import ProxyLimits

UPGRADE = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
SWITCH = b"HTTP/1.1 101 \r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"


def app(lab: ModuleType) -> Any:
    async def handle(stream: trio.SocketStream) -> None:
        while request := await lab.read_request(stream):
            if b"Upgrade" in request:
                await stream.send_all(SWITCH)
                async for data in stream:
                    await stream.send_all(data)
            else:
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    return handle


async def open_one(lab: ModuleType, daemon: Any) -> trio.SocketStream:
    stream: trio.SocketStream = await lab.connect(daemon)
    await stream.send_all(UPGRADE)
    assert (await lab.read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    return stream


async def test_a_tunnel_keeps_no_request_from_its_place(lab: ModuleType) -> None:
    async with lab.pair(app(lab), limits=ProxyLimits(requests_in_flight=1)) as (web, hello):
        streams = [await open_one(lab, web) for _ in range(3)]
        assert [(each.in_flight, each.tunnels) for each in (web.outbound, hello.inbound)] == [(0, 3)] * 2
        assert (await lab.ask(web, GET)).endswith(b"\r\n\r\nok")
        for stream in streams:
            await stream.send_eof()
            assert await stream.receive_some() == b""
            await stream.aclose()
        await lab.until(lambda: len(web.reports) == len(hello.reports) == 4)
        assert [(each.in_flight, each.tunnels) for each in (web.outbound, hello.inbound)] == [(0, 0)] * 2


async def test_above_so_many_tunnels_the_next_is_refused_and_requests_are_not(lab: ModuleType) -> None:
    async with lab.pair(app(lab), limits=ProxyLimits(tunnels=1)) as (web, _):
        async with await open_one(lab, web) as stream:
            assert lab.flag_of(
                await lab.ask(web, UPGRADE.replace(b"Upgrade\r\n", b"Upgrade, close\r\n", 1))
            ) == (
                503,
                "UO",
            )
            assert (await lab.ask(web, GET)).endswith(b"\r\n\r\nok")
            await stream.send_eof()
            assert await stream.receive_some() == b""
        await lab.until(lambda: not web.outbound.tunnels)
        await (await open_one(lab, web)).aclose()


async def test_one_peer_cannot_take_all_the_places_for_tunnels(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        port = await members.app(app(lab))
        hello = await members.daemon("hello-1", {"hello": port}, limits=ProxyLimits(tunnels=4))
        web = await members.daemon("web-1")
        other = await members.daemon("web-2")
        streams = [await open_one(lab, web) for _ in range(3)]
        refused = UPGRADE.replace(b"Upgrade\r\n", b"Upgrade, close\r\n", 1)
        assert lab.flag_of(await lab.ask(web, refused)) == (503, "UO")
        streams.append(await open_one(lab, other))
        assert lab.flag_of(await lab.ask(other, refused)) == (503, "UO")
        assert hello.inbound.tunnels == 4
        for stream in streams:
            await stream.send_eof()
            assert await stream.receive_some() == b""
            await stream.aclose()
        await lab.until(lambda: hello.inbound.tunnels == 0)


@pytest.mark.parametrize("side", ["web", "hello"])
async def test_nobody_who_stops_waits_for_the_end_of_a_tunnel(lab: ModuleType, side: str) -> None:
    async with lab.pair(app(lab)) as (web, hello), await open_one(lab, web) as stream:
        await (web.outbound.wait_idle() if side == "web" else hello.inbound.drain())
        await stream.send_all(b"still here")
        await lab.read_until(stream, b"still here")
