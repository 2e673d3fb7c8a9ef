"""Bodies on their way: at once, both ways, and never more than a bounded part of them in memory."""

from __future__ import annotations

import contextlib
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


async def test_slow_readers_hold_up_nobody_else_on_their_channel(lab: ModuleType) -> None:
    body = os.urandom(500_000)

    async def serve(stream: trio.SocketStream) -> None:
        request = await lab.read_request(stream)
        if b"GET /live" in request:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            return
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**30)
            while True:
                await stream.send_all(bytes(CHUNK))

    async with lab.pair(serve) as (web, hello):
        slow = [await lab.connect(web) for _ in range(12)]
        for stream in slow:
            await stream.send_all(GET)
        await wait_all_tasks_blocked(0.05)
        received = await lab.ask(web, GET.replace(b"GET /", b"GET /live"))
        assert received.partition(b"\r\n\r\n")[2] == body
        assert len(web.reports) == 1
        for stream in slow:
            await stream.aclose()
        await lab.until(lambda: len(web.reports) == len(hello.reports) == 13)
        taken = {report.endpoint: 0 for report in (*web.reports, *hello.reports)}
        for report in (*web.reports, *hello.reports):
            taken[report.endpoint] += report.bytes_out
        # What the far daemon read and ours did not pass on, of all of them together.
        assert 0 <= taken["web-1"] - taken["hello-1"] <= 12 * 2 * STREAM_WINDOW


async def test_bodies_that_nobody_takes_hold_up_no_other(lab: ModuleType) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        if await stream.receive_some(3) == b"PUT":
            await trio.sleep_forever()
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await stream.receive_some(1)
        body = await read_exactly(stream, 300_000)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + body)

    async def upload(stream: trio.SocketStream) -> None:
        await stream.send_all(b"PUT / HTTP/1.1\r\nHost: hello\r\nContent-Length: %d\r\n\r\n" % 2**30)
        while True:
            await stream.send_all(bytes(CHUNK))

    async with lab.pair(serve) as (web, _):
        async with trio.open_nursery() as nursery:
            streams = [await lab.connect(web) for _ in range(13)]
            for stream in streams[:12]:
                nursery.start_soon(upload, stream)
            await wait_all_tasks_blocked(0.05)
            body = os.urandom(300_000)
            live = streams[12]
            head = b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 300000\r\n\r\n"
            nursery.start_soon(live.send_all, head + body)
            received = b""
            while not received.endswith(b"\r\n\r\n"):
                received += await live.receive_some(1)
            assert await read_exactly(live, 300_000) == body
            nursery.cancel_scope.cancel()
        for stream in streams:
            await stream.aclose()


async def read_exactly(stream: trio.SocketStream, size: int) -> bytes:
    received = b""
    while len(received) < size:
        data = await stream.receive_some(size - len(received))
        assert data
        received += data
    return received
