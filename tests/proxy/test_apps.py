"""Connections to local apps, with raw sockets as the apps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import h11
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from gossipmesh.proxy.apps import AppConnection, AppFault, AppPool, AppRefused
from gossipmesh.proxy.limits import ProxyLimits

HOST = [(b"Host", b"a")]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def app(serve: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[int]:
    """Give the port of an app that handles each connection with ``serve``."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def answering(*answers: bytes) -> Callable[[trio.SocketStream], Awaitable[None]]:
    """Give an app that sends the next of ``answers`` for every receive, then closes."""
    left = list(answers)

    async def serve(stream: trio.SocketStream) -> None:
        while left and await stream.receive_some():
            await stream.send_all(left.pop(0))

    return serve


async def ask(connection: AppConnection, method: bytes = b"GET") -> tuple[int, bytes]:
    await connection.send_head(method, b"/", HOST)
    await connection.send_end(())
    head = await connection.receive_head()
    body = b""
    while data := await connection.receive_body():
        body += data
    return head.status, body


async def test_a_connection_is_used_again_when_nothing_speaks_against_it() -> None:
    async with app(answering(ANSWER, ANSWER)) as port:
        pool = AppPool(ProxyLimits())
        first = await pool.acquire(port)
        assert await ask(first) == (200, b"ok")
        pool.release(first)
        assert pool.idle == 1
        second = await pool.acquire(port)
        assert second is first
        assert second.reused
        assert await ask(second) == (200, b"ok")
        second.close()


async def test_a_fresh_connection_is_fresh() -> None:
    async with app(answering(ANSWER, ANSWER)) as port:
        pool = AppPool(ProxyLimits())
        first = await pool.acquire(port)
        await ask(first)
        pool.release(first)
        second = await pool.acquire(port, fresh=True)
        assert second is not first
        assert not second.reused
        second.close()
        first.close()


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER + b"excess",
        b"HTTP/1.1 204 No Content\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_with_anything_odd_about_it_is_not_used_again(answer: bytes) -> None:
    async with app(answering(answer, ANSWER)) as port:
        pool = AppPool(ProxyLimits())
        connection = await pool.acquire(port)
        await ask(connection)
        pool.release(connection)
        assert pool.idle == 0


async def test_a_connection_whose_response_came_before_its_request_was_sent_is_not_used_again() -> None:
    async with app(answering(ANSWER, ANSWER)) as port:
        pool = AppPool(ProxyLimits())
        connection = await pool.acquire(port)
        await connection.send_head(b"POST", b"/", [*HOST, (b"Content-Length", b"5")])
        assert (await connection.receive_head()).status == 200
        assert await connection.receive_body() == b"ok"
        pool.release(connection)
        assert pool.idle == 0


async def test_a_connection_that_the_app_closed_meanwhile_is_not_given_out() -> None:
    async with app(answering(ANSWER)) as port:
        pool = AppPool(ProxyLimits())
        connection = await pool.acquire(port)
        await ask(connection)
        pool.release(connection)
        await wait_all_tasks_blocked()
        assert not connection.silent
        assert pool.idle == 1
        (again := await pool.acquire(port)).close()
        assert again is not connection
        assert pool.idle == 0


async def test_idle_connections_are_closed_before_apps_close_them(autojump_clock: MockClock) -> None:
    async with app(answering(ANSWER, ANSWER)) as port, trio.open_nursery() as nursery:
        pool = AppPool(ProxyLimits(app_keep_alive_s=3.0))
        nursery.start_soon(pool.run)
        connection = await pool.acquire(port)
        await ask(connection)
        pool.release(connection)
        with trio.move_on_after(2.9):
            await trio.sleep_forever()
        assert pool.idle == 1
        with trio.move_on_after(0.2):
            await trio.sleep_forever()
        assert pool.idle == 0
        nursery.cancel_scope.cancel()


async def test_a_stopped_pool_keeps_nothing() -> None:
    async with app(answering(ANSWER)) as port:
        pool = AppPool(ProxyLimits())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.run)
            connection = await pool.acquire(port)
            await ask(connection)
            pool.release(connection)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert pool.idle == 0


