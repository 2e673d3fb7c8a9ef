"""Hop channels that peers opened: served, drained, closed."""

from __future__ import annotations

from types import ModuleType

import pytest
import trio
import trio.testing

from gossipmesh.channel.hop_messages import RequestHead
from gossipmesh.channel.noise import Role
from gossipmesh.errors import StreamLimit
from gossipmesh.model import NodeId
from gossipmesh.transport.acceptor import MAX_AGE_S, HopAcceptor
from gossipmesh.transport.counters import Counters
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.reactor import Reactor

GET = RequestHead("orders", b"GET", b"/")


async def open_channel(
    hops: ModuleType, nursery: trio.Nursery, reactor: Reactor, acceptor: HopAcceptor, name: bytes
) -> HopConnection:
    ours, theirs = await hops.secure_pair(hops.identity(name), hops.identity(b"orders"))
    connection = HopConnection(reactor, ours, Role.INITIATOR)
    nursery.start_soon(acceptor.serve_channel, theirs)
    await nursery.start(connection.run)
    return connection


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
