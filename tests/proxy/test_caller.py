"""A local app's connection to us, with a raw socket at the app's end and a plain note-taker for an exchange."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock

from gossipmesh.channel.hop_messages import ResponseHead
from gossipmesh.errors import RequestError
from gossipmesh.proxy.caller import CallerConnection, Continuing
from gossipmesh.proxy.http1.messages import RequestIn
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.replies import Reply, reply_to
from gossipmesh.transport.link import RECEIVE_SIZE

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
OK = ResponseHead(200, ((b"Content-Length", b"2"),))


class Exchange:
    """Notes what the connection tells it, and answers when a test says so."""

    def __init__(self, caller: CallerConnection, request: RequestIn, told: list[str]) -> None:
        self.caller = caller
        self.request = request
        self.told = told

    def start(self) -> None:
        self.told.append(f"start {self.request.target.decode()}")
        self.caller.alarm.set(self.caller.reactor.now + 5.0)

    def body_arrived(self) -> None:
        while data := self.caller.http.take_body():
            self.told.append(f"body {data.decode()}")

    def caller_gone(self) -> None:
        self.told.append("gone")

    def caller_drained(self) -> None:
        self.told.append("drained")

    def late(self, now: float) -> None:
        self.told.append("late")

    def stop(self) -> None:
        self.told.append("stop")

    def answer(self, head: ResponseHead = OK, body: bytes = b"ok") -> None:
        """Answer the request, and say that it is over."""
        self.caller.link.send(self.caller.http.whole(head, body, last=False))
        self.caller.exchange_over(complete=True)


class Bench:
    """The app's end of a connection, and what our end told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.exchanges: list[Exchange] = []
        self.refused: list[RequestError] = []
        self.closed: list[CallerConnection] = []
        self.app: trio.SocketStream
        self.caller: CallerConnection

    def exchange(self, caller: CallerConnection, request: RequestIn) -> Exchange:
        self.exchanges.append(Exchange(caller, request, self.told))
        return self.exchanges[-1]

    def refuse(self, error: RequestError, began: float) -> Reply:
        assert began <= trio.current_time()
        self.refused.append(error)
        return reply_to(error)

    async def read_all(self) -> bytes:
        received = b""
        async for data in self.app:
            received += data
        return received


@asynccontextmanager
async def bench(lab: ModuleType, hops: ModuleType, **limits: float) -> AsyncIterator[Bench]:
    it = Bench()

    def continued(caller: CallerConnection, request: RequestIn) -> Continuing:
        raise AssertionError("nothing begins the quick way here")

    async with hops.reactor() as reactor:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener:
            it.app = await trio.open_tcp_stream(*listener.socket.getsockname()[:2])
            accepted = await listener.accept()
        it.caller = CallerConnection(
            reactor,
            socket.socket(fileno=accepted.socket.detach()),
            ProxyLimits(**limits),  # type: ignore[arg-type]
            fast_lane=lab.FAST_LANE,
            exchange=it.exchange,
            continued=continued,
            refused=it.refuse,
            closed=it.closed.append,
        )
        async with it.app:
            yield it
        it.caller.stop()


