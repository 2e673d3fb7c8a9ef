"""Sync channels that peers opened: whom they serve, and until when."""

from __future__ import annotations

import os
from random import Random

import trio

import members
from gossipmesh.crypto import blake2b
from gossipmesh.daemon.control import wall_clock
from gossipmesh.daemon.served import ServedSync
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.chain import Caveats, VerifiedChain, join_chain, verify_chain_untrusted
from gossipmesh.identity.credentials import Peer
from gossipmesh.identity.token import new_token
from gossipmesh.mesh.trial_messages import encode_try
from gossipmesh.model import Address, NodeId
from gossipmesh.transport.listener import Listener
from gossipmesh.transport.secure_stream import ChannelClosed, ChannelIdentity, SecureStream
from gossipmesh.transport.sync import SyncClient

ALICE, MALLORY = (members.KEYS[name].id for name in ("alice", "mallory"))
ASK = encode_try(b"question")


def living_chain() -> VerifiedChain:
    """Give a chain of Mallory's that is valid now, by the clock of this machine."""
    wall = int(wall_clock())
    caveats = Caveats(wall - 300, wall + 86_400)
    token = new_token(members.TRUST.path[0], members.ROOT.seed, caveats, Random(1).randbytes)
    return verify_chain_untrusted(
        join_chain(token, members.KEYS["mallory"].seed, "mallory"), members.TRUST, wall=wall
    )


async def asked(chain: VerifiedChain) -> bytes:
    """Let Mallory, who showed ``chain`` in her handshake, ask Alice; give the answer, or why there is none."""

    def identity(node: NodeId) -> ChannelIdentity:
        return ChannelIdentity(
            mesh_id=bytes(32),
            credentials=lambda _: node,
            authenticate=lambda shown, _, __: Peer(NodeId(shown), chain, None, 0),  # type: ignore[arg-type]
            static_private=lambda: blake2b(node, 32),
            entropy=os.urandom,
        )

    async def tried(peer: Peer, request: bytes) -> bytes:
        return b"tried " + request

    async def no_hop(stream: SecureStream) -> None:
        raise AssertionError("nobody asks for requests here")

    # Questions of this kind go past the control task, which has no part in this.
    served = ServedSync(members.node("alice"), None, tried)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        listener = Listener(
            Address("127.0.0.1", 0), identity(ALICE), serve_hop=no_hop, serve_sync=served.serve, count=print
        )
        address = await nursery.start(listener.run)
        client = SyncClient(
            identity(MALLORY), {ALICE: (address,)}.get, connect_timeout_s=5.0, exchange_timeout_s=5.0
        )
        await nursery.start(client.run)
        try:
            return (await client.exchange(ALICE, ASK))[1]
        except (ChannelClosed, RemoteProtocolError) as error:
            return error.code.encode()
        finally:
            nursery.cancel_scope.cancel()


async def test_a_member_is_answered_while_its_chain_is_valid() -> None:
    assert await asked(living_chain()) == b"tried " + ASK


async def test_a_channel_that_outlived_its_peers_chain_ends_with_the_next_question() -> None:
    assert await asked(members.chain("mallory")) in (b"channel.truncated", b"channel.cut")
