"""One request of a local app: from its head to the end of its answer, over as many attempts as it takes.

Two directions need two tasks. While the answer is awaited and passed on, the rest of the request has to be read, and
behind it the closing of the connection, which is how an app takes its request back. So every attempt has a nursery
with one child, :meth:`Exchange._pass_request`, beside :meth:`Exchange._pass_response`. Both end as values, not as
exceptions, so that no exception groups arise; whichever of them ends the attempt cancels the other.

The law: what went to the caller decides. Before the first byte of a response, a failure leads to another attempt or
to an answer of our own; after it, to a visibly broken-off response.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import h11
import trio
from attrs import frozen

from gossipmesh.channel.hop_messages import MAX_DEADLINE_MS, End, Headers, RequestHead, ResponseHead
from gossipmesh.errors import ConnectError, LocalProtocolError, RequestError
from gossipmesh.model import Endpoint, NodeId
from gossipmesh.proxy.access import Direction, Observer, RequestReport, path_of
from gossipmesh.proxy.body import ReplayableBody
from gossipmesh.proxy.caller import Caller, CallerGone, CallerRequest
from gossipmesh.proxy.headers import (
    filter_trailers,
    request_to_mesh,
    response_to_caller,
    values_of,
    visits,
)
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.names import Named, name_request
from gossipmesh.proxy.replies import ERROR_HEADER, SAFE_FLAGS, known_flag, refusal, reply_to
from gossipmesh.proxy.tracing import Trace, trace
from gossipmesh.routing.balancer import Balancer
from gossipmesh.routing.plan import AttemptOutcome, OutcomeKind, Plan
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.transport.hop_stream import HopStream, StreamResetError
from gossipmesh.transport.pool import ChannelPool

MAX_LENGTH_DIGITS: Final = 18
UNNEEDED: Final = "unneeded"
"""The flag with which a stream is stopped that nobody waits for: the caller is gone, or has its response already."""

_LOCAL_REFUSALS: Final = {"hop.stream-limit": "UO", "connect.local": "UO", "connect.stopped": "DR"}


@frozen
class OutboundPorts:
    """What the outbound side is connected to: everything that it does not decide itself."""

    node: str
    """This node's name, for Via."""
    source_service: str
    """The service that local apps speak as, or empty."""
    snapshot: Callable[[], Snapshot]
    """Gives the newest picture of the mesh."""
    pool: ChannelPool
    balancer: Balancer
    report: Callable[[NodeId, AttemptOutcome], None]
    """Learns how each attempt ended, so that membership hears of nodes that cannot be reached."""
    observe: Observer
    entropy: Callable[[int], bytes]
    limits: ProxyLimits


