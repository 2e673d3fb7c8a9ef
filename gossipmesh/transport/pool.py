"""The hop channels that we opened: one per peer, dialled once for all who want it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from gossipmesh.channel.hop import StreamLimit
from gossipmesh.channel.hop_messages import RequestHead
from gossipmesh.channel.hop_stream import ReceiveBudget
from gossipmesh.channel.noise import Role
from gossipmesh.errors import ConnectError
from gossipmesh.model import Address, NodeId, short_id
from gossipmesh.transport.counters import Count, count_nothing
from gossipmesh.transport.dial import dial
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.hop_stream import HopStream
from gossipmesh.transport.secure_stream import ChannelIdentity

MAX_CHANNELS: Final = 1_024
"""Channels that take new requests. One more retires the one that was idle longest."""
MAX_AGE_S: Final = 3_600.0
"""A channel takes new streams this long; then a new one does, and the old one lives until its streams end."""
MAX_IDLE_S: Final = 300.0
"""A channel without requests for this long is closed."""
SWEEP_S: Final = 30.0
"""How often idle and old channels are looked for."""

Resolve = Callable[[NodeId], tuple[Address, ...] | None]
"""Where a node says it is, in its signed record; None for a node that is not known."""
Lost = Callable[[NodeId, str], None]


def _nobody_minds(_: NodeId, __: str) -> None:
    pass


class _Dial:
    """A dial under way, and whoever waits for it."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.connection: HopConnection | None = None
        self.error = ConnectError("connect.stopped", "this daemon is stopping")


class ChannelPool:
    """Hop channels by peer, as a service.

    Resource handling: :meth:`run` owns all channels; when it is cancelled all streams fail with ``UC``.
    Error handling: :meth:`open_stream` raises ConnectError only where nothing of the request was sent.

    Args:
        identity: who we are.
        resolve: where a node is.
        connect_timeout_s: for dial and handshake together, over all of a peer's addresses, in seconds.
        budget: what all hop channels of this daemon share, the accepted ones included.
        count: is told the code of every dial that failed and every channel that broke.
        lost: is told of every peer whose channel broke, and how: evidence that it may not be there any more.
    """

    def __init__(
        self,
        identity: ChannelIdentity,
        resolve: Resolve,
        *,
        connect_timeout_s: float,
        budget: ReceiveBudget | None = None,
        count: Count = count_nothing,
        lost: Lost = _nobody_minds,
    ) -> None:
        self._identity = identity
        self._lost = lost
        self._resolve = resolve
        self._connect_timeout_s = connect_timeout_s
        self._budget = ReceiveBudget() if budget is None else budget
        self._count = count
        self._nursery: trio.Nursery | None = None
        self._channels: dict[NodeId, HopConnection] = {}
        self._retired: set[HopConnection] = set()
        self._dials: dict[NodeId, _Dial] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep channels until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                while True:
                    await trio.sleep(SWEEP_S)
                    self._sweep()
        finally:
            self._nursery = None

    @property
    def connected(self) -> frozenset[NodeId]:
        """The peers that a request can be sent to without a dial."""
        return frozenset(self._channels)

    async def open_stream(self, target: NodeId, head: RequestHead) -> HopStream:
        """Begin a request to ``target``, over the channel that there is, or else over a new one.

        Raises:
            ConnectError: nothing was sent. The codes of :func:`~gossipmesh.transport.dial.dial`; ``connect.unknown``;
                ``hop.stream-limit`` where the channel is full; ``connect.lost`` where it broke at once.
            LocalProtocolError: ``hop.head-too-long`` or ``hop.head``.
        """
        for _ in range(2):
            connection = self._usable(target)
            if connection is None:
                connection = await self._connect(target)
            try:
                return connection.open_stream(head)
            except StreamLimit as error:
                if error.code != "hop.gone-away":
                    raise ConnectError(error.code, str(error)) from None
        raise ConnectError("connect.lost", f"the channel to {short_id(target)} broke as soon as it was made")

    def close(self, target: NodeId) -> None:
        """End all channels to a peer now, and fail their streams: it was revoked."""
        for connection in (*self._retired, *self._channels.values()):
            if connection.peer.id == target:
                connection.close()

    def retire(self, target: NodeId) -> None:
        """Send new requests to ``target`` over a new channel: it has moved or changed its keys, or we have."""
        connection = self._channels.pop(target, None)
        if connection is not None:
            self._retired.add(connection)
            connection.go_away()

    def _usable(self, target: NodeId) -> HopConnection | None:
        connection = self._channels.get(target)
        if connection is None:
            return None
        if connection.accepts_streams and trio.current_time() - connection.opened_at < MAX_AGE_S:
            return connection
        self.retire(target)
        return None

    async def _connect(self, target: NodeId) -> HopConnection:
        under_way = self._dials.get(target)
        if under_way is None:
            under_way = self._start_dial(target)
        await under_way.done.wait()
        if under_way.connection is None:
            raise ConnectError(under_way.error.code, str(under_way.error))
        return under_way.connection

    def _start_dial(self, target: NodeId) -> _Dial:
        addresses = self._resolve(target)
        if addresses is None:
            raise ConnectError("connect.unknown", f"no address of {short_id(target)} is known")
        if self._nursery is None:
            raise ConnectError("connect.stopped", "this daemon is stopping")
        under_way = self._dials[target] = _Dial()
        # A task of its own: a caller that goes away must not take the others' dial with it.
        self._nursery.start_soon(self._dial, target, addresses, under_way)
        return under_way

    async def _dial(self, target: NodeId, addresses: tuple[Address, ...], under_way: _Dial) -> None:
        try:
            stream = await dial(self._identity, addresses, expected=target, timeout_s=self._connect_timeout_s)
            self._make_room()
            connection = HopConnection(stream, Role.INITIATOR, budget=self._budget)
            self._channels[target] = under_way.connection = connection
        except ConnectError as error:
            self._count(error.code)
            under_way.error = error
            return
        finally:
            del self._dials[target]
            under_way.done.set()
        await self._keep(target, connection)

    async def _keep(self, target: NodeId, connection: HopConnection) -> None:
        try:
            await connection.run()
            if connection.failure is not None:
                self._count(connection.failure.code)
                self._lost(target, str(connection.failure))
        finally:
            self._retired.discard(connection)
            if self._channels.get(target) is connection:
                del self._channels[target]

    def _sweep(self) -> None:
        now = trio.current_time()
        for target, connection in list(self._channels.items()):
            idle = not connection.open_streams and now - connection.used_at >= MAX_IDLE_S
            if idle or now - connection.opened_at >= MAX_AGE_S:
                self.retire(target)

    def _make_room(self) -> None:
        if len(self._channels) >= MAX_CHANNELS:
            self.retire(min(self._channels, key=lambda target: self._channels[target].used_at))
