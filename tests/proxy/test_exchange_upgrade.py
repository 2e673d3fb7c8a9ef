"""Requests that ask to go over to another protocol, through two daemons' proxies, with raw sockets at both ends."""

from __future__ import annotations

import os
import struct
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: hello\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: k\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: a\r\n\r\n"
)
GET = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LONG = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
REQUIRED = b"HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno"

NO_LINGER = struct.pack("ii", 1, 0)
"""Closing is a reset."""


async def read_all(stream: trio.SocketStream) -> bytes:
    received = b""
    async for data in stream:
        received += data
    return received


async def open_tunnel(lab: ModuleType, daemon: Any, head: bytes) -> tuple[trio.SocketStream, bytes]:
    """Send a request and give the connection, and the head of the answer."""
    stream: trio.SocketStream = await lab.connect(daemon)
    await stream.send_all(head)
    return stream, await read_head(stream)


async def read_head(stream: trio.SocketStream) -> bytes:
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        data = await stream.receive_some(1)
        assert data, f"closed after {received!r}"
        received += data
    return received


def switching(talk: Any, *, answer: bytes = SWITCH, seen: list[bytes] | None = None) -> Any:
    """Give an app that answers one request with a switch, and goes on with ``talk``."""

    async def handle(stream: trio.SocketStream) -> None:
        head = await read_head(stream)
        if seen is not None:
            seen.append(head)
        await stream.send_all(answer)
        await talk(stream)

    return handle


async def shouting(stream: trio.SocketStream) -> None:
    """Give back what comes in capitals, and close when the other end has."""
    async for data in stream:
        await stream.send_all(data.upper())
    await stream.send_eof()


async def closing_last(stream: trio.SocketStream) -> None:
    """Say something, say no more, and count what still comes."""
    await stream.send_all(b"bye")
    await stream.send_eof()
    assert await read_all(stream) == b"and thanks"


async def test_an_upgrade_that_is_confirmed_is_bytes_both_ways_from_then_on(lab: ModuleType) -> None:
    seen: list[bytes] = []
    async with lab.pair(switching(shouting, seen=seen)) as (web, hello):
        stream, head = await open_tunnel(lab, web, UPGRADE)
        async with stream:
            for word in (b"one", b"GET / HTTP/1.1\r\n\r\n", bytes(range(128, 256))):
                await stream.send_all(word)
                assert await lab.read_until(stream, word.upper()) == word.upper()
            await stream.send_eof()
            assert await read_all(stream) == b""
        await lab.until(lambda: web.reports and hello.reports)
    assert head == (
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: a\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nVia: 1.1 web-1\r\n\r\n"
    )
    assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in seen[0]
    assert b"\r\nSec-WebSocket-Key: k\r\n" in seen[0]
    for report in (web.report, hello.report):
        assert (report.code, report.flag, report.path) == (101, "", "/chat")
        assert (report.bytes_in, report.bytes_out) == (149, 149)


async def test_each_direction_of_a_tunnel_ends_by_itself(lab: ModuleType) -> None:
    async with lab.pair(switching(closing_last)) as (web, hello):
        stream, _ = await open_tunnel(lab, web, UPGRADE)
        async with stream:
            assert await read_all(stream) == b"bye"
            await stream.send_all(b"and thanks")
            await stream.send_eof()
            await lab.until(lambda: web.reports and hello.reports)
    assert [(r.flag, r.bytes_in, r.bytes_out) for r in (web.report, hello.report)] == [("", 10, 3)] * 2


async def test_bytes_right_behind_either_head_are_the_first_of_the_tunnel(lab: ModuleType) -> None:
    async with lab.pair(switching(shouting, answer=SWITCH + b"first")) as (web, _):
        stream, _head = await open_tunnel(lab, web, UPGRADE + b"early")
        async with stream:
            assert await lab.read_until(stream, b"EARLY") == b"firstEARLY"


async def test_much_goes_through_a_tunnel_both_ways_at_once(lab: ModuleType) -> None:
    sent = os.urandom(3_000_000)

    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)
        await stream.send_eof()

    async def send(stream: trio.SocketStream) -> None:
        await stream.send_all(sent)
        await stream.send_eof()

    async with lab.pair(switching(echo)) as (web, _):
        stream, _ = await open_tunnel(lab, web, UPGRADE)
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(send, stream)
            assert await read_all(stream) == sent


@pytest.mark.parametrize("answer", [OK, LONG, REQUIRED, OK.replace(b"200 OK", b"404 Not Found")])
async def test_an_upgrade_that_is_answered_in_http_leaves_both_connections_usable(
    lab: ModuleType, answer: bytes
) -> None:
    seen: list[bytes] = []
    connections = 0
    serve = lab.answering(answer, OK, seen=seen)

    async def app(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        await serve(stream)

    async with lab.pair(app) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(UPGRADE)
            assert await read_head(stream)
            await lab.read_until(stream, answer.partition(b"\r\n\r\n")[2])
            await stream.send_all(GET)
            assert (await read_all(stream)).endswith(b"\r\n\r\nok")
        await lab.until(lambda: len(hello.reports) == 2)
        assert [(each.code, each.flag) for each in web.reports] == [(int(answer[9:12]), ""), (200, "")]
    assert len(seen) == 2
    assert connections == 1


async def test_bytes_behind_an_upgrade_that_is_not_confirmed_reach_no_app(lab: ModuleType) -> None:
    seen: list[bytes] = []
    async with lab.pair(lab.answering(REQUIRED, OK, seen=seen)) as (web, _):
        smuggled = b"GET /smuggled HTTP/1.1\r\nHost: hello\r\n\r\n"
        received = await lab.ask(web, UPGRADE + smuggled)
    assert received.count(b"HTTP/1.1 ") == 1
    assert received.startswith(b"HTTP/1.1 426 ")
    assert b"\r\nConnection: close\r\n" in received
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("request_head", "answer"),
    [
        (GET, SWITCH),
        (UPGRADE, SWITCH.replace(b"websocket", b"tea")),
        (UPGRADE, SWITCH.replace(b"Upgrade: websocket\r\n", b"")),
        (UPGRADE.replace(b"websocket", b"h2c"), SWITCH.replace(b"websocket", b"h2c")),
    ],
)
async def test_a_switch_to_what_nobody_asked_for_is_an_app_that_broke_http(
    lab: ModuleType, request_head: bytes, answer: bytes
) -> None:
    async with lab.pair(switching(shouting, answer=answer)) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(request_head)
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (502, "UPE")
        assert (web.report.flag, hello.report.flag) == ("UPE", "UPE")