async def test_requests_are_handled_one_after_the_other_however_they_come(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with bench(lab, hops) as it:
        await it.app.send_all(GET.replace(b"/ ", b"/1 ") + GET.replace(b"/ ", b"/2 ") + GET[:10])
        await hops.settled()
        assert it.told == ["start /1"]
        it.exchanges[0].answer()
        await hops.settled()
        assert it.told == ["start /1", "start /2"]
        await it.app.send_all(GET[10:])
        await hops.settled()
        assert it.told == ["start /1", "start /2"]
        it.exchanges[1].answer()
        await hops.settled()
        it.exchanges[2].answer()
        received = b""
        while received.count(b"ok") < 3:
            received += await it.app.receive_some()
        assert it.told == ["start /1", "start /2", "start /"]
        assert it.closed == []


async def test_what_is_sent_ahead_is_held_up_to_a_bound_and_the_rest_stays_with_its_sender(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with bench(lab, hops) as it, trio.open_nursery() as nursery:
        count = 400_000
        nursery.start_soon(it.app.send_all, GET * count)
        await hops.settled()
        assert it.told == ["start /"]
        assert it.caller.link.paused
        for number in range(10):
            assert it.caller.http.buffered <= 65_536 + RECEIVE_SIZE
            it.exchanges[number].answer()
            await hops.settled()
        assert it.told == ["start /"] * 11
        nursery.cancel_scope.cancel()


async def test_a_body_is_told_of_as_it_comes(lab: ModuleType, hops: ModuleType) -> None:
    async with bench(lab, hops) as it:
        await it.app.send_all(POST)
        await hops.settled()
        await it.app.send_all(b"he")
        await hops.settled()
        await it.app.send_all(b"llo" + GET)
        await hops.settled()
        assert it.told == ["start /", "body he", "body llo"]


async def test_an_app_that_closes_between_requests_wants_nothing(lab: ModuleType, hops: ModuleType) -> None:
    async with bench(lab, hops) as it:
        await it.app.aclose()
        await hops.settled()
        assert it.closed == [it.caller]
        assert (it.told, it.refused) == ([], [])


async def test_an_app_that_closes_inside_a_head_wants_nothing(lab: ModuleType, hops: ModuleType) -> None:
    async with bench(lab, hops) as it:
        await it.app.send_all(GET[:10])
        await it.app.send_eof()
        assert await it.read_all() == b""
        assert (it.closed, it.refused) == ([it.caller], [])


@pytest.mark.parametrize("read", [True, False])
async def test_an_app_that_closes_while_it_waits_is_told_of_at_once(
    lab: ModuleType, hops: ModuleType, read: bool
) -> None:
    async with bench(lab, hops) as it:
        await it.app.send_all(GET)
        await hops.settled()
        if not read:
            it.caller.link.pause()
        await it.app.aclose()
        await hops.settled()
        assert it.told == ["start /", "gone"]


async def test_an_idle_connection_is_closed_in_silence(
    lab: ModuleType, hops: ModuleType, autojump_clock: MockClock
) -> None:
    async with bench(lab, hops, keep_alive_s=60.0) as it:
        began = trio.current_time()
        await it.app.send_all(GET)
        await hops.settled()
        it.exchanges[0].answer()
        assert (await it.read_all()).endswith(b"ok")
        assert trio.current_time() - began >= 60.0
        assert (it.closed, it.refused) == ([it.caller], [])


async def test_a_head_in_crumbs_has_no_more_time_than_another(
    lab: ModuleType, hops: ModuleType, autojump_clock: MockClock
) -> None:
    async with bench(lab, hops, head_timeout_s=10.0) as it:
        began = trio.current_time()

        async def dribble() -> None:
            with trio.CancelScope() as scope:
                for byte in GET[:-1]:
                    await it.app.send_all(bytes([byte]))
                    await trio.sleep(1.0)
                scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(dribble)
            answer = await it.app.receive_some()
            assert 10.0 <= trio.current_time() - began < 11.0
            nursery.cancel_scope.cancel()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert [error.status for error in it.refused] == [408]


async def test_deadlines_of_a_request_are_its_exchanges_affair(
    lab: ModuleType, hops: ModuleType, autojump_clock: MockClock
) -> None:
    async with bench(lab, hops, keep_alive_s=1.0) as it:
        await it.app.send_all(GET)
        await trio.sleep(6.0)
        assert it.told == ["start /", "late"]


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\nHost: a\n\n", b"\x16\x03\x01\x02\x00\x01\x00\x01"])
async def test_what_is_no_request_is_answered_and_nothing_behind_it_is_read_as_one(
    lab: ModuleType, hops: ModuleType, head: bytes
) -> None:
    async with bench(lab, hops) as it:
        await it.app.send_all(head + b"\r\n\r\n" + GET)
        answer = await it.app.receive_some()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"\r\nx-gossipmesh-error: DPE\r\n" in answer
        await it.app.send_all(GET)
        await it.app.send_eof()
        assert await it.read_all() == b""
        await hops.settled()
        assert (it.told, len(it.refused)) == ([], 1)
        assert it.closed == [it.caller]


async def test_closing_with_bytes_unread_still_delivers_the_answer(lab: ModuleType, hops: ModuleType) -> None:
    size = 3_000_000
    async with bench(lab, hops) as it:
        await it.app.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        await hops.settled()
        it.exchanges[0].answer()
        await it.app.send_all(bytes(size))
        await it.app.send_eof()
        answer = await it.read_all()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"ok")
    assert it.closed == [it.caller]


async def test_closing_does_not_wait_for_ever(
    lab: ModuleType, hops: ModuleType, autojump_clock: MockClock
) -> None:
    async with bench(lab, hops, linger_s=2.0) as it:
        await it.app.send_all(POST)
        await hops.settled()
        it.exchanges[0].answer()
        await trio.sleep(1.9)
        assert it.closed == []
        await trio.sleep(0.2)
        assert it.closed == [it.caller]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_response_that_is_broken_off_does_not_look_complete(
    lab: ModuleType, hops: ModuleType, version: bytes
) -> None:
    async with bench(lab, hops) as it:
        await it.app.send_all(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version)
        await hops.settled()
        http = it.caller.http
        it.caller.link.send(http.response(ResponseHead(200), last=False) + http.data(b"hello"))
        it.caller.exchange_over(complete=False)
        if version == b"1.0":
            with pytest.raises(trio.BrokenResourceError):
                await it.read_all()
        else:
            assert not (await it.read_all()).endswith(b"0\r\n\r\n")
    assert it.closed == [it.caller]


async def test_a_connection_that_is_stopped_stops_its_exchange_first(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with bench(lab, hops) as it:
        await it.app.send_all(GET)
        await hops.settled()
        it.caller.stop()
        assert it.told[:2] == ["start /", "stop"]
        assert await it.read_all() == b""
        it.caller.stop()
        assert it.closed == [it.caller]


async def test_a_connection_that_was_handed_over_is_left_alone(lab: ModuleType, hops: ModuleType) -> None:
    async with bench(lab, hops) as it:
        await it.app.send_all(GET)
        await hops.settled()
        link = it.caller.hand_over()
        it.caller.abort()
        assert (link.closed, it.closed) == (False, [])
        it.caller.release()
        assert it.closed == [it.caller]
        link.close()
