"""Secure streams over the loopback, between real identities."""

from __future__ import annotations

import os
from functools import partial

import pytest
import trio
import trio.testing

from gossipmesh import crypto
from gossipmesh.channel.noise import Role, Suite
from gossipmesh.channel.secure import HOP, SYNC, Record
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError, TrustError
from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import chain_hash, join_chain
from gossipmesh.identity.credentials import (
    AES_RECORDS,
    FEATURES,
    Peer,
    encode_credentials,
    verify_credentials_untrusted,
)
from gossipmesh.identity.grants import Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import sign_record
from gossipmesh.identity.token import Token, new_token
from gossipmesh.model import Address, NodeId
from gossipmesh.transport.secure_stream import ChannelClosed, ChannelIdentity, SecureStream, suite_of

WALL = 1_800_000_000
ROOT = bytes(range(32))


def token(root: bytes = ROOT) -> Token:
    bundle = new_bundle([crypto.signing_public(root)], default_allow=True)
    return new_token(bundle, root, Caveats(not_before=WALL - 60, expires_at=WALL + 86_400), os.urandom)


def node(
    name: str, joined: Token, *, shown_key: bytes | None = None, features: int = FEATURES
) -> tuple[NodeId, ChannelIdentity]:
    """Give a node's id and its channel identity; ``shown_key`` makes its record name a key it does not use."""
    key = NodeKey.generate(os.urandom)
    static = os.urandom(32)
    chain = join_chain(joined, key.seed, name)
    record = sign_record(
        seed=key.seed,
        mesh_id=joined.mesh_id,
        boot=1,
        incarnation=1,
        name=name,
        addresses=[Address("127.0.0.1", 7946)],
        dh_key=shown_key or crypto.dh_public(static),
        dh_generation=0,
        chain_hash=chain_hash(chain),
        issued_at=WALL,
    )
    trust: TrustStore = joined.trust()

    def authenticate(credentials: bytes, remote_static: bytes, expected: NodeId | None) -> Peer:
        return verify_credentials_untrusted(credentials, remote_static, trust, wall=WALL)

    identity = ChannelIdentity(
        mesh_id=joined.mesh_id,
        credentials=lambda _: encode_credentials(0, chain, record.signed.raw, wall=WALL, features=features),
        authenticate=authenticate,
        static_private=lambda: static,
        entropy=os.urandom,
        features=features,
    )
    return key.id, identity


async def connected() -> tuple[trio.SocketStream, trio.SocketStream]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        client = await trio.open_tcp_stream(*listener.socket.getsockname()[:2])
        return client, await listener.accept()


async def outcome(stream: SecureStream) -> Peer | str:
    try:
        return await stream.handshake()
    except (RemoteProtocolError, ChannelClosed) as error:
        stream.close()
        return error.code


async def shaken(web: SecureStream, orders: SecureStream) -> list[Peer | str]:
    """Let both shake hands, and give what each came to: a peer or an error's code."""
    outcomes: list[Peer | str] = ["", ""]

    async def shake(index: int, stream: SecureStream) -> None:
        outcomes[index] = await outcome(stream)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake, 0, web)
        nursery.start_soon(shake, 1, orders)
    return outcomes


async def pair() -> tuple[SecureStream, SecureStream]:
    joined = token()
    client, server = await connected()
    orders_id, orders = node("orders-1", joined)
    _, web = node("web-1", joined)
    streams = (
        SecureStream(client, Role.INITIATOR, web, expected=orders_id),
        SecureStream(server, Role.RESPONDER, orders),
    )
    await shaken(*streams)
    return streams


async def test_two_members_of_one_mesh_know_each_other_after_the_handshake() -> None:
    joined = token()
    client, server = await connected()
    web_id, web = node("web-1", joined)
    orders_id, orders = node("orders-1", joined)
    one = SecureStream(client, Role.INITIATOR, web, expected=orders_id)
    other = SecureStream(server, Role.RESPONDER, orders)
    with pytest.raises(LocalProtocolError):
        _ = one.peer
    outcomes = await shaken(one, other)
    assert [peer.chain.name for peer in outcomes] == ["orders-1", "web-1"]
    assert (one.peer.id, other.peer.id) == (orders_id, web_id)
    one.close()
    other.close()


async def test_records_arrive_together_and_the_end_is_a_statement() -> None:
    web, orders = await pair()
    await web.send_records(HOP, [b"one", b"two"])
    await web.send_end()
    assert await orders.purpose() == HOP
    records = await orders.receive_records()
    while len(records) < 2:
        records += await orders.receive_records()
    assert records == [Record(HOP, b"one"), Record(HOP, b"two")]
    assert await orders.receive_records() == []
    await orders.send_records(SYNC, [b"three"])
    assert await web.receive_records() == [Record(SYNC, b"three")]
    await orders.finish()
    assert await web.receive_records() == []
    await web.finish()


