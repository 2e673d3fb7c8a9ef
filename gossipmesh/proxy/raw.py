"""A connection to the port of a tcp service: no HTTP at all, from the first byte on."""

from __future__ import annotations

import socket
from collections.abc import Callable

from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.errors import ConnectError, StreamLimit
from gossipmesh.model import Endpoint
from gossipmesh.proxy.access import Direction, RequestReport
from gossipmesh.proxy.attempts import Attempts
from gossipmesh.proxy.finishing import UNNEEDED
from gossipmesh.proxy.ports import OutboundPorts
from gossipmesh.proxy.replies import ERROR_HEADER, known_flag
from gossipmesh.proxy.tunnel import Tunnel
from gossipmesh.routing.breakers import Admission
from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind
from gossipmesh.routing.plan import Plan
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.hop_stream import HopStream
from gossipmesh.transport.link import Link


class RawCall:
    """One connection of a local app to a tcp service.

    Nothing of it is read before an endpoint has taken it, so every failure until then is tried elsewhere; after that it
    is a tunnel. What cannot be served is closed: there is no way to say why but the access log.

    Args:
        ports: what surrounds it.
        sock: the app's connection.
        service: what it is for.
        switched: is told once it is a tunnel.
        over: is told when it is over, with what ``switched`` gave.
    """

    def __init__(
        self,
        ports: OutboundPorts,
        sock: socket.socket,
        service: str,
        *,
        switched: Callable[[], Callable[[], None]],
        over: Callable[[RawCall, Callable[[], None] | None], None],
    ) -> None:
        self._ports = ports
        self._service = service
        self._tell_switched = switched
        self._switched: Callable[[], None] | None = None
        self._tell_over: Callable[[RawCall, Callable[[], None] | None], None] | None = over
        self._started = ports.reactor.now
        self._link = Link(ports.reactor, sock, self)
        self._link.pause()
        plan = Plan(
            ports.snapshot(),
            ports.upstreams.of(service),
            b"CONNECT",
            max_attempts=ports.limits.max_attempts,
            now=self._started,
            newest=ports.snapshot,
        )
        self._attempts = Attempts(
            ports.reactor, ports.pool, plan, report=ports.report, begin=self._begin, none_left=self._end
        )
        self._patience = ports.reactor.alarm(self._late)
        self._stream: HopStream | None = None
        self._tunnel: Tunnel | None = None
        self._queued = False
        self._request_id = ports.entropy(16).hex()
        self._status = 0
        self._flag = ""
        self._bytes_in = self._bytes_out = 0

    def start(self, *, overflow: bool) -> None:
        """Begin the first attempt."""
        plan = self._attempts.plan
        admission = Admission.REFUSE if overflow else plan.admit(self, now=self._started)
        if admission is Admission.ADMIT:
            self._attempts.next()
        elif admission is Admission.WAIT:
            self._queued = True
            self._patience.set(self._started + plan.upstream.traffic.limits.wait_s)
        else:
            self._end("UO")

    def admitted(self) -> None:
        """Its turn has come."""
        if self._attempts.plan.admitted():
            self._queued = False
            self._patience.clear()
            self._attempts.next()

    def _begin(self, endpoint: Endpoint, channel: HopConnection) -> None:
        head = RequestHead(
            service=self._service,
            method=b"CONNECT",
            target=b"%s:%d" % (self._service.encode(), endpoint.service.port),
            attempt=self._attempts.count,
            request_id=self._request_id.encode(),
            source_service=self._ports.source_service,
        )
        try:
            self._stream = channel.open_stream(head, self)
        except StreamLimit as error:
            self._attempts.refused(ConnectError(error.code, str(error)))
            return
        self._attempts.sent()
        per_try_s = self._attempts.plan.upstream.traffic.retries.per_try_timeout_s
        self._patience.set(self._ports.reactor.now + min(self._ports.limits.response_timeout_s, per_try_s))

    # --- what the stream tells, until it is a tunnel ---------------------------------------------------------------

    def head_received(self, head: ResponseHead) -> None:
        """Become a tunnel if the endpoint agrees."""
        stream = self._stream
        assert stream is not None
        self._status = head.status
        if not 200 <= head.status < 300:
            flags = [value for name, value in head.headers if name == ERROR_HEADER]
            self._attempts.answered(AttemptOutcome(OutcomeKind.ANSWERED, "", head.status))
            self._drop_stream()
            self._end(known_flag(flags[0].decode("ascii", "replace")) if flags else "UPE")
            return
        self._attempts.answered(AttemptOutcome(OutcomeKind.ANSWERED, "", head.status))
        self._attempts.over()
        self._patience.drop()
        self._stream = None
        self._switched = self._tell_switched()
        self._tunnel = Tunnel(
            self._ports.reactor,
            self._link,
            stream,
            self._ports.limits,
            broken_flag=UNNEEDED,
            over=self._tunnel_over,
        )
        self._tunnel.start()

    def whole_received(self, head: ResponseHead, body: bytes, end: End) -> None:
        """Be refused by the far daemon."""
        self.head_received(ResponseHead(head.status if head.status >= 300 else 502, head.headers))

    def reset_received(self, flag: str) -> None:
        """Try elsewhere: nothing of the connection was read yet."""
        self._stream = None
        self._patience.clear()
        self._attempts.failed(AttemptOutcome(OutcomeKind.REFUSED, known_flag(flag)))

    def doubted(self) -> None:
        """Wait on: there is a timer for this."""

    def data_received(self, data: bytes) -> None:
        """Throw away the body of a refusal."""
        if self._stream is not None:
            self._stream.consumed(len(data))

    def end_received(self, end: End) -> None:
        """Nothing: the head said it all."""

    def credit_gained(self) -> None:
        """Nothing was sent yet."""

    # --- what the link tells, until it is a tunnel -----------------------------------------------------------------

    def bytes_received(self, data: bytes) -> None:
        """Cannot come: the link is paused."""
        raise AssertionError("a paused link read something")

    def eof_received(self) -> None:
        """Cannot come either."""

    def drained(self) -> None:
        """Nothing was sent."""

    def hung_up(self) -> None:
        """The app closed its direction: a tunnel passes that on, and one that closed both is found out there."""

    def broken(self) -> None:
        """The app is gone."""
        self._attempts.abandon()
        self._drop_stream()
        self._end("DC")

    # --- ending ----------------------------------------------------------------------------------------------------

    def _late(self) -> None:
        if self._queued:
            self._end("UO")
            return
        self._drop_stream()
        self._attempts.failed(AttemptOutcome(OutcomeKind.REFUSED, "UT"))

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.reset(UNNEEDED)

    def _tunnel_over(self, flag: str, sent: int, received: int) -> None:
        self._bytes_out, self._bytes_in = sent, received
        self._end("DC" if flag == UNNEEDED else flag and known_flag(flag))

    def stop(self) -> None:
        """End at once: this daemon stops."""
        if self._tunnel is not None:
            self._tunnel.abort("DR")
        else:
            self._attempts.abandon()
            self._drop_stream()
            self._end("DR")

    def _end(self, flag: str) -> None:
        tell, self._tell_over = self._tell_over, None
        if tell is None:
            return
        self._flag = flag
        self._attempts.over()
        self._patience.drop()
        self._link.close(reset=bool(flag))
        endpoint = self._attempts.endpoint
        self._ports.observe(
            RequestReport(
                direction=Direction.OUTBOUND,
                request_id=self._request_id,
                trace_id="",
                source=self._ports.source_service,
                service=self._service,
                method="CONNECT",
                path="",
                code=self._status,
                flag=flag,
                bytes_in=self._bytes_in,
                bytes_out=self._bytes_out,
                duration_s=self._ports.reactor.now - self._started,
                attempts=self._attempts.count,
                endpoint=endpoint.node if endpoint is not None else "",
                retried=tuple(self._attempts.retried),
                tries=self._attempts.plan.attempts,
                left_out=self._attempts.plan.left_out,
                begun=self._started,
            )
        )
        tell(self, self._switched)
