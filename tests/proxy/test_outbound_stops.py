"""Daemons that stop, or break, in the middle of everything."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

GET = b"GET %b HTTP/1.1\r\nHost: hello\r\n\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: hello\r\nContent-Length: 1000000000\r\n\r\n"
UPGRADE = b"GET /chat HTTP/1.1\r\nHost: hello\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n"


def descriptors() -> set[tuple[str, str]]:
    """Give what this process has open."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add((each.name, os.readlink(each)))
    return found


async def serve(stream: trio.SocketStream) -> None:
    """Do what the path says, none of which ends by itself."""
    with contextlib.suppress(trio.BrokenResourceError):
        path = (await stream.receive_some(65_536)).split()[1]
        if path == b"/answered":
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        elif path == b"/flood":
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                await stream.send_all(bytes(65_536))
        elif path == b"/slow":
            await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        elif path == b"/chat":
            await stream.send_all(SWITCH)
        await trio.sleep_forever()


async def call(stream: trio.SocketStream, request: bytes, *, body: bool) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all(request)
        while body:
            await stream.send_all(bytes(65_536))


async def test_a_mesh_that_is_cancelled_in_the_middle_of_everything_leaves_nothing_open(
    lab: ModuleType,
) -> None:
    gc.collect()
    before = descriptors()
    streams: list[trio.SocketStream] = []
    (mute,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with mute:
        async with lab.mesh() as members:
            await members.daemon("hello-1", {"hello": await members.app(serve)})
            dialled = await members.ghost("dialled-1", "dialled")
            members.addresses[dialled] = lab.Address(*mute.socket.getsockname())
            web = await members.daemon("web-1")
            requests = [
                (b"", False),
                (b"GET / HT", False),
                (GET % b"/answered", False),
                (GET % b"/never", False),
                (GET % b"/flood", False),
                (GET % b"/slow", False),
                (GET % b"/never" * 100, False),
                (POST % b"/never", False),
                (POST % b"/never", True),
                (POST % b"/flood", True),
                (UPGRADE, False),
                (UPGRADE, True),
                (b"junk\r\n\r\n", True),
            ]
            dialling = [(each.replace(b"hello", b"dialled") % b"/", each is POST) for each in (GET, POST)]
            async with trio.open_nursery() as nursery:
                for several in (requests * 2, dialling * 2):
                    for request, body in several:
                        streams.append(await lab.connect(web))
                        nursery.start_soon(partial(call, streams[-1], request, body=body))
                    await wait_all_tasks_blocked(0.02)
                assert web.outbound.in_flight == 2 * 9  # And tunnels, which are counted by themselves.
                nursery.cancel_scope.cancel()
        assert (web.outbound.in_flight, web.outbound.connections) == (0, 0)
    for stream in streams:
        with contextlib.suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass
        await stream.aclose()
    gc.collect()
    assert descriptors() <= before
    assert len(web.reports) >= 2 * (9 + 2)


async def test_a_bug_in_what_is_called_back_ends_the_daemon(lab: ModuleType) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with lab.mesh() as members:
            web = await members.daemon("web-1")
            object.__setattr__(web.outbound._ports, "observe", broken)
            async with await lab.connect(web) as stream:
                await stream.send_all(GET % b"/")
                await trio.sleep_forever()


async def test_a_daemon_that_will_stop_ends_each_connection_with_its_next_answer(lab: ModuleType) -> None:
    answer = trio.Event()

    async def patient(stream: trio.SocketStream) -> None:
        for _ in range(2):
            request = await lab.read_request(stream)
            if b"/held" in request:
                await answer.wait()
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with lab.pair(patient) as (web, hello):
        busy, idle = await lab.connect(web), await lab.connect(web)
        async with busy, idle:
            await idle.send_all(GET % b"/")
            assert b"onnection: close" not in await lab.read_until(idle, b"ok")
            await busy.send_all(GET % b"/held")
            await lab.until(lambda: hello.inbound.in_flight)
            web.outbound.end_connections()
            for stream in (idle, await lab.connect(web)):
                async with stream:
                    await stream.send_all(GET % b"/")
                    assert b"\r\nConnection: close\r\n" in await lab.read_until(stream, b"ok")
                    assert await stream.receive_some() == b""
            answer.set()
            await lab.read_until(busy, b"ok")
            await busy.send_all(GET % b"/nowhere")
            await lab.until(lambda: web.outbound.connections == 0)


async def test_a_daemon_that_drains_lets_requests_of_local_apps_end(lab: ModuleType) -> None:
    answer = trio.Event()

    async def patient(stream: trio.SocketStream) -> None:
        await lab.read_request(stream)
        await answer.wait()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with lab.pair(patient) as (web, hello):
        async with await lab.connect(web) as stream, trio.open_nursery() as nursery:
            await stream.send_all(GET % b"/")
            await lab.until(lambda: hello.inbound.in_flight)
            nursery.start_soon(hello.inbound.drain)
            nursery.start_soon(web.outbound.wait_idle)
            await wait_all_tasks_blocked()
            assert len(nursery.child_tasks) == 2
            answer.set()
            await lab.read_until(stream, b"ok")
        assert (web.outbound.in_flight, hello.inbound.in_flight) == (0, 0)


@asynccontextmanager
async def not_taking(lab: ModuleType) -> AsyncIterator[tuple[Any, trio.SocketStream]]:
    """Give a caller's daemon, and a caller that has not taken all of an answer of 60,000 bytes."""

    async def long(stream: trio.SocketStream) -> None:
        while request := await lab.read_request(stream):
            length = 60_000 if b"/long" in request else 2
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length
            await stream.send_all(head + bytes(length - 2) + b"ok")

    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    async with lab.pair(long) as (web, _), trio.SocketStream(sock) as stream:
        await sock.connect((web.proxy.host, web.proxy.port))
        await stream.send_all(GET % b"/")
        await lab.read_until(stream, b"ok")
        (connection,) = web.outbound._connections
        connection.link._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        await stream.send_all(GET % b"/long")
        await lab.until(lambda: connection.link.unsent)
        yield web, stream


async def test_a_daemon_that_drains_lets_its_callers_take_whole_answers(lab: ModuleType) -> None:
    async with not_taking(lab) as (web, stream), trio.open_nursery() as nursery:
        nursery.start_soon(web.outbound.wait_idle)
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        body = (await lab.read_until(stream, b"ok")).partition(b"\r\n\r\n")[2]
        assert len(body) == 60_000


async def test_a_caller_that_leaves_without_its_whole_answer_is_not_waited_for(lab: ModuleType) -> None:
    async with not_taking(lab) as (web, stream):
        await stream.aclose()
        await web.outbound.wait_idle()
        await lab.until(lambda: web.outbound.connections == 0)
        assert web.outbound.in_flight == 0


async def test_a_second_request_behind_an_answer_that_is_not_taken_is_answered_too(lab: ModuleType) -> None:
    async with not_taking(lab) as (web, stream):
        await stream.send_all(GET % b"/")
        await wait_all_tasks_blocked()
        answers = b""
        while answers.count(b"ok") < 2:
            answers += await stream.receive_some()
        first, _, second = answers.partition(b"ok")
        assert len(first.partition(b"\r\n\r\n")[2]) + 2 == 60_000
        assert second.endswith(b"\r\n\r\nok")
        await web.outbound.wait_idle()
        assert [report.bytes_out for report in web.reports] == [2, 60_000, 2]


async def test_a_caller_that_takes_nothing_of_a_whole_answer_is_let_go_in_time(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async with not_taking(lab) as (web, _):
        started = trio.current_time()
        while web.outbound.connections:
            assert web.outbound.in_flight == 1
            await trio.sleep(1.0)
        assert web.outbound.in_flight == 0
        assert (
            trio.current_time() - started >= 29.0
        )  # Later where the system finds room for some bytes meanwhile.
