"""Request and response on kept channels."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from attrs import evolve

from gossipmesh import crypto
from gossipmesh.channel.secure import HOP, MAX_RECORD_BODY, SYNC
from gossipmesh.errors import ConnectError, LocalProtocolError, RemoteProtocolError, TrustError
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import Address, NodeId
from gossipmesh.transport.counters import Counters
from gossipmesh.transport.dial import dial
from gossipmesh.transport.listener import Listener
from gossipmesh.transport.secure_stream import ChannelClosed, ChannelIdentity, SecureStream
from gossipmesh.transport.sync import SyncClient, serve_sync

WEB = NodeId(b"web".ljust(32))
NODES = [NodeId(b"node-%d".ljust(32) % number) for number in range(4)]


def identity(node: bytes) -> ChannelIdentity:
    """Give an identity that is believed: who it is, is what these tests are not about."""
    return ChannelIdentity(
        mesh_id=bytes(32),
        credentials=lambda _: node,
        authenticate=lambda credentials, _, __: Peer(NodeId(credentials), None, None, 0),
        static_private=lambda: crypto.blake2b(node, 32),
        entropy=os.urandom,
    )


class Node:
    """A node that answers every request with its name and the request."""

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.counters = Counters()
        self.channels: list[SecureStream] = []
        self.most_at_once = 0
        self._at_once = 0
        self.listener = Listener(
            Address("127.0.0.1", 0),
            identity(node),
            serve_hop=self.serve,
            serve_sync=self.serve,
            count=self.counters.count,
        )

    async def serve(self, stream: SecureStream) -> None:
        self.channels.append(stream)
        await serve_sync(stream, self.answer)

    async def answer(self, peer: Peer, request: bytes) -> bytes:
        assert peer.id == WEB
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await trio.lowlevel.checkpoint()
        self._at_once -= 1
        match request:
            case b"wrong":
                raise RemoteProtocolError("sync.malformed", "not a request")
            case b"silence":
                await trio.sleep_forever()
        return self.node + request


@asynccontextmanager
async def running(count: int = 1, *, timeout_s: float = 5.0) -> AsyncIterator[tuple[SyncClient, list[Node]]]:
    nodes = [Node(node) for node in NODES[:count]]
    addresses: dict[NodeId, tuple[Address, ...]] = {}
    client = SyncClient(identity(WEB), addresses.get, connect_timeout_s=5.0, exchange_timeout_s=timeout_s)
    async with trio.open_nursery() as nursery:
        for node in nodes:
            addresses[node.node] = (await nursery.start(node.listener.run),)
            node.address = addresses[node.node][0]
        await nursery.start(client.run)
        yield client, nodes
        nursery.cancel_scope.cancel()


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked(0.02)


async def test_exchanges_share_a_kept_channel_one_at_a_time() -> None:
    async with running() as (client, [node]):

        async def ask(number: int) -> None:
            peer, answer = await client.exchange(node.node, b"%d" % number)
            assert (peer.id, answer) == (node.node, node.node + b"%d" % number)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(ask, number)
        assert (len(node.channels), node.most_at_once) == (1, 1)
        assert client.kept == (node.node,)


async def test_the_largest_request_goes_and_a_larger_one_does_not() -> None:
    async with running() as (client, [node]):
        size = MAX_RECORD_BODY - len(node.node)
        _, answer = await client.exchange(node.node, bytes(size))
        assert len(answer) == MAX_RECORD_BODY
        with pytest.raises(LocalProtocolError):
            await client.exchange(node.node, bytes(MAX_RECORD_BODY + 1))


async def test_few_channels_are_kept_and_the_least_used_is_ended_in_good_order() -> None:
    async with running(4) as (client, nodes):
        for node in (*nodes[:2], nodes[0], nodes[2]):
            await client.exchange(node.node, b"?")
        assert client.kept == (NODES[0], NODES[2])
        await settled()
        assert [node.counters.values for node in nodes] == [{}] * 4


async def test_channels_that_are_held_do_not_give_way_to_others() -> None:
    async with running(4) as (client, nodes):
        await client.exchange(NODES[0], b"?", hold=True)
        for node in nodes[1:]:
            await client.exchange(node.node, b"?")
        assert (client.kept, client.held) == (tuple(NODES[2:]), (NODES[0],))
        await client.exchange(NODES[0], b"?", hold=True)
        assert len(nodes[0].channels) == 1
        await client.exchange(NODES[0], b"?")
        assert (client.kept, client.held) == ((NODES[3], NODES[0]), ())
        assert len(nodes[0].channels) == 1
        await settled()
        assert [node.counters.values for node in nodes] == [{}] * 4


async def test_a_kept_channel_that_is_gone_is_replaced_and_the_request_repeated() -> None:
    async with running() as (client, [node]):
        await client.exchange(node.node, b"1")
        node.channels[0].close()
        assert (await client.exchange(node.node, b"2"))[1] == node.node + b"2"
        assert len(node.channels) == 2


async def test_a_seed_is_asked_by_its_address_and_then_known_by_its_id() -> None:
    async with running() as (client, [node]):
        peer, answer = await client.contact(node.address, b"join")
        assert (peer.id, answer) == (node.node, node.node + b"join")
        await client.exchange(node.node, b"more")
        await client.contact(node.address, b"again")
        assert client.kept == (node.node,)
        assert len(node.channels) == 2


async def test_a_request_that_is_wrong_ends_the_channel_and_is_counted_there() -> None:
    async with running() as (client, [node]):
        with pytest.raises(RemoteProtocolError) as raised:
            await client.exchange(node.node, b"wrong")
        assert raised.value.code == "channel.truncated"
        await settled()
        assert node.counters.values == {"sync.malformed": 1}
        assert client.kept == ()


async def test_no_answer_is_waited_for_longer_than_the_limit() -> None:
    async with running(timeout_s=0.1) as (client, [node]):
        with pytest.raises(ChannelClosed) as raised:
            await client.exchange(node.node, b"silence")
        assert raised.value.code == "sync.timeout"
        with pytest.raises(ChannelClosed):
            await client.contact(node.address, b"silence")
        assert (await client.exchange(node.node, b"hello"))[1] == node.node + b"hello"


async def test_a_node_that_is_not_known_cannot_be_asked() -> None:
    async with running() as (client, _):
        with pytest.raises(ConnectError) as raised:
            await client.exchange(NODES[3], b"?")
        assert raised.value.code == "connect.unknown"


async def test_a_sync_channel_carries_nothing_else() -> None:
    async with running() as (_, [node]):
        stream = await dial(identity(WEB), (node.address,), expected=None, timeout_s=5)
        await stream.send_records(SYNC, [b"1"])
        assert len(await stream.receive_records()) == 1
        await stream.send_records(HOP, [b""])
        with pytest.raises(RemoteProtocolError):
            await stream.receive_records()
        stream.close()
        assert node.counters.values == {"sync.kind": 1}


async def test_a_channel_that_is_not_used_is_ended(mock_clock: trio.testing.MockClock) -> None:
    async with running() as (client, [node]):
        await client.exchange(node.node, b"1")
        await settled()
        mock_clock.jump(300.0)
        await settled()
        assert (await client.exchange(node.node, b"2"))[1] == node.node + b"2"
        assert len(node.channels) == 2
        assert node.counters.values == {}


async def test_a_channel_to_somebody_who_was_revoked_during_an_exchange_is_not_kept() -> None:
    async with running() as (client, [node]):

        def check(peer: Peer) -> None:
            if node.most_at_once:
                raise TrustError("chain.revoked", f"{peer.id!r} is revoked")

        client._identity = evolve(client._identity, check=check)
        assert (await client.exchange(node.node, b"x"))[1] == node.node + b"x"
        assert client.kept == ()
        with pytest.raises(ConnectError) as caught:
            await client.exchange(node.node, b"x")
        assert caught.value.code == "chain.revoked"


async def test_a_peer_that_proves_who_it_is_and_is_turned_away_is_told_why_in_answer_to_its_question() -> (
    None
):
    async with running() as (client, [node]):

        def check(peer: Peer) -> None:
            raise TrustError("chain.revoked", f"{peer.id!r} is revoked")

        turning_away = evolve(identity(node.node), check=check, refusal=lambda code: f"no: {code}".encode())
        node.listener._identity = turning_away
        assert (await client.contact(node.address, b"who is there?"))[1] == b"no: chain.revoked"
        await settled()
        # Nothing that it says or asks is served, on this channel or for another purpose.
        assert node.channels == []
        assert node.counters.values == {"chain.revoked": 1}
        stream = await dial(identity(WEB), (node.address,), expected=None, timeout_s=5.0)
        await stream.send_records(HOP, [b"a request"])
        with pytest.raises((ChannelClosed, RemoteProtocolError)):
            await stream.receive_records()
        stream.close()
        await settled()
        assert node.counters.values == {"chain.revoked": 2}
