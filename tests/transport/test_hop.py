"""Hop channels over the loopback: many requests, one reader, one writer."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from gossipmesh import crypto
from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.hop import StreamLimit
from gossipmesh.channel.hop_events import DataReceived, ResponseStarted, StreamEnded, StreamReset
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.hop_stream import INITIAL_WINDOW
from gossipmesh.channel.noise import Role
from gossipmesh.channel.secure import HOP, SYNC
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import NodeId
from gossipmesh.transport.hop import HopConnection, Serve
from gossipmesh.transport.hop_stream import HopStream, StreamResetError
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)


def identity(name: bytes) -> ChannelIdentity:
    """Give an identity that is believed: who it is, is what these tests are not about."""
    return ChannelIdentity(
        mesh_id=bytes(32),
        credentials=lambda: name,
        authenticate=lambda credentials, _, __: Peer(NodeId(credentials), None, None, 0),
        static_private=lambda: crypto.blake2b(name, 32),
        entropy=os.urandom,
    )


async def secure_pair() -> tuple[SecureStream, SecureStream]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        client = await trio.open_tcp_stream(*listener.socket.getsockname()[:2])
        server = await listener.accept()
    web = SecureStream(client, Role.INITIATOR, identity(b"web"))
    orders = SecureStream(server, Role.RESPONDER, identity(b"orders"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(web.handshake)
        nursery.start_soon(orders.handshake)
    return web, orders


@asynccontextmanager
async def connected(serve: Serve) -> AsyncIterator[tuple[HopConnection, HopConnection]]:
    """Give both ends of a running hop channel."""
    web, orders = await secure_pair()
    initiator = HopConnection(web, Role.INITIATOR)
    acceptor = HopConnection(orders, Role.RESPONDER, serve=serve)
    async with trio.open_nursery() as nursery:
        await nursery.start(initiator.run)
        await nursery.start(acceptor.run)
        yield initiator, acceptor
        initiator.close()
        acceptor.close()


async def body_of(stream: HopStream) -> bytes:
    body = bytearray()
    while data := await stream.receive_data():
        body += data
    return bytes(body)


async def echo(stream: HopStream) -> None:
    stream.send_head(OK)
    while data := await stream.receive_data():
        await stream.send_data(data)
    stream.send_end(End(in_flight=1))


async def never(stream: HopStream) -> None:
    await trio.sleep_forever()


async def test_a_request_is_answered() -> None:
    async with connected(echo) as (web, orders):
        stream = web.open_stream(GET)
        await stream.send_data(b"hello")
        stream.send_end(End())
        assert await stream.response_head() == OK
        assert await body_of(stream) == b"hello"
        assert stream.end == End(in_flight=1)
        assert (stream.peer.id, orders.peer.id) == (b"orders", b"web")
        assert web.open_streams == 0


async def test_many_requests_share_one_channel() -> None:
    async def ask(web: HopConnection, number: int) -> None:
        stream = web.open_stream(GET)
        await stream.send_data(b"%d" % number)
        stream.send_end(End())
        assert await stream.response_head() == OK
        assert await body_of(stream) == b"%d" % number

    async with connected(echo) as (web, _), trio.open_nursery() as nursery:
        for number in range(300):
            nursery.start_soon(ask, web, number)


async def test_what_becomes_ready_in_one_turn_leaves_as_one_record() -> None:
    web, orders = await secure_pair()
    connection = HopConnection(web, Role.INITIATOR)
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            connection.open_stream(GET).send_end(End())
        nursery.start_soon(connection.run)
        (record,) = await orders.receive_records()
        assert len(frames.split_frames_untrusted(record.body)) == 100
        connection.close()
    orders.close()


async def test_an_idle_channel_says_at_once_what_it_is_for() -> None:
    web, orders = await secure_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(HopConnection(web, Role.INITIATOR).run)
        assert await orders.purpose() == HOP
        nursery.cancel_scope.cancel()
    orders.close()


async def test_a_large_body_waits_for_its_reader_and_arrives_whole() -> None:
    body = os.urandom(3_000_000)
    sent = 0

    async def send(stream: HopStream) -> None:
        nonlocal sent
        for start in range(0, len(body), 100_000):
            await stream.send_data(body[start : start + 100_000])
            sent = start + 100_000
        stream.send_end(End())

    async def serve(stream: HopStream) -> None:
        stream.send_head(OK)
        await send(stream)

    async with connected(serve) as (web, _):
        stream = web.open_stream(GET)
        stream.send_end(End())
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert sent <= INITIAL_WINDOW
        assert await body_of(stream) == body


async def test_200_stalled_streams_hold_up_no_live_one() -> None:
    async def serve(stream: HopStream) -> None:
        stream.send_head(OK)
        if stream.request.target == b"/live":
            await stream.send_data(await body_of(stream))
            stream.send_end(End())
        else:
            await stream.send_data(bytes(10 * INITIAL_WINDOW))

    async with connected(serve) as (web, _), trio.open_nursery() as nursery:
        for _ in range(200):
            stalled = web.open_stream(GET)
            nursery.start_soon(expect_reset, stalled.send_data, bytes(10 * INITIAL_WINDOW))
        body = os.urandom(1_000_000)
        live = web.open_stream(RequestHead("orders", b"POST", b"/live"))
        nursery.start_soon(send_all, live, body)
        assert await live.response_head() == OK
        assert await body_of(live) == body
        web.close()


async def send_all(stream: HopStream, body: bytes) -> None:
    await stream.send_data(body)
    stream.send_end(End())


async def expect_reset(wait: object, *args: object) -> str:
    with pytest.raises(StreamResetError) as raised:
        await wait(*args)
    return raised.value.flag


async def test_a_reset_wakes_every_wait_at_both_ends() -> None:
    woken: list[str] = []

    async def serve(stream: HopStream) -> None:
        stream.on_reset = lambda: woken.append("called")
        woken.append(await expect_reset(stream.receive_data))

    async with connected(serve) as (web, orders):
        stream = web.open_stream(GET)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_reset, stream.response_head)
            await trio.testing.wait_all_tasks_blocked(0.01)
            stream.reset("UT")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert woken == ["called", "UT"]
        assert (web.open_streams, orders.open_streams) == (0, 0)
        with pytest.raises(StreamResetError):
            stream.send_end(End())


async def test_a_reset_wakes_who_waits_for_credit() -> None:
    woken: list[str] = []

    async def serve(stream: HopStream) -> None:
        stream.send_head(OK)
        woken.append(await expect_reset(stream.send_data, bytes(2 * INITIAL_WINDOW)))

    async with connected(serve) as (web, _):
        stream = web.open_stream(GET)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_reset, stream.send_data, bytes(2 * INITIAL_WINDOW))
            await trio.testing.wait_all_tasks_blocked(0.01)
            stream.reset("DC")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert woken == ["DC"]


async def test_a_handler_that_returns_early_resets_what_is_left() -> None:
    async def serve(stream: HopStream) -> None:
        if stream.request.target == b"/answered":
            stream.send_head(ResponseHead(413))
            stream.send_end(End())

    async with connected(serve) as (web, _):
        silent = web.open_stream(GET)
        assert await expect_reset(silent.response_head) == "UR"
        answered = web.open_stream(RequestHead("orders", b"POST", b"/answered"))
        assert await answered.response_head() == ResponseHead(413)
        assert await body_of(answered) == b""
        assert await expect_reset(answered.send_data, bytes(2 * INITIAL_WINDOW)) == "UR"


async def test_when_a_channel_breaks_all_its_streams_fail_at_once() -> None:
    cancelled: list[str] = []

    async def serve(stream: HopStream) -> None:
        stream.on_reset = lambda: cancelled.append("told")
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append("cancelled")

    async with connected(serve) as (web, orders):
        streams = [web.open_stream(GET) for _ in range(3)]
        await trio.testing.wait_all_tasks_blocked(0.01)
        orders.close("node.revoked")
        for stream in streams:
            assert await expect_reset(stream.response_head) == "UC"
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert sorted(cancelled) == ["cancelled"] * 3 + ["told"] * 3
        assert not web.accepts_streams
        assert web.failure is not None
        assert orders.failure is not None
        assert orders.failure.code == "node.revoked"
        with pytest.raises(StreamLimit):
            web.open_stream(GET)


async def test_a_body_that_was_cut_never_looks_complete() -> None:
    async def serve(stream: HopStream) -> None:
        stream.send_head(OK)
        await stream.send_data(b"the first half")
        await trio.sleep_forever()

    async with connected(serve) as (web, orders):
        stream = web.open_stream(GET)
        assert await stream.receive_data() == b"the first half"
        orders.close()
        assert await expect_reset(stream.receive_data) == "UC"
        assert stream.end is None


async def test_a_channel_that_goes_away_ends_in_good_order_once_its_streams_have() -> None:
    for side in ("initiator", "acceptor"):
        async with connected(echo) as (web, orders):
            stream = web.open_stream(GET)
            assert await stream.response_head() == OK
            (web if side == "initiator" else orders).go_away()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not web.accepts_streams
            with pytest.raises(StreamLimit):
                web.open_stream(GET)
            await stream.send_data(b"still here")
            stream.send_end(End())
            assert await body_of(stream) == b"still here"
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert (web.failure, orders.failure) == (None, None)


async def test_what_a_destination_refuses_as_it_goes_away_may_be_tried_again() -> None:
    async with connected(never) as (web, orders):
        orders.go_away()
        stream = web.open_stream(GET)
        assert await expect_reset(stream.response_head) == "refused"


async def test_a_host_that_vanished_is_noticed_while_requests_wait(
    mock_clock: trio.testing.MockClock,
) -> None:
    web, orders = await secure_pair()
    connection = HopConnection(web, Role.INITIATOR)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        assert await orders.purpose() == HOP
        await orders.receive_records()
        mock_clock.jump(60.0)  # Nobody asks while no request waits.
        stream = connection.open_stream(GET)
        assert [kind async for kind in kinds(orders, 1)] == [frames.HEAD]
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(0.5)
        assert [kind async for kind in kinds(orders, 1)] == [frames.PING]
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(1.0)
        assert await expect_reset(stream.response_head) == "UC"
    assert connection.failure is not None
    assert connection.failure.code == "channel.silent"
    orders.close()


async def kinds(stream: SecureStream, records: int) -> AsyncIterator[int]:
    for _ in range(records):
        for record in await stream.receive_records():
            for _, kind, _ in frames.split_frames_untrusted(record.body):
                yield kind


async def test_a_slow_app_behind_a_host_that_answers_is_waited_for(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with connected(never) as (web, _):
        web.open_stream(GET)
        for _ in range(8):
            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(0.5)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (web.open_streams, web.failure) == (1, None)


async def test_our_own_stall_is_not_taken_for_silence(mock_clock: trio.testing.MockClock) -> None:
    async with connected(never) as (web, _):
        web.open_stream(GET)
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(0.5)
        mock_clock.jump(30.0)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (web.open_streams, web.failure) == (1, None)


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        (SYNC, b"", "hop.kind"),
        (HOP, b"junk", "hop.malformed"),
        (HOP, frames.encode_frame(9, 2, b"x"), "hop.stream"),
    ],
)
async def test_a_peer_that_breaks_the_protocol_loses_its_channel(kind: int, body: bytes, code: str) -> None:
    web, orders = await secure_pair()
    connection = HopConnection(orders, Role.RESPONDER, serve=echo)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        await web.send_records(kind, [body])
    assert connection.failure is not None
    assert connection.failure.code == code
    web.close()


async def test_a_handlers_own_error_is_not_swallowed() -> None:
    async def broken(stream: HopStream) -> None:
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with connected(broken) as (web, _):
            web.open_stream(GET)
            await trio.sleep_forever()


async def test_what_arrives_for_a_stream_in_the_moment_in_which_it_ends_is_for_nobody() -> None:
    web, orders = await secure_pair()
    connection = HopConnection(web, Role.INITIATOR)
    # A reader that is on its way already when its channel is given up finds the streams gone.
    for event in (DataReceived(1, b"x"), ResponseStarted(1, OK), StreamEnded(1, End()), StreamReset(1, "UC")):
        connection._perform(event)
    web.close()
    orders.close()
