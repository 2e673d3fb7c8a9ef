"""One request from the mesh, delivered to an app of this node, and the app's answer.

The mirror image of :mod:`.exchange`, with one difference: that a caller takes its request back is not found out by
reading. The stream calls ``on_reset``, which cancels everything that is done for it; so a request without a body needs
no second task and no nursery.

The law: no byte reaches an app before the request was checked and allowed, and where it goes is this node's own
configuration. What cannot be answered is reset, with the flag that tells the caller's side whether to try elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import h11
import trio
from attrs import frozen

from gossipmesh.channel.hop_messages import End, ResponseHead
from gossipmesh.channel.hop_stream import MAX_INTERIM_HEADS
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError, RequestError
from gossipmesh.identity.credentials import Peer
from gossipmesh.identity.record import refused_services
from gossipmesh.model import Protocol, Service
from gossipmesh.policy.decision import Decision, Source
from gossipmesh.proxy.access import Direction, Observer, RequestReport, path_of
from gossipmesh.proxy.apps import AppConnection, AppFault, AppPool
from gossipmesh.proxy.body import ReplayableBody
from gossipmesh.proxy.headers import (
    Pairs,
    check_framing_untrusted,
    filter_trailers,
    request_to_app,
    response_to_mesh,
    values_of,
)
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.replies import caller_fault, refusal, reply_to
from gossipmesh.proxy.tracing import trace_id_of
from gossipmesh.routing.plan import IDEMPOTENT
from gossipmesh.transport.hop_stream import HopStream, StreamResetError

GONE: Final = "DC"
"""The flag of a request whose caller took it back, or whose channel broke."""


@frozen
class InboundPorts:
    """What the inbound side is connected to: everything that it does not decide itself."""

    service: Callable[[str], Service | None]
    """Gives one of this node's own services by name, or None."""
    speaks_for: Callable[[Peer], frozenset[str]]
    """Gives the services that a peer may speak as; :func:`services_of` where nothing newer is known."""
    decide: Callable[[Source, str, bytes, bytes], Decision]
    """Decides on source, service, method and target."""
    apps: AppPool
    observe: Observer
    limits: ProxyLimits


def services_of(peer: Peer) -> frozenset[str]:
    """Give the services that the record of a peer's handshake declares within its chain."""
    declared = {service.name for service in peer.record.services}
    return frozenset(declared.difference(refused_services(peer.record, peer.chain)))


