"""Tunnels to hosts outside the mesh, with a name of our own making and raw sockets as the hosts."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
import trio

from gossipmesh.proxy.outside import External

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO_LINGER = struct.pack("ii", 1, 0)
"""Closing is a reset."""


class Loopback(trio.abc.HostnameResolver):
    """Finds every name on this machine."""

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def getnameinfo(self, *_: Any) -> Any:
        raise AssertionError("nobody asks for names of addresses")


@asynccontextmanager
async def outside(lab: ModuleType, handler: Any) -> AsyncIterator[tuple[Any, int]]:
    """Give a daemon that may reach example.com, and the port of the host of that name."""
    trio.socket.set_custom_hostname_resolver(Loopback())
    async with lab.mesh() as members:
        port = await members.app(handler)
        yield await members.daemon("web-1", external=External("direct", ("example.com",))), port


async def read_head(stream: trio.SocketStream) -> bytes:
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        data = await stream.receive_some(1)
        assert data, f"closed after {received!r}"
        received += data
    return received


async def read_all(stream: trio.SocketStream) -> bytes:
    received = b""
    async for data in stream:
        received += data
    return received


def get(port: int, *lines: bytes) -> bytes:
    head = b"GET http://example.com:%d/x HTTP/1.1\r\nHost: other\r\nConnection: close\r\n" % port
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


async def test_an_upgrade_goes_out_and_becomes_a_tunnel(lab: ModuleType) -> None:
    seen: list[bytes] = []

    async def host(stream: trio.SocketStream) -> None:
        seen.append(await read_head(stream))
        await stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"x-gossipmesh-node: evil\r\n\r\nfirst"
        )
        async for data in stream:
            await stream.send_all(data.upper())
        await stream.send_all(b"last")
        await stream.send_eof()

    async with outside(lab, host) as (web, port):
        stream = await lab.connect(web)
        async with stream:
            head = get(port, b"Upgrade: websocket, h2c").replace(b"close", b"upgrade")
            await stream.send_all(head + b"early")
            answer = await read_head(stream)
            assert await lab.read_until(stream, b"EARLY") == b"firstEARLY"
            await stream.send_eof()
            assert await read_all(stream) == b"last"
        await lab.until(lambda: web.reports)
        assert (web.report.code, web.report.flag) == (101, "")
        assert (web.report.bytes_in, web.report.bytes_out) == (5, 14)
    assert answer == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nVia: 1.1 web-1\r\n\r\n"
    )
    assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in seen[0]


async def test_an_upgrade_that_is_refused_outside_keeps_the_caller_s_connection(lab: ModuleType) -> None:
    async with outside(lab, lab.answering(OK, OK)) as (web, port):
        head = get(port, b"Upgrade: websocket").replace(b"close", b"upgrade")
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(head)
            await lab.read_until(stream, b"\r\n\r\nok")
            await stream.send_all(get(port))
            assert (await read_all(stream)).endswith(b"\r\n\r\nok")


async def test_connect_to_the_outside_is_bytes_both_ways(lab: ModuleType) -> None:
    async def host(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 ready\r\n")
        async for data in stream:
            await stream.send_all(data.upper())
        await stream.send_all(b"bye")
        await stream.send_eof()

    async with outside(lab, host) as (web, port):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(b"CONNECT example.com:%d HTTP/1.1\r\nHost: x\r\n\r\nearly" % port)
            assert await read_head(stream) == b"HTTP/1.1 200 OK\r\nVia: 1.1 web-1\r\n\r\n"
            assert sorted(await lab.read_until(stream, b"EARLY")) == sorted(b"220 ready\r\nEARLY")
            body = bytes(range(128, 256)) * 8_000
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.send_all, body)
                received = b""
                while len(received) < len(body):
                    received += await stream.receive_some()
            assert received == body.upper()
            await stream.send_eof()
            assert await read_all(stream) == b"bye"
        await lab.until(lambda: web.reports)
        report = web.report
        assert (report.method, report.path, report.code, report.flag) == ("CONNECT", "", 200, "")
        assert (report.service, report.endpoint) == ("", f"example.com:{port}")
        assert (report.bytes_in, report.bytes_out) == (len(body) + 5, len(body) + 19)


@pytest.mark.parametrize("who", ["host", "caller"])
async def test_what_breaks_one_end_of_a_tunnel_resets_the_other(lab: ModuleType, who: str) -> None:
    left = trio.Event()

    async def host(stream: trio.SocketStream) -> None:
        if who == "host":
            await lab.read_until(stream, b"one")
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, NO_LINGER)
        else:
            with pytest.raises(trio.BrokenResourceError):
                await lab.silent(stream)
            left.set()

    async with outside(lab, host) as (web, port):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(b"CONNECT example.com:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
            await read_head(stream)
            if who == "host":
                await stream.send_all(b"one")
                with pytest.raises(trio.BrokenResourceError):
                    await stream.receive_some()
            else:
                stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, NO_LINGER)
        if who == "caller":
            await left.wait()
        await lab.until(lambda: web.reports)
        assert web.report.flag == ("UC" if who == "host" else "DC")
