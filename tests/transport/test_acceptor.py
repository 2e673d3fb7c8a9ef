"""Hop channels that peers opened: served, drained, closed."""

from __future__ import annotations

from types import ModuleType

import pytest
import trio
import trio.testing

from gossipmesh.channel.hop_frames import DATA, LONG, RESET, encode_frame, split_frames_untrusted
from gossipmesh.channel.hop_long import encode_long
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.hop_whole import encode_call
from gossipmesh.channel.noise import Role
from gossipmesh.channel.secure import HOP
from gossipmesh.errors import StreamLimit
from gossipmesh.model import NodeId
from gossipmesh.transport.acceptor import MAX_AGE_S, SETTLING_S, STALLED_S, HopAcceptor
from gossipmesh.transport.counters import Counters
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.hop_stream import HopStream
from gossipmesh.transport.reactor import Reactor
from gossipmesh.transport.secure_stream import SecureStream

GET = RequestHead("orders", b"GET", b"/")


async def open_channel(
    hops: ModuleType, nursery: trio.Nursery, reactor: Reactor, acceptor: HopAcceptor, name: bytes
) -> HopConnection:
    ours, theirs = await hops.secure_pair(hops.identity(name), hops.identity(b"orders"))
    connection = HopConnection(reactor, ours, Role.INITIATOR)
    nursery.start_soon(acceptor.serve_channel, theirs)
    await nursery.start(connection.run)
    return connection


async def half_a_request(hops: ModuleType, nursery: trio.Nursery, acceptor: HopAcceptor) -> SecureStream:
    """Begin a request of 20,000 body bytes on a channel of its own, and send none of them; give the peer's end."""
    ours, theirs = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
    nursery.start_soon(acceptor.serve_channel, theirs)
    payload = encode_call(GET, b"")
    assert payload is not None
    await ours.send_records(HOP, [encode_frame(1, LONG, encode_long(payload, 20_000))])
    return ours


async def test_draining_takes_no_more_requests_on_channels_old_and_new(
    hops: ModuleType, nursery: trio.Nursery
) -> None:
    async with hops.reactor() as reactor:
        acceptor = HopAcceptor(reactor, hops.serving(nursery, hops.never))
        old = await open_channel(hops, nursery, reactor, acceptor, b"web")
        talk = hops.ask(old, GET)
        await hops.settled()
        acceptor.drain()
        new = await open_channel(hops, nursery, reactor, acceptor, b"web")
        await hops.settled()
        for connection in (old, new):
            with pytest.raises(StreamLimit):
                hops.ask(connection, GET)
        assert acceptor.open_streams == 1
        talk.stream.reset("DC")
        await hops.settled()
        assert acceptor.open_streams == 0
        assert (old.failure, new.failure) == (None, None)


async def test_a_stop_waits_until_peers_have_ended_their_channels_but_not_for_tunnels(
    hops: ModuleType, nursery: trio.Nursery
) -> None:
    async with hops.reactor() as reactor:
        acceptor = HopAcceptor(reactor, hops.serving(nursery, hops.never))
        idle = await open_channel(hops, nursery, reactor, acceptor, b"web")
        busy = await open_channel(hops, nursery, reactor, acceptor, b"ops")
        tunnel = hops.ask(busy, GET)
        await hops.settled()
        acceptor.drain()
        await acceptor.settle()
        assert (idle.unsettled, busy.unsettled) == (None, None)
        assert acceptor.open_streams == 1
        assert not idle.accepts_streams
        tunnel.stream.reset("DC")


