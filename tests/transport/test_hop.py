"""Hop channels over the loopback: many requests, one connection, and how both end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
import trio
import trio.testing

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.hop_events import DataReceived, ResponseStarted, StreamEnded, StreamReset
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.hop_stream import INITIAL_WINDOW
from gossipmesh.channel.noise import Role
from gossipmesh.channel.secure import HOP, SYNC
from gossipmesh.errors import StreamLimit, StreamResetError
from gossipmesh.identity.credentials import WHOLE_MESSAGES
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.hop_stream import HopStream
from gossipmesh.transport.secure_stream import SecureStream
from gossipmesh.transport.silence import DOUBT_AFTER_S, PING_AFTER_S, PONG_WITHIN_S

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)


@asynccontextmanager
async def connected(
    hops: ModuleType, handler: object, *, features: int = WHOLE_MESSAGES
) -> AsyncIterator[tuple[HopConnection, HopConnection]]:
    """Give both ends of a running hop channel."""
    names = [hops.identity(name, features=features) for name in (b"web", b"orders")]
    web, orders = await hops.secure_pair(*names)
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        initiator = HopConnection(reactor, web, Role.INITIATOR)
        acceptor = HopConnection(reactor, orders, Role.RESPONDER, serve=hops.serving(nursery, handler))
        await nursery.start(initiator.run)
        await nursery.start(acceptor.run)
        yield initiator, acceptor
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def caller(hops: ModuleType) -> AsyncIterator[tuple[HopConnection, SecureStream]]:
    """Give the calling end of a running hop channel, and of the other end its records."""
    web, orders = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        connection = HopConnection(reactor, web, Role.INITIATOR)
        await nursery.start(connection.run)
        yield connection, orders
        nursery.cancel_scope.cancel()
    orders.close()


async def test_a_request_is_answered(hops: ModuleType) -> None:
    async with connected(hops, hops.echo) as (web, orders):
        talk = hops.ask(web, GET)
        await talk.send_data(b"hello")
        talk.send_end()
        assert await talk.response_head() == OK
        assert await talk.body() == b"hello"
        assert talk.end == End(in_flight=1)
        assert (talk.stream.peer.id, orders.peer.id) == (b"orders", b"web")
        assert (web.open_streams, orders.open_streams) == (0, 0)


@pytest.mark.parametrize("features", [0, WHOLE_MESSAGES])
async def test_a_whole_request_gets_a_whole_answer_whatever_the_peer_understands(
    hops: ModuleType, features: int
) -> None:
    async def serve(talk: object) -> None:
        assert talk.stream.answer(OK, await talk.body(), End(in_flight=2))

    async with connected(hops, serve, features=features) as (web, orders):
        talk = hops.ask(web, GET, b"hello")
        assert (await talk.response_head(), await talk.body()) == (OK, b"hello")
        assert talk.whole is bool(features)
        assert talk.end == End(in_flight=2)
        assert (web.open_streams, orders.open_streams) == (0, 0)


async def test_many_requests_share_one_channel(hops: ModuleType) -> None:
    async def ask(web: HopConnection, number: int) -> None:
        talk = hops.ask(web, GET)
        await talk.send_data(b"%d" % number)
        talk.send_end()
        assert await talk.response_head() == OK
        assert await talk.body() == b"%d" % number

    async with connected(hops, hops.echo) as (web, _), trio.open_nursery() as nursery:
        for number in range(300):
            nursery.start_soon(ask, web, number)


async def test_what_becomes_ready_in_one_turn_leaves_as_one_record(hops: ModuleType) -> None:
    async with caller(hops) as (connection, orders):
        await orders.receive_records()
        for _ in range(50):
            hops.ask(connection, GET).send_end()
        (record,) = await orders.receive_records()
        assert len(frames.split_frames_untrusted(record.body)) == 100


async def test_an_idle_channel_says_at_once_what_it_is_for(hops: ModuleType) -> None:
    async with caller(hops) as (_, orders):
        assert await orders.purpose() == HOP


async def test_a_reset_is_told_at_the_other_end_and_frees_both(hops: ModuleType) -> None:
    flags: list[str] = []

    async def serve(talk: object) -> None:
        flags.append(await talk.flag())

    async with connected(hops, serve) as (web, orders):
        talk = hops.ask(web, GET)
        await hops.settled()
        talk.stream.reset("UT")
        await hops.settled()
        assert flags == ["UT"]
        assert talk.told == []
        assert (web.open_streams, orders.open_streams) == (0, 0)
        with pytest.raises(StreamResetError):
            talk.send_end()


async def test_a_handler_that_wants_no_more_resets_what_is_left(hops: ModuleType) -> None:
    async def serve(talk: object) -> None:
        if talk.request.target == b"/answered":
            talk.send_head(ResponseHead(413))
            talk.send_end()

    async with connected(hops, serve) as (web, _):
        silent = hops.ask(web, GET)
        assert await silent.status_or_flag() == "UR"
        answered = hops.ask(web, RequestHead("orders", b"POST", b"/answered"))
        assert await answered.response_head() == ResponseHead(413)
        assert await answered.body() == b""
        with pytest.raises(StreamResetError) as raised:
            await answered.send_data(bytes(2 * INITIAL_WINDOW))
        assert raised.value.flag == "UR"


async def test_when_a_channel_breaks_all_its_streams_fail_at_once(hops: ModuleType) -> None:
    told: list[str] = []

    async def serve(talk: object) -> None:
        told.append(await talk.flag())

    async with connected(hops, serve) as (web, orders):
        talks = [hops.ask(web, GET) for _ in range(3)]
        await hops.settled()
        orders.close("node.revoked")
        for talk in talks:
            assert await talk.status_or_flag() == "UC"
        await hops.settled()
        assert told == ["UC"] * 3
        assert not web.accepts_streams
        assert web.failure is not None
        assert orders.failure is not None
        assert orders.failure.code == "node.revoked"
        with pytest.raises(StreamLimit):
            hops.ask(web, GET)


async def test_a_body_that_was_cut_never_looks_complete(hops: ModuleType) -> None:
    async def serve(talk: object) -> None:
        talk.send_head(OK)
        await talk.send_data(b"the first half")
        await talk.flag()

    async with connected(hops, serve) as (web, orders):
        talk = hops.ask(web, GET)
        assert await talk.receive_data() == b"the first half"
        orders.close()
        assert await talk.flag() == "UC"
        assert talk.end is None


@pytest.mark.parametrize("side", ["initiator", "acceptor"])
async def test_a_channel_that_goes_away_ends_in_good_order_once_its_streams_have(
    hops: ModuleType, side: str
) -> None:
    async with connected(hops, hops.echo) as (web, orders):
        talk = hops.ask(web, GET)
        assert await talk.response_head() == OK
        (web if side == "initiator" else orders).go_away()
        await hops.settled()
        assert not web.accepts_streams
        with pytest.raises(StreamLimit):
            hops.ask(web, GET)
        await talk.send_data(b"still here")
        talk.send_end()
        assert await talk.body() == b"still here"
        await hops.settled()
        assert (web.failure, orders.failure) == (None, None)


async def test_what_a_destination_refuses_as_it_goes_away_may_be_tried_again(hops: ModuleType) -> None:
    async with connected(hops, hops.never) as (web, orders):
        taken = hops.ask(web, GET)
        await hops.settled()
        orders.go_away()
        above = [hops.ask(web, GET), hops.ask(web, GET, b"whole")]
        assert [await talk.status_or_flag() for talk in above] == ["refused"] * 2
        assert taken.told == []
        assert orders.open_streams == 1


async def test_a_host_that_vanished_is_noticed_while_requests_wait(
    hops: ModuleType, mock_clock: trio.testing.MockClock
) -> None:
    async with caller(hops) as (connection, orders):
        await orders.receive_records()
        mock_clock.jump(60.0)  # Nobody asks while no request waits.
        talk = hops.ask(connection, GET)
        assert await kinds(orders) == [frames.HEAD]
        await hops.settled()
        mock_clock.jump(PING_AFTER_S)
        assert await kinds(orders) == [frames.PING]
        while connection.accepts_streams:
            await hops.settled()
            mock_clock.jump(DOUBT_AFTER_S)
        assert await talk.status_or_flag() == "UC"
        assert set(talk.told) == {"doubted", "UC"}
        assert connection.failure is not None
        assert connection.failure.code == "channel.silent"


async def test_a_host_that_owes_the_answer_to_a_ping_is_given_up_although_all_requests_have_left(
    hops: ModuleType, mock_clock: trio.testing.MockClock
) -> None:
    async with caller(hops) as (connection, _):
        talk = hops.ask(connection, GET)
        await hops.settled()
        for wait_s in (PING_AFTER_S, DOUBT_AFTER_S):
            assert not connection.is_silent
            mock_clock.jump(wait_s)
            await hops.settled()
        assert connection.is_silent
        assert talk.told == ["doubted"]
        talk.reset("unneeded")
        looks_s = DOUBT_AFTER_S + 0.001  # What is due then is due by then, whatever fractions add up to.
        for _ in range(int(PONG_WITHIN_S / looks_s)):
            assert connection.accepts_streams
            mock_clock.jump(looks_s)
            await hops.settled()
        assert not connection.accepts_streams
        assert connection.failure is not None
        assert connection.failure.code == "channel.silent"


async def kinds(stream: SecureStream) -> list[int]:
    return [
        kind
        for record in await stream.receive_records()
        for _, kind, _ in frames.split_frames_untrusted(record.body)
    ]


async def test_a_slow_app_behind_a_host_that_answers_is_waited_for(
    hops: ModuleType, mock_clock: trio.testing.MockClock
) -> None:
    async with connected(hops, hops.never) as (web, _):
        talk = hops.ask(web, GET)
        for _ in range(8):
            await hops.settled()
            mock_clock.jump(PING_AFTER_S)
        await hops.settled()
        assert (web.open_streams, web.failure, talk.told) == (1, None, [])


async def test_whoever_waits_for_what_is_unhealthy_is_told_and_nobody_else(hops: ModuleType) -> None:
    async with connected(hops, hops.never) as (web, _):
        orders, stock = hops.ask(web, GET), hops.ask(web, RequestHead("stock", b"GET", b"/"))
        web.streams.doubt(lambda service: service == "stock")
        assert (orders.told, stock.told) == ([], ["doubted"])


async def test_our_own_stall_is_not_taken_for_silence(
    hops: ModuleType, mock_clock: trio.testing.MockClock
) -> None:
    async with connected(hops, hops.never) as (web, _):
        hops.ask(web, GET)
        await hops.settled()
        mock_clock.jump(PING_AFTER_S)
        mock_clock.jump(30.0)
        await hops.settled()
        assert (web.open_streams, web.failure) == (1, None)


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        (SYNC, b"", "hop.kind"),
        (HOP, b"junk", "hop.malformed"),
        (HOP, frames.encode_frame(9, 2, b"x"), "hop.stream"),
    ],
)
async def test_a_peer_that_breaks_the_protocol_loses_its_channel(
    hops: ModuleType, kind: int, body: bytes, code: str
) -> None:
    web, orders = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        connection = HopConnection(reactor, orders, Role.RESPONDER, serve=hops.serving(nursery, hops.echo))
        nursery.start_soon(connection.run)
        await web.send_records(kind, [body])
    assert connection.failure is not None
    assert connection.failure.code == code
    web.close()


async def test_what_arrived_during_the_handshake_is_not_lost(hops: ModuleType) -> None:
    web, orders = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        ours = HopConnection(reactor, web, Role.INITIATOR)
        await nursery.start(ours.run)
        talk = hops.ask(ours, GET, b"hello")
        assert await orders.purpose() == HOP
        theirs = HopConnection(reactor, orders, Role.RESPONDER, serve=hops.serving(nursery, hops.echo))
        nursery.start_soon(theirs.run)
        assert await talk.body() == b"hello"
        nursery.cancel_scope.cancel()


async def test_a_handlers_own_error_is_not_swallowed(hops: ModuleType) -> None:
    def broken(_: HopStream) -> None:
        raise ZeroDivisionError

    web, orders = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with hops.reactor() as reactor, trio.open_nursery() as nursery:
            connection = HopConnection(reactor, web, Role.INITIATOR)
            await nursery.start(connection.run)
            await nursery.start(HopConnection(reactor, orders, Role.RESPONDER, serve=broken).run)
            hops.ask(connection, GET)
            await trio.sleep_forever()


async def test_a_reactor_that_is_cancelled_takes_its_channels_and_their_streams_with_it(
    hops: ModuleType,
) -> None:
    async with connected(hops, hops.never) as (web, orders):
        talk = hops.ask(web, GET)
        await hops.settled()
    assert await talk.flag() == "UC"
    assert (web.open_streams, orders.open_streams) == (0, 0)
    assert not web.accepts_streams


async def test_what_arrives_for_a_stream_in_the_moment_in_which_it_ends_is_for_nobody(
    hops: ModuleType,
) -> None:
    async with caller(hops) as (connection, _):
        # Of what came in one record, a callback may have ended a stream that a later event is about.
        for event in (
            DataReceived(1, b"x"),
            ResponseStarted(1, OK),
            StreamEnded(1, End()),
            StreamReset(1, "UC"),
        ):
            connection.streams.perform([event])
        connection.streams.deliver()
