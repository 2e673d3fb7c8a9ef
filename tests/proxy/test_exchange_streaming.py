"""Bodies on their way: at once, both ways, and never more than a bounded part of them in memory."""

from __future__ import annotations

import os
from types import ModuleType

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gossipmesh.channel.hop_stream import STREAM_WINDOW
from gossipmesh.proxy.limits import CHUNK

GET = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_what_an_app_sends_reaches_the_caller_before_it_sends_more(lab: ModuleType) -> None:
    received = trio.Event()

    async def events(stream: trio.SocketStream) -> None:
        await lab.read_request(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await received.wait()
        await stream.send_all(b"1\r\nb\r\n0\r\n\r\n")

    async with lab.pair(events) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(GET)
            await lab.read_until(stream, b"1\r\na\r\n")
            received.set()
            await lab.read_until(stream, b"1\r\nb\r\n0\r\n\r\n")


async def test_both_directions_flow_at_once(lab: ModuleType) -> None:
    async def converse(stream: trio.SocketStream) -> None:
        received = await lab.read_until(stream, b"1\r\na\r\n")
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n")
        await lab.read_until(stream, b"1\r\nc\r\n0\r\n\r\n")
        await stream.send_all(b"1\r\nd\r\n0\r\n\r\n")
        assert received

    async with lab.pair(converse) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(
                b"POST / HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
            )
            assert b"\r\nConnection: close\r\n" in await lab.read_until(stream, b"1\r\nb\r\n")
            await stream.send_all(b"1\r\nc\r\n0\r\n\r\n")
            await lab.read_until(stream, b"1\r\nd\r\n0\r\n\r\n")
        await lab.until(lambda: web.reports and hello.reports)
    assert [web.report.flag, hello.report.flag] == ["", ""]


async def test_large_bodies_arrive_whole_both_ways(lab: ModuleType) -> None:
    body = os.urandom(3_000_000)
    async with lab.pair(lab.echo) as (web, _):
        stream = await lab.connect(web)
        async with stream, trio.open_nursery() as nursery:
            head = b"POST / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(
                body
            )
            nursery.start_soon(stream.send_all, head + body)
            received = bytearray()
            async for data in stream:
                received += data
    assert received.partition(b"\r\n\r\n")[2] == body


async def test_a_caller_that_reads_nothing_stops_the_app_and_fills_no_memory(lab: ModuleType) -> None:
    async def endless(stream: trio.SocketStream) -> None:
        await lab.read_request(stream)
        try:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**30)
            while True:
                await stream.send_all(bytes(CHUNK))
        except trio.BrokenResourceError:
            pass

    async with lab.pair(endless) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(GET)
            await stream.receive_some(1)
            await wait_all_tasks_blocked(0.1)
        await lab.until(lambda: web.reports and hello.reports)
    assert (web.report.flag, hello.report.flag) == ("DC", "DC")
    # What the far daemon sent and ours did not pass on: the stream's credit, and what one receive gave, which is no
    # more than that.
    assert 0 <= hello.report.bytes_out - web.report.bytes_out <= 2 * STREAM_WINDOW


async def test_an_app_that_reads_nothing_stops_the_caller_and_fills_no_memory(
    lab: ModuleType,
    autojump_clock: MockClock,
) -> None:
    async def deaf(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async def endless(stream: trio.SocketStream) -> None:
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: %d\r\n\r\n" % 2**30)
        while True:
            await stream.send_all(bytes(CHUNK))

    async with lab.pair(deaf) as (web, hello):
        stream = await lab.connect(web)
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(endless, stream)
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (504, "UT")
            nursery.cancel_scope.cancel()
        await lab.until(lambda: web.reports and hello.reports)
        assert 30.0 <= trio.current_time() < 35.0
    assert web.report.flag == "UT"
    assert 0 <= web.report.bytes_in - hello.report.bytes_in <= STREAM_WINDOW + 2 * CHUNK
