"""From local apps into the mesh: the proxy's port, and one port for each upstream that has its own."""

from __future__ import annotations

import heapq
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from gossipmesh.channel.hop_messages import ResponseHead
from gossipmesh.errors import RequestError
from gossipmesh.model import Address, Protocol
from gossipmesh.proxy.access import Direction, RequestReport
from gossipmesh.proxy.caller import CallerConnection
from gossipmesh.proxy.dry_run import DryRun, dry_run
from gossipmesh.proxy.exchange import Exchange
from gossipmesh.proxy.gateway import Gate
from gossipmesh.proxy.headers import without_ours
from gossipmesh.proxy.http1.messages import RequestIn
from gossipmesh.proxy.ports import OutboundPorts
from gossipmesh.proxy.quick_call import QuickCall
from gossipmesh.proxy.raw import RawCall
from gossipmesh.proxy.replies import Reply, reply_to
from gossipmesh.routing.outliers import LOOKS_S
from gossipmesh.transport.connecting import Accepting

ROOM_MADE: Final = 64
"""One in so many of the most connections is closed at once to make room: finding them costs a look at all."""


class Outbound:
    """The outbound side of one daemon: all its listeners share its limits.

    Resource handling: :meth:`serve` owns its listener and its connections.
    Error handling: whatever an app or a peer does ends in an answer or a closed connection, never in an exception.

    Args:
        ports: what it is connected to.
        gate: makes a gateway of it: its callers are outside the mesh, and do not say themselves where they go.
        wrap: gives an accepted connection with TLS on it; raises OSError where that cannot be.
    """

    def __init__(
        self,
        ports: OutboundPorts,
        *,
        gate: Gate | None = None,
        wrap: Callable[[socket.socket], socket.socket] | None = None,
    ) -> None:
        self._ports = ports
        self._gate = gate
        self._wrap = wrap
        self._connections: set[CallerConnection | RawCall] = set()
        self._in_flight = 0
        self._tunnels = 0
        self._idle = trio.Event()
        self._ending = False
        self._watch = ports.reactor.alarm(self._look)
        self._watching = False
        self._accepting: list[Accepting] = []

    def _one_more(self) -> None:
        """Count a request."""
        self._in_flight += 1
        if not self._watching and len(self._ports.upstreams):
            self._watching = True
            self._watch.set(self._ports.reactor.now + LOOKS_S)

    def _look(self) -> None:
        """Have what waits at an endpoint that has fallen silent asked elsewhere, as far as that is possible.

        Tell, too, who is out of rotation and who is back; the last look comes after the last request.
        """
        ports = self._ports
        silent = ports.upstreams.handle_timer(now=ports.reactor.now)
        if silent:
            ports.pool.doubt(lambda node, service: (node, service) in silent)
        for service, news in ports.upstreams.take_news():
            ports.rotated(service, news)
        self._watching = self._in_flight > 0
        if self._watching:
            self._watch.set(ports.reactor.now + LOOKS_S)

    def end_connections(self) -> None:
        """Answer on, but end each connection from an app with its next answer: this daemon will stop.

        A connection that only closed when the daemon ends could close just as its app sends a request (RFC 9112, 9.5).
        """
        self._ending = True
        for each in self._connections:
            if isinstance(each, CallerConnection):
                each.end_with_next()

    def stop_accepting(self) -> None:
        """Take no more connections: whoever comes is told so by the system, before it has sent anything."""
        accepting, self._accepting = self._accepting, []
        for each in accepting:
            each.close()

    async def wait_idle(self) -> None:
        """Wait until no request is in flight; new ones are still taken meanwhile, on the connections that there are."""
        while self._in_flight:
            self._idle = trio.Event()
            await self._idle.wait()

    def end_idle(self) -> None:
        """Close the connections that carry no request."""
        for each in tuple(self._connections):
            if isinstance(each, CallerConnection) and each.waiting:
                each.abort()

    @property
    def connections(self) -> int:
        """Connections from apps."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """Requests that are not over, without those that became tunnels."""
        return self._in_flight

    @property
    def tunnels(self) -> int:
        """CONNECTs and upgraded connections."""
        return self._tunnels

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
        accepting = [
            Accepting(
                self._ports.reactor,
                socket.socket(fileno=listener.socket.detach()),
                partial(self._accepted, service),
                exhausted=self._ports.exhausted,
            )
            for listener in listeners
        ]
        self._accepting += accepting
        try:
            task_status.started(Address(bound[0], bound[1]))
            await trio.sleep_forever()
        finally:
            for each in accepting:
                each.close()
            for connection in tuple(self._connections):
                connection.stop()

    def _accepted(self, fixed: str | None, sock: socket.socket) -> None:
        address = _address_of(sock)
        if address is None or not self._has_room():
            sock.close()
            return
        if self._wrap is not None:
            try:
                sock = self._wrap(sock)
            except OSError:
                return
        if fixed is not None and self._speaks_tcp(fixed):
            raw = RawCall(self._ports, sock, fixed, switched=self._switched, over=self._raw_over)
            self._connections.add(raw)
            overflow = self._is_full(switches=True)
            self._one_more()
            raw.start(overflow=overflow)
            return
        connection = CallerConnection(
            self._ports.reactor,
            sock,
            self._ports.limits,
            fast_lane=self._ports.fast_lane,
            exchange=partial(self._exchange, address, fixed),
            continued=partial(self._continued, address, fixed),
            refused=self._refused,
            closed=self._connections.discard,
            quick=partial(self._quick, address, fixed) if self._is_quick else None,
        )
        self._connections.add(connection)
        if self._ending:
            connection.end_with_next()

    @property
    def _is_quick(self) -> bool:
        """Whether plain requests may go the quick way, which knows nothing of gates."""
        return self._ports.fast_lane and self._gate is None

    def dry_run(self, request: RequestIn) -> DryRun:
        """Give what a request would come to on the proxy's own port, were it made now; nothing comes of asking."""
        overflow = self._is_full(switches=bool(request.upgrade) or request.method == b"CONNECT")
        return dry_run(self._ports, request, overflow=overflow)

    def _has_room(self) -> bool:
        """Tell whether one more connection may be taken; those that wait for a request make room.

        Thousands of idle connections would otherwise lock out whoever has something to ask.
        """
        most = self._ports.limits.connections
        if len(self._connections) >= most:
            waiting = (
                each for each in self._connections if isinstance(each, CallerConnection) and each.waiting
            )
            for each in heapq.nsmallest(max(most // ROOM_MADE, 1), waiting, key=lambda it: it.alarm.deadline):
                each.abort()  # Its time would have been up next anyway.
        return len(self._connections) < most

    def _speaks_tcp(self, service: str) -> bool:
        endpoints = self._ports.snapshot().endpoints(service)
        return bool(endpoints) and all(each.service.protocol is Protocol.TCP for each in endpoints)

    def _exchange(
        self, address: str, fixed: str | None, caller: CallerConnection, request: RequestIn
    ) -> Exchange:
        if self._gate is not None:
            request = self._gate.admit(request, address)
        overflow = self._is_full(switches=bool(request.upgrade) or request.method == b"CONNECT")
        self._one_more()
        return self._continued(address, fixed, caller, request, overflow=overflow)

    def _continued(
        self,
        address: str,
        fixed: str | None,
        caller: CallerConnection,
        request: RequestIn,
        *,
        overflow: bool = False,
    ) -> Exchange:
        return Exchange(
            self._ports,
            caller,
            request,
            address=address,
            fixed=fixed,
            gate=self._gate,
            overflow=overflow,
            switched=self._switched,
            over=self._over,
        )

    def _quick(self, address: str, fixed: str | None, caller: CallerConnection) -> QuickCall:
        return QuickCall(
            self._ports, caller, address=address, fixed=fixed, begins=self._begins, over=self._over
        )

    def _begins(self) -> bool:
        if self._in_flight >= self._ports.limits.requests_in_flight:
            return False
        self._one_more()
        return True

    def _is_full(self, *, switches: bool) -> bool:
        limits = self._ports.limits
        return self._in_flight >= limits.requests_in_flight or (switches and self._tunnels >= limits.tunnels)

    def _switched(self) -> Callable[[], None]:
        """Count one that became a tunnel: it may last for days, and must keep no request from its place.

        Give what is to be called at its end, in place of what was.
        """
        self._tunnels += 1
        self._over()
        return self._tunnel_over

    def _tunnel_over(self) -> None:
        self._tunnels -= 1

    def _over(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    def _raw_over(self, raw: RawCall, over: Callable[[], None] | None) -> None:
        self._connections.discard(raw)
        (over or self._over)()

    def _refused(self, error: RequestError, began: float) -> Reply:
        """Note, and answer, what could not even be read as a request."""
        self._ports.observe(
            RequestReport(
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
                duration_s=self._ports.reactor.now - began,
                attempts=0,
                endpoint="",
            )
        )
        reply = reply_to(error, outside=self._gate is not None)
        if self._gate is not None:
            reply = Reply(
                ResponseHead(reply.head.status, tuple(without_ours(reply.head.headers))), reply.body
            )
        return reply


def _address_of(sock: socket.socket) -> str | None:
    try:
        address: str = sock.getpeername()[0]
    except OSError:
        return None  # The app was gone before we looked at it.
    return address
