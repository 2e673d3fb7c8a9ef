"""The hop channels that peers opened to us."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import trio

from gossipmesh.channel.hop_stream import ReceiveBudget
from gossipmesh.channel.noise import Role
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import NodeId
from gossipmesh.transport.counters import Count, count_nothing
from gossipmesh.transport.hop import HopConnection, Serve
from gossipmesh.transport.reactor import Reactor
from gossipmesh.transport.secure_stream import SecureStream

STALLED_S: Final = 30.0
"""A request of which some came, and nothing more for so long or twice that, is given up."""
SETTLING_S: Final = 3.0
"""Whoever takes nothing of what waits for it, nor goes on with a long request, for so long does not hold up a stop."""
LOOK_S: Final = 0.02
"""How often it is looked whether peers have everything. Only while we stop: no request pays for it."""
MAX_AGE_S: Final = 3_900.0
"""An hour, after which whoever dialled has a new channel made, and five minutes. Whoever does not, has to shake hands
again all the same: its chain may have expired meanwhile."""


class HopAcceptor:
    """Serves accepted hop channels, and ends them all or a peer's where that is asked for.

    Args:
        reactor: what the channels run on.
        serve: takes one request, in a turn.
        budget: what all hop channels of this daemon share, the dialled ones included.
        count: is told the code of every channel that broke.
    """

    def __init__(
        self,
        reactor: Reactor,
        serve: Serve,
        *,
        budget: ReceiveBudget | None = None,
        count: Count = count_nothing,
    ) -> None:
        self._reactor = reactor
        self._serve = serve
        self._budget = ReceiveBudget() if budget is None else budget
        self._count = count
        self._connections: set[HopConnection] = set()
        self._draining = False
        self._stalled = reactor.alarm(self._reset_stalled)

    @property
    def open_streams(self) -> int:
        """Requests of all channels that are not over."""
        return sum(connection.open_streams for connection in self._connections)

    @property
    def busy(self) -> list[HopConnection]:
        """The channels that carry requests now."""
        return [connection for connection in self._connections if connection.open_streams]

    async def serve_channel(self, stream: SecureStream) -> None:
        """Serve one channel until it ends: what a listener does with a ``hop`` channel."""
        connection = HopConnection(
            self._reactor, stream, Role.RESPONDER, serve=self._serve, budget=self._budget
        )
        self._connections.add(connection)
        if self._draining:
            connection.go_away()
        age = self._reactor.alarm(connection.go_away)
        age.set(self._reactor.now + MAX_AGE_S)
        if self._stalled.deadline == math.inf:
            self._stalled.set(self._reactor.now + STALLED_S)
        try:
            await connection.run()
            if connection.failure is not None:
                self._count(connection.failure.code)
        finally:
            age.drop()
            self._connections.discard(connection)

    def _reset_stalled(self) -> None:
        for connection in self._connections:
            connection.reset_stalled()
        if self._connections:
            self._stalled.set(self._reactor.now + STALLED_S)

    def drain(self) -> None:
        """Take no more requests, on any channel, now and later; those that are open live until they end."""
        self._draining = True
        for connection in self._connections:
            connection.go_away()

    async def settle(self) -> None:
        """Wait until peers have what was answered, all of it, and have ended the channels that carry no tunnel.

        To be called after :meth:`drain`, whose GOAWAY makes a peer end a channel on which nothing is open. What left
        us may still be on its way through a slow path, or wait in the system's buffer, and would be lost with us. A
        peer of which neither is seen for :data:`SETTLING_S` is not waited for, however often it pings.
        """
        seen: dict[HopConnection, tuple[tuple[int, int], float]] = {}
        while True:
            now, waited = trio.current_time(), False
            for connection in self._connections:
                if (progress := connection.unsettled) is not None:
                    before, since = seen.get(connection, (None, now))
                    seen[connection] = progress, now if progress != before else since
                    waited = waited or now - since < SETTLING_S
            if not waited:
                return
            await trio.sleep(LOOK_S)

    def close_where(self, hit: Callable[[Peer], bool]) -> None:
        """End all channels from the peers that are ``hit`` now: they were revoked."""
        for connection in tuple(self._connections):
            if hit(connection.peer):
                connection.close()

    def close(self, peer: NodeId) -> None:
        """End all channels from a peer now: it was revoked."""
        for connection in tuple(self._connections):
            if connection.peer.id == peer:
                connection.close()
