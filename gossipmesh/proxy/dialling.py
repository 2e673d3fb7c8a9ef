"""Connections to hosts outside the mesh: a name is resolved, what it leads to is judged, and just that is dialled.

Resolving blocks, so it is a trio task; all else runs on the reactor.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Final, cast

import trio

from gossipmesh.errors import RequestError
from gossipmesh.proxy.outside import IPAddress, may_dial
from gossipmesh.transport.connecting import Connecting
from gossipmesh.transport.reactor import Reactor

MAX_ADDRESSES: Final = 4
"""Addresses of one name that are dialled; who cannot be reached at four will not be at the fifth."""
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_UNKNOWN: Final = (socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY)

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
Dialled = Callable[[socket.socket | RequestError], None]


class Dialler:
    """Makes connections to the outside.

    Resource handling: :meth:`run` owns the tasks that resolve names; what was dialled belongs to who asked for it.
    Error handling: a connection that cannot be made is told as a RequestError, which is the answer to the request.

    Args:
        reactor: calls back.
        timeout_s: for resolving, and again for each connection.
        judge: tells which addresses may be dialled.
    """

    def __init__(
        self, reactor: Reactor, timeout_s: float, *, judge: Callable[[IPAddress], bool] = may_dial
    ) -> None:
        self.reactor: Final = reactor
        self.timeout_s: Final = timeout_s
        self.judge: Final = judge
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Resolve names until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    def dial(self, host: str, port: int, done: Dialled) -> Dialling:
        """Make a connection; ``done`` is called once, in a turn to come, unless that is cancelled.

        Args:
            host: a name, or an address without brackets.
            port: 1 to 65535.
            done: gets the socket, or why there is none: ``NR`` for a name that does not exist (404) or leads only to
                where nobody may go from here (403), ``UF`` (503) for a host that cannot be connected to.
        """
        dialling = Dialling(self, host, port, done)
        if self._nursery is None:
            dialling.fail(RequestError("DR", 503, "this node is stopping"))
        else:
            self._nursery.start_soon(dialling.resolve)
        return dialling


class Dialling:
    """One connection that is being made."""

    def __init__(self, dialler: Dialler, host: str, port: int, done: Dialled) -> None:
        self._dialler = dialler
        self._host = host
        self._port = port
        self._done: Dialled | None = done
        self._left: list[tuple[socket.AddressFamily, SocketAddress]] = []
        self._connecting: Connecting | None = None
        self._resolving = trio.CancelScope()

    async def resolve(self) -> None:
        """Find out where the name leads; for the dialler."""
        error = RequestError("UF", 503, f"{self._host} could not be resolved in time")
        found = []
        with self._resolving:
            self._resolving.deadline = trio.current_time() + self._dialler.timeout_s
            try:
                found = await trio.socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as cause:  # EAI_SYSTEM (no file descriptor left) is no gaierror.
                error = self._unresolved(cause)
        if not found:
            self.fail(error)
            return
        for family, _, _, _, address in found:
            if family in _FAMILIES and len(self._left) < MAX_ADDRESSES and self._may_dial(str(address[0])):
                self._left.append((family, cast(SocketAddress, address)))
        if self._left:
            self._dialler.reactor.defer(self._next)
        else:
            text = f"{self._host} leads to addresses that are never gone to from here"
            self.fail(RequestError("NR", 403, text))

    def _unresolved(self, cause: Exception) -> RequestError:
        if isinstance(cause, UnicodeError) or cause.args[0] in _UNKNOWN:
            return RequestError("NR", 404, f"there is no host called {self._host}")
        return RequestError("UF", 503, f"{self._host} could not be resolved: {cause}")

    def _may_dial(self, address: str) -> bool:
        # A scope (fe80::1%eth0) belongs to addresses that are refused in any case.
        return self._dialler.judge(ipaddress.ip_address(address.partition("%")[0]))

    def _next(self) -> None:
        if self._done is None:
            return
        family, address = self._left.pop(0)
        self._connecting = Connecting(
            self._dialler.reactor, address, family, self._dialler.timeout_s, self._connected
        )

    def _connected(self, result: socket.socket | OSError) -> None:
        self._connecting = None
        if self._done is None:
            if isinstance(result, socket.socket):
                result.close()
        elif isinstance(result, socket.socket):
            self._tell(result)
        elif self._left:
            self._next()
        else:
            why = result.strerror or str(result)
            self._tell(RequestError("UF", 503, f"{self._host} cannot be connected to: {why}"))

    def fail(self, error: RequestError) -> None:
        """Tell, in a turn to come, that there is no connection."""
        self._dialler.reactor.defer(lambda: self._tell(error))

    def _tell(self, result: socket.socket | RequestError) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(result)

    def cancel(self) -> None:
        """Make no connection; nobody is called."""
        self._done = None
        self._resolving.cancel()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
