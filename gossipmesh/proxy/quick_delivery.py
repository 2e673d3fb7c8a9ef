"""The quick way of a request from the mesh: it came whole, goes to an idle connection, and is answered whole.

The mirror image of :mod:`.quick_call`, with the same law: whatever else happens, a :class:`~.delivery.Delivery` goes on
as if the request had been there from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gossipmesh.channel.header_lines import HeaderLines
from gossipmesh.channel.hop_long import MAX_LONG
from gossipmesh.channel.hop_messages import End, ResponseHead, app_us_of
from gossipmesh.channel.hop_whole import MAX_WHOLE
from gossipmesh.errors import LocalProtocolError
from gossipmesh.model import Protocol, Service
from gossipmesh.proxy.access import Direction, RequestReport
from gossipmesh.proxy.apps import AppConnection
from gossipmesh.proxy.delivery import Delivery
from gossipmesh.proxy.ports import InboundPorts
from gossipmesh.proxy.quick_heads import length_fits, may_go_to_app, read_answer, trace_id_in
from gossipmesh.transport.hop_stream import HopStream

INBOUND: Final = Direction.INBOUND
METHODS = frozenset({b"GET", b"POST", b"PUT", b"DELETE", b"PATCH"})
"""Methods whose answer has a body."""


def may_go_quickly(stream: HopStream, service: Service) -> bool:
    """Tell whether a request is one for the quick way, if it is allowed: it needs no other check then."""
    request, body = stream.request, stream.body
    headers = request.headers
    return (
        body is not None
        and service.protocol is Protocol.HTTP
        and request.target[:1] == b"/"
        and b"#" not in request.target
        and type(headers) is HeaderLines
        and request.method in METHODS
        and may_go_to_app(headers.kinds)
        and length_fits(headers.lines, headers.kinds, body)
    )


class QuickDelivery:
    """A request on its way to an app and back; it listens to the stream and owns the app's link meanwhile.

    Args:
        ports: what surrounds it.
        stream: the request's, checked and allowed.
        service: what it is for, as it was offered when it came.
        connection: to its app, idle until now.
        load: gives how many requests this daemon is delivering.
        over: is told once, when the request is over.
        general: makes a delivery that goes on with the request on this connection.
    """

    __slots__ = (
        "_connection",
        "_general_of",
        "_held",
        "_load",
        "_over",
        "_ports",
        "_started",
        "service",
        "stream",
    )

    def __init__(
        self,
        ports: InboundPorts,
        stream: HopStream,
        service: Service,
        connection: AppConnection,
        *,
        load: Callable[[], int],
        over: Callable[[HopStream], None],
        general: Callable[[QuickDelivery, AppConnection], Delivery],
    ) -> None:
        self._ports = ports
        self.stream = stream
        self.service = service
        self._connection = connection
        self._load = load
        self._over = over
        self._general_of = general
        self._started = ports.reactor.now
        self._held = b""

    @property
    def started(self) -> float:
        """When the request came, in monotonic seconds."""
        return self._started

    def start(self, added: bytes) -> None:
        """Send the request to the app.

        Args:
            added: header lines of our own, each ended, and the empty line.
        """
        stream, connection = self.stream, self._connection
        request = stream.request
        headers = request.headers
        assert type(headers) is HeaderLines
        stream.listener = self
        link = connection.link
        link.adopt(self)
        connection.user = None
        lines = b"\r\n".join(headers.lines)
        link.send(
            b"%b %b HTTP/1.1\r\n%b\r\n%b%b"
            % (request.method, request.target, lines, added, stream.body or b"")
        )
        limits = self._ports.limits
        wait_s = limits.response_timeout_s
        if request.deadline_ms:
            wait_s = min(wait_s, request.deadline_ms / 1_000)
        connection.quick = self
        connection.alarm.set(self._started + min(wait_s, limits.request_timeout_s))

    # --- what the app's connection tells ---------------------------------------------------------------------------

    def bytes_received(self, data: bytes) -> None:
        """Answer, if this is all of the app's answer, or all of it is here by now."""
        if self._held:
            data = self._held + data
        limits, link = self._ports.limits, self._connection.link
        answer = read_answer(data, max_bytes=limits.head_bytes, max_lines=limits.head_count)
        if answer is not None and answer[3] <= MAX_LONG and not link.unsent:
            status, lines, start, length = answer
            missing = start + length - len(data)
            if missing > 0:
                # And one more: an app that says more than it announced is seen here, and not asked there again.
                data += link.receive_more(missing + 1)
                missing = start + length - len(data)
            if not missing and self._answer(status, lines, data, start):
                return
            if missing > 0 and length <= limits.held_response_bytes and not self._held:
                # Many apps send head and body in two calls. The caller's side would hold what is here until the rest
                # has come; so do we, but not twice: that would be a body in many parts.
                self._held = data
                link.acknowledge()
                return
        self._held = b""
        self._general().bytes_received(data)

    def _answer(self, status: int, lines: list[bytes], data: bytes, start: int) -> bool:
        """Answer with what is in ``data`` from ``start`` on; False, and nothing done, where that cannot be."""
        size = len(data) - start
        body = data[start:] if size <= MAX_WHOLE else memoryview(data)[start:]
        took_s = self._ports.reactor.now - self._started
        head = ResponseHead(status, HeaderLines(lines, b""))
        try:
            if not self.stream.answer(head, body, End((), self._load(), 0, app_us_of(took_s))):
                return False
        except LocalProtocolError:
            return False
        self._answered(status, size, took_s)
        return True

    def eof_received(self) -> None:
        """Leave it to the general way."""
        self._general().eof_received()

    def broken(self) -> None:
        """Leave it to the general way."""
        self._general().broken()

    def drained(self) -> None:
        """Wait for the answer."""

    def hung_up(self) -> None:
        """Nothing: the link is read."""

    def late(self) -> None:
        """Leave it to the general way."""
        self._general().late()

    # --- what the stream tells -------------------------------------------------------------------------------------

    def doubted(self) -> None:
        """Cannot come at the destination."""
        raise AssertionError("a destination waits for no answer")

    def reset_received(self, flag: str) -> None:
        """Leave it to the general way, without what the app has said of its answer: nobody waits for that."""
        self._held = b""
        self._general()
        listener = self.stream.listener
        if listener is not None:
            listener.reset_received(flag)

    def data_received(self, data: bytes) -> None:
        """Cannot come: the request came whole."""
        raise AssertionError("body bytes behind a whole request")

    def end_received(self, end: End) -> None:
        """Cannot come: the request came whole."""
        raise AssertionError("an end behind a whole request")

    def head_received(self, head: ResponseHead) -> None:
        """Cannot come at the destination."""
        raise AssertionError("a response head at the destination")

    def whole_received(self, head: ResponseHead, body: bytes, end: End) -> None:
        """Cannot come at the destination."""
        raise AssertionError("a response at the destination")

    def credit_gained(self) -> None:
        """Nothing waits for credit."""

    # --- ending ----------------------------------------------------------------------------------------------------

    def denied(self) -> bool:
        """Leave it to the general way: what is held of an answer was not given yet."""
        self._held = b""
        self._general()
        general = self.stream.listener
        assert isinstance(general, Delivery)
        return general.denied()

    def _general(self) -> AppConnection:
        """Hand request and connection to a delivery; give the connection, which is its link's owner again."""
        connection = self._connection
        connection.quick = None
        connection.link.adopt(connection)
        self.stream.listener = self._general_of(self, connection)
        if self._held:
            held, self._held = self._held, b""
            connection.bytes_received(held)
        return connection

    def _answered(self, status: int, size: int, took_s: float) -> None:
        stream, ports, connection = self.stream, self._ports, self._connection
        request = stream.request
        headers = request.headers
        assert type(headers) is HeaderLines
        connection.quick = None
        connection.link.adopt(connection)
        stream.listener = None  # It holds us, and we hold it.
        ports.apps.keep(connection)
        ports.observe(
            RequestReport(
                INBOUND,
                request.request_id,
                trace_id_in(headers.lines, headers.kinds),
                request.source_service,
                request.service,
                request.method,
                request.target,
                status,
                "",
                len(stream.body or b""),
                size,
                took_s,
                request.attempt,
                stream.peer.chain.name,
            )
        )
        self._over(stream)
