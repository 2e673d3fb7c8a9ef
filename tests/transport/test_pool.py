"""One channel per peer, dialled once for all who want it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
import trio
import trio.testing

from gossipmesh.channel.hop import MAX_STREAMS
from gossipmesh.channel.hop_messages import RequestHead, ResponseHead
from gossipmesh.errors import ConnectError, StreamLimit
from gossipmesh.model import Address, NodeId
from gossipmesh.transport.acceptor import HopAcceptor
from gossipmesh.transport.counters import Counters
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.hop_streams import BULK
from gossipmesh.transport.listener import Listener
from gossipmesh.transport.pool import DRAINS_S, MAX_AGE_S, MAX_IDLE_S, SWEEP_S, ChannelPool
from gossipmesh.transport.reactor import Reactor
from gossipmesh.transport.secure_stream import SecureStream
from gossipmesh.transport.silence import DOUBT_AFTER_S, PING_AFTER_S

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)
WEB = NodeId(b"web".ljust(32))
ORDERS = NodeId(b"orders".ljust(32))


class World:
    """The host ``orders``, and a pool at ``web``."""

    def __init__(self, hops: ModuleType, reactor: Reactor, nursery: trio.Nursery) -> None:
        self.hops = hops
        self.counters = Counters()
        self.accepted = 0
        self.mute = 0
        """So many channels, the first ones, are accepted, and nothing comes on them."""
        self.addresses: dict[NodeId, tuple[Address, ...]] = {}
        self.lost: list[NodeId] = []
        self.acceptor = HopAcceptor(reactor, hops.serving(nursery, self.serve), count=self.counters.count)
        self.listener = Listener(
            Address("127.0.0.1", 0),
            hops.identity(ORDERS),
            serve_hop=self._accept,
            serve_sync=self._accept,
            count=self.counters.count,
        )
        self.pool = ChannelPool(
            reactor,
            hops.identity(WEB),
            self.addresses.get,
            connect_timeout_s=5.0,
            count=self.counters.count,
            lost=lambda node, _: self.lost.append(node),
        )

    async def _accept(self, stream: SecureStream) -> None:
        self.accepted += 1
        if self.accepted <= self.mute:
            await trio.sleep_forever()
        await self.acceptor.serve_channel(stream)

    async def serve(self, talk: object) -> None:
        if talk.request.target == b"/never":
            await talk.flag()
        talk.send_head(OK)
        await talk.send_data(await talk.body())
        talk.send_end()

    async def channel(self, target: NodeId = ORDERS) -> HopConnection:
        """Give the channel to ``target``, dialled if need be.

        Raises:
            ConnectError: as the pool says.
        """
        if (channel := self.pool.channel(target)) is not None:
            return channel
        results: list[HopConnection | ConnectError] = []
        self.pool.dial(target, results.append)
        await self.hops.until(lambda: results)
        if isinstance(results[0], ConnectError):
            raise results[0]
        return results[0]

    async def ask(self, target: NodeId = ORDERS) -> None:
        talk = self.hops.ask(await self.channel(target), GET, b"")
        assert await talk.response_head() == OK
        assert await talk.body() == b""

    async def hang(self) -> object:
        return self.hops.ask(await self.channel(), RequestHead("orders", b"GET", b"/never"))

    async def bulk(self) -> object:
        """Give a request that is not over and has moved more than a small one."""
        talk = self.hops.ask(await self.channel(), GET)
        await talk.send_data(bytes(BULK + 1))
        return talk


@asynccontextmanager
async def running(hops: ModuleType) -> AsyncIterator[World]:
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        world = World(hops, reactor, nursery)
        address = await nursery.start(world.listener.run)
        world.addresses[ORDERS] = (address,)
        await nursery.start(world.pool.run)
        yield world
        nursery.cancel_scope.cancel()


async def code_of(world: World, target: NodeId) -> str:
    with pytest.raises(ConnectError) as raised:
        await world.channel(target)
    return raised.value.code


async def test_many_callers_wait_for_one_dial_and_share_its_channel(hops: ModuleType) -> None:
    async with running(hops) as world:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(world.ask)
        await world.ask()
        assert world.accepted == 1
        assert world.pool.connected == {ORDERS}
        assert world.counters.values == {}


async def test_a_caller_that_goes_away_does_not_take_the_dial_with_it(hops: ModuleType) -> None:
    async with running(hops) as world:
        told: list[object] = []
        world.pool.dial(ORDERS, lambda _: None)
        world.pool.dial(ORDERS, told.append)
        assert told == []
        await world.ask()
        assert [type(each) for each in told] == [HopConnection]
        assert world.accepted == 1


async def test_a_peer_that_is_unknown_refuses_or_is_another_one_is_a_connect_error(hops: ModuleType) -> None:
    with trio.socket.socket() as closed:
        await closed.bind(("127.0.0.1", 0))
        async with running(hops) as world:
            assert await code_of(world, NodeId(b"nobody".ljust(32))) == "connect.unknown"
            gone, impostor = NodeId(b"gone".ljust(32)), NodeId(b"impostor".ljust(32))
            world.addresses[gone] = (Address(*closed.getsockname()),)
            assert await code_of(world, gone) == "connect.refused"
            world.addresses[impostor] = world.addresses[ORDERS]
            assert await code_of(world, impostor) == "channel.identity"
            assert world.counters["connect.refused"] == 1
            assert world.counters["channel.identity"] == 1


async def test_after_a_channel_broke_the_next_request_gets_a_new_one(hops: ModuleType) -> None:
    async with running(hops) as world:
        stream = await world.hang()
        await hops.settled()
        world.acceptor.close(WEB)
        assert await stream.status_or_flag() == "UC"
        await world.ask()
        assert world.accepted == 2


async def test_a_destination_that_goes_away_finishes_what_it_accepted_and_is_not_asked_again(
    hops: ModuleType,
) -> None:
    async with running(hops) as world:
        stream = await world.hang()
        await hops.settled()
        world.acceptor.drain()
        await hops.settled()
        assert world.acceptor.open_streams == 1
        late: list[object] = []
        # Asked before the new channel's GOAWAY is here.
        world.pool.dial(ORDERS, lambda channel: late.append(hops.ask(channel, GET)))
        await hops.until(lambda: late)
        assert await late[0].status_or_flag() == "refused"
        stream.reset("DC")
        await hops.settled()
        assert world.acceptor.open_streams == 0
        assert world.counters.values == {}


async def test_a_destination_that_sent_us_away_is_not_dialled_again_for_a_while(
    hops: ModuleType, mock_clock: trio.testing.MockClock
) -> None:
    async with running(hops) as world:
        await world.ask()
        world.acceptor.drain()
        await hops.settled()
        assert world.pool.connected == frozenset()
        assert await code_of(world, ORDERS) == "connect.draining"
        assert (world.accepted, world.lost) == (1, [])
        mock_clock.jump(DRAINS_S)
        await hops.settled()
        await world.channel()
        assert world.accepted == 2


async def test_a_peer_that_owes_answers_and_says_nothing_is_told_of_while_its_channel_lives(
    hops: ModuleType, mock_clock: trio.testing.MockClock
) -> None:
    async with running(hops) as world:
        world.mute = 99
        talk = hops.ask(await world.channel(), GET)
        await hops.settled()
        mock_clock.jump(PING_AFTER_S)
        await hops.settled()
        mock_clock.jump(DOUBT_AFTER_S)
        await hops.settled()
        assert world.lost == [ORDERS]
        assert talk.told == ["doubted"]
        assert world.pool.connected == {ORDERS}
        world.pool.doubt(lambda node, service: (node, service) == (ORDERS, "orders"))
        assert talk.told == ["doubted", "doubted"]


async def test_a_silent_channel_gives_way_to_a_new_one_where_the_peer_is_there_after_all(
    hops: ModuleType, mock_clock: trio.testing.MockClock
) -> None:
    async with running(hops) as world:
        world.mute = (
            1  # What lost packets come to: nothing passes on the connection from before, all on a new one.
        )
        old = await world.channel()
        talk = hops.ask(old, GET)
        for wait_s in (PING_AFTER_S, DOUBT_AFTER_S):
            assert world.pool.channel(ORDERS) is old
            await hops.settled()
            mock_clock.jump(wait_s)
        await hops.until(lambda: world.pool.channel(ORDERS) is not old)
        await world.ask()
        assert (world.accepted, talk.told) == (2, ["doubted"])
        # It says no more against the peer than it had said before.
        assert world.lost == [ORDERS]
        while not world.counters["channel.silent"]:
            mock_clock.jump(DOUBT_AFTER_S + 0.001)
            await hops.settled()
        assert talk.told[-1] == "UC"
        assert world.lost == [ORDERS]


async def test_all_channels_are_let_go_of_once_their_requests_are_over(hops: ModuleType) -> None:
    async with running(hops) as world:
        stream = await world.hang()
        await hops.settled()
        world.pool.retire_all()
        assert world.pool.connected == frozenset()
        await hops.settled()
        assert world.acceptor.open_streams == 1
        stream.reset("DC")
        await hops.settled()
        assert world.acceptor.open_streams == 0
        assert (world.counters.values, world.lost) == ({}, [])


async def test_an_old_channel_takes_no_new_streams_and_lives_until_its_streams_end(
    hops: ModuleType, mock_clock: trio.testing.MockClock
) -> None:
    async with running(hops) as world:
        old = await world.hang()
        await hops.settled()
        mock_clock.jump(MAX_AGE_S)
        await world.ask()
        assert world.accepted == 2
        assert old.told == []
        old.reset("DC")
        await world.ask()
        await hops.settled()
        assert world.accepted == 2
        assert world.counters.values == {}


async def test_an_idle_channel_is_closed_in_good_order(
    hops: ModuleType, mock_clock: trio.testing.MockClock
) -> None:
    async with running(hops) as world:
        await world.ask()
        await hops.settled()
        mock_clock.jump(MAX_IDLE_S - SWEEP_S)
        await hops.settled()
        assert world.pool.connected == {ORDERS}
        mock_clock.jump(SWEEP_S)
        await hops.settled()
        assert world.pool.connected == frozenset()
        assert world.counters.values == {}


async def test_a_full_channel_says_so_and_sends_nothing(hops: ModuleType) -> None:
    async with running(hops) as world:
        for _ in range(MAX_STREAMS):
            await world.hang()
        with pytest.raises(StreamLimit) as raised:
            await world.ask()
        assert raised.value.code == "hop.stream-limit"


async def test_a_revoked_peer_loses_its_channels_at_once(hops: ModuleType) -> None:
    async with running(hops) as world:
        old = await world.hang()
        await hops.settled()
        world.pool.retire(ORDERS)
        new = await world.hang()
        world.pool.close(ORDERS)
        assert [await stream.status_or_flag() for stream in (old, new)] == ["UC", "UC"]


async def test_a_pool_that_stops_fails_its_streams_and_dials_no_more(hops: ModuleType) -> None:
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        world = World(hops, reactor, nursery)
        world.addresses[ORDERS] = (await nursery.start(world.listener.run),)
        async with trio.open_nursery() as pools:
            await pools.start(world.pool.run)
            stream = await world.hang()
            pools.cancel_scope.cancel()
        assert await stream.status_or_flag() == "UC"
        assert await code_of(world, ORDERS) == "connect.stopped"
        nursery.cancel_scope.cancel()


async def test_a_dial_under_way_when_the_pool_stops_is_told_so(hops: ModuleType) -> None:
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        world = World(hops, reactor, nursery)
        world.addresses[ORDERS] = (await nursery.start(world.listener.run),)
        told: list[object] = []
        async with trio.open_nursery() as pools:
            await pools.start(world.pool.run)
            world.pool.dial(ORDERS, told.append)
            pools.cancel_scope.cancel()
        await hops.until(lambda: told)
        assert isinstance(told[0], ConnectError)
        assert told[0].code == "connect.stopped"
        nursery.cancel_scope.cancel()


async def test_beside_bulk_small_requests_get_a_second_channel_once_it_is_there(hops: ModuleType) -> None:
    async with running(hops) as world:
        bulk = await world.bulk()
        first = await world.channel()
        # The first to come beside bulk does not wait for the dial that it begins.
        assert first.carries_bulk
        await hops.until(lambda: world.accepted == 2)
        await hops.settled()
        second = await world.channel()
        assert second is not first
        await world.ask()
        assert world.accepted == 2
        bulk.stream.reset("DC")
        await hops.settled()
        assert not first.carries_bulk
        assert await world.channel() is second


async def test_beside_two_channels_with_bulk_there_is_no_third(hops: ModuleType) -> None:
    async with running(hops) as world:
        await world.bulk()
        await world.channel()
        await hops.until(lambda: world.accepted == 2)
        await hops.settled()
        await world.bulk()
        for _ in range(5):
            await world.ask()
        assert world.accepted == 2


async def test_a_second_channel_that_is_idle_is_closed_in_good_order(
    hops: ModuleType, mock_clock: trio.testing.MockClock
) -> None:
    async with running(hops) as world:
        bulk = await world.bulk()
        await world.channel()
        await hops.until(lambda: world.accepted == 2)
        await hops.settled()
        await world.channel()
        bulk.stream.reset("DC")
        await hops.settled()
        for _ in range(int(MAX_IDLE_S // SWEEP_S) + 1):
            mock_clock.jump(SWEEP_S)
            await hops.settled()
        assert world.pool.connected == frozenset()
        assert world.acceptor.open_streams == 0
        assert world.counters.values == {}


async def test_a_peer_whose_channel_broke_is_told_of_and_one_that_ended_is_not(hops: ModuleType) -> None:
    async with running(hops) as world:
        await world.ask()
        world.acceptor.close(WEB)
        await hops.settled()
        assert world.lost == [ORDERS]
        await world.ask()
        world.acceptor.drain()
        await hops.settled()
        assert world.pool.channel(ORDERS) is None
        assert world.lost == [ORDERS]