async def test_a_stop_does_not_wait_long_for_a_peer_that_takes_nothing(
    hops: ModuleType, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    async with hops.reactor() as reactor:
        acceptor = HopAcceptor(reactor, hops.serving(nursery, hops.never))
        ours, theirs = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
        nursery.start_soon(acceptor.serve_channel, theirs)
        await hops.settled()
        acceptor.drain()
        began = trio.current_time()
        await acceptor.settle()
        assert SETTLING_S <= trio.current_time() - began <= SETTLING_S + 1
        ours.close()


async def test_a_stop_waits_for_a_request_that_was_half_here_and_for_its_answer(
    hops: ModuleType, nursery: trio.Nursery
) -> None:
    served: list[int] = []

    def serve(stream: HopStream) -> None:
        assert stream.body is not None
        served.append(len(stream.body))
        assert stream.answer(ResponseHead(204), b"", End())

    async with hops.reactor() as reactor:
        acceptor = HopAcceptor(reactor, serve)
        async with trio.open_nursery() as until_it_ends:
            ours = await half_a_request(hops, until_it_ends, acceptor)
            await hops.settled()
            acceptor.drain()
            until_it_ends.start_soon(acceptor.settle)
            await hops.settled()
            assert served == []
            half = encode_frame(1, DATA, bytes(10_000))
            await ours.send_records(HOP, [half, half])
            answered: list[int] = []
            while not answered:
                for record in await ours.receive_records():
                    answered += [number for number, *_ in split_frames_untrusted(record.body) if number]
            assert answered == [1]
            await ours.finish()
    assert served == [20_000]


async def test_closing_a_peer_leaves_the_others_alone(hops: ModuleType, nursery: trio.Nursery) -> None:
    counters = Counters()
    async with hops.reactor() as reactor:
        acceptor = HopAcceptor(reactor, hops.serving(nursery, hops.never), count=counters.count)
        web = await open_channel(hops, nursery, reactor, acceptor, b"web")
        ops = await open_channel(hops, nursery, reactor, acceptor, b"ops")
        talks = [hops.ask(web, GET), hops.ask(ops, GET)]
        await hops.settled()
        acceptor.close(NodeId(b"web"))
        assert await talks[0].flag() == "UC"
        await hops.settled()
        assert acceptor.open_streams == 1
        assert talks[1].told == []
        assert counters.values == {"channel.closed": 1}
        ops.close()


async def test_a_channel_that_breaks_is_counted_by_what_was_wrong_with_it(
    hops: ModuleType, nursery: trio.Nursery
) -> None:
    counters = Counters()
    async with hops.reactor() as reactor:
        acceptor = HopAcceptor(reactor, hops.serving(nursery, hops.never), count=counters.count)
        ours, theirs = await hops.secure_pair(hops.identity(b"web"), hops.identity(b"orders"))
        ours.close()
        await acceptor.serve_channel(theirs)
    assert counters.values == {"channel.truncated": 1}


async def test_a_channel_of_an_hour_takes_no_more_requests_though_whoever_dialled_would_send_them(
    hops: ModuleType, nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    """Its peer's chain was looked at when it shook hands, and may have expired since."""
    async with hops.reactor() as reactor:
        acceptor = HopAcceptor(reactor, hops.serving(nursery, hops.never))
        old = await open_channel(hops, nursery, reactor, acceptor, b"web")
        mock_clock.jump(MAX_AGE_S - 1)
        await hops.settled()
        talk = hops.ask(old, GET)
        await hops.settled()
        mock_clock.jump(2)
        await hops.settled()
        with pytest.raises(StreamLimit):
            hops.ask(old, GET)
        assert acceptor.open_streams == 1
        talk.stream.reset("DC")


async def test_a_request_of_which_no_more_comes_is_given_up(
    hops: ModuleType, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    async with hops.reactor() as reactor:
        acceptor = HopAcceptor(reactor, hops.serving(nursery, hops.never))
        started = trio.current_time()
        ours = await half_a_request(hops, nursery, acceptor)
        (record,) = await ours.receive_records()
        assert [frame[:2] for frame in split_frames_untrusted(record.body)] == [(1, RESET)]
        assert STALLED_S < trio.current_time() - started <= 2 * STALLED_S + 1
        ours.close()
