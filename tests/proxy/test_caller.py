"""A local app's connection to us, with raw sockets at the app's end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from gossipmesh.channel.hop_messages import ResponseHead
from gossipmesh.errors import RequestError
from gossipmesh.proxy.caller import Caller, CallerGone
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.replies import refusal, reply_to

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
OK = ResponseHead(200, ((b"Content-Length", b"2"),))


@asynccontextmanager
async def pair(**limits: float) -> AsyncIterator[tuple[Caller, trio.SocketStream]]:
    """Give our end and the app's raw end of a loopback connection."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        app = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        caller = Caller(await listener.accept(), ProxyLimits(**limits))  # type: ignore[arg-type]
        async with app:
            yield caller, app
        caller.abort()


async def read_all(stream: trio.SocketStream) -> bytes:
    received = b""
    async for data in stream:
        received += data
    return received


async def close(caller: Caller, app: trio.SocketStream) -> bytes:
    """Close our end as after an answer, and give what the app received until then."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(caller.close)
        received = await read_all(app)
        await app.aclose()
    return received


async def test_a_request_says_what_of_it_is_still_to_come() -> None:
    async with pair() as (caller, app):
        await app.send_all(
            b"PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        request = await caller.next_request()
        assert request is not None
        assert (request.method, request.target, request.host) == (b"PUT", b"/x", b"a")
        assert request.chunked
        assert request.has_body
        assert request.waits_for_100


@pytest.mark.parametrize(
    "head", [GET, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n"]
)
async def test_a_request_without_a_body_is_read_to_its_end_with_its_head(head: bytes) -> None:
    async with pair() as (caller, app):
        await app.send_all(head)
        request = await caller.next_request()
        assert request is not None
        assert not request.has_body
        assert not request.waits_for_100
        assert await caller.read_body() == b""


async def test_an_app_that_closes_between_requests_wants_nothing() -> None:
    async with pair() as (caller, app):
        await app.aclose()
        assert await caller.next_request() is None


async def test_an_idle_connection_is_left_in_silence(autojump_clock: MockClock) -> None:
    async with pair(keep_alive_s=60.0) as (caller, _app):
        assert await caller.next_request() is None
        assert trio.current_time() >= 60.0


async def test_a_head_that_takes_too_long_is_answered(autojump_clock: MockClock) -> None:
    async with pair(head_timeout_s=10.0) as (caller, app):
        await app.send_all(GET[:-1])
        with pytest.raises(RequestError) as raised:
            await caller.next_request()
        assert raised.value.status == 408


async def test_a_body_that_stops_is_answered(autojump_clock: MockClock) -> None:
    async with pair() as (caller, app):
        await app.send_all(POST + b"he")
        await caller.next_request()
        assert await caller.read_body() == b"he"
        with pytest.raises(RequestError) as raised:
            await caller.read_body()
        assert (raised.value.flag, raised.value.status) == ("DPE", 408)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 1_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    ],
)
async def test_a_request_that_must_not_be_forwarded_is_refused_and_can_be_told_so(
    head: bytes, status: int
) -> None:
    async with pair() as (caller, app):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(app.send_all, head)
            with pytest.raises(RequestError) as raised:
                await caller.next_request()
        assert (raised.value.flag, raised.value.status) == ("DPE", status)
        await caller.reply(reply_to(raised.value))
        answer = await close(caller, app)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nConnection: close\r\n" in answer
        assert b"\r\nx-gossipmesh-error: DPE\r\n" in answer


async def test_a_chunk_line_with_a_bare_line_feed_is_waited_for_and_then_refused(
    autojump_clock: MockClock,
) -> None:
    async with pair() as (caller, app):
        await app.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n")
        await caller.next_request()
        with pytest.raises(RequestError) as raised:
            await caller.read_body()
        assert raised.value.status == 408


async def test_a_reply_to_head_has_no_body_and_a_refused_request_without_a_body_keeps_its_connection() -> (
    None
):
    async with pair() as (caller, app):
        await app.send_all(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
        await caller.next_request()
        await caller.reply(reply_to(refusal("UH")))
        assert caller.next_exchange()
        assert await caller.next_request() is not None
        await caller.reply(reply_to(refusal("UH")))
        answer = await close(caller, app)
        assert answer.count(b"HTTP/1.1 503 Service Unavailable\r\n") == 2
        assert answer.count(b'"flag": "UH"') == 1
        assert b"close" not in answer


async def test_a_response_to_http_1_0_is_delimited_by_closing_and_gets_no_interim() -> None:
    async with pair() as (caller, app):
        await app.send_all(b"GET / HTTP/1.0\r\n\r\n")
        await caller.next_request()
        await caller.send_interim(ResponseHead(103))
        await caller.send_head(ResponseHead(200), last=False)
        await caller.send_data(b"hello")
        await caller.send_end(((b"Digest", b"x"),))
        assert not caller.next_exchange()
        answer = await close(caller, app)
        assert answer == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"


async def test_a_response_of_unknown_length_is_chunked_and_keeps_its_trailers() -> None:
    async with pair() as (caller, app):
        await app.send_all(GET)
        await caller.next_request()
        await caller.send_interim(ResponseHead(103, ((b"Link", b"</a>"),)))
        await caller.send_head(ResponseHead(200), last=False)
        await caller.send_data(b"hello")
        await caller.send_end(((b"Digest", b"x"),))
        assert caller.next_exchange()
        answer = await close(caller, app)
        assert answer == (
            b"HTTP/1.1 103 \r\nLink: </a>\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nDigest: x\r\n\r\n"
        )


@pytest.mark.parametrize(
    ("method", "head", "expected"),
    [
        (
            b"HEAD",
            ResponseHead(200, ((b"Content-Length", b"5"),)),
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            b"GET",
            ResponseHead(304, ((b"Content-Length", b"5"),)),
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
        (b"GET", ResponseHead(204), b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", ResponseHead(599), b"HTTP/1.1 599 \r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ],
)
async def test_responses_that_have_no_body_end_with_their_head(
    method: bytes, head: ResponseHead, expected: bytes
) -> None:
    async with pair() as (caller, app):
        await app.send_all(method + GET[3:])
        await caller.next_request()
        await caller.send_head(head, last=False)
        await caller.send_end(
            ((b"Digest", b"x"),) if expected.endswith(b"\r\n\r\n") and head.status != 599 else ()
        )
        assert caller.next_exchange()
        assert await close(caller, app) == expected


async def test_an_app_that_closes_while_it_waits_is_gone() -> None:
    async with pair() as (caller, app):
        await app.send_all(GET)
        await caller.next_request()
        async with trio.open_nursery() as nursery:

            async def close_later() -> None:
                await wait_all_tasks_blocked()
                await app.aclose()

            nursery.start_soon(close_later)
            with pytest.raises(CallerGone):
                await caller.watch()


async def test_an_app_that_closes_inside_its_body_is_gone() -> None:
    async with pair() as (caller, app):
        await app.send_all(POST + b"he")
        await app.send_eof()
        await caller.next_request()
        assert await caller.read_body() == b"he"
        with pytest.raises(CallerGone):
            await caller.read_body()


async def parse_response(app: trio.SocketStream, parser: h11.Connection) -> None:
    while not isinstance(event := parser.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            parser.receive_data(await app.receive_some())


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_response_that_is_broken_off_does_not_look_complete(version: bytes) -> None:
    async with pair() as (caller, app):
        await app.send_all(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version)
        await caller.next_request()
        await caller.send_head(ResponseHead(200), last=False)
        await caller.send_data(b"hello")
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
        parser.send(h11.EndOfMessage())
        caller.abort()
        with pytest.raises((trio.BrokenResourceError, h11.RemoteProtocolError)):
            await parse_response(app, parser)


async def test_closing_with_bytes_unread_still_delivers_the_answer() -> None:
    async with pair() as (caller, app):
        size = 300_000
        await app.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        await caller.next_request()
        await caller.reply(reply_to(refusal("AZ")))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.close)
            await app.send_all(bytes(size))
            await app.send_eof()
            assert (await read_all(app)).startswith(b"HTTP/1.1 403 ")


async def test_closing_does_not_wait_for_ever(autojump_clock: MockClock) -> None:
    async with pair(linger_s=2.0) as (caller, app):
        await app.send_all(GET)
        await caller.next_request()
        await caller.close()
        assert trio.current_time() == 2.0


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


@given(fragments=st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=12))
@settings(max_examples=150, deadline=None)
async def test_any_bytes_are_requests_or_answerable_errors_or_a_caller_that_went_away(
    fragments: list[bytes],
) -> None:
    async with pair(linger_s=0.001) as (caller, app):
        await app.send_all(b"".join(fragments))
        await app.send_eof()
        try:
            while await caller.next_request() is not None:
                while await caller.read_body():
                    pass
                await caller.reply(reply_to(refusal("NR")))
                if not caller.next_exchange():
                    return
        except RequestError as error:
            assert error.flag == "DPE"
            await caller.reply(reply_to(error))
        except CallerGone:
            pass
