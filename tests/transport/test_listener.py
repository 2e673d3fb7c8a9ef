"""Accepted connections: known or bounded."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
import trio.testing

from gossipmesh import crypto
from gossipmesh.channel.secure import HOP, SYNC
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import Address, NodeId
from gossipmesh.transport.counters import Counters
from gossipmesh.transport.dial import dial
from gossipmesh.transport.listener import (
    MAX_CHANNELS_PER_PEER,
    MAX_HALF_OPEN,
    MAX_HALF_OPEN_PER_SOURCE,
    Listener,
    source_of,
)
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream


def identity(name: bytes) -> ChannelIdentity:
    """Give an identity that is believed: who it is, is what these tests are not about."""
    return ChannelIdentity(
        mesh_id=bytes(32),
        credentials=lambda _: name,
        authenticate=lambda credentials, _, __: Peer(NodeId(credentials), None, None, 0),
        static_private=lambda: crypto.blake2b(name, 32),
        entropy=os.urandom,
    )


class Host:
    """A listener that notes whom it serves, and what for."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.served: list[tuple[str, bytes]] = []
        self.listener = Listener(
            Address("127.0.0.1", 0),
            identity(b"host"),
            serve_hop=self.hop,
            serve_sync=self.sync,
            count=self.counters.count,
        )

    async def hop(self, stream: SecureStream) -> None:
        await self.serve("hop", stream)

    async def sync(self, stream: SecureStream) -> None:
        await self.serve("sync", stream)

    async def serve(self, purpose: str, stream: SecureStream) -> None:
        self.served.append((purpose, stream.peer.id))
        while await stream.receive_records():
            pass


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Host, Address]]:
    host = Host()
    async with trio.open_nursery() as nursery:
        address = await nursery.start(host.listener.run)
        yield host, address
        nursery.cancel_scope.cancel()


async def join(address: Address, kind: int, name: bytes = b"web") -> SecureStream:
    stream = await dial(identity(name), (address,), expected=None, timeout_s=5)
    await stream.send_records(kind, [b"hello"])
    return stream


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked(0.02)


async def test_the_first_record_says_what_a_channel_is_for() -> None:
    async with running() as (host, address):
        streams = [await join(address, HOP), await join(address, SYNC, b"orders")]
        await settled()
        assert sorted(host.served) == [("hop", b"web"), ("sync", b"orders")]
        for stream in streams:
            await stream.finish()
        await settled()
        assert host.counters.values == {}
        assert host.listener.half_open == 0


async def test_a_channel_for_nothing_known_is_closed_and_counted() -> None:
    async with running() as (host, address):
        stream = await join(address, 77)
        with pytest.raises(RemoteProtocolError):
            await stream.receive_records()
        stream.close()
        assert host.counters.values == {"listener.no-purpose": 1}


async def test_junk_changes_nothing_but_a_counter() -> None:
    async with running() as (host, address):
        for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x00\x01\x00", b"\x00\x20" + bytes(32), b""):
            async with await trio.open_tcp_stream(address.host, address.port) as stranger:
                await stranger.send_all(junk)
                await stranger.send_eof()
                while await stranger.receive_some():
                    pass
        assert host.served == []
        assert host.listener.half_open == 0
        assert host.counters.values == {
            "channel.handshake-too-long": 1,
            "channel.malformed": 1,
            "channel.mac": 1,
            "channel.truncated": 1,
        }


async def test_one_source_has_few_half_open_connections_and_gets_them_back() -> None:
    async with running() as (host, address):
        idle = [
            await trio.open_tcp_stream(address.host, address.port) for _ in range(MAX_HALF_OPEN_PER_SOURCE)
        ]
        await settled()
        assert host.listener.half_open == MAX_HALF_OPEN_PER_SOURCE
        async with await trio.open_tcp_stream(address.host, address.port) as refused:
            assert await refused.receive_some() == b""
        assert host.counters["listener.half-open-source"] == 1
        for stream in idle:
            await stream.aclose()
        await settled()
        assert host.listener.half_open == 0
        stream = await join(address, HOP)
        await settled()
        assert host.served == [("hop", b"web")]
        await stream.finish()


async def test_sources_that_fill_all_places_keep_no_newcomer_out() -> None:
    """Sixteen hosts that say nothing take every place; whoever has none yet gets that of the loudest."""
    async with running() as (host, address), AsyncExitStack() as stack:
        for number in range(MAX_HALF_OPEN):
            source = f"127.0.0.{2 + number % (MAX_HALF_OPEN // MAX_HALF_OPEN_PER_SOURCE)}"
            idle = await trio.open_tcp_stream(address.host, address.port, local_address=source)
            await stack.enter_async_context(idle)
        await settled()
        assert host.listener.half_open == MAX_HALF_OPEN
        stream = await join(address, HOP)
        await settled()
        assert host.served == [("hop", b"web")]
        assert host.counters["listener.half-open-cut"] == 1
        assert host.listener.half_open == MAX_HALF_OPEN - 1
        await stream.finish()


def test_an_ipv6_network_counts_as_one_source() -> None:
    assert source_of("192.0.2.1") == "192.0.2.1"
    assert source_of("2001:db8::1") == source_of("2001:db8::ffff:1") == "2001:db8::/64"
    assert source_of("2001:db8:0:1::1") != source_of("2001:db8::1")
    assert source_of("fe80::1%eth0") == "fe80::/64"


async def test_whoever_does_not_say_who_it_is_or_what_for_is_closed_after_five_seconds(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with running() as (host, address):
        silent = await trio.open_tcp_stream(address.host, address.port)
        aimless = await dial(identity(b"web"), (address,), expected=None, timeout_s=5)
        await settled()
        mock_clock.jump(5.0)
        assert await silent.receive_some() == b""
        await silent.aclose()
        aimless.close()
        await settled()
        assert host.counters["channel.timeout"] + host.counters["listener.timeout"] == 2
        assert host.listener.half_open == 0


async def test_one_peer_has_few_channels() -> None:
    async with running() as (host, address):
        streams = [await join(address, SYNC) for _ in range(MAX_CHANNELS_PER_PEER + 1)]
        other = await join(address, SYNC, b"orders")
        await settled()
        assert len(host.served) == MAX_CHANNELS_PER_PEER + 1
        assert host.counters.values == {"listener.channels-peer": 1}
        for stream in (*streams, other):
            stream.close()


async def test_a_port_that_is_taken_is_an_error_at_the_start() -> None:
    async with running() as (_, address):
        second = Listener(
            address, identity(b"x"), serve_hop=Host().hop, serve_sync=Host().sync, count=Counters().count
        )
        with pytest.raises(OSError, match="in use"):
            await second.run()
