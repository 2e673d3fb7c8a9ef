"""How requests end before their time."""

from __future__ import annotations

from types import ModuleType

import pytest
import trio

from gossipmesh.proxy.limits import ProxyLimits

GET = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_an_answer_that_comes_before_the_whole_request_is_passed_on_and_ends_the_connection(
    lab: ModuleType,
) -> None:
    async def impatient(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)
        await stream.send_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await stream.send_eof()
        await lab.silent(stream)

    async with lab.pair(impatient) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(
                b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000)
            )
            received = b""
            async for data in stream:
                received += data
        await lab.until(lambda: web.reports and hello.reports)
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in received
    assert received.endswith(b"big")
    assert [web.report.flag, hello.report.flag] == ["", ""]


@pytest.mark.parametrize("body", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_an_app_learns_at_once_that_its_caller_went_away(lab: ModuleType, body: bytes) -> None:
    asked, left = trio.Event(), trio.Event()

    async def patient(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        asked.set()
        await lab.silent(stream)
        left.set()

    async with lab.pair(patient) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(b"POST / HTTP/1.1\r\nHost: hello\r\n" + body + b"\r\n")
            await asked.wait()
        await left.wait()
        await lab.until(lambda: web.reports and hello.reports)
        assert (web.report.flag, hello.report.flag) == ("DC", "DC")
        assert web.outcomes == []


async def test_a_body_that_breaks_http_on_its_way_is_refused_and_ends_the_request_at_the_app(
    lab: ModuleType,
) -> None:
    left = trio.Event()

    async def patient(stream: trio.SocketStream) -> None:
        await lab.silent(stream)
        left.set()

    async with lab.pair(patient) as (web, _):
        head = b"POST / HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert lab.flag_of(await lab.ask(web, head + b"5\r\nhello\r\nnonsense\r\n")) == (400, "DPE")
        await left.wait()


async def test_when_too_many_requests_are_in_flight_the_next_is_refused(lab: ModuleType) -> None:
    async with lab.pair(lab.silent, limits=ProxyLimits(requests_in_flight=1)) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(GET)
            await lab.until(lambda: web.outbound and web.outbound.in_flight)
            assert lab.flag_of(await lab.ask(web, GET)) == (503, "UO")


async def test_above_so_many_connections_new_ones_are_closed(lab: ModuleType) -> None:
    async with lab.pair(lab.silent, limits=ProxyLimits(connections=1)) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await lab.until(lambda: web.outbound and web.outbound.connections)
            assert await lab.ask(web, b"") == b""
