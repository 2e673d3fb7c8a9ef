"""Accepted connections: bounded before we know who is there, then handed on by what they are for."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from gossipmesh.channel.noise import Role
from gossipmesh.channel.secure import HOP, SYNC
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.model import Address, NodeId
from gossipmesh.transport.addresses import bound_socket, from_sockaddr
from gossipmesh.transport.counters import Count
from gossipmesh.transport.secure_stream import (
    HANDSHAKE_TIMEOUT_S,
    ChannelClosed,
    ChannelIdentity,
    SecureStream,
)

MAX_HALF_OPEN: Final = 256
"""Connections whose other side is not authenticated yet."""
MAX_HALF_OPEN_PER_SOURCE: Final = 16
"""The same, of one source: one loud host must not keep the others out."""
MAX_CHANNELS: Final = 2_048
"""Authenticated connections."""
MAX_CHANNELS_PER_PEER: Final = 16
"""The same, of one node: it needs one hop channel, an old one that drains, and a few for sync."""
BACKLOG: Final = 256
"""Connections that the system keeps for us while we are busy."""
ACCEPT_RETRY_S: Final = 0.1
"""How long to wait when the system has no file descriptor left."""

Handler = Callable[[SecureStream], Awaitable[None]]
"""Serves one authenticated channel until it ends."""

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """The TCP side of our port, as a service.

    Before a handshake is finished a connection may send 4 KiB in 5 seconds, and there are bounds for all of them and
    for each source; what exceeds a bound is closed and counted, and nothing else changes.

    Resource handling: :meth:`run` owns the listening socket and every connection.
    Error handling: what strangers and peers do wrong is counted by its code; an error of our own ends :meth:`run`.

    Args:
        bind: the address to bind; ``::`` serves IPv4 as well, port 0 lets the system choose.
        identity: who we are.
        serve_hop: serves channels for requests.
        serve_sync: serves channels for anti-entropy and the like.
        count: is told ``listener.half-open``, ``listener.half-open-source``,
            ``listener.half-open-cut`` (a loud source's oldest, for a newcomer), ``listener.channels``,
            ``listener.channels-peer``, ``listener.timeout``, ``listener.no-purpose``, ``listener.exhausted``, and the
            codes of all errors that peers made.
    """

    def __init__(
        self,
        bind: Address,
        identity: ChannelIdentity,
        *,
        serve_hop: Handler,
        serve_sync: Handler,
        count: Count,
    ) -> None:
        self._bind = bind
        self._identity = identity
        self._handlers = {HOP: serve_hop, SYNC: serve_sync}
        self._count = count
        self._half_open: dict[str, dict[trio.CancelScope, None]] = {}  # the oldest first
        self._channels: Counter[NodeId] = Counter()

    @property
    def half_open(self) -> int:
        """Connections whose other side is not known yet."""
        return sum(map(len, self._half_open.values()))

    async def run(self, *, task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept until cancelled; starts with the bound address.

        Raises:
            OSError: if the address cannot be bound.
        """
        listening = trio.socket.from_stdlib_socket(bound_socket(self._bind, socket.SOCK_STREAM))
        with listening:
            listening.listen(BACKLOG)
            async with trio.open_nursery() as nursery:
                task_status.started(from_sockaddr(listening.getsockname()))
                while True:
                    await self._accept(listening, nursery)

    async def _accept(self, listening: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        try:
            accepted, sockaddr = await listening.accept()
        except OSError as error:
            # Anything else is one connection that was gone before we looked.
            if error.errno in _EXHAUSTED:
                self._count("listener.exhausted")
                await trio.sleep(ACCEPT_RETRY_S)
            return
        source = source_of(from_sockaddr(sockaddr).host)
        refusal = self._refusal(source)
        if refusal is not None:
            self._count(refusal)
            accepted.close()
            return
        scope = trio.CancelScope()
        self._half_open.setdefault(source, {})[scope] = None
        nursery.start_soon(self._serve, accepted, source, scope)

    def _refusal(self, source: str) -> str | None:
        mine = len(self._half_open.get(source, ()))
        if self.half_open >= MAX_HALF_OPEN and not self._make_room(mine):
            return "listener.half-open"
        if mine >= MAX_HALF_OPEN_PER_SOURCE:
            return "listener.half-open-source"
        if self._channels.total() >= MAX_CHANNELS:
            return "listener.channels"
        return None

    def _make_room(self, mine: int) -> bool:
        """Close the oldest of whoever has most, unless the newcomer would then have as many; tell whether it was."""
        loudest = max(self._half_open.values(), key=len)
        if len(loudest) <= mine + 1:
            return False
        oldest = next(iter(loudest))
        del loudest[oldest]
        oldest.cancel()
        self._count("listener.half-open-cut")
        return True

    async def _serve(self, accepted: trio.socket.SocketType, source: str, scope: trio.CancelScope) -> None:
        with accepted:
            try:
                handler = None
                try:
                    with scope:
                        stream = SecureStream(trio.SocketStream(accepted), Role.RESPONDER, self._identity)
                        handler = await self._greet(stream)
                finally:
                    self._known(source, scope)
                if handler is not None:
                    await self._hand_over(stream, handler)
            except (RemoteProtocolError, ChannelClosed) as error:
                self._count(error.code)

    def _known(self, source: str, scope: trio.CancelScope) -> None:
        scopes = self._half_open[source]
        scopes.pop(scope, None)
        if not scopes:
            del self._half_open[source]

    async def _greet(self, stream: SecureStream) -> Handler | None:
        with trio.move_on_after(HANDSHAKE_TIMEOUT_S):
            await stream.handshake()
            handler = self._handlers.get(await stream.purpose() or 0)
            if handler is None:
                self._count("listener.no-purpose")
            return handler
        self._count("listener.timeout")
        return None

    async def _hand_over(self, stream: SecureStream, handler: Handler) -> None:
        peer = stream.peer.id
        if self._channels[peer] >= MAX_CHANNELS_PER_PEER:
            self._count("listener.channels-peer")
            return
        self._channels[peer] += 1
        try:
            await handler(stream)
        finally:
            _release(self._channels, peer)


def source_of(host: str) -> str:
    """Give what counts as one source: an IPv4 address, or the 64 bits of an IPv6 one that name a network.

    Whoever has one IPv6 address mostly has all 2**64 of its network (RFC 4291, section 2.5.1; RFC 6177).
    """
    if ":" not in host:
        return host
    return str(ipaddress.IPv6Network((host.partition("%")[0], 64), strict=False))


def _release(counter: Counter[NodeId], key: NodeId) -> None:
    # A Counter keeps its zeroes, and peers come without end.
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
