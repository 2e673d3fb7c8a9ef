"""The hop channels that we opened: one per peer, dialled once for all who want it, and a second one beside bulk."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from gossipmesh.channel.hop_stream import ReceiveBudget
from gossipmesh.channel.noise import Role
from gossipmesh.errors import ConnectError
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import Address, NodeId, short_id
from gossipmesh.transport.counters import Count, count_nothing
from gossipmesh.transport.dial import dial
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.reactor import Reactor
from gossipmesh.transport.secure_stream import ChannelIdentity

MAX_CHANNELS: Final = 1_024
"""Channels that take new requests. One more retires the one that was idle longest."""
MAX_SECOND_CHANNELS: Final = 64
"""Second channels, each beside one that carries bulk."""
MAX_AGE_S: Final = 3_600.0
"""A channel takes new streams this long; then a new one does, and the old one lives until its streams end."""
MAX_IDLE_S: Final = 300.0
"""A channel without requests for this long is closed."""
DRAINS_S: Final = 1.0
"""A peer that sent us away is not dialled for this long: it stops, and would only send us away again."""
REDIAL_S: Final = 2.0
"""A peer whose channel is silent is dialled anew, and no sooner again than after this."""
SWEEP_S: Final = 30.0
"""How often idle and old channels are looked for."""

Resolve = Callable[[NodeId], tuple[Address, ...] | None]
"""Where a node says it is, in its signed record; None for a node that is not known."""
Lost = Callable[[NodeId, str], None]
Dialled = Callable[["HopConnection | ConnectError"], None]


def _nobody_minds(_: NodeId, __: str) -> None:
    pass


def _nobody_waits(_: HopConnection | ConnectError) -> None:
    pass


class _Dial:
    """A dial under way, and whoever waits for it. Waiters are requests, whose number is bounded."""

    def __init__(self) -> None:
        self.waiting: list[Dialled] = []


class ChannelPool:
    """Hop channels by peer, as a service.

    A peer whose channel is silent is dialled anew: where packets were lost for a while, the old connection sends its
    next ones as late again as it has been silent, and a new one gets through at once. Where the peer itself is gone or
    frozen, so is the dial, and what waits on the old channel waits on.

    Resource handling: :meth:`run` owns all channels; when it is cancelled all streams fail with ``UC``.
    Error handling: nothing raises; a dial that failed is told as ConnectError, and nothing of a request was sent then.

    Args:
        reactor: what the channels run on.
        identity: who we are.
        resolve: where a node is.
        connect_timeout_s: for dial and handshake together, over all of a peer's addresses, in seconds.
        budget: what all hop channels of this daemon share, the accepted ones included.
        count: is told the code of every dial that failed and every channel that broke.
        lost: is told of every peer whose channel broke, or that owes answers and says nothing, and how: evidence that
            it may not be there any more.
    """

    def __init__(
        self,
        reactor: Reactor,
        identity: ChannelIdentity,
        resolve: Resolve,
        *,
        connect_timeout_s: float,
        budget: ReceiveBudget | None = None,
        count: Count = count_nothing,
        lost: Lost = _nobody_minds,
    ) -> None:
        self._reactor = reactor
        self._identity = identity
        self._lost = lost
        self._resolve = resolve
        self._connect_timeout_s = connect_timeout_s
        self._budget = ReceiveBudget() if budget is None else budget
        self._count = count
        self._nursery: trio.Nursery | None = None
        self._channels: dict[NodeId, HopConnection] = {}
        self._retired: set[HopConnection] = set()
        self._second: dict[NodeId, HopConnection] = {}
        self._dials: dict[NodeId, _Dial] = {}
        self._drains: dict[NodeId, float] = {}
        """When each peer that drains sent us away; no more of them than channels."""
        self._redials: dict[NodeId, float] = {}
        """When each silent peer was dialled anew; likewise."""

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

    def channel(self, target: NodeId) -> HopConnection | None:
        """Give the channel to ``target`` that takes requests, or None: then :meth:`dial`."""
        connection = self._channels.get(target)
        if connection is None:
            return None
        if not connection.accepts_streams or self._reactor.now - connection.opened_at >= MAX_AGE_S:
            if connection.told_to_go:
                self._note_draining(target)
            self.retire(target)
            return None
        return self._beside_bulk(target, connection) if connection.carries_bulk else connection

    def _note_draining(self, target: NodeId) -> None:
        if len(self._drains) >= MAX_CHANNELS:
            self._drains.clear()
        self._drains[target] = self._reactor.now

    def _is_draining(self, target: NodeId) -> bool:
        since = self._drains.get(target)
        if since is None or self._reactor.now - since < DRAINS_S:
            return since is not None
        del self._drains[target]
        return False

    def _beside_bulk(self, target: NodeId, busy: HopConnection) -> HopConnection:
        """Give the second channel to ``target`` if that carries no bulk; have it made if there is none."""
        second = self._second.get(target)
        if second is None:
            if target not in self._dials and len(self._second) < MAX_SECOND_CHANNELS:
                self.dial(target, _nobody_waits)
        elif second.accepts_streams and not second.carries_bulk:
            self._channels[target], self._second[target] = second, busy
            return second
        return busy

    def dial(self, target: NodeId, done: Dialled) -> None:
        """Make a channel to ``target``, or wait for the one that is being made.

        Args:
            target: a node.
            done: called in a later turn, with the channel or with a ConnectError: the codes of
                :func:`~gossipmesh.transport.dial.dial`, ``connect.unknown``, ``connect.draining`` (the peer has just
                sent us away) or ``connect.stopped``.
        """
        under_way = self._dials.get(target)
        if under_way is not None:
            under_way.waiting.append(done)
            return
        addresses = self._resolve(target)
        error = None
        if addresses is None:
            error = ConnectError("connect.unknown", f"no address of {short_id(target)} is known")
        elif self._is_draining(target):
            error = ConnectError("connect.draining", f"{short_id(target)} takes no more requests")
        elif self._nursery is None:
            error = ConnectError("connect.stopped", "this daemon is stopping")
        if error is not None or addresses is None or self._nursery is None:
            self._reactor.defer(partial(done, error or ConnectError("connect.stopped", "stopping")))
            return
        under_way = self._dials[target] = _Dial()
        under_way.waiting.append(done)
        # A task of its own: a request that goes away must not take the others' dial with it.
        self._nursery.start_soon(self._dial, target, addresses, under_way)

    def close(self, target: NodeId) -> None:
        """End all channels to a peer now, and fail their streams: it was revoked."""
        for connection in (*self._retired, *self._second.values(), *self._channels.values()):
            if connection.peer.id == target:
                connection.close()

    def close_where(self, hit: Callable[[Peer], bool]) -> None:
        """End all channels to the peers that are ``hit`` now, and fail their streams: they were revoked."""
        for connection in (*self._retired, *self._second.values(), *self._channels.values()):
            if hit(connection.peer):
                connection.close()

    def retire(self, target: NodeId) -> None:
        """Send new requests to ``target`` over a new channel: it has moved or changed its keys, or we have."""
        self._retire(self._channels.pop(target, None))
        self._retire(self._second.pop(target, None))

    def doubt(self, unhealthy: Callable[[NodeId, str], bool]) -> None:
        """Tell whoever waits for a service that is ``unhealthy`` at its node that it may take long."""
        for connection in (*self._retired, *self._second.values(), *self._channels.values()):
            connection.streams.doubt(partial(unhealthy, connection.peer.id))

    def retire_all(self) -> None:
        """Close all channels once their requests are over, in good order: this daemon will stop."""
        for target in (*self._channels, *self._second):
            self.retire(target)

    def _retire(self, connection: HopConnection | None) -> None:
        if connection is not None:
            self._retired.add(connection)
            connection.go_away()

    def _silent(self, target: NodeId) -> None:
        now, connection = self._reactor.now, self._channels.get(target)
        if connection is not None and not connection.is_silent:
            return  # There is a newer one already, so the peer is there.
        self._lost(target, "it owes answers and says nothing")
        if now - self._redials.get(target, -math.inf) < REDIAL_S:
            return
        if len(self._redials) >= MAX_CHANNELS:
            self._redials.clear()
        self._redials[target] = now
        self.dial(target, _nobody_waits)

    async def _dial(self, target: NodeId, addresses: tuple[Address, ...], under_way: _Dial) -> None:
        result: HopConnection | ConnectError = ConnectError("connect.stopped", "this daemon is stopping")
        try:
            stream = await dial(self._identity, addresses, expected=target, timeout_s=self._connect_timeout_s)
            self._make_room()
            silent = partial(self._silent, target)
            result = HopConnection(self._reactor, stream, Role.INITIATOR, budget=self._budget, silent=silent)
            self._add(target, result)
        except ConnectError as error:
            self._count(error.code)
            result = error
        finally:
            del self._dials[target]
            self._tell(under_way.waiting, result)
        if isinstance(result, HopConnection):
            await self._keep(target, result)

    def _tell(self, waiting: list[Dialled], result: HopConnection | ConnectError) -> None:
        for done in waiting:
            self._reactor.defer(partial(done, result))
        # The task that dialled lives on as long as the channel: it must not keep requests alive, bodies and all.
        waiting.clear()

    def _add(self, target: NodeId, connection: HopConnection) -> None:
        """Send new requests over ``connection``; one that carries bulk stays beside it."""
        busy, self._channels[target] = self._channels.get(target), connection
        if busy is None:
            return
        if busy.carries_bulk and not busy.is_silent:
            self._retire(self._second.get(target))
            self._second[target] = busy
        else:
            self._retire(busy)

    async def _keep(self, target: NodeId, connection: HopConnection) -> None:
        try:
            await connection.run()
            if connection.told_to_go:
                self._note_draining(target)
            if connection.failure is not None:
                self._count(connection.failure.code)
                if self._channels.get(target) in (
                    None,
                    connection,
                ):  # Else a newer one proves that it is there.
                    self._lost(target, f"our channel to it broke: {connection.failure}")
        finally:
            self._retired.discard(connection)
            for channels in (self._channels, self._second):
                if channels.get(target) is connection:
                    del channels[target]

    def _sweep(self) -> None:
        now = trio.current_time()
        for target, connection in list(self._second.items()):
            if not connection.open_streams and now - connection.used_at >= MAX_IDLE_S:
                self._retire(self._second.pop(target))
        for target, connection in list(self._channels.items()):
            idle = not connection.open_streams and now - connection.used_at >= MAX_IDLE_S
            if idle or now - connection.opened_at >= MAX_AGE_S:
                self.retire(target)

    def _make_room(self) -> None:
        if len(self._channels) >= MAX_CHANNELS:
            self.retire(min(self._channels, key=lambda target: self._channels[target].used_at))
