"""How requests end before their time."""

from __future__ import annotations

import contextlib
import os
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

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
    seen, left = trio.Event(), trio.Event()

    async def patient(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        seen.set()
        await lab.silent(stream)
        left.set()

    async with lab.pair(patient) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(
                b"POST / HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
            )
            await seen.wait()
            await stream.send_all(b"nonsense\r\n")
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (400, "DPE")
            await left.wait()


async def test_when_too_many_requests_are_in_flight_the_next_is_refused(lab: ModuleType) -> None:
    async with lab.pair(lab.silent, limits=ProxyLimits(requests_in_flight=1)) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(GET)
            await lab.until(lambda: web.outbound and web.outbound.in_flight)
            assert lab.flag_of(await lab.ask(web, GET)) == (503, "UO")


async def test_above_so_many_busy_connections_new_ones_are_closed(lab: ModuleType) -> None:
    async with lab.pair(lab.silent, limits=ProxyLimits(connections=1)) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(GET)
            await lab.until(lambda: web.outbound and web.outbound.in_flight)
            assert await lab.ask(web, b"") == b""
            assert web.outbound.in_flight == 1


@pytest.mark.parametrize("said", [b"", GET[:20]], ids=["nothing", "half a head"])
async def test_connections_that_wait_make_room_for_new_ones(lab: ModuleType, said: bytes) -> None:
    async with (
        lab.pair(lab.answering(OK), limits=ProxyLimits(connections=1)) as (web, _),
        await lab.connect(web) as idle,
    ):
        await idle.send_all(said or b"\r\n")
        await lab.until(lambda: web.outbound and web.outbound.connections)
        assert (await lab.ask(web, GET)).startswith(b"HTTP/1.1 200 ")
        # With what it said unread, closing may be a reset.
        with contextlib.suppress(trio.BrokenResourceError):
            assert await idle.receive_some() == b""


async def test_an_app_that_answers_and_closes_while_it_is_being_sent_to_is_heard(lab: ModuleType) -> None:
    full = trio.Event()

    async def impatient(stream: trio.SocketStream) -> None:
        await full.wait()
        os.write(stream.socket.fileno(), b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        # With bytes unread, this resets the connection.
        stream.socket.close()

    async with lab.pair(impatient) as (web, hello):
        stream = await lab.connect(web)
        async with stream, trio.open_nursery() as nursery:
            await stream.send_all(b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 1000000000\r\n\r\n")
            nursery.start_soon(flood, stream)
            await wait_all_tasks_blocked(0.01)
            full.set()
            assert (await lab.read_until(stream, b"big")).startswith(b"HTTP/1.1 413 ")
            nursery.cancel_scope.cancel()
        await lab.until(lambda: web.reports and hello.reports)
    assert (web.report.code, web.report.flag, hello.report.flag) == (413, "", "")


async def flood(stream: trio.SocketStream) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        while True:
            await stream.send_all(bytes(65_536))


async def test_what_a_caller_sends_on_after_its_answer_is_complete_fills_no_memory(lab: ModuleType) -> None:
    daemons: list[object] = []

    async def hasty(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        (connection,) = daemons[0].outbound._connections
        # As much as the caller's socket takes, and not much more.
        while not connection.link.unsent:
            await stream.send_all(b"2000\r\n" + bytes(0x2000) + b"\r\n")
            await wait_all_tasks_blocked()
        await stream.send_all(b"0\r\n\r\n")
        await lab.silent(stream)

    async with lab.pair(hasty) as (web, hello):
        daemons.append(web)
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 1000000000\r\n\r\n")
            await stream.send_all(b"x")
            await lab.until(lambda: hello.reports)
            for _ in range(300):
                await stream.send_all(bytes(65_536))
        await lab.until(lambda: web.reports)
    assert web.report.bytes_in <= 1_000_000


async def test_a_conversation_may_pause_for_as_long_as_it_likes_once_the_answer_has_begun(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async def converse(stream: trio.SocketStream) -> None:
        await lab.read_until(stream, b"1\r\na\r\n")
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n")
        await lab.read_until(stream, b"1\r\nc\r\n0\r\n\r\n")
        await stream.send_all(b"1\r\nd\r\n0\r\n\r\n")

    async with lab.pair(converse) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(
                b"POST / HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
            )
            await lab.read_until(stream, b"1\r\nb\r\n")
            await trio.sleep(600.0)
            await stream.send_all(b"1\r\nc\r\n0\r\n\r\n")
            await lab.read_until(stream, b"1\r\nd\r\n0\r\n\r\n")
        await trio.sleep(1.0)
    assert [web.report.flag, hello.report.flag] == ["", ""]


async def test_an_app_that_answers_and_takes_nothing_for_minutes_costs_no_time(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async def talking(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n")
        await trio.sleep(50.0)
        await stream.send_all(b"0\r\n\r\n")

    async with lab.pair(talking) as (web, hello):
        stream = await lab.connect(web)
        async with stream, trio.open_nursery() as nursery:
            await stream.send_all(b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 1000000000\r\n\r\n")
            nursery.start_soon(flood, stream)
            await lab.read_until(stream, b"1\r\nb\r\n")
            alarms = web.outbound._ports.reactor._sequence
            await lab.read_until(stream, b"0\r\n\r\n")
            # Ten a second are those of who looks for silent endpoints.
            assert web.outbound._ports.reactor._sequence - alarms < 500 + 900
            nursery.cancel_scope.cancel()
        await trio.sleep(5.0)
    assert [web.report.flag, hello.report.flag] == ["", ""]
