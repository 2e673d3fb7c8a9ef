"""One channel per peer, dialled once for all who want it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from gossipmesh import crypto
from gossipmesh.channel.hop import MAX_STREAMS
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.errors import ConnectError
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import Address, NodeId
from gossipmesh.transport.acceptor import HopAcceptor
from gossipmesh.transport.counters import Counters
from gossipmesh.transport.hop_stream import HopStream, StreamResetError
from gossipmesh.transport.listener import Listener
from gossipmesh.transport.pool import MAX_AGE_S, MAX_IDLE_S, SWEEP_S, ChannelPool
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)
WEB = NodeId(b"web".ljust(32))
ORDERS = NodeId(b"orders".ljust(32))


def identity(node: bytes) -> ChannelIdentity:
    """Give an identity that is believed: who it is, is what these tests are not about."""
    return ChannelIdentity(
        mesh_id=bytes(32),
        credentials=lambda: node,
        authenticate=lambda credentials, _, __: Peer(NodeId(credentials), None, None, 0),
        static_private=lambda: crypto.blake2b(node, 32),
        entropy=os.urandom,
    )


class World:
    """The host ``orders``, and a pool at ``web``."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.accepted = 0
        self.addresses: dict[NodeId, tuple[Address, ...]] = {}
        self.acceptor = HopAcceptor(self.serve, count=self.counters.count)
        self.listener = Listener(
            Address("127.0.0.1", 0),
            identity(ORDERS),
            serve_hop=self.serve_channel,
            serve_sync=self.serve_channel,
            count=self.counters.count,
        )
        self.pool = ChannelPool(
            identity(WEB), self.addresses.get, connect_timeout_s=5.0, count=self.counters.count
        )

    async def serve_channel(self, stream: SecureStream) -> None:
        self.accepted += 1
        await self.acceptor.serve_channel(stream)

    async def serve(self, stream: HopStream) -> None:
        if stream.request.target == b"/never":
            await trio.sleep_forever()
        stream.send_head(OK)
        while await stream.receive_data():
            pass
        stream.send_end(End())

    async def ask(self, target: NodeId = ORDERS) -> None:
        stream = await self.pool.open_stream(target, GET)
        stream.send_end(End())
        assert await stream.response_head() == OK
        assert await stream.receive_data() == b""

    async def hang(self) -> HopStream:
        return await self.pool.open_stream(ORDERS, RequestHead("orders", b"GET", b"/never"))


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    async with trio.open_nursery() as nursery:
        address = await nursery.start(world.listener.run)
        world.addresses[ORDERS] = (address,)
        await nursery.start(world.pool.run)
        yield world
        nursery.cancel_scope.cancel()


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked(0.02)


async def flag_of(stream: HopStream) -> str:
    with pytest.raises(StreamResetError) as raised:
        await stream.response_head()
    return raised.value.flag


async def code_of(world: World, target: NodeId) -> str:
    with pytest.raises(ConnectError) as raised:
        await world.pool.open_stream(target, GET)
    return raised.value.code


async def test_many_callers_wait_for_one_dial_and_share_its_channel() -> None:
    async with running() as world:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(world.ask)
        await world.ask()
        assert world.accepted == 1
        assert world.pool.connected == {ORDERS}
        assert world.counters.values == {}


async def test_a_caller_that_goes_away_does_not_take_the_dial_with_it() -> None:
    async with running() as world, trio.open_nursery() as nursery:
        with trio.move_on_after(0):
            await world.pool.open_stream(ORDERS, GET)
        nursery.start_soon(world.ask)


async def test_a_peer_that_is_unknown_refuses_or_is_another_one_is_a_connect_error() -> None:
    with trio.socket.socket() as closed:
        await closed.bind(("127.0.0.1", 0))
        async with running() as world:
            assert await code_of(world, NodeId(b"nobody".ljust(32))) == "connect.unknown"
            gone, impostor = NodeId(b"gone".ljust(32)), NodeId(b"impostor".ljust(32))
            world.addresses[gone] = (Address(*closed.getsockname()),)
            assert await code_of(world, gone) == "connect.refused"
            world.addresses[impostor] = world.addresses[ORDERS]
            assert await code_of(world, impostor) == "channel.identity"
            assert world.counters["connect.refused"] == 1
            assert world.counters["channel.identity"] == 1


async def test_after_a_channel_broke_the_next_request_gets_a_new_one() -> None:
    async with running() as world:
        stream = await world.hang()
        await settled()
        world.acceptor.close(WEB)
        assert await flag_of(stream) == "UC"
        await world.ask()
        assert world.accepted == 2


async def test_a_destination_that_goes_away_finishes_what_it_accepted_and_is_not_asked_again() -> None:
    async with running() as world:
        stream = await world.hang()
        await settled()
        world.acceptor.drain()
        await settled()
        assert world.acceptor.open_streams == 1
        late = await world.pool.open_stream(ORDERS, GET)
        assert await flag_of(late) == "refused"
        stream.reset("DC")
        await settled()
        assert world.acceptor.open_streams == 0
        assert world.counters.values == {}


async def test_an_old_channel_takes_no_new_streams_and_lives_until_its_streams_end(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with running() as world:
        old = await world.hang()
        await settled()
        mock_clock.jump(MAX_AGE_S)
        await world.ask()
        assert world.accepted == 2
        assert old.flag is None
        old.reset("DC")
        await world.ask()
        await settled()
        assert world.accepted == 2
        assert world.counters.values == {}


async def test_an_idle_channel_is_closed_in_good_order(mock_clock: trio.testing.MockClock) -> None:
    async with running() as world:
        await world.ask()
        await settled()
        mock_clock.jump(MAX_IDLE_S - SWEEP_S)
        await settled()
        assert world.pool.connected == {ORDERS}
        mock_clock.jump(SWEEP_S)
        await settled()
        assert world.pool.connected == frozenset()
        assert world.counters.values == {}


async def test_a_full_channel_is_a_connect_error() -> None:
    async with running() as world:
        for _ in range(MAX_STREAMS):
            await world.hang()
        assert await code_of(world, ORDERS) == "hop.stream-limit"


async def test_a_revoked_peer_loses_its_channels_at_once() -> None:
    async with running() as world:
        old = await world.hang()
        await settled()
        world.pool.retire(ORDERS)
        new = await world.hang()
        world.pool.close(ORDERS)
        assert [await flag_of(stream) for stream in (old, new)] == ["UC", "UC"]


async def test_a_pool_that_stops_fails_its_streams_and_dials_no_more() -> None:
    world = World()
    async with trio.open_nursery() as nursery:
        world.addresses[ORDERS] = (await nursery.start(world.listener.run),)
        async with trio.open_nursery() as pools:
            await pools.start(world.pool.run)
            stream = await world.hang()
            pools.cancel_scope.cancel()
        assert await flag_of(stream) == "UC"
        assert await code_of(world, ORDERS) == "connect.stopped"
        nursery.cancel_scope.cancel()
