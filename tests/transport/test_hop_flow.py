"""Bodies on a hop channel: credit, stalls, and who holds up whom."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
import trio
import trio.testing

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.hop_messages import (
    End,
    RequestHead,
    ResponseHead,
    encode_end,
    encode_request_head,
    encode_response_head,
)
from gossipmesh.channel.hop_stream import INITIAL_WINDOW, STREAM_WINDOW, ReceiveBudget
from gossipmesh.channel.hop_whole import encode_answer, encode_call
from gossipmesh.channel.noise import Role
from gossipmesh.channel.secure import HOP
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.hop_stream import HopStream
from gossipmesh.transport.hop_streams import BULK

GET = RequestHead("orders", b"GET", b"/")
LIVE = RequestHead("orders", b"POST", b"/live")
OK = ResponseHead(200)


@asynccontextmanager
async def connected(
    hops: ModuleType, handler: object
) -> AsyncIterator[tuple[HopConnection, HopConnection, trio.Nursery]]:
    """Give both ends of a running hop channel."""
    web, orders = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        initiator = HopConnection(reactor, web, Role.INITIATOR)
        acceptor = HopConnection(reactor, orders, Role.RESPONDER, serve=hops.serving(nursery, handler))
        await nursery.start(initiator.run)
        await nursery.start(acceptor.run)
        yield initiator, acceptor, nursery
        nursery.cancel_scope.cancel()


async def send_all(talk: object, body: bytes) -> None:
    await talk.send_data(body)
    talk.send_end()


async def test_a_channel_that_breaks_gives_the_budget_of_all_channels_back(hops: ModuleType) -> None:
    budget = ReceiveBudget()
    whole = budget.left

    async def serve(talk: object) -> None:
        while await talk.receive_data():
            pass

    web, orders = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        initiator = HopConnection(reactor, web, Role.INITIATOR)
        acceptor = HopConnection(
            reactor, orders, Role.RESPONDER, serve=hops.serving(nursery, serve), budget=budget
        )
        await nursery.start(initiator.run)
        await nursery.start(acceptor.run)
        for _ in range(3):
            await hops.ask(initiator, LIVE).send_data(bytes(INITIAL_WINDOW))
        await hops.until(lambda: budget.left < whole)
        initiator.close()
        await hops.settled()
        assert acceptor.failure is not None
        assert budget.left == whole


async def test_the_first_part_of_a_body_is_not_kept_back_where_it_came_before_the_channel_ran(
    hops: ModuleType, mock_clock: trio.testing.MockClock
) -> None:
    """The clock stands still: no ping into a silence pushes it on."""
    received: list[bytes] = []

    async def serve(talk: object) -> None:
        received.append(await talk.receive_data())

    web, orders = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        initiator = HopConnection(reactor, web, Role.INITIATOR)
        await hops.ask(initiator, LIVE).send_data(b"first")
        await nursery.start(initiator.run)
        assert await orders.purpose() == HOP
        acceptor = HopConnection(reactor, orders, Role.RESPONDER, serve=hops.serving(nursery, serve))
        await nursery.start(acceptor.run)
        await hops.until(lambda: received)
        nursery.cancel_scope.cancel()
    assert received == [b"first"]


async def test_a_large_body_waits_for_its_reader_and_arrives_whole(hops: ModuleType) -> None:
    body = os.urandom(3_000_000)
    sent = 0

    async def serve(talk: object) -> None:
        nonlocal sent
        talk.send_head(OK)
        for start in range(0, len(body), 100_000):
            await talk.send_data(body[start : start + 100_000])
            sent = start + 100_000
        talk.send_end()

    async with connected(hops, serve) as (web, _, _):
        talk = hops.ask(web, GET)
        talk.send_end()
        await hops.settled()
        assert sent <= INITIAL_WINDOW
        assert await talk.body() == body


async def test_200_stalled_streams_hold_up_no_live_one(hops: ModuleType) -> None:
    async def serve(talk: object) -> None:
        talk.send_head(OK)
        if talk.request.target == b"/live":
            await send_all(talk, await talk.body())
        else:
            await talk.send_data(bytes(10 * INITIAL_WINDOW))

    async with connected(hops, serve) as (web, orders, nursery):
        flags: list[str] = []

        async def stall() -> None:
            stalled = hops.ask(web, GET)
            try:
                await stalled.send_data(bytes(10 * INITIAL_WINDOW))
            finally:
                flags.append(await stalled.flag())

        async with trio.open_nursery() as stalls:
            for _ in range(200):
                stalls.start_soon(stall)
            await hops.settled()
            body = os.urandom(1_000_000)
            live = hops.ask(web, LIVE)
            nursery.start_soon(send_all, live, body)
            assert await live.response_head() == OK
            assert await live.body() == body
            assert orders.open_streams == 200
            stalls.cancel_scope.cancel()
        assert flags == []


async def test_a_stream_never_holds_more_than_its_window(hops: ModuleType) -> None:
    async def serve(talk: object) -> None:
        await talk.flag()

    async with connected(hops, serve) as (web, _, nursery):
        talk = hops.ask(web, GET)
        sent = 0
        while taken := talk.stream.send_data(bytes(10_000)):
            sent += taken
        await hops.settled()
        assert talk.stream.send_data(b"x") == 0
        assert sent <= STREAM_WINDOW
        nursery.cancel_scope.cancel()


async def test_a_reset_wakes_who_waits_for_credit(hops: ModuleType) -> None:
    flags: list[str] = []

    async def serve(talk: object) -> None:
        talk.send_head(OK)
        try:
            await talk.send_data(bytes(2 * INITIAL_WINDOW))
        finally:
            flags.append(await talk.flag())

    async with connected(hops, serve) as (web, _, _):
        talk = hops.ask(web, GET)
        await hops.settled()
        talk.stream.reset("DC")
        await hops.settled()
        assert flags == ["DC"]


async def test_whoever_reset_a_stream_may_do_so_again_and_send_no_more(hops: ModuleType) -> None:
    async with connected(hops, hops.never) as (web, orders, _):
        talk = hops.ask(web, GET)
        await hops.settled()
        talk.stream.reset("DC")
        talk.stream.reset("UT")
        talk.stream.consumed(5)
        talk.stream.done()
        assert talk.stream.flag == "DC"
        await hops.settled()
        assert (web.open_streams, orders.open_streams) == (0, 0)


@pytest.mark.parametrize("which", ["up", "down"])
async def test_a_channel_carries_bulk_from_so_many_bytes_of_one_stream_to_its_end(
    hops: ModuleType, which: str
) -> None:
    async def serve(talk: object) -> None:
        talk.send_head(OK)
        await talk.send_data(await talk.body() if which == "up" else bytes(BULK + 1))
        await talk.receive_data()
        talk.send_end()

    async with connected(hops, serve) as (web, _, _):
        talk = hops.ask(web, GET)
        if which == "up":
            await talk.send_data(bytes(BULK))
            assert not web.carries_bulk
            await talk.send_data(b"x")
            assert web.carries_bulk
            talk.stream.reset("DC")
        else:
            assert not web.carries_bulk
            received = 0
            while received <= BULK:
                received += len(await talk.receive_data())
            assert web.carries_bulk
            talk.send_end()
            await talk.body()
        assert not web.carries_bulk


class Hasty:
    """A listener that does at once what it is told of, whatever else came with it."""

    def __init__(self, stream: HopStream | None = None) -> None:
        self.told: list[str] = []
        self.stream = stream

    def head_received(self, head: ResponseHead) -> None:
        self.told.append("head")
        assert self.stream is not None
        self.stream.send_data(b"x")
        if not self.stream.sent_end:
            self.stream.send_end(End())

    def whole_received(self, head: ResponseHead, body: bytes, end: End) -> None:
        self.told.append("whole")

    def data_received(self, data: bytes) -> None:
        self.told.append("data")
        assert self.stream is not None
        self.stream.consumed(len(data))
        self.stream.send_data(data)

    def end_received(self, end: End) -> None:
        self.told.append("end")
        assert self.stream is not None
        if not self.stream.sent_end:
            self.stream.send_end(End())

    def reset_received(self, flag: str) -> None:
        self.told.append(flag)

    def credit_gained(self) -> None:
        self.told.append("credit")
        assert self.stream is not None
        self.stream.send_data(bytes(100_000))


HEAD = frames.encode_frame(1, frames.HEAD, encode_request_head(GET))
CALL = frames.encode_frame(1, frames.CALL, encode_call(GET, b"body"))
DATA = frames.encode_frame(1, frames.DATA, b"data")
END = frames.encode_frame(1, frames.END, encode_end(End()))
RESET = frames.encode_frame(1, frames.RESET, b"DC")


@pytest.mark.parametrize(
    "together", [[HEAD, RESET], [CALL, RESET], [HEAD, DATA, RESET], [HEAD, DATA, END, RESET]]
)
@pytest.mark.parametrize("how", ["in parts", "whole", "done"])
async def test_a_request_that_is_taken_back_with_what_it_began_with_may_be_answered_in_vain(
    hops: ModuleType, together: list[bytes], how: str
) -> None:
    listeners: list[Hasty] = []

    def serve(stream: HopStream) -> None:
        listeners.append(Hasty(stream))
        stream.listener = listeners[0]
        if how == "whole":
            stream.answer(OK, b"denied", End())
        else:
            stream.send_head(OK)
            stream.send_data(b"denied")
            stream.send_end(End())
        if how == "done":
            stream.done()

    web, orders = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        connection = HopConnection(reactor, orders, Role.RESPONDER, serve=serve)
        await nursery.start(connection.run)
        await web.send_records(HOP, [b"".join(together)])
        await hops.until(lambda: listeners)
        await hops.settled()
        assert connection.failure is None
        assert connection.open_streams == 0
        nursery.cancel_scope.cancel()
    web.close()


@pytest.mark.parametrize(
    "together",
    [
        [frames.encode_frame(1, frames.HEAD, encode_response_head(OK))],
        [frames.encode_frame(1, frames.HEAD, encode_response_head(OK)), DATA],
        [frames.encode_frame(1, frames.HEAD, encode_response_head(OK)), DATA, END],
        [frames.encode_frame(1, frames.WINDOW, frames.U32.pack(1_000))],
    ],
)
async def test_a_response_that_breaks_off_with_what_came_of_it_may_be_answered_in_vain(
    hops: ModuleType, together: list[bytes]
) -> None:
    web, orders = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        connection = HopConnection(reactor, web, Role.INITIATOR)
        await nursery.start(connection.run)
        listener = Hasty()
        listener.stream = connection.open_stream(GET, listener)
        listener.stream.send_data(bytes(2 * INITIAL_WINDOW))
        await hops.settled()
        await orders.receive_records()
        await orders.send_records(HOP, [b"".join([*together, RESET])])
        await hops.until(lambda: not connection.open_streams)
        await hops.settled()
        assert connection.failure is None
        assert "DC" in listener.told or "end" in listener.told
        nursery.cancel_scope.cancel()
    orders.close()


async def test_streams_that_wait_for_credit_and_are_reset_together_are_all_told_so(hops: ModuleType) -> None:
    web, orders = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        connection = HopConnection(reactor, web, Role.INITIATOR)
        await nursery.start(connection.run)
        listeners = [Hasty() for _ in range(5)]
        for listener in listeners:
            listener.stream = connection.open_stream(GET, listener)
            listener.stream.send_data(bytes(2 * INITIAL_WINDOW))
        await hops.settled()
        await orders.receive_records()
        resets = [frames.encode_frame(listener.stream.number, frames.RESET, b"UC") for listener in listeners]
        await orders.send_records(HOP, [b"".join(resets)])
        await hops.until(lambda: not connection.open_streams)
        assert connection.failure is None
        assert [listener.told[-1] for listener in listeners] == ["UC"] * 5
        nursery.cancel_scope.cancel()
    orders.close()


def response(status: int) -> bytes:
    return frames.encode_frame(1, frames.HEAD, encode_response_head(ResponseHead(status)))


ANSWER = frames.encode_frame(1, frames.ANSWER, encode_answer(OK, b"", End()) or b"")


@pytest.mark.parametrize(
    "together",
    [
        [response(101), response(200)],
        [response(200), response(101)],
        [response(101), ANSWER],
        [response(200), ANSWER],
        [ANSWER, DATA],
        [DATA],
        [END],
        [HEAD],
        [CALL],
    ],
)
async def test_a_listener_is_never_told_what_cannot_be(hops: ModuleType, together: list[bytes]) -> None:
    """Listeners take it for a bug of ours, and that would end the daemon."""
    web, orders = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        connection = HopConnection(reactor, web, Role.INITIATOR)
        await nursery.start(connection.run)
        talk = hops.ask(connection, GET, b"")
        await orders.receive_records()
        await orders.send_records(HOP, [b"".join(together)])
        assert await talk.flag() == "UC"
        assert connection.failure is not None
        assert connection.failure.code.startswith("hop.")
        assert len(talk.heads) <= 1
        nursery.cancel_scope.cancel()
    orders.close()