async def test_no_more_than_so_many_idle_connections_are_kept() -> None:
    async with app(answering(*[ANSWER] * 4)) as port:
        pool = AppPool(ProxyLimits(app_idle_connections=2))
        connections = [await pool.acquire(port) for _ in range(4)]
        for connection in connections:
            await ask(connection)
        for connection in connections:
            pool.release(connection)
        assert pool.idle == 2
        for connection in connections:
            connection.close()


async def test_an_app_that_does_not_listen_has_refused() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with pytest.raises(AppRefused):
        await AppPool(ProxyLimits()).acquire(port)


@pytest.mark.parametrize(
    ("answer", "flag"),
    [
        (b"", "UC"),
        (b"HTTP/1.1 200 OK\r\nContent-", "UC"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", "UC"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", "UC"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "UPE"),
        (b"HTTP/1.1 999 Odd\r\n\r\n", "UPE"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "UPE"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "UPE"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", "UPE"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n", "UPE"),
    ],
)
async def test_a_failure_of_the_app_says_what_it_was(answer: bytes, flag: str) -> None:
    async with app(answering(answer)) as port:
        connection = await AppPool(ProxyLimits()).acquire(port)
        with pytest.raises(AppFault) as raised:
            await ask(connection)
        assert raised.value.flag == flag
        connection.close()


async def test_an_app_that_takes_nothing_is_too_slow(autojump_clock: MockClock) -> None:
    async def never_read(_: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with app(never_read) as port:
        connection = await AppPool(ProxyLimits()).acquire(port)
        await connection.send_head(b"POST", b"/", [*HOST, (b"Content-Length", b"100000000")])
        with pytest.raises(AppFault) as raised:
            await connection.send_data(bytes(100_000_000))
        assert raised.value.flag == "UT"
        connection.close()


async def test_trailers_of_a_request_go_out_only_where_they_fit() -> None:
    received: list[bytes] = []

    async def keep(stream: trio.SocketStream) -> None:
        data = b""
        while not data.endswith((b"Digest: x\r\n\r\n", b"\r\n\r\nok")):
            data += await stream.receive_some()
        received.append(data)

    async with app(keep) as port:
        for framing in ((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"2")):
            connection = await AppPool(ProxyLimits()).acquire(port)
            await connection.send_head(b"POST", b"/", [*HOST, framing])
            await connection.send_data(b"ok")
            await connection.send_end(((b"Digest", b"x"),))
            with pytest.raises(AppFault):
                await connection.receive_head()
            connection.close()
    assert received[0].endswith(b"\r\n\r\n2\r\nok\r\n0\r\nDigest: x\r\n\r\n")
    assert received[1] == b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok"


async def test_a_body_that_does_not_fit_its_length_is_our_own_error() -> None:
    async with app(answering(b"")) as port:
        connection = await AppPool(ProxyLimits()).acquire(port)
        await connection.send_head(b"POST", b"/", [*HOST, (b"Content-Length", b"1")])
        with pytest.raises(h11.LocalProtocolError):
            await connection.send_data(b"ok")
        connection.close()


FRAGMENTS = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 103 \r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 X\r\n",
    b"HTTP/1.0 204 \r\n",
    b"HTTP/1.1 304 X\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"\r\n",
    b"\n",
    b"abc",
    b"3\r\nabc\r\n",
    b"0\r\n",
    b" ",
    b"\0",
]


@given(
    fragments=st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=12),
    method=st.sampled_from([b"GET", b"HEAD"]),
)
@settings(max_examples=150, deadline=None)
async def test_any_bytes_are_responses_or_a_fault_of_the_app(fragments: list[bytes], method: bytes) -> None:
    async with app(answering(b"".join(fragments))) as port:
        pool = AppPool(ProxyLimits())
        connection = await pool.acquire(port)
        try:
            await connection.send_head(method, b"/", HOST)
            await connection.send_end(())
            while (await connection.receive_head()).status < 200:
                pass
            while await connection.receive_body():
                pass
        except AppFault as fault:
            assert fault.flag in ("UC", "UPE")
        connection.close()