class Delivery:
    """One request and its answer.

    Args:
        ports: what surrounds it.
        stream: the request's stream.
        load: gives how many requests this daemon is delivering, which the response's end tells the caller's side.
    """

    def __init__(self, ports: InboundPorts, stream: HopStream, load: Callable[[], int]) -> None:
        self._ports = ports
        self._stream = stream
        self._request = stream.request
        self._load = load
        self._started = trio.current_time()
        left_ms = self._request.deadline_ms
        self._deadline = self._started + (left_ms / 1_000 if left_ms else ports.limits.request_timeout_s)
        self._body = ReplayableBody(self._receive_body, ports.limits.replay_bytes)
        self._has_body = any(
            name.lower() == b"transfer-encoding" or (name.lower() == b"content-length" and value != b"0")
            for name, value in self._request.headers
        )
        # Of the present try: how long its response head may be waited for, and what its second task found wrong.
        self._patience = trio.CancelScope()
        self._fault: AppFault | None = None
        # Of all tries together.
        self._heard = False
        self._interim_count = 0
        self._complete = False
        self._status = 0
        self._flag = ""
        self._bytes_out = 0

    async def run(self, *, refuse_with: str | None) -> None:
        """Deliver the request, answer it and report it.

        Args:
            refuse_with: a flag with which to refuse the request unread, or None.
        """
        try:
            with trio.CancelScope() as work:
                self._stream.on_reset = work.cancel
                if self._stream.flag is not None:
                    # It was taken back before this task ran: nobody called `on_reset` then, and no app may see it.
                    raise StreamResetError(self._stream.flag)
                await self._run(refuse_with)
            if self._complete:
                await self._discard_rest()
        except StreamResetError:
            pass  # The caller took its request back, or has all that it wants of it.
        finally:
            if not (self._complete or self._flag):
                self._flag = GONE
            self._ports.observe(self._report())

    async def _run(self, refuse_with: str | None) -> None:
        try:
            if refuse_with is not None:
                self._reset(refuse_with)
                return
            service = self._ports.service(self._request.service)
            if service is None:
                self._reset("NR")
                return
            self._check_untrusted(service)
            self._authorize()
            await self._deliver(service)
        except RequestError as error:
            await self._refuse(error)
        except AppFault as fault:
            self._reset(fault.flag)
        finally:
            # From here on the caller's side may stop the rest of its request, as a matter of course.
            self._stream.on_reset = None

    def _reset(self, flag: str) -> None:
        self._flag = flag
        self._stream.reset(flag)

    # --- deciding --------------------------------------------------------------------------------------------------

    def _check_untrusted(self, service: Service) -> None:
        """Check what the other daemon should have seen to.

        Raises:
            RequestError: the request must not reach an app.
        """
        request = self._request
        if service.protocol is not Protocol.HTTP:
            raise refusal("AZ", f"{service.name} speaks tcp: HTTP requests are not for it")
        if request.method == b"CONNECT":
            raise RequestError("AZ", 405, "CONNECT is not for http services")
        origin_form = request.target.startswith(b"/") and b"#" not in request.target
        if not origin_form and (request.method, request.target) != (b"OPTIONS", b"*"):
            raise refusal("DPE", "a request target that is not in origin form")
        if len(values_of(request.headers, b"host")) != 1:
            raise refusal("DPE", "a request without Host, or with two")
        try:
            check_framing_untrusted(request.headers, version=b"1.1")
        except RemoteProtocolError as error:
            raise caller_fault(error) from None

    def _authorize(self) -> None:
        request, peer = self._request, self._stream.peer
        services = self._ports.speaks_for(peer)
        if request.source_service and request.source_service not in services:
            raise refusal("AZ", f"the caller's node may not speak as {request.source_service}")
        source = Source(peer.id, request.source_service, services, peer.chain.grants.groups)
        decision = self._ports.decide(source, request.service, request.method, request.target)
        if not decision.allow:
            raise refusal("AZ", f"policy does not allow this: rule {decision.rule}")

    # --- talking ---------------------------------------------------------------------------------------------------

    async def _deliver(self, service: Service) -> None:
        """Send the request to the app, a second time if a reused connection turns out to be dead.

        Raises:
            AppFault: no response came, or not all of it.
            RequestError: the other daemon sent what no HTTP request may be.
        """
        request, apps = self._request, self._ports.apps
        headers = request_to_app(
            request.headers, source=request.source_service, node=self._stream.peer.chain.name
        )
        connection = await apps.acquire(service.port)
        try:
            await self._converse(connection, headers)
            return
        except AppFault as fault:
            if not (connection.reused and fault.flag == "UC" and self._repeatable):
                raise
        finally:
            apps.release(connection)
        self._body.rewind()
        connection = await apps.acquire(service.port, fresh=True)
        try:
            await self._converse(connection, headers)
        finally:
            apps.release(connection)

    @property
    def _repeatable(self) -> bool:
        return not self._heard and self._request.method in IDEMPOTENT and self._body.replayable

    async def _converse(self, connection: AppConnection, headers: Pairs) -> None:
        self._patience = trio.CancelScope(deadline=self._deadline)
        self._fault = None
        try:
            await connection.send_head(self._request.method, self._request.target, headers)
        except h11.LocalProtocolError as error:
            raise refusal("DPE", str(error)) from None
        if self._has_body:
            fault = None
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pass_request, connection, nursery.cancel_scope)
                fault = await self._pass_response(connection)
                nursery.cancel_scope.cancel()
        else:
            await self._pass_request(connection, self._patience)
            fault = await self._pass_response(connection)
        fault = self._fault or fault
        if fault is not None:
            raise fault

    async def _pass_request(self, connection: AppConnection, attempt: trio.CancelScope) -> None:
        limits = self._ports.limits
        try:
            while data := await self._body.read():
                await connection.send_data(data)
            end = self._stream.end
            await connection.send_end(filter_trailers(end.trailers) if end is not None else ())
            self._patience.deadline = min(self._deadline, trio.current_time() + limits.response_timeout_s)
        except AppFault as fault:
            if fault.flag == "UT":
                # If the response has begun, that the app takes nothing more is its own affair.
                self._patience.cancel()
            elif fault.flag != "UC":
                self._fault = fault
                attempt.cancel()
            # An app may answer and close without reading everything, so what it has to say is still listened to.
        except h11.LocalProtocolError:
            self._fault = AppFault("DPE", "a body that does not fit its Content-Length")
            attempt.cancel()
        except StreamResetError:
            return  # All of this is being cancelled.

    async def _receive_body(self) -> bytes:
        # Twice what the caller's own daemon waits, which can tell its app: this is for one that does not.
        with trio.move_on_after(2 * self._ports.limits.body_idle_timeout_s):
            return await self._stream.receive_data()
        raise AppFault("DPE", "nothing more of the request's body came")

    async def _pass_response(self, connection: AppConnection) -> AppFault | None:
        stream = self._stream
        try:
            head = None
            with self._patience:
                head = await self._final_head(connection)
            if head is None:
                return AppFault("UT", "the app did not answer in time")
            stream.send_head(head)
            self._status = head.status
            while data := await connection.receive_body():
                await self._send(data)
                self._bytes_out += len(data)
            stream.send_end(End(connection.trailers, in_flight=self._load()))
            self._complete = True
        except AppFault as fault:
            return fault
        except LocalProtocolError as error:
            return AppFault("UPE", f"a response that cannot be passed on: {error}")
        except StreamResetError:
            return AppFault(GONE, "the caller took its request back")
        return None

    async def _final_head(self, connection: AppConnection) -> ResponseHead:
        """Wait for the head of the final response; pass interim ones on."""
        while True:
            head = await connection.receive_head()
            self._heard = True
            passed = ResponseHead(head.status, tuple(response_to_mesh(head.headers, status=head.status)))
            if head.status >= 200:
                return passed
            if self._interim_count == min(self._ports.limits.informational_count, MAX_INTERIM_HEADS):
                raise AppFault("UPE", "too many interim responses")
            if head.status != 100:
                # The caller's side has settled whether the body is sent.
                self._interim_count += 1
                self._stream.send_head(passed)

    # --- ending ----------------------------------------------------------------------------------------------------

    async def _refuse(self, error: RequestError) -> None:
        """Answer in the app's place."""
        self._flag = error.flag
        self._status = error.status
        reply = reply_to(error, service=self._request.service, request_id=self._request.request_id)
        self._stream.send_head(reply.head)
        if self._request.method != b"HEAD":
            await self._send(reply.body)
        self._stream.send_end(End(in_flight=self._load()))
        self._complete = True

    async def _send(self, data: bytes) -> None:
        """Send body bytes to the caller's side; one that takes none for too long is gone.

        Raises:
            StreamResetError: the stream is of no more use.
        """
        with trio.move_on_after(self._ports.limits.write_idle_timeout_s) as sending:
            await self._stream.send_data(data)
        if sending.cancelled_caught:
            self._reset(GONE)
            raise StreamResetError(GONE)

    async def _discard_rest(self) -> None:
        """Read the rest of a request that was answered before it was complete.

        The caller's side stops it as soon as it has the response. To stop it from here would be a reset, and that
        drops what of the response is still to be sent.
        """
        with trio.move_on_after(self._ports.limits.linger_s):
            while await self._stream.receive_data():
                pass

    def _report(self) -> RequestReport:
        request = self._request
        return RequestReport(
            direction=Direction.INBOUND,
            request_id=request.request_id.decode("ascii", "replace"),
            trace_id=trace_id_of(request.headers).decode("ascii"),
            source=request.source_service,
            service=request.service,
            method=request.method.decode("ascii"),
            path=path_of(request.target),
            code=self._status,
            flag=self._flag,
            bytes_in=self._body.size,
            bytes_out=self._bytes_out,
            duration_s=trio.current_time() - self._started,
            attempts=request.attempt,
            endpoint=self._stream.peer.chain.name,
        )
