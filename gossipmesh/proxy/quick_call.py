"""The quick way of a request from a local app: read whole, sent whole, answered whole.

Most requests of a service mesh are small, plain, and answered at the first try. One of these costs a third here of what
it does by way of :mod:`.exchange`, since nothing is made for what it does not need: no headers as pairs, no upload, no
timers of its own (docs/performance.md has the figures).

The law: whatever else happens (a body in parts, no channel yet, another attempt, a deadline, a caller that leaves),
the request is handed to an :class:`~.exchange.Exchange` as if it had been there from the start. Nothing is decided here
that is not decided there in the same way, and ``[proxy] fast_lane = false`` leaves all of it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Protocol

from gossipmesh.channel.header_lines import HeaderLines
from gossipmesh.channel.hop_long import MAX_LONG
from gossipmesh.channel.hop_messages import MAX_DEADLINE_MS, End, RequestHead, ResponseHead
from gossipmesh.errors import LocalProtocolError, StreamLimit
from gossipmesh.proxy.access import Direction, RequestReport
from gossipmesh.proxy.attempts import let_go
from gossipmesh.proxy.ports import OutboundPorts
from gossipmesh.proxy.quick_heads import (
    STATUS_LINES,
    QuickRequest,
    added_lines,
    may_go_to_caller,
    read_request,
)
from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind
from gossipmesh.routing.plan import Plan
from gossipmesh.transport.hop_stream import HopStream, StreamListener
from gossipmesh.transport.link import MAX_COPIED, Link

ADDED_MAX: Final = 256
"""Host headers whose added lines are remembered, per connection."""
OUTBOUND: Final = Direction.OUTBOUND
ANSWERED: Final = {status: AttemptOutcome(OutcomeKind.ANSWERED, "", status) for status in STATUS_LINES}


class QuickCaller(Protocol):
    """The connection that a quick call is on."""

    link: Link

    def take_over(self, data: bytes, quick: QuickCall) -> StreamListener:
        """Go on with the request that ``data`` was the general way."""

    def quick_over(self, over: Callable[[], None]) -> None:
        """The request is answered; ``over`` is to be told once the app took that, or never will."""


class QuickCall:
    """The request of one connection that goes the quick way, one after the other: the object is used again.

    Args:
        ports: what surrounds it.
        caller: the connection.
        address: the app's IP address.
        fixed: the service of the port that it came in on, or None.
        begins: counts one more request in flight; False if that is one too many.
        over: counts one less.
    """

    __slots__ = (
        "_added",
        "_address",
        "_begins",
        "_caller",
        "_data",
        "_fixed",
        "_over",
        "_ports",
        "_via",
        "busy",
        "deadline",
        "due",
        "head",
        "hedge_at",
        "plan",
        "request",
        "started",
        "stream",
    )

    def __init__(
        self,
        ports: OutboundPorts,
        caller: QuickCaller,
        *,
        address: str,
        fixed: str | None,
        begins: Callable[[], bool],
        over: Callable[[], None],
    ) -> None:
        self._ports = ports
        self._caller = caller
        self._address = address
        self._fixed = fixed
        self._begins = begins
        self._over = over
        self._via = b"Via: 1.1 %b\r\n\r\n" % ports.node.encode()
        self._added: dict[bytes, list[bytes]] = {}
        self._data = b""
        self.busy = False
        """Whether a request is under way here; what follows is about that one."""
        self.request: QuickRequest | None = None
        self.plan: Plan | None = None
        self.head: RequestHead | None = None
        self.stream: HopStream | None = None
        self.started = 0.0
        self.deadline = 0.0
        """Until when the answer may begin, all attempts included, in monotonic seconds."""
        self.due = 0.0
        """When the request leaves this way, if it is not answered by then."""
        self.hedge_at = math.inf
        """When it may be sent to another endpoint too."""

    def begin(self, data: bytes) -> bool:
        """Begin the request that ``data`` is; False, and nothing done, where it has to go the general way."""
        ports = self._ports
        limits = ports.limits
        request = read_request(
            data,
            fixed=self._fixed,
            max_bytes=limits.head_bytes,
            max_lines=limits.head_count,
            entropy=ports.entropy,
        )
        if request is None or len(request.body) > MAX_LONG:
            return False
        snapshot = ports.snapshot()
        if not snapshot.eligible(request.service):
            return False
        upstream = ports.upstreams.of(request.service)
        traffic = upstream.traffic
        if traffic.sticky is not None or not upstream.breaker.has_room or not self._begins():
            return False
        now = ports.reactor.now
        deadline = now + (limits.request_timeout_s if traffic.timeout_s is None else traffic.timeout_s)
        plan = Plan(
            snapshot,
            upstream,
            request.method,
            max_attempts=limits.max_attempts,
            now=now,
            deadline=deadline,
            is_retry=ports.retries.is_retry(request.request_id, now=now),
            newest=ports.snapshot,
        )
        plan.admit_now(now=now)
        endpoint = plan.next_attempt(now=now)
        assert endpoint is not None
        added = self._added.get(request.host)
        if added is None:
            if len(self._added) >= ADDED_MAX:
                self._added.clear()
            added = self._added[request.host] = added_lines(request.host, self._address, ports.node)
        left_ms = (deadline - now) * 1_000
        self.head = head = RequestHead(
            request.service,
            request.method,
            request.target,
            HeaderLines(request.lines + added, b""),
            max(1, int(left_ms)) if left_ms <= MAX_DEADLINE_MS else 0,
            2 if plan.is_retry else 1,
            request.request_id,
            ports.source_service,
        )
        self._data, self.request, self.plan, self.started = data, request, plan, now
        self.deadline = deadline
        self.due = min(deadline, now + min(limits.response_timeout_s, traffic.retries.per_try_timeout_s))
        self.busy = True
        channel = ports.pool.channel(endpoint.id)
        if channel is not None:
            try:
                self.stream = channel.open_stream(head, self, request.body)
                plan.sent(now=now)
                if traffic.retries.hedge:
                    self.hedge_at = math.inf if request.body else plan.hedge_at()
                    self.due = min(self.due, self.hedge_at)
                return True
            except (StreamLimit, LocalProtocolError):
                pass  # It is tried once more the general way, which knows what to do then.
        self.general()
        return True

    # --- what the stream tells -------------------------------------------------------------------------------------

    def whole_received(self, head: ResponseHead, body: bytes, end: End) -> None:
        """Answer."""
        headers = head.headers
        if (
            type(headers) is HeaderLines
            and may_go_to_caller(head.status, headers.lines, headers.kinds, body)
            and not self._caller.link.unsent
        ):
            lines = b"\r\n".join(headers.lines)
            start = b"%b%b\r\n%b" % (STATUS_LINES[head.status], lines, self._via)
            if len(body) < MAX_COPIED:
                self._caller.link.send(start + body)
            else:
                self._caller.link.send_parts([start, body])
            self._answered(head.status, len(body), end)
        else:
            self.general().whole_received(head, body, end)

    def head_received(self, head: ResponseHead) -> None:
        """Leave an answer in parts to the general way."""
        self.general().head_received(head)

    def data_received(self, data: bytes) -> None:
        """Cannot come before a head."""
        raise AssertionError("body bytes before a head")

    def end_received(self, end: End) -> None:
        """Cannot come before a head."""
        raise AssertionError("an end before a head")

    def reset_received(self, flag: str) -> None:
        """Leave it to the general way whether another attempt helps."""
        self.general().reset_received(flag)

    def doubted(self) -> None:
        """Leave it to the general way whether to ask elsewhere."""
        self.general().doubted()

    def credit_gained(self) -> None:
        """Nothing waits for credit: the request went whole."""

    # --- what the connection tells ---------------------------------------------------------------------------------

    def general(self) -> StreamListener:
        """Hand the request to an exchange, which goes on where this is."""
        taker = self._caller.take_over(self._data, self)
        self._clear()
        return taker

    def _answered(self, status: int, size: int, end: End) -> None:
        request, plan, ports = self.request, self.plan, self._ports
        assert request is not None
        assert plan is not None
        endpoint = plan.current
        assert endpoint is not None
        outcome = ANSWERED[status]
        now = ports.reactor.now
        plan.record(outcome, now=now, report=end.in_flight, app_us=end.app_us)
        ports.report(endpoint.id, outcome)
        ports.observe(
            RequestReport(
                OUTBOUND,
                request.request_id,
                request.trace_id,
                ports.source_service,
                request.service,
                request.method,
                request.target,
                status,
                "",
                len(request.body),
                size,
                now - self.started,
                1,
                endpoint.node,
                (),
                plan.attempts,
                plan.left_out,
                self.started,
            )
        )
        self._clear()
        if waiting := plan.over(now=now):
            let_go(ports.reactor, waiting)
        self._caller.quick_over(self._over)

    def _clear(self) -> None:
        self.busy = False
        self._data = b""
        self.request = self.plan = self.head = self.stream = None
