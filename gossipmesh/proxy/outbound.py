"""From local apps into the mesh: the proxy's port, and one port for each upstream that has its own."""

from __future__ import annotations

from functools import partial

import trio

from gossipmesh.errors import RequestError
from gossipmesh.model import Address
from gossipmesh.proxy.access import Direction, RequestReport
from gossipmesh.proxy.caller import Caller, CallerGone, CallerRequest
from gossipmesh.proxy.exchange import Exchange, OutboundPorts
from gossipmesh.proxy.replies import reply_to


class Outbound:
    """The outbound side of one daemon: all its listeners share its limits.

    Each connection has one task, which serves its requests one after the other; each attempt of a request has a
    second one (:mod:`.exchange` says why).

    Resource handling: :meth:`serve` owns its listener and its connections.
    Error handling: whatever an app or a peer does ends in an answer or a closed connection, never in an exception.

    Args:
        ports: what it is connected to.
    """

    def __init__(self, ports: OutboundPorts) -> None:
        self._ports = ports
        self._connections = 0
        self._in_flight = 0
        self._idle = trio.Event()

    async def wait_idle(self) -> None:
        """Wait until no request is in flight; new ones are still taken meanwhile."""
        while self._in_flight:
            self._idle = trio.Event()
            await self._idle.wait()

    @property
    def connections(self) -> int:
        """Connections from apps."""
        return self._connections

    @property
    def in_flight(self) -> int:
        """Requests that are not over."""
        return self._in_flight

    async def serve(
        self,
        address: Address,
        *,
        service: str | None = None,
        task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept connections until cancelled; starts with the bound address.

        Args:
            address: to bind; port 0 lets the system choose.
            service: which service every request on this port is for; None where requests name theirs.
            task_status: of ``nursery.start``.

        Raises:
            OSError: if the address cannot be bound.
        """
        listeners = await trio.open_tcp_listeners(address.port, host=address.host)
        bound = listeners[0].socket.getsockname()
        task_status.started(Address(bound[0], bound[1]))
        await trio.serve_listeners(partial(self._serve_connection, service), listeners)

    async def _serve_connection(self, fixed: str | None, stream: trio.SocketStream) -> None:
        address = _address_of(stream)
        if address is None or self._connections >= self._ports.limits.connections:
            stream.socket.close()
            return
        self._connections += 1
        caller = Caller(stream, self._ports.limits)
        try:
            while await self._serve_request(caller, address, fixed):
                pass
        finally:
            caller.abort()
            self._connections -= 1

    async def _serve_request(self, caller: Caller, address: str, fixed: str | None) -> bool:
        """Serve a connection's next request; False once the connection is closed or of no more use."""
        started = trio.current_time()
        try:
            request = await caller.next_request()
        except RequestError as error:
            await self._refuse(caller, error, started)
            return False
        except CallerGone:
            return False
        if request is not None and await self._exchange(caller, request, address, fixed):
            if caller.next_exchange():
                return True
            await caller.close()
        return False

    async def _exchange(
        self, caller: Caller, request: CallerRequest, address: str, fixed: str | None
    ) -> bool:
        overflow = self._in_flight >= self._ports.limits.requests_in_flight
        self._in_flight += 1
        try:
            exchange = Exchange(self._ports, caller, request, address=address, fixed=fixed)
            return await exchange.run(overflow=overflow)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _refuse(self, caller: Caller, error: RequestError, started: float) -> None:
        """Answer what could not even be read as a request."""
        report = RequestReport(
            direction=Direction.OUTBOUND,
            request_id="",
            trace_id="",
            source=self._ports.source_service,
            service="",
            method="",
            path="",
            code=error.status,
            flag=error.flag,
            bytes_in=0,
            bytes_out=0,
            duration_s=trio.current_time() - started,
            attempts=0,
            endpoint="",
        )
        try:
            await caller.reply(reply_to(error))
            await caller.close()
        except CallerGone:
            pass
        finally:
            self._ports.observe(report)


def _address_of(stream: trio.SocketStream) -> str | None:
    try:
        address: str = stream.socket.getpeername()[0]
    except OSError:
        return None  # The app was gone before we looked at it.
    return address
