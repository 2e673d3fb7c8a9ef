"""One request of a local app: from its head to the end of its answer, over as many attempts as it takes.

Both directions are driven by whoever has something to give: the caller's connection its body, the stream its response.
At most one receive is held each way; what the other side does not take stops the reading.

The law: what went to the caller decides. Before the first byte of a response, a failure leads to another attempt or
to an answer of our own; after it, to a visibly broken-off response.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable

from gossipmesh.channel.hop_messages import (
    MAX_DEADLINE_MS,
    Headers,
    RequestHead,
    ResponseHead,
)
from gossipmesh.errors import (
    ConnectError,
    LocalProtocolError,
    PeerGone,
    RequestError,
    StreamLimit,
    StreamResetError,
)
from gossipmesh.model import Endpoint
from gossipmesh.proxy import deciding
from gossipmesh.proxy.answering import Answering
from gossipmesh.proxy.attempts import Attempts
from gossipmesh.proxy.caller import CallerConnection
from gossipmesh.proxy.direct import DirectAttempt, DirectStream
from gossipmesh.proxy.gateway import Gate
from gossipmesh.proxy.headers import visits
from gossipmesh.proxy.hedge import TIMED_OUT, Hedge
from gossipmesh.proxy.http1.messages import RequestIn
from gossipmesh.proxy.names import Named
from gossipmesh.proxy.ports import OutboundPorts
from gossipmesh.proxy.quick_call import QuickCall
from gossipmesh.proxy.replies import options_reply, refusal
from gossipmesh.proxy.tracing import trace
from gossipmesh.routing.breakers import Admission
from gossipmesh.routing.outcomes import GIVEN_UP
from gossipmesh.routing.plan import Plan
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.hop_stream import HopStream


class Exchange(Answering):
    """One request and its answer.

    Args:
        ports: what surrounds it.
        caller: the connection that it came on.
        request: its head.
        address: the app's IP address.
        fixed: the service of the port that it came in on, or None.
        gate: decides in place of the request's own names where it goes; None for apps of this host.
        overflow: whether too many requests are in flight to take another one.
        switched: is told if it becomes a tunnel, and gives what is told its end in place of ``over``.
        over: is told once, when the request is over.
    """

    __slots__ = (
        "_address",
        "_fixed",
        "_gate",
        "_headers",
        "_hedge",
        "_hedge_at",
        "_overflow",
        "_queued",
        "_said_continue",
    )

    def __init__(
        self,
        ports: OutboundPorts,
        caller: CallerConnection,
        request: RequestIn,
        *,
        address: str,
        fixed: str | None,
        gate: Gate | None = None,
        overflow: bool,
        switched: Callable[[], Callable[[], None]],
        over: Callable[[], None],
    ) -> None:
        super().__init__(ports, caller, request, switched=switched, over=over)
        self._address = address
        self._fixed = fixed
        self._gate = gate
        self._answer.outside = gate is not None
        self._overflow = overflow
        self._headers: Headers = ()
        self._said_continue = False
        self._queued = False
        """Whether the request waits for its turn."""
        self._hedge_at = math.inf
        self._hedge: Hedge | None = None
        """While two attempts are under way."""

    # --- deciding --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the first attempt, or answer in the service's place."""
        try:
            attempts = self._decide()
        except RequestError as error:
            self._refuse(error)
            return
        if attempts is None:
            self._reply(options_reply())
            return
        if self._request.has_body and not self._take_body():
            return
        self._attempts = attempts
        if isinstance(attempts, Attempts):
            self._ask_for_turn(attempts)
        else:
            attempts.next()
        self._watch_dial()

    def _ask_for_turn(self, attempts: Attempts) -> None:
        admission = attempts.plan.admit(self, now=self._reactor.now)
        if admission is Admission.ADMIT:
            attempts.next()
        elif admission is Admission.WAIT:
            self._queued = True
            self._patience = self._reactor.now + attempts.plan.upstream.traffic.limits.wait_s
        else:
            self._refuse(refusal("UO"))

    def admitted(self) -> None:
        """The request's turn has come."""
        attempts = self._attempts
        if not isinstance(attempts, Attempts) or not attempts.plan.admitted():
            return  # It was over before it heard of that.
        self._queued = False
        self._patience = math.inf
        attempts.next()
        self._watch_dial()

    @property
    def deadline(self) -> float:
        """When :meth:`late` is to be called."""
        return min(super().deadline, self._hedge_at)

    def late(self, now: float) -> None:
        """See which deadline has passed, and act on it."""
        if now >= self._hedge_at:
            self._hedge_at = math.inf
            self._begin_hedge()
        if self._queued and self._patience <= now < self._request_deadline:
            self._abandon()
            self._refuse(refusal("UO"))
        else:
            super().late(now)

    def take_over(self, quick: QuickCall) -> None:
        """Go on with a request that began the quick way, as if it had been here from the start."""
        request, plan, head, stream = quick.request, quick.plan, quick.head, quick.stream
        assert request is not None
        assert plan is not None
        assert head is not None
        self._started = quick.started
        self._request_deadline = quick.deadline
        self._request_id, self._trace_id = request.request_id, request.trace_id
        self._named = Named(request.service, request.target, request.host)
        self._headers = head.headers
        self._upload.take()
        attempts = self._attempts = self._attempts_of(plan)
        assert plan.current is not None
        attempts.adopt(plan.current)
        if stream is None:
            attempts.begin()
            self._watch_dial()
            return
        self._upload.skip()  # It went with the head.
        self._stream = stream
        stream.listener = self
        self._patience = quick.started + self._response_timeout_s(plan)
        self._hedge_at = quick.hedge_at
        self._caller.alarm.set(self.deadline)

    def _attempts_of(self, plan: Plan) -> Attempts:
        ports = self._ports
        return Attempts(
            ports.reactor,
            ports.pool,
            plan,
            report=ports.report,
            begin=self._begin,
            none_left=self._none_left,
        )

    def _decide(self) -> Attempts | DirectAttempt | None:
        """Give how the request is passed on; None for an OPTIONS that ends here."""
        request, ports = self._request, self._ports
        headers = deciding.forwardable(request)
        traced = trace(request.headers if headers is None else headers, ports.entropy)
        self._request_id, self._trace_id = traced.request_id, traced.trace_id
        if self._gate is not None:
            self._named = named = self._gate.name(request)
        else:
            self._named = named = deciding.name(request, fixed=self._fixed, external=ports.external)
        if self._overflow:
            raise refusal("UO")
        if visits(request.headers, ports.node) >= ports.limits.visits:
            raise refusal("LP")
        if headers is None:
            return None
        if named.outside is not None:
            assert ports.dialler is not None, "names outside the mesh are allowed, and nobody can dial them"
            self._headers = deciding.headers_to_outside(ports, request, named, headers=headers)
            return DirectAttempt(ports.dialler, named.outside, self._begin_outside, self._refuse)
        self._headers = deciding.headers_to_mesh(
            ports, request, named, traced=traced.headers, address=self._address
        )
        plan = deciding.plan(ports, request, named, now=self._started, request_id=self._request_id)
        self._request_deadline = plan.deadline
        return self._attempts_of(plan)

    def _response_timeout_s(self, plan: Plan) -> float:
        return min(self._limits.response_timeout_s, plan.upstream.traffic.retries.per_try_timeout_s)

    def _begin(self, endpoint: Endpoint, channel: HopConnection) -> None:
        """Start an attempt."""
        attempts = self._attempts
        assert isinstance(attempts, Attempts)
        try:
            self._stream = channel.open_stream(self._head(attempts), self, self._upload.whole())
        except StreamLimit as full:
            attempts.refused(ConnectError(full.code, str(full)))
            return
        except LocalProtocolError as fault:
            attempts.abandon()
            self._refuse(RequestError("DPE", 431 if fault.code == "hop.head-too-long" else 400, str(fault)))
            return
        attempts.sent()
        self._send_rest()

    def _head(self, attempts: Attempts) -> RequestHead:
        """Give the head with which the newest attempt goes out."""
        named = self._named
        assert named is not None
        left_ms = (self._request_deadline - self._reactor.now) * 1_000
        return RequestHead(
            service=named.service,
            method=self._request.method,
            target=named.target,
            headers=self._headers,
            deadline_ms=max(1, int(left_ms)) if left_ms <= MAX_DEADLINE_MS else 0,
            attempt=attempts.count + attempts.plan.is_retry,
            request_id=self._request_id,
            source_service=self._ports.source_service,
        )

    def _begin_outside(self, sock: socket.socket) -> None:
        """Start the attempt at a host outside the mesh."""
        request, named = self._request, self._named
        assert named is not None
        connects = request.method == b"CONNECT"
        self._stream = stream = DirectStream(
            self._reactor, sock, self._limits, self, fast_lane=self._ports.fast_lane, raw=connects
        )
        if connects:
            self.head_received(ResponseHead(200))
            return
        body = b"" if self._switches else self._upload.whole()
        try:
            stream.ask(request.method, named.target, list(self._headers), body)
        except LocalProtocolError as error:
            self._abandon()
            self._refuse(RequestError("DPE", 400, str(error)))
            return
        self._send_rest()

    def _send_rest(self) -> None:
        """Send what of the request did not go with its head."""
        if self._upload.passed:
            self._wait_for_response()
            return
        if self._request.expects and not self._said_continue:
            self._said_continue = True
            self._caller.link.send(self._caller.http.interim(ResponseHead(100)))
        self._pump()

    def _none_left(self, flag: str) -> None:
        self._refuse(refusal(flag))

    # --- a second attempt beside a slow one ------------------------------------------------------------------------

    def _begin_hedge(self) -> None:
        attempts, stream = self._attempts, self._stream
        if not isinstance(attempts, Attempts) or not isinstance(stream, HopStream):
            return
        if (endpoint := attempts.hedge()) is not None:
            head = self._head(attempts)
            self._hedge = hedge = Hedge(attempts, self, stream, head=head, settled=self._settled)
            hedge.begin(self._ports.pool, endpoint)

    def _settled(self, stream: HopStream) -> None:
        """Of two attempts one is left."""
        self._hedge = None
        self._stream = stream

    def _drop_stream(self) -> None:
        hedge, self._hedge = self._hedge, None
        if hedge is not None:
            hedge.give_up(TIMED_OUT if self._reactor.now >= self._patience else GIVEN_UP)
        super()._drop_stream()

    # --- the request -----------------------------------------------------------------------------------------------

    def body_arrived(self) -> None:
        """Pass on what more of the body is here."""
        if self._complete:
            self._upload.discard()
        elif self._take_body():
            if self._stream is not None:
                self._pump()
            elif not self._complete:
                self._upload.hold()

    def _take_body(self) -> bool:
        """Take what the caller sent; False if that ended the exchange."""
        try:
            self._upload.take()
        except PeerGone:
            self.caller_gone()
            return False
        except RequestError as error:
            self._abandon()
            self._refuse(error)
            return False
        return True

    def _pump(self) -> None:
        stream, upload = self._stream, self._upload
        assert stream is not None
        was_passed = upload.passed
        try:
            upload.pump(stream)
        except StreamResetError:
            return  # This is told of that too, and knows what it means.
        except LocalProtocolError as error:
            self._abandon()  # More trailers than go into one frame, if the configuration allows so many.
            self._refuse(RequestError("DPE", 431, str(error)))
            return
        if upload.passed and not was_passed:
            self._wait_for_response()
        else:
            self._caller.alarm.set(self.deadline)

    def _wait_for_response(self) -> None:
        """The whole request went out; from now on its response is waited for."""
        attempts, timeout_s = self._attempts, self._limits.response_timeout_s
        if isinstance(attempts, Attempts):
            plan = attempts.plan
            timeout_s = self._response_timeout_s(plan)
            if plan.upstream.hedging.on and attempts.count == 1 and not self._request.has_body:
                self._hedge_at = math.inf if self._switches else plan.hedge_at()
        self._patience = self._reactor.now + timeout_s
        self._caller.alarm.set(self.deadline)

    def credit_gained(self) -> None:
        """The service takes more of the body."""
        self._pump()
