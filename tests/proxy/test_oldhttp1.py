"""HTTP/1.1 over one connection, with raw sockets at the other end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.proxy.http1.messages import PeerGone
from gossipmesh.proxy.limits import CHUNK, ProxyLimits
from gossipmesh.proxy.oldhttp1 import Http1, PeerSilent

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def pair(
    *, role: type[h11.SERVER] | type[h11.CLIENT] = h11.SERVER, **limits: float
) -> AsyncIterator[tuple[Http1, trio.SocketStream]]:
    """Give our end and the raw other end of a loopback connection."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            accepted: list[trio.SocketStream] = []

            async def accept() -> None:
                accepted.append(await listener.accept())

            nursery.start_soon(accept)
            other = await trio.open_tcp_stream("127.0.0.1", port)
        http = Http1(accepted[0], role, ProxyLimits(**limits))  # type: ignore[arg-type]
        async with other:
            yield http, other
        http.close()


async def whole_body(http: Http1) -> bytes:
    body = b""
    while data := await http.receive_body():
        body += data
    return body


async def whole_message(http: Http1) -> None:
    await http.receive_head()
    await whole_body(http)


async def test_a_request_is_given_in_parts_as_it_comes() -> None:
    async with pair() as (http, other):
        await other.send_all(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
        event = await http.receive_head()
        assert isinstance(event, h11.Request)
        assert event.target == b"/x"
        assert await http.receive_body() == b"he"
        await other.send_all(b"llo")
        assert await http.receive_body() == b"llo"
        assert http.body_ended
        assert await http.receive_body() == b""


async def test_all_chunks_of_one_receive_are_given_as_one_and_their_trailers_are_filtered() -> None:
    async with pair() as (http, other):
        await other.send_all(
            CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nDigest: z\r\nContent-Length: 9\r\n\r\n"
        )
        await http.receive_head()
        assert await http.receive_body() == b"hello"
        assert http.trailers == ((b"Digest", b"z"),)


async def test_two_requests_in_one_receive_are_judged_one_by_one() -> None:
    async with pair() as (http, other):
        await other.send_all(GET + b"GET / HTTP/1.1\nHost: a\n\n")
        await http.receive_head()
        assert await whole_body(http) == b""
        await http.send(h11.Response(status_code=204, headers=[]), h11.EndOfMessage())
        assert http.complete
        assert http.excess
        http.next_exchange()
        assert await http.wait_for_bytes()
        with pytest.raises(RemoteProtocolError, match="CR LF"):
            await http.receive_head()


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET /\r\nHost: a\r\n\r\n",
    ],
)
async def test_what_h11_refuses_in_a_head_stays_refused(head: bytes) -> None:
    async with pair() as (http, other):
        await other.send_all(head)
        with pytest.raises(h11.RemoteProtocolError):
            await http.receive_head()


@pytest.mark.parametrize(
    "body",
    [b"0x5\r\nhello\r\n", b"-5\r\n", b"+5\r\nhello\r\n", b"5\r\nhelloX\r\n", b"g\r\n", b"5 5\r\n", b"\r\n"],
)
async def test_what_h11_refuses_in_a_chunk_stays_refused(body: bytes) -> None:
    async with pair() as (http, other):
        await other.send_all(CHUNKED + body)
        await http.receive_head()
        with pytest.raises(h11.RemoteProtocolError):
            await whole_body(http)


async def test_a_chunk_line_that_never_ends_is_too_large() -> None:
    async with pair(trailer_bytes=100) as (http, other):
        await other.send_all(CHUNKED + b"5;" + b"x" * 200)
        await http.receive_head()
        with pytest.raises(h11.RemoteProtocolError) as raised:
            await http.receive_body()
        assert raised.value.error_status_hint == 431


@pytest.mark.parametrize("trailers", [b"A: b\r\n" * 5, b"A: " + b"b" * 100 + b"\r\n"])
async def test_too_many_or_too_long_trailers_are_refused_even_if_they_come_at_once(trailers: bytes) -> None:
    async with pair(trailer_bytes=80, trailer_count=4) as (http, other):
        await other.send_all(CHUNKED + b"0\r\n" + trailers + b"\r\n")
        await http.receive_head()
        with pytest.raises(RemoteProtocolError) as raised:
            await http.receive_body()
        assert raised.value.code == "http.trailers-too-large"


@pytest.mark.parametrize(
    "cut",
    [
        b"POST / HTT",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
        CHUNKED + b"5\r\nhe",
        CHUNKED + b"0\r\n",
    ],
)
async def test_a_connection_that_ends_inside_a_message_is_no_clean_end(cut: bytes) -> None:
    async with pair() as (http, other):
        await other.send_all(cut)
        await other.send_eof()
        with pytest.raises(PeerGone):
            await whole_message(http)


async def test_a_response_without_a_length_ends_with_its_connection() -> None:
    async with pair(role=h11.CLIENT) as (http, other):
        await http.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]), h11.EndOfMessage())
        await other.send_all(b"HTTP/1.1 103 \r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello")
        assert isinstance(await http.receive_head(), h11.InformationalResponse)
        assert isinstance(await http.receive_head(), h11.Response)
        await other.send_eof()
        assert await whole_body(http) == b"hello"
        assert not http.complete


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 1\n\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
async def test_a_response_whose_end_is_in_doubt_is_refused(head: bytes) -> None:
    async with pair(role=h11.CLIENT) as (http, other):
        await http.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]), h11.EndOfMessage())
        await other.send_all(head)
        with pytest.raises(RemoteProtocolError):
            await http.receive_head()


async def test_a_body_is_given_in_chunks_of_bounded_size() -> None:
    async with pair() as (http, other):
        total = 20 * CHUNK
        async with trio.open_nursery() as nursery:
            head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % total
            nursery.start_soon(other.send_all, head + bytes(total))
            await http.receive_head()
            sizes = []
            while data := await http.receive_body():
                sizes.append(len(data))
        assert sum(sizes) == total
        assert max(sizes) <= CHUNK


async def test_a_reader_that_takes_nothing_is_found_out(autojump_clock: trio.testing.MockClock) -> None:
    async with pair(write_idle_timeout_s=30.0) as (http, other):
        await other.send_all(GET)
        await http.receive_head()
        await whole_body(http)
        await http.send(h11.Response(status_code=200, headers=[]))
        with pytest.raises(PeerSilent):
            await http.send(h11.Data(data=bytes(100_000_000)))
        assert trio.current_time() >= 30.0


async def test_watching_tells_a_closed_connection_from_a_message_that_came_early() -> None:
    async with pair() as (http, other):
        await other.send_all(GET)
        await http.receive_head()
        await whole_body(http)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(http.watch)
            await wait_all_tasks_blocked()
            await other.send_all(GET)
        assert http.excess
        assert not http.closed
        await http.watch()
        assert not http.closed


async def test_watching_ends_when_the_other_end_closes() -> None:
    async with pair() as (http, other):
        await other.send_all(GET)
        await http.receive_head()
        await whole_body(http)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(http.watch)
            await wait_all_tasks_blocked()
            await other.aclose()
        assert http.closed
        assert not http.complete


async def test_sending_to_a_connection_that_was_reset_says_so() -> None:
    async with pair() as (http, other):
        await other.send_all(GET)
        await http.receive_head()
        await whole_body(http)
        await other.aclose()
        await http.send(h11.Response(status_code=200, headers=[]))
        with pytest.raises(PeerGone):
            await http.send(h11.Data(data=bytes(100_000_000)))
