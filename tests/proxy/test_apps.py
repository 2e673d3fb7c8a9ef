"""Connections to local apps, with raw sockets as the apps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock

from gossipmesh.errors import AppRefused, PeerGone, RemoteProtocolError
from gossipmesh.proxy.apps import AppConnection, AppPool
from gossipmesh.proxy.limits import ProxyLimits

HOST = [(b"Host", b"a")]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Handler = Callable[[trio.SocketStream], Awaitable[None]]


def answering(*answers: bytes) -> Handler:
    """Give an app that sends the next of ``answers`` for every receive, then closes."""
    left = list(answers)

    async def serve(stream: trio.SocketStream) -> None:
        while left and await stream.receive_some():
            await stream.send_all(left.pop(0))

    return serve


class User:
    """Has one request on a connection, and waits for what becomes of it."""

    def __init__(self, connection: AppConnection) -> None:
        self.connection = connection
        self.status = 0
        self.body = b""
        self.told: list[str] = []
        self.over = trio.Event()
        connection.user = self

    async def ask(self, method: bytes = b"GET") -> tuple[int, bytes]:
        """Send a request and give status and body; status 0 and a flag where there is no answer."""
        self.connection.link.send(self.connection.http.whole(method, b"/", HOST, b""))
        await self.over.wait()
        return self.status, self.body

    def app_readable(self) -> None:
        http = self.connection.http
        try:
            while self.status < 200 and (response := http.next_response()) is not None:
                self.status = response.status
            while data := http.take_body():
                self.body += data
        except (PeerGone, RemoteProtocolError) as error:
            self.status, self.body = 0, b"UC" if isinstance(error, PeerGone) else b"UPE"
            self.over.set()
        if http.body_ended:
            self.over.set()

    def app_drained(self) -> None:
        self.told.append("drained")

    def app_broken(self) -> None:
        self.told.append("broken")
        self.over.set()

    def app_late(self, now: float) -> None:
        self.told.append("late")


class Bench:
    """A pool, and the port of an app."""

    def __init__(self, hops: ModuleType, pool: AppPool, port: int, doubted: list[int]) -> None:
        self.hops = hops
        self.pool = pool
        self.port = port
        self.doubted = doubted

    async def connect(self) -> AppConnection:
        results: list[AppConnection | AppRefused] = []
        self.pool.connect(self.port, results.append)
        await self.hops.until(lambda: results)
        assert isinstance(results[0], AppConnection)
        return results[0]

    async def asked(self) -> AppConnection:
        """Give a new connection that has had an answer."""
        connection = await self.connect()
        assert await User(connection).ask() == (200, b"ok")
        return connection


@asynccontextmanager
async def bench(lab: ModuleType, hops: ModuleType, serve: Handler, **limits: float) -> AsyncIterator[Bench]:
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        doubted: list[int] = []
        proxy_limits = ProxyLimits(**limits)  # type: ignore[arg-type]
        pool = AppPool(reactor, proxy_limits, fast_lane=lab.FAST_LANE, doubt=doubted.append)
        nursery.start_soon(pool.run)
        yield Bench(hops, pool, listener.socket.getsockname()[1], doubted)
        nursery.cancel_scope.cancel()


async def test_a_connection_is_used_again_when_nothing_speaks_against_it(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with bench(lab, hops, answering(ANSWER, ANSWER)) as it:
        assert it.pool.take(it.port, certain=False) is None
        first = await it.asked()
        assert not first.reused
        it.pool.release(first)
        assert it.pool.idle == 1
        second = it.pool.take(it.port, certain=True)
        assert second is first
        assert second.reused
        assert await User(second).ask() == (200, b"ok")
        assert it.pool.idle == 0
        second.close()


async def test_the_connection_that_was_idle_for_the_shortest_time_is_used_first(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with bench(lab, hops, answering(*[ANSWER] * 9)) as it:
        connections = [await it.asked(), await it.asked()]
        for connection in connections:
            it.pool.release(connection)
        taken = [it.pool.take(it.port, certain=False) for _ in range(2)]
        assert taken == connections[::-1]
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER + b"excess",
        b"HTTP/1.1 204 No Content\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nexcess",
    ],
)
async def test_a_connection_with_anything_odd_about_it_is_not_used_again(
    lab: ModuleType, hops: ModuleType, answer: bytes
) -> None:
    async with bench(lab, hops, answering(answer, ANSWER)) as it:
        connection = await it.connect()
        await User(connection).ask()
        it.pool.release(connection)
        assert it.pool.idle == 0
        assert connection.link.closed


async def test_a_connection_whose_response_came_before_its_request_was_sent_is_not_used_again(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with bench(lab, hops, answering(ANSWER, ANSWER)) as it:
        connection = await it.connect()
        user = User(connection)
        connection.link.send(connection.http.request(b"POST", b"/", [*HOST, (b"Content-Length", b"5")]))
        await user.over.wait()
        assert (user.status, user.body) == (200, b"ok")
        it.pool.release(connection)
        assert it.pool.idle == 0


@pytest.mark.parametrize("farewell", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_an_idle_connection_on_which_the_app_says_anything_is_dropped(
    lab: ModuleType, hops: ModuleType, farewell: bytes
) -> None:
    leave = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(ANSWER)
        await leave.wait()
        if farewell:
            await stream.send_all(farewell)

    async with bench(lab, hops, serve) as it:
        it.pool.release(await it.asked())
        leave.set()
        await hops.settled()
        assert it.pool.idle == 0
        assert it.pool.take(it.port, certain=False) is None
        assert it.doubted == [it.port]


async def test_for_a_request_that_cannot_be_sent_twice_a_connection_is_looked_at_once_more(
    lab: ModuleType, hops: ModuleType
) -> None:
    leave, left = trio.Event(), trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(ANSWER)
        await leave.wait()
        await stream.aclose()
        left.set()

    async with bench(lab, hops, serve) as it:
        connection = await it.asked()
        # The close has come, and no turn since then.
        connection.link.pause()
        leave.set()
        await left.wait()
        it.pool.release(connection)
        assert it.pool.idle == 1
        assert it.pool.take(it.port, certain=True) is None
        assert connection.link.closed


async def test_idle_connections_are_closed_before_apps_close_them(
    lab: ModuleType, hops: ModuleType, autojump_clock: MockClock
) -> None:
    async with bench(lab, hops, answering(*[ANSWER] * 9), app_keep_alive_s=3.0) as it:
        it.pool.release(await it.asked())
        await trio.sleep(2.0)
        it.pool.release(await it.asked())
        await trio.sleep(0.9)
        assert it.pool.idle == 2
        await trio.sleep(0.2)
        assert it.pool.idle == 1
        await trio.sleep(2.0)
        assert it.pool.idle == 0
        assert it.doubted == []


async def test_a_stopped_pool_keeps_nothing(lab: ModuleType, hops: ModuleType) -> None:
    async with bench(lab, hops, answering(ANSWER, ANSWER)) as it:
        kept, late = await it.asked(), await it.asked()
        it.pool.release(kept)
    assert kept.link.closed
    it.pool.release(late)
    assert late.link.closed
    assert it.pool.idle == 0


async def test_no_more_than_so_many_idle_connections_are_kept(lab: ModuleType, hops: ModuleType) -> None:
    async with bench(lab, hops, answering(*[ANSWER] * 9), app_idle_connections=2) as it:
        connections = [await it.asked() for _ in range(4)]
        for connection in connections:
            it.pool.release(connection)
        assert [connection.link.closed for connection in connections] == [True, True, False, False]
        assert it.pool.idle == 2


async def test_an_app_that_does_not_listen_has_refused(lab: ModuleType, hops: ModuleType) -> None:
    async with bench(lab, hops, lab.refusing) as it:
        results: list[AppConnection | AppRefused] = []
        port = await lab.unused_port()
        it.pool.connect(port, results.append)
        assert results == []
        await hops.until(lambda: results)
        assert isinstance(results[0], AppRefused)
        assert results[0].flag == "UF"
        assert it.doubted == [port]


async def test_a_connect_that_is_cancelled_tells_nobody(lab: ModuleType, hops: ModuleType) -> None:
    async with bench(lab, hops, lab.silent) as it:
        for port in (it.port, await lab.unused_port()):
            it.pool.connect(port, lambda result: pytest.fail(f"{result}")).cancel()
        await hops.settled()


@pytest.mark.parametrize(
    ("answer", "flag"),
    [
        (b"", b"UC"),
        (b"HTTP/1.1 200 OK\r\nContent-", b"UC"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", b"UC"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", b"UC"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b"UPE"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"UPE"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"UPE"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", b"UPE"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n", b"UPE"),
    ],
)
async def test_what_is_no_answer_reaches_whoever_asked(
    lab: ModuleType, hops: ModuleType, answer: bytes, flag: bytes
) -> None:
    async with bench(lab, hops, answering(answer)) as it:
        connection = await it.connect()
        assert await User(connection).ask() == (0, flag)
        it.pool.release(connection)
        assert connection.link.closed


async def test_whoever_has_a_request_on_a_connection_is_told_all_about_it(
    lab: ModuleType, hops: ModuleType, autojump_clock: MockClock
) -> None:
    async def slow(stream: trio.SocketStream) -> None:
        await trio.sleep(5.0)
        while await stream.receive_some(1_000_000):
            pass

    async with bench(lab, hops, slow) as it:
        connection = await it.connect()
        user = User(connection)
        size = 10_000_000
        head = connection.http.request(b"POST", b"/", [*HOST, (b"Content-Length", b"%d" % size)])
        connection.link.send(head + connection.http.data(bytes(size)))
        assert connection.link.unsent > 0
        connection.alarm.set(trio.current_time() + 1.0)
        await trio.sleep(10.0)
        assert user.told == ["late", "drained"]
        assert connection.link.unsent == 0
        connection.close()
