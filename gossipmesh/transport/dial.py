"""From a peer's addresses to a secure stream."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from typing import Final

import trio

from gossipmesh.channel.knock import UNANSWERED
from gossipmesh.channel.noise import Role
from gossipmesh.errors import ConnectError, MeshError, RemoteProtocolError
from gossipmesh.model import Address, NodeId
from gossipmesh.transport.addresses import family_of, to_sockaddr
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream

LOCAL_SHORTAGE: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
)
"""What a dial fails with for our own want of files, memory or ports: no evidence against anybody."""


async def dial(
    identity: ChannelIdentity,
    addresses: tuple[Address, ...],
    *,
    expected: NodeId | None,
    timeout_s: float,
) -> SecureStream:
    """Connect and shake hands with whoever answers first, trying ``addresses`` in order.

    Each address gets an equal share of the time that is left, so that a first one that swallows packets leaves time
    for a second, and one that refuses at once leaves all of its time.

    Args:
        identity: who we are.
        addresses: where the peer may be.
        expected: who it must be; None for a seed, whose id is not known yet.
        timeout_s: for all of it, in seconds.

    Raises:
        ConnectError: the last address's failure: ``connect.timeout``, ``connect.refused``, ``connect.failed``, or the
            code of what the handshake raised; ``connect.unknown`` for no address at all, ``connect.local`` for a
            shortage of our own.
    """
    deadline = trio.current_time() + timeout_s
    failure = ConnectError("connect.unknown", "no address is known")
    for index, address in enumerate(addresses):
        share_s = max(0.0, deadline - trio.current_time()) / (len(addresses) - index)
        with trio.move_on_after(share_s):
            try:
                return await _dial_one(identity, address, expected)
            except ConnectionRefusedError:
                failure = ConnectError("connect.refused", f"{address} refused the connection")
            except OSError as error:
                if error.errno in LOCAL_SHORTAGE:
                    raise ConnectError(
                        "connect.local", f"nothing can be dialled from here: {error.strerror}"
                    ) from None
                failure = ConnectError("connect.failed", f"{address}: {error.strerror or error}")
            except MeshError as error:
                failure = ConnectError(error.code, f"{address}: {error}")
            continue
        failure = ConnectError("connect.timeout", f"{address} did not answer within {share_s:.1f} s")
    raise failure


async def _dial_one(identity: ChannelIdentity, address: Address, expected: NodeId | None) -> SecureStream:
    old = identity.tries_old() and expected is not None and identity.is_old(expected)
    try:
        return await _shake(identity, address, expected, bare=old)
    except RemoteProtocolError as error:
        if error.code != UNANSWERED or not identity.tries_old():
            raise
    # Whoever closes without a word may be of the other release: a seed of which nothing is known, or a member that
    # was upgraded or set back since we heard of it.
    return await _shake(identity, address, expected, bare=not old)


async def _shake(
    identity: ChannelIdentity, address: Address, expected: NodeId | None, *, bare: bool
) -> SecureStream:
    family = family_of(address)
    sock = trio.socket.socket(family, trio.socket.SOCK_STREAM)
    with ExitStack() as undo:
        undo.callback(sock.close)
        await sock.connect(to_sockaddr(address, family))
        stream = SecureStream(trio.SocketStream(sock), Role.INITIATOR, identity, expected=expected, bare=bare)
        await stream.handshake()
        undo.pop_all()
        return stream
