"""Request and response with a peer on kept channels: anti-entropy, stream probes, renewal.

Each record is one whole message. What is asked here may be asked twice (every such request is a comparison or an
offer of signed objects), so a kept channel that turns out to be gone is replaced and the request repeated once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Final

import trio

from gossipmesh.channel.secure import SYNC
from gossipmesh.errors import ConnectError, RemoteProtocolError, TrustError
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import Address, NodeId, short_id
from gossipmesh.transport.dial import dial
from gossipmesh.transport.pool import Resolve
from gossipmesh.transport.secure_stream import ChannelClosed, ChannelIdentity, SecureStream

MAX_KEPT: Final = 2
"""Channels that stay open between exchanges, the least recently used closed first. Two make routine sync free of
handshakes; more would cost every node of a large mesh idle connections."""
MAX_HELD: Final = 32
"""... and beside those, channels to peers that are asked several times a second because no datagram reaches them."""
IDLE_TIMEOUT_S: Final = 300.0
"""A peer's sync channel on which nothing is asked for this long is closed."""

Answer = Callable[[Peer, bytes], Awaitable[bytes]]
"""Answers one request of an authenticated peer; RemoteProtocolError ends the channel."""


class SyncClient:
    """Asks peers, as a service: one exchange at a time with each.

    Resource handling: :meth:`run` closes the kept channels when it is cancelled.
    Error handling: an exchange raises what became of it, and the channel that it was on is closed.

    Args:
        identity: who we are.
        resolve: where a node is.
        connect_timeout_s: for dial and handshake together, in seconds.
        exchange_timeout_s: for a whole exchange, waiting for its turn and dialling included, in seconds.
        max_kept: channels that stay open between exchanges.
    """

    def __init__(
        self,
        identity: ChannelIdentity,
        resolve: Resolve,
        *,
        connect_timeout_s: float,
        exchange_timeout_s: float,
        max_kept: int = MAX_KEPT,
    ) -> None:
        self._identity = identity
        self._resolve = resolve
        self._connect_timeout_s = connect_timeout_s
        self._exchange_timeout_s = exchange_timeout_s
        self._max_kept = max_kept
        self._max_held = MAX_HELD
        self._kept: dict[NodeId, SecureStream] = {}
        self._held: dict[NodeId, SecureStream] = {}
        self._turns: dict[NodeId, trio.Lock] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep channels until cancelled."""
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            self._max_kept = self._max_held = 0
            for stream in (*self._kept.values(), *self._held.values()):
                stream.close()
            self._kept.clear()
            self._held.clear()

    def close_where(self, hit: Callable[[Peer], bool]) -> None:
        """Close the idle channels to the peers that are ``hit``: they were revoked."""
        for pool in (self._kept, self._held):
            for node in [node for node, stream in pool.items() if hit(stream.peer)]:
                pool.pop(node).close()

    @property
    def kept(self) -> tuple[NodeId, ...]:
        """The peers whose channels are open and idle, the least recently used first."""
        return tuple(self._kept)

    @property
    def held(self) -> tuple[NodeId, ...]:
        """The peers whose channels are held beside those, the least recently used first."""
        return tuple(self._held)

    async def exchange(
        self, target: NodeId, request: bytes, *, addresses: tuple[Address, ...] = (), hold: bool = False
    ) -> tuple[Peer, bytes]:
        """Send ``request``, at most :data:`~gossipmesh.channel.secure.MAX_RECORD_BODY` bytes.

        Gives who answered, with its record of the time of the handshake, and the answer.

        Args:
            target: whom to ask.
            request: what.
            addresses: where it is; by default where ``resolve`` says.
            hold: whether it will be asked again within a second or so: then its channel does not give way to others'.

        Raises:
            ConnectError: nothing was sent.
            ChannelClosed: ``channel.cut``, ``sync.ended`` or ``sync.timeout``.
            RemoteProtocolError: the peer broke the protocol.
        """
        with trio.move_on_after(self._exchange_timeout_s):
            async with self._turn(target):
                return await self._exchange(target, request, addresses, hold=hold)
        raise ChannelClosed("sync.timeout", f"{short_id(target)} gave no answer in time")

    async def contact(self, address: Address, request: bytes) -> tuple[Peer, bytes]:
        """Ask whoever of our mesh is at ``address``, and give who it is, and its answer.

        For seeds, whose ids are not known. The channel stays open for :meth:`exchange` with the peer.

        Raises:
            ConnectError: nothing was sent.
            ChannelClosed: ``channel.cut``, ``sync.ended`` or ``sync.timeout``.
            RemoteProtocolError: the peer broke the protocol.
        """
        with trio.move_on_after(self._exchange_timeout_s):
            stream = await dial(self._identity, (address,), expected=None, timeout_s=self._connect_timeout_s)
            answer = await _ask(stream, request)
            await self._keep(stream, hold=False)
            return stream.peer, answer
        raise ChannelClosed("sync.timeout", f"{address} gave no answer in time")

    async def _exchange(
        self, target: NodeId, request: bytes, given: tuple[Address, ...], *, hold: bool
    ) -> tuple[Peer, bytes]:
        kept = self._kept.pop(target, None) or self._held.pop(target, None)
        if kept is not None:
            try:
                answer = await _ask(kept, request)
            except (ChannelClosed, RemoteProtocolError):
                pass  # It was closed while nobody looked, or it is broken: ask once more on a fresh one.
            else:
                await self._keep(kept, hold=hold)
                return kept.peer, answer
        addresses = given or self._resolve(target)
        if addresses is None:
            raise ConnectError("connect.unknown", f"no address of {short_id(target)} is known")
        stream = await dial(self._identity, addresses, expected=target, timeout_s=self._connect_timeout_s)
        answer = await _ask(stream, request)
        await self._keep(stream, hold=hold)
        return stream.peer, answer

    async def _keep(self, stream: SecureStream, *, hold: bool) -> None:
        peer = stream.peer.id
        try:
            # It was not idle, so that close_where passed it by.
            self._identity.check(stream.peer)
        except TrustError:
            stream.close()
            return
        replaced = (self._kept.pop(peer, None), self._held.pop(peer, None))
        surplus = [each for each in replaced if each is not None]
        pool, most = (self._held, self._max_held) if hold else (self._kept, self._max_kept)
        pool[peer] = stream
        while len(pool) > most:
            surplus.append(pool.pop(next(iter(pool))))
        for each in surplus:
            await each.finish()

    @asynccontextmanager
    async def _turn(self, target: NodeId) -> AsyncIterator[None]:
        lock = self._turns.setdefault(target, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            # Whoever waits has it by now, so an open lock is nobody's.
            if not lock.locked():
                self._turns.pop(target, None)


async def _ask(stream: SecureStream, request: bytes) -> bytes:
    """Send one request on a channel of our own and give its answer; close the channel if that fails."""
    with ExitStack() as undo:
        undo.callback(stream.close)
        await stream.send_records(SYNC, [request])
        records = await stream.receive_records()
        if not records:
            raise ChannelClosed("sync.ended", "the other side ended the channel instead of answering")
        if len(records) > 1 or records[0].kind != SYNC:
            raise RemoteProtocolError("sync.order", "something else than one answer to one request")
        undo.pop_all()
        return bytes(records[0].body)


async def serve_sync(stream: SecureStream, answer: Answer, *, idle_timeout_s: float = IDLE_TIMEOUT_S) -> None:
    """Answer a peer's requests, one after another, until it ends the channel or is silent for too long.

    Args:
        stream: a channel whose purpose is ``sync``; the listener closes it.
        answer: gives the answer to one request.
        idle_timeout_s: in seconds.

    Raises:
        ChannelClosed: ``channel.cut``.
        RemoteProtocolError: ``sync.kind``, or what ``answer`` raised.
    """
    while True:
        with trio.move_on_after(idle_timeout_s) as silence:
            records = await stream.receive_records()
        if silence.cancelled_caught or not records:
            break
        for record in records:
            if record.kind != SYNC:
                raise RemoteProtocolError("sync.kind", f"a record of kind {record.kind} on a sync channel")
            await stream.send_records(SYNC, [await answer(stream.peer, bytes(record.body))])
    await stream.finish()