@pytest.mark.parametrize("ours", [0, FEATURES])
@pytest.mark.parametrize("theirs", [0, FEATURES])
async def test_a_side_without_instructions_for_aes_is_understood_by_every_other(
    ours: int, theirs: int
) -> None:
    joined = token()
    client, server = await connected()
    _, web = node("web-1", joined, features=ours)
    _, orders = node("orders-1", joined, features=theirs)
    one, other = SecureStream(client, Role.INITIATOR, web), SecureStream(server, Role.RESPONDER, orders)
    await shaken(one, other)
    for sender, receiver in ((one, other), (other, one)):
        await sender.send_records(HOP, [b"body"])
        assert await receiver.receive_records() == [Record(HOP, b"body")]
    one.close()
    other.close()


def test_aes_seals_records_where_both_sides_have_it() -> None:
    assert suite_of(AES_RECORDS | 1, AES_RECORDS | 2) is Suite.AES
    for ours, theirs in ((AES_RECORDS, 3), (3, AES_RECORDS), (0, 0)):
        assert suite_of(ours, theirs) is Suite.CHACHA


async def test_a_channel_that_ends_without_a_record_has_no_purpose() -> None:
    web, orders = await pair()
    await web.finish()
    assert await orders.purpose() is None
    orders.close()


async def test_a_connection_that_stops_without_an_end_was_cut() -> None:
    web, orders = await pair()
    await web.send_records(HOP, [b"one"])
    web.close()
    assert await orders.receive_records() == [Record(HOP, b"one")]
    with pytest.raises(RemoteProtocolError) as raised:
        await orders.receive_records()
    assert raised.value.code == "channel.truncated"
    orders.close()
    with pytest.raises(ChannelClosed):
        await web.send_records(HOP, [b"two"])


async def test_a_large_record_goes_through_small_buffers() -> None:
    web, orders = await pair()
    body = os.urandom(60_000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(web.send_records, HOP, [body] * 40)
        received = 0
        while received < 40:
            records = await orders.receive_records()
            assert all(record.body == body for record in records)
            received += len(records)
    web.close()
    orders.close()


async def test_whoever_is_not_the_dialled_one_learns_nothing_about_us() -> None:
    joined = token()
    client, server = await connected()
    _, web = node("web-1", joined)
    _, impostor = node("orders-1", joined)
    dialled, _ = node("orders-2", joined)
    outcomes = await shaken(
        SecureStream(client, Role.INITIATOR, web, expected=dialled),
        SecureStream(server, Role.RESPONDER, impostor),
    )
    assert outcomes == ["channel.identity", "channel.truncated"]


async def test_two_meshes_never_mix() -> None:
    client, server = await connected()
    _, web = node("web-1", token())
    _, stranger = node("orders-1", token(root=bytes(32)))
    outcomes = await shaken(
        SecureStream(client, Role.INITIATOR, web), SecureStream(server, Role.RESPONDER, stranger)
    )
    assert outcomes == ["channel.unanswered", "channel.mac"]


@pytest.mark.parametrize("liar", ["initiator", "responder"])
async def test_a_record_that_names_another_key_is_refused_on_either_side(liar: str) -> None:
    joined = token()
    client, server = await connected()
    make_liar = partial(node, "mallory", joined, shown_key=os.urandom(32))
    _, web = make_liar() if liar == "initiator" else node("web-1", joined)
    _, orders = make_liar() if liar == "responder" else node("orders-1", joined)
    one = SecureStream(client, Role.INITIATOR, web)
    other = SecureStream(server, Role.RESPONDER, orders)
    outcomes = await shaken(one, other)
    assert "credentials.dh" in outcomes
    one.close()
    other.close()


async def test_silence_is_not_waited_for_longer_than_the_limit(mock_clock: trio.testing.MockClock) -> None:
    client, server = await connected()
    _, orders = node("orders-1", token())
    stream = SecureStream(server, Role.RESPONDER, orders)

    async def wait() -> None:
        with pytest.raises(ChannelClosed) as raised:
            await stream.handshake()
        assert raised.value.code == "channel.timeout"

    async with client, trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(5.0)
    stream.close()


async def test_a_stranger_may_send_4_kib_before_it_is_known() -> None:
    client, server = await connected()
    _, orders = node("orders-1", token())
    stream = SecureStream(server, Role.RESPONDER, orders)
    async with client:
        await client.send_all(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(RemoteProtocolError) as raised:
            await stream.handshake()
    assert raised.value.code == "channel.handshake-too-long"
    assert not isinstance(raised.value, TrustError)
    stream.close()
