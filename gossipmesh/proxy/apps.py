"""Connections to the apps of this node: we ask, they answer.

The inbound side's half of HTTP. Apps are reached on loopback and on the port that this node's own configuration says:
nothing that came from the mesh chooses where a connection goes.
"""

from __future__ import annotations

import math
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import trio

from gossipmesh.errors import AppRefused
from gossipmesh.proxy.http1.asking import Asking
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.transport.connecting import Connecting
from gossipmesh.transport.link import ACKNOWLEDGED_BELOW, Link
from gossipmesh.transport.reactor import Reactor

LOOPBACK: Final = "127.0.0.1"


class AppUser(Protocol):
    """Whoever has a request on a connection to an app."""

    def app_readable(self) -> None:
        """Something of the response is here, or the end of the connection."""

    def app_drained(self) -> None:
        """The app took everything that was sent to it."""

    def app_broken(self) -> None:
        """The connection is gone."""

    def app_late(self, now: float) -> None:
        """A deadline may have passed."""


class Late(Protocol):
    """Whoever is told of the time."""

    def late(self) -> None:
        """A deadline may have passed."""


class AppConnection:
    """One connection to an app, for one request at a time.

    Resource handling: owns its socket; give it back with :meth:`AppPool.release`.
    Error handling: what the app does is told to :attr:`user`; while nobody has a request on it, it closes itself.
    """

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        port: int,
        limits: ProxyLimits,
        *,
        fast_lane: bool,
        spoiled: Callable[[AppConnection], None],
    ) -> None:
        self.port = port
        self.reused = False
        """Whether it served a request before, so that the app may be closing it at this very moment."""
        self.user: AppUser | None = None
        self.quick: Late | None = None
        """What has a request on it the quick way, and owns the link meanwhile."""
        self.http = Asking(limits, fast_lane=fast_lane)
        self.link = Link(reactor, sock, self)
        self.alarm = reactor.alarm(self.late)
        self._reactor = reactor
        self._spoiled = spoiled

    def bytes_received(self, data: bytes) -> None:
        """Take what the app sent."""
        if self.user is None:
            self._spoiled(self)
            return
        self.http.receive(data)
        self.user.app_readable()
        if self.user is not None and len(data) < ACKNOWLEDGED_BELOW and not self.http.body_ended:
            self.link.acknowledge()

    def eof_received(self) -> None:
        """The app sends no more."""
        if self.user is None:
            self._spoiled(self)
            return
        self.http.receive_eof()
        self.user.app_readable()

    def hung_up(self) -> None:
        """Nothing, while somebody reads slowly: what the app sent before is read first."""
        if self.user is None:
            self._spoiled(self)

    def broken(self) -> None:
        """The connection is gone."""
        if self.user is None:
            self._spoiled(self)
        else:
            self.user.app_broken()

    def drained(self) -> None:
        """The app took everything."""
        if self.user is not None:
            self.user.app_drained()

    def late(self) -> None:
        """A deadline may have passed."""
        if self.quick is not None:
            self.quick.late()
        elif self.user is not None:
            self.user.app_late(self._reactor.now)

    def close(self) -> None:
        """Close the connection, at once."""
        self.user = None
        self.alarm.drop()
        self.link.close()


class AppPool:
    """Idle connections to this node's apps, each kept for less time than apps keep theirs.

    Resource handling: owns idle connections; :meth:`run` closes them all when it is cancelled.
    Error handling: a connection that cannot be made is told as :class:`AppRefused`.

    Args:
        reactor: what connections run on.
        limits: of the proxy.
        fast_lane: whether plain heads may take it.
        doubt: is told the port of an app that could not be connected to, or that closed a connection which was idle:
            it may be gone, and only a look at it will tell.
    """

    def __init__(
        self,
        reactor: Reactor,
        limits: ProxyLimits,
        *,
        fast_lane: bool = True,
        doubt: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._reactor = reactor
        self._limits = limits
        self._fast_lane = fast_lane
        self._doubt = doubt
        self._idle: dict[int, deque[tuple[float, AppConnection]]] = {}
        self._expiry = reactor.alarm(self._expire)
        self._expiry_due = math.inf
        self._stopped = False

    async def run(self) -> None:
        """Keep idle connections until cancelled."""
        try:
            await trio.sleep_forever()
        finally:
            self._close()

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return sum(map(len, self._idle.values()))

    def take(self, port: int, *, certain: bool) -> AppConnection | None:
        """Give the connection that was idle for the shortest time; None if there is none: then :meth:`connect`.

        Args:
            port: on loopback.
            certain: look once more whether the app has just closed it, for a request that cannot be sent twice.
        """
        queue = self._idle.get(port)
        while queue:
            expires, connection = queue.pop()
            if expires > self._reactor.now and (not certain or connection.link.is_silent()):
                return connection
            connection.close()
        return None

    def connect(self, port: int, done: Callable[[AppConnection | AppRefused], None]) -> Connecting:
        """Make a new connection to the app on ``port``; ``done`` is called once, unless that is cancelled."""

        def connected(result: socket.socket | OSError) -> None:
            if isinstance(result, OSError):
                self._doubt(port)
                done(
                    AppRefused(f"the app on port {port} cannot be connected to: {result.strerror or result}")
                )
            else:
                done(self._connection(result, port))

        timeout_s = self._limits.connect_timeout_s
        return Connecting(self._reactor, (LOOPBACK, port), socket.AF_INET, timeout_s, connected)

    def _connection(self, sock: socket.socket, port: int) -> AppConnection:
        return AppConnection(
            self._reactor, sock, port, self._limits, fast_lane=self._fast_lane, spoiled=self._drop
        )

    def release(self, connection: AppConnection) -> None:
        """Take back a connection after a request, to be used again if that is possible."""
        if self._stopped or connection.link.closed or connection.link.unsent or not connection.http.spare:
            connection.close()
            return
        connection.http.next_exchange()
        connection.link.resume()
        self.keep(connection)

    def keep(self, connection: AppConnection) -> None:
        """Take back a connection that is ready for another request."""
        connection.user = None
        connection.reused = True
        connection.alarm.clear()
        if self._stopped:
            connection.close()
            return
        queue = self._idle.get(connection.port)
        if queue is None:
            queue = self._idle[connection.port] = deque()
        if len(queue) >= self._limits.app_idle_connections:
            queue.popleft()[1].close()
        expires = self._reactor.now + self._limits.app_keep_alive_s
        queue.append((expires, connection))
        # What becomes idle later expires later, so the alarm is set only where nothing was idle.
        if self._expiry_due == math.inf:
            self._expiry_due = expires
            self._expiry.set(expires)

    def forget(self, port: int) -> None:
        """Close what is idle to an app that is not asked any more; requests that are on their way end as they would."""
        for _, connection in self._idle.pop(port, ()):
            connection.close()

    def _drop(self, connection: AppConnection) -> None:
        self._doubt(connection.port)
        queue = self._idle.get(connection.port, deque())
        for entry in queue:
            if entry[1] is connection:
                queue.remove(entry)
                break
        connection.close()

    def _expire(self) -> None:
        now = self._reactor.now
        earliest = math.inf
        for port, queue in list(self._idle.items()):
            while queue and queue[0][0] <= now:
                queue.popleft()[1].close()
            if queue:
                earliest = min(earliest, queue[0][0])
            else:
                del self._idle[port]
        self._expiry_due = earliest
        if earliest < math.inf:
            self._expiry.set(earliest)

    def _close(self) -> None:
        self._stopped = True
        self._expiry.drop()
        for queue in self._idle.values():
            for _, connection in queue:
                connection.close()
        self._idle.clear()