@pytest.mark.parametrize(("asked", "passed_on"), [(b"h2c", None), (b"h2c, websocket", b"websocket")])
async def test_http_2_is_never_asked_for(lab: ModuleType, asked: bytes, passed_on: bytes | None) -> None:
    seen: list[bytes] = []
    async with lab.pair(lab.answering(OK, seen=seen)) as (web, _):
        head = (
            b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: %b\r\n"
            b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n" % asked
        )
        assert lab.flag_of(await lab.ask(web, head)) == (200, "")
    upgrades = [line[9:] for line in seen[0].split(b"\r\n") if line.startswith(b"Upgrade: ")]
    assert upgrades == ([passed_on] if passed_on else [])
    assert b"h2c" not in seen[0]
    assert b"HTTP2-Settings" not in seen[0]


@pytest.mark.parametrize(
    "head",
    [
        UPGRADE.replace(b"Connection: keep-alive, Upgrade\r\n", b"Connection: close\r\n"),
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        UPGRADE.replace(b"keep-alive", b"close").replace(b"GET", b"POST")[:-2]
        + b"Content-Length: 2\r\n\r\nhi",
    ],
)
async def test_an_upgrade_that_is_none_is_a_plain_request(lab: ModuleType, head: bytes) -> None:
    seen: list[bytes] = []
    async with lab.pair(lab.answering(OK, seen=seen)) as (web, _):
        assert lab.flag_of(await lab.ask(web, head)) == (200, "")
    assert b"Upgrade" not in seen[0]


async def test_interim_responses_may_come_before_a_switch(lab: ModuleType) -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + SWITCH
    async with lab.pair(switching(shouting, answer=answer)) as (web, _):
        stream, head = await open_tunnel(lab, web, UPGRADE)
        async with stream:
            assert head.startswith(b"HTTP/1.1 103 ")
            assert (await read_head(stream)).startswith(b"HTTP/1.1 101 ")
            await stream.send_all(b"hello")
            await lab.read_until(stream, b"HELLO")


async def test_an_app_that_resets_a_tunnel_resets_it_for_the_caller_too(lab: ModuleType) -> None:
    async def reset(stream: trio.SocketStream) -> None:
        await lab.read_until(stream, b"one")
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, NO_LINGER)

    async with lab.pair(switching(reset)) as (web, hello):
        stream, _ = await open_tunnel(lab, web, UPGRADE)
        async with stream:
            await stream.send_all(b"one")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
        await lab.until(lambda: web.reports and hello.reports)
    assert (web.report.flag, hello.report.flag) == ("UC", "UC")


async def test_a_caller_that_is_gone_is_noticed_at_the_app(lab: ModuleType) -> None:
    left = trio.Event()

    async def patient(stream: trio.SocketStream) -> None:
        await stream.send_all(b"hello")
        try:
            await lab.silent(stream)
        except trio.BrokenResourceError:
            left.set()

    async with lab.pair(switching(patient)) as (web, hello):
        stream, _ = await open_tunnel(lab, web, UPGRADE)
        await lab.read_until(stream, b"hello")
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, NO_LINGER)
        await stream.aclose()
        await left.wait()
        await lab.until(lambda: web.reports and hello.reports)
    assert (web.report.flag, hello.report.flag) == ("DC", "DC")


async def test_a_caller_that_is_gone_after_it_said_its_last_is_noticed_too(lab: ModuleType) -> None:
    async def patient(stream: trio.SocketStream) -> None:
        try:
            await lab.silent(stream)
            ended.set()
            await trio.sleep_forever()
        except trio.BrokenResourceError:
            pass

    ended = trio.Event()
    async with lab.pair(switching(patient)) as (web, hello):
        stream, _ = await open_tunnel(lab, web, UPGRADE)
        await stream.send_eof()
        await ended.wait()
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, NO_LINGER)
        await stream.aclose()
        await lab.until(lambda: web.reports and hello.reports)
    assert (web.report.flag, hello.report.flag) == ("DC", "DC")


async def test_a_tunnel_in_which_nobody_says_anything_ends_after_an_hour(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async with lab.pair(switching(shouting)) as (web, hello):
        stream, _ = await open_tunnel(lab, web, UPGRADE)
        async with stream:
            await stream.send_all(b"hello")
            await lab.read_until(stream, b"HELLO")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            assert 3600.0 <= trio.current_time() < 3700.0
        await lab.until(lambda: web.reports and hello.reports)
    assert "UT" in (web.report.flag, hello.report.flag)


async def test_an_app_that_does_not_answer_an_upgrade_is_given_up_on(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async with lab.pair(lab.silent) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(UPGRADE)
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (504, "UT")
            assert 60.0 <= trio.current_time() < 61.0