class Exchange:
    """One request and its answer.

    Args:
        ports: what surrounds it.
        caller: the connection that it came on.
        request: its head.
        address: the app's IP address.
        fixed: the service of the port that it came in on, or None.
    """

    def __init__(
        self, ports: OutboundPorts, caller: Caller, request: CallerRequest, *, address: str, fixed: str | None
    ) -> None:
        self._ports = ports
        self._caller = caller
        self._request = request
        self._address = address
        self._fixed = fixed
        self._started = trio.current_time()
        self._deadline = self._started + ports.limits.request_timeout_s
        self._trace: Trace = trace(request.headers, ports.entropy)
        self._named: Named | None = None
        self._body = ReplayableBody(caller.read_body, ports.limits.replay_bytes)
        # Of the present attempt: how long its response head may be waited for, whether the whole request went out,
        # and what the caller did to end it.
        self._patience = trio.CancelScope()
        self._request_passed = False
        self._held = bytearray()
        self._fault: RequestError | CallerGone | None = None
        # Of all attempts together.
        self._retried: list[str] = []
        self._said_continue = False
        self._interim_count = 0
        self._complete = False
        self._attempts = 0
        self._endpoint = ""
        self._status = 0
        self._flag = ""
        self._bytes_out = 0

    async def run(self, *, overflow: bool) -> bool:
        """Answer the request and report it. True if the answer is complete: the connection may be used again.

        Args:
            overflow: whether too many requests are in flight to take another one.
        """
        try:
            await self._forward(overflow=overflow)
        except RequestError as error:
            await self._refuse(error)
        except CallerGone:
            self._flag = "DC"
        finally:
            if not (self._complete or self._flag):
                self._flag = "DR"  # Cancelled: this daemon stops.
            self._ports.observe(self._report())
        return self._complete

    # --- deciding --------------------------------------------------------------------------------------------------

    async def _forward(self, *, overflow: bool) -> None:
        request, ports = self._request, self._ports
        named = name_request(request.method, request.target, request.host, fixed=self._fixed)
        self._named = named
        if overflow:
            raise refusal("UO")
        if visits(request.headers, ports.node) >= ports.limits.visits:
            raise refusal("LP")
        headers = request_to_mesh(
            self._trace.headers,
            host=named.host,
            version=request.version,
            via=ports.node,
            caller=self._address,
            chunked=request.chunked,
        )
        plan = Plan.for_request(
            ports.snapshot(),
            named.service,
            request.method,
            ports.balancer,
            max_attempts=ports.limits.max_attempts,
            deadline=self._deadline,
        )
        while (endpoint := plan.next_attempt(now=trio.current_time())) is not None:
            self._retried.extend(attempt.outcome.flag for attempt in plan.attempts[-1:])
            self._attempts += 1
            self._endpoint = endpoint.node
            outcome = await self._attempt(endpoint, self._head(named, tuple(headers)))
            # An interim response is a response's first byte: what follows it must come from the same app.
            replayable = self._body.replayable and self._interim_count == 0
            plan.record(outcome, now=trio.current_time(), replayable=replayable)
            ports.report(endpoint.id, outcome)
            if outcome.kind is OutcomeKind.ANSWERED:
                return
            if replayable:
                self._body.rewind()
        raise refusal(plan.flag_if_none)

    def _head(self, named: Named, headers: Headers) -> RequestHead:
        left_ms = (self._deadline - trio.current_time()) * 1_000
        return RequestHead(
            service=named.service,
            method=self._request.method,
            target=named.target,
            headers=headers,
            deadline_ms=max(1, int(left_ms)) if left_ms <= MAX_DEADLINE_MS else 0,
            attempt=self._attempts,
            request_id=self._trace.request_id,
            source_service=self._ports.source_service,
        )

    async def _attempt(self, endpoint: Endpoint, head: RequestHead) -> AttemptOutcome:
        """Try one endpoint.

        Raises:
            RequestError: the caller is to get this answer, and no other attempt would change it.
            CallerGone: nobody waits for an answer any more.
        """
        try:
            stream = await self._ports.pool.open_stream(endpoint.id, head)
        except ConnectError as error:
            # Where the bound is our own, it says nothing about the node.
            flag = _LOCAL_REFUSALS.get(error.code)
            if flag is not None:
                return AttemptOutcome(OutcomeKind.REFUSED, flag)
            return AttemptOutcome(OutcomeKind.CONNECT_FAILED, "UF")
        except LocalProtocolError as error:
            raise RequestError("DPE", 431 if error.code == "hop.head-too-long" else 400, str(error)) from None
        try:
            return await self._converse(stream)
        finally:
            stream.reset(UNNEEDED)

    # --- talking ---------------------------------------------------------------------------------------------------

    async def _converse(self, stream: HopStream) -> AttemptOutcome:
        if self._request.waits_for_100 and not self._said_continue:
            self._said_continue = True
            await self._caller.send_interim(ResponseHead(100))
        self._patience = trio.CancelScope(deadline=self._deadline)
        self._request_passed = False
        if not self._request.has_body:
            # Here and not in the other task, so that head and end leave in one record. A stream that is lost already
            # is found to be so by whoever waits for its response.
            with suppress(StreamResetError):
                self._end_request(stream)
        outcome: AttemptOutcome | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pass_request, stream, nursery.cancel_scope)
            outcome = await self._pass_response(stream)
            nursery.cancel_scope.cancel()
        if outcome is None:
            assert self._fault is not None, "an attempt ends with an outcome or by the caller's doing"
            raise self._fault
        return outcome

    async def _pass_request(self, stream: HopStream, attempt: trio.CancelScope) -> None:
        """Send the request's body; then watch for the caller going away.

        While the service takes nothing the caller is not read from, or its body would pile up here. That it went
        away is then noticed only when ``write_idle_timeout_s`` is over.
        """
        try:
            while data := await self._body.read():
                with trio.move_on_after(self._ports.limits.write_idle_timeout_s) as sending:
                    await stream.send_data(data)
                if sending.cancelled_caught:
                    # The service takes nothing. If its response has begun that is its own affair; if not, that is
                    # no longer waited for.
                    self._patience.cancel()
                    return
            if not self._request_passed:
                self._end_request(stream)
            await self._caller.watch()
        except StreamResetError:
            return  # The other task gets the same, and knows what it means.
        except (RequestError, CallerGone) as fault:
            # The stream is reset when the attempt is left; to do it here would wake the other task with a failure.
            self._fault = fault
            attempt.cancel()

    def _end_request(self, stream: HopStream) -> None:
        """End the request; from now on its response is waited for."""
        stream.send_end(End(trailers=self._caller.trailers))
        self._request_passed = True
        response_timeout_s = self._ports.limits.response_timeout_s
        self._patience.deadline = min(self._deadline, trio.current_time() + response_timeout_s)

    async def _pass_response(self, stream: HopStream) -> AttemptOutcome:
        try:
            head = None
            self._held.clear()
            with self._patience:
                head = await self._final_head(stream)
                # If time runs out in here, what is held is passed on: an answer has begun.
                await self._hold(stream, head)
            if head is None:
                return AttemptOutcome(OutcomeKind.FAILED, "UT")
            held = bytes(self._held)
            # A request that is not complete by now may never be; whoever answers early does not wait for it.
            await self._caller.send_head(head, last=not self._request_passed)
            self._status = head.status
            for flag in values_of(head.headers, ERROR_HEADER)[:1]:
                # The far daemon's own answer: its flag is this request's, here as well.
                self._flag = known_flag(flag.decode("ascii", "replace"))
            while data := held or await stream.receive_data():
                held = b""
                await self._caller.send_data(data)
                self._bytes_out += len(data)
            await self._caller.send_end(filter_trailers(stream.end.trailers if stream.end else ()))
            self._complete = True
        except StreamResetError as error:
            kind = OutcomeKind.REFUSED if error.flag in SAFE_FLAGS else OutcomeKind.FAILED
            return self._failed(kind, known_flag(error.flag))
        except h11.LocalProtocolError:
            return self._failed(OutcomeKind.FAILED, "UPE")
        except CallerGone:
            return self._failed(OutcomeKind.ANSWERED, "DC")
        return AttemptOutcome(OutcomeKind.ANSWERED, status=head.status)

    async def _hold(self, stream: HopStream, head: ResponseHead) -> None:
        """Receive the whole body of a response that announces a small one, before anything of it is passed on."""
        limit = self._ports.limits.held_response_bytes
        lengths = values_of(head.headers, b"content-length")
        length = lengths[0] if lengths else b""
        if not length.isdigit() or len(length) > MAX_LENGTH_DIGITS or int(length) > limit:
            return
        while len(self._held) <= limit and (data := await stream.receive_data()):
            self._held += data

    async def _final_head(self, stream: HopStream) -> ResponseHead:
        """Wait for the head of the final response; pass interim ones on.

        Raises:
            h11.LocalProtocolError: the far daemon sent what no HTTP response may be.
        """
        while True:
            head = await stream.response_head()
            forwarded = ResponseHead(
                head.status,
                tuple(response_to_caller(head.headers, status=head.status, via=self._ports.node)),
            )
            if head.status >= 200:
                return forwarded
            if head.status == 101 or self._interim_count == self._ports.limits.informational_count:
                raise h11.LocalProtocolError("a 101 that nobody asked for, or too many interim responses")
            if head.status != 100:
                # Whether the caller may send its body was settled between it and us.
                self._interim_count += 1
                await self._caller.send_interim(forwarded)

    def _failed(self, kind: OutcomeKind, flag: str) -> AttemptOutcome:
        """Give the outcome of an attempt that broke; if its response had begun, that is what was answered."""
        if self._caller.answering or flag == "DC":
            self._flag = flag
            return AttemptOutcome(OutcomeKind.ANSWERED, flag, self._status)
        return AttemptOutcome(kind, flag)

    # --- ending ----------------------------------------------------------------------------------------------------

    async def _refuse(self, error: RequestError) -> None:
        self._flag = error.flag
        if self._caller.answering:
            return
        service = self._named.service if self._named else ""
        self._status = error.status
        reply = reply_to(error, service=service, request_id=self._trace.request_id)
        try:
            await self._caller.reply(reply)
            self._complete = True
        except CallerGone:
            self._flag = "DC"

    def _report(self) -> RequestReport:
        return RequestReport(
            direction=Direction.OUTBOUND,
            request_id=self._trace.request_id.decode("ascii"),
            trace_id=self._trace.trace_id.decode("ascii"),
            source=self._ports.source_service,
            service=self._named.service if self._named else "",
            method=self._request.method.decode("ascii"),
            path=path_of(self._named.target if self._named else self._request.target),
            code=self._status,
            flag=self._flag,
            bytes_in=self._body.size,
            bytes_out=self._bytes_out,
            duration_s=trio.current_time() - self._started,
            attempts=self._attempts,
            endpoint=self._endpoint,
            retried=tuple(self._retried),
        )
