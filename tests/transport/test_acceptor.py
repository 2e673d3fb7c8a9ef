"""Hop channels that peers opened: served, drained, closed."""

from __future__ import annotations

import os

import pytest
import trio
import trio.testing

from gossipmesh import crypto
from gossipmesh.channel.hop import StreamLimit
from gossipmesh.channel.hop_messages import RequestHead
from gossipmesh.channel.noise import Role
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import NodeId
from gossipmesh.transport.acceptor import HopAcceptor
from gossipmesh.transport.counters import Counters
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.hop_stream import HopStream, StreamResetError
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream

GET = RequestHead("orders", b"GET", b"/")


def identity(name: bytes) -> ChannelIdentity:
    """Give an identity that is believed: who it is, is what these tests are not about."""
    return ChannelIdentity(
        mesh_id=bytes(32),
        credentials=lambda: name,
        authenticate=lambda credentials, _, __: Peer(NodeId(credentials), None, None, 0),
        static_private=lambda: crypto.blake2b(name, 32),
        entropy=os.urandom,
    )


async def never(stream: HopStream) -> None:
    await trio.sleep_forever()


async def open_channel(nursery: trio.Nursery, acceptor: HopAcceptor, name: bytes) -> HopConnection:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        client = await trio.open_tcp_stream(*listener.socket.getsockname()[:2])
        server = await listener.accept()
    ours = SecureStream(client, Role.INITIATOR, identity(name))
    theirs = SecureStream(server, Role.RESPONDER, identity(b"orders"))
    async with trio.open_nursery() as shaking:
        shaking.start_soon(ours.handshake)
        shaking.start_soon(theirs.handshake)
    connection = HopConnection(ours, Role.INITIATOR)
    nursery.start_soon(acceptor.serve_channel, theirs)
    await nursery.start(connection.run)
    return connection


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked(0.02)


async def test_draining_takes_no_more_requests_on_channels_old_and_new(nursery: trio.Nursery) -> None:
    acceptor = HopAcceptor(never)
    old = await open_channel(nursery, acceptor, b"web")
    stream = old.open_stream(GET)
    await settled()
    acceptor.drain()
    new = await open_channel(nursery, acceptor, b"web")
    await settled()
    for connection in (old, new):
        with pytest.raises(StreamLimit):
            connection.open_stream(GET)
    assert acceptor.open_streams == 1
    stream.reset("DC")
    await settled()
    assert acceptor.open_streams == 0
    assert (old.failure, new.failure) == (None, None)


async def test_closing_a_peer_leaves_the_others_alone(nursery: trio.Nursery) -> None:
    counters = Counters()
    acceptor = HopAcceptor(never, count=counters.count)
    web = await open_channel(nursery, acceptor, b"web")
    ops = await open_channel(nursery, acceptor, b"ops")
    streams = [web.open_stream(GET), ops.open_stream(GET)]
    await settled()
    acceptor.close(NodeId(b"web"))
    with pytest.raises(StreamResetError):
        await streams[0].response_head()
    await settled()
    assert acceptor.open_streams == 1
    assert counters.values == {"channel.closed": 1}
    ops.close()
