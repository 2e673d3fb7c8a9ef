"""Dialling a peer whose record has several addresses."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from socket import MSG_PEEK
from typing import Any

import pytest
import trio
from attrs import evolve

from gossipmesh import crypto
from gossipmesh.channel.noise import Role
from gossipmesh.errors import ConnectError, RemoteProtocolError, TrustError
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import Address, NodeId
from gossipmesh.transport.addresses import from_sockaddr
from gossipmesh.transport.dial import dial
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream

ORDERS = NodeId(b"orders".ljust(32))


def identity(node: bytes, **more: Any) -> ChannelIdentity:
    """Give an identity that is believed: who it is, is what these tests are not about."""
    return ChannelIdentity(
        mesh_id=bytes(32),
        credentials=lambda _: node,
        authenticate=lambda credentials, _, __: Peer(NodeId(credentials), None, None, 0),
        static_private=lambda: crypto.blake2b(node, 32),
        entropy=os.urandom,
        **more,
    )


WEB = identity(b"web".ljust(32))


@asynccontextmanager
async def listening(*, answering: bool) -> AsyncIterator[Address]:
    """Give the address of a host that shakes hands as ``orders``, or that accepts and says nothing."""

    async def handle(stream: trio.SocketStream) -> None:
        if not answering:
            await trio.sleep_forever()
        secure = SecureStream(stream, Role.RESPONDER, identity(ORDERS))
        with suppress(RemoteProtocolError):
            await secure.handshake()
            await secure.receive_records()
        await secure.finish()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, handle, 0)
        yield Address("127.0.0.1", from_sockaddr(listeners[0].socket.getsockname()).port)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def listening_as_before() -> AsyncIterator[tuple[Address, list[int]]]:
    """Give a host of release 0.1, which closes where the first message says anything, and those messages' lengths."""
    knocks: list[int] = []

    async def handle(stream: trio.SocketStream) -> None:
        seen = b""
        while len(seen) < 2 or len(seen) < 2 + int.from_bytes(seen[:2], "big"):
            seen = await stream.socket.recv(4_096, MSG_PEEK)
        knocks.append(len(seen) - 2)
        secure = SecureStream(stream, Role.RESPONDER, identity(ORDERS, answers_bare=lambda: True))
        if len(seen) > 2 + crypto.KEY:
            await stream.receive_some(len(seen))
            secure.close()
            return
        with suppress(RemoteProtocolError):
            await secure.handshake()
            await secure.receive_records()
        await secure.finish()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, handle, 0)
        yield Address("127.0.0.1", from_sockaddr(listeners[0].socket.getsockname()).port), knocks
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def closed_port() -> AsyncIterator[Address]:
    with trio.socket.socket() as sock:
        await sock.bind(("127.0.0.1", 0))
        yield from_sockaddr(sock.getsockname())


async def test_the_first_address_that_answers_is_taken() -> None:
    async with (
        closed_port() as closed,
        listening(answering=False) as silent,
        listening(answering=True) as good,
    ):
        stream = await dial(WEB, (closed, silent, good), expected=ORDERS, timeout_s=0.4)
        assert stream.peer.id == ORDERS
        await stream.finish()


async def test_a_host_that_says_nothing_is_given_up_in_time() -> None:
    async with listening(answering=False) as silent:
        with pytest.raises(ConnectError) as raised:
            await dial(WEB, (silent,), expected=ORDERS, timeout_s=0.1)
    assert raised.value.code == "connect.timeout"


async def test_the_last_failure_is_told() -> None:
    async with closed_port() as closed, listening(answering=True) as good:
        with pytest.raises(ConnectError) as raised:
            await dial(WEB, (good, closed), expected=NodeId(bytes(32)), timeout_s=5)
        assert raised.value.code == "connect.refused"
        with pytest.raises(ConnectError) as raised:
            await dial(WEB, (closed, good), expected=NodeId(bytes(32)), timeout_s=5)
        assert raised.value.code == "channel.identity"


async def test_without_an_address_there_is_nobody_to_dial() -> None:
    with pytest.raises(ConnectError) as raised:
        await dial(WEB, (), expected=None, timeout_s=5)
    assert raised.value.code == "connect.unknown"


async def test_a_seed_is_whoever_answers_there() -> None:
    async with listening(answering=True) as seed:
        stream = await dial(WEB, (seed,), expected=None, timeout_s=5)
        assert stream.peer.id == ORDERS
        await stream.finish()


async def test_who_was_revoked_while_its_handshake_was_under_way_gets_no_channel() -> None:
    """The revocation ended what there was. This channel was not there yet, and waiting requests would go out on it."""
    looks: list[NodeId] = []

    def check(peer: Peer) -> None:
        looks.append(peer.id)
        if len(looks) > 1:
            raise TrustError("chain.revoked", f"{peer.id!r} is revoked")

    async with listening(answering=True) as good:
        with pytest.raises(ConnectError) as caught:
            await dial(evolve(WEB, check=check), (good,), expected=ORDERS, timeout_s=5.0)
    assert looks == [ORDERS, ORDERS]
    assert caught.value.code == "chain.revoked"


@pytest.mark.parametrize("known", [None, False, True])
async def test_a_member_of_release_0_1_is_reached_and_at_once_where_it_is_known_as_one(
    known: bool | None,
) -> None:
    web = identity(b"web".ljust(32), tries_old=lambda: True, is_old=lambda _: bool(known))
    async with listening_as_before() as (address, knocks):
        stream = await dial(web, (address,), expected=None if known is None else ORDERS, timeout_s=5)
        assert stream.peer.id == ORDERS
        await stream.finish()
    assert [size == crypto.KEY for size in knocks] == ([True] if known else [False, True])


async def test_a_member_that_was_upgraded_since_we_heard_of_it_is_reached() -> None:
    web = identity(b"web".ljust(32), tries_old=lambda: True, is_old=lambda _: True)
    async with listening(answering=True) as upgraded:  # And its operator expects no old members any more.
        stream = await dial(web, (upgraded,), expected=ORDERS, timeout_s=5)
        assert stream.peer.id == ORDERS
        await stream.finish()


async def test_where_no_old_members_are_expected_nobody_is_tried_twice() -> None:
    async with listening_as_before() as (address, knocks):
        with pytest.raises(ConnectError) as raised:
            await dial(WEB, (address,), expected=ORDERS, timeout_s=5)
    assert (raised.value.code, len(knocks)) == ("channel.unanswered", 1)
