"""A local app's connection to us: it asks, we answer, one request after the other.

What belongs to the connection is here: reading heads, what is pipelined, idle time, lingering. What belongs to one
request is in :mod:`.exchange`.
"""

from __future__ import annotations

import enum
import math
import socket
from collections.abc import Callable
from typing import Protocol

from gossipmesh.channel.hop_long import MAX_LONG
from gossipmesh.errors import RequestError
from gossipmesh.proxy.http1.messages import RequestIn
from gossipmesh.proxy.http1.serving import Serving
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.quick_call import QuickCall
from gossipmesh.proxy.quick_heads import body_missing
from gossipmesh.proxy.replies import Reply
from gossipmesh.transport.hop_stream import StreamListener
from gossipmesh.transport.link import ACKNOWLEDGED_BELOW, Link
from gossipmesh.transport.reactor import Reactor


class Exchanging(Protocol):
    """The request that a connection is busy with."""

    def start(self) -> None:
        """Begin; it may be over when this returns."""

    def body_arrived(self) -> None:
        """Something more of the request's body is here."""

    def caller_gone(self) -> None:
        """The app closed its connection, or takes nothing any more."""

    def caller_drained(self) -> None:
        """The app took everything that was sent to it."""

    def late(self, now: float) -> None:
        """A deadline may have passed."""

    def stop(self) -> None:
        """End at once: this daemon stops."""


class Continuing(Exchanging, StreamListener, Protocol):
    """An exchange that can take over what began the quick way."""

    def take_over(self, quick: QuickCall) -> None:
        """Go on with it."""


class _State(enum.Enum):
    READING = "reading"
    """Idle, or inside a head."""
    BUSY = "busy"
    """With an exchange."""
    LINGERING = "lingering"
    """Everything is said; what still comes is thrown away."""
    OVER = "over"
    """Closed, or taken over by a tunnel."""


class CallerConnection:
    """One connection from a local app.

    Resource handling: owns its socket; tells ``closed`` once when that is closed or taken over.
    Error handling: whatever the app does ends in an answer or a closed connection.

    Args:
        reactor: calls back.
        sock: accepted.
        limits: of the proxy.
        fast_lane: whether plain heads may take it.
        exchange: makes what handles a request.
        continued: the same for one that began the quick way, and is counted already.
        refused: is told of what could not even be read as a request, and gives the answer.
        closed: is told when the connection is over.
        quick: makes what handles plain requests the quick way; None: nothing does.
    """

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        limits: ProxyLimits,
        *,
        fast_lane: bool,
        exchange: Callable[[CallerConnection, RequestIn], Exchanging],
        continued: Callable[[CallerConnection, RequestIn], Continuing],
        refused: Callable[[RequestError, float], Reply],
        closed: Callable[[CallerConnection], None],
        quick: Callable[[CallerConnection], QuickCall] | None = None,
    ) -> None:
        self.reactor = reactor
        self.http = Serving(limits, fast_lane=fast_lane)
        self.link = Link(reactor, sock, self)
        self.alarm = reactor.alarm(self._late)
        self._limits = limits
        self._exchange_of = exchange
        self._continue = continued
        self._refused = refused
        self._closed = closed
        self._exchange: Exchanging | None = None
        self._state = _State.READING
        self._head_began = math.inf
        self._next_deferred = False
        self._untaken: Callable[[], None] | None = None
        """What is told when the app has taken the answer that went the quick way, or never will."""
        self._quick = quick(self) if quick is not None else None
        self.ending = False
        """Whether the next answer is the last one."""
        self.alarm.set(reactor.now + limits.keep_alive_s)

    def end_with_next(self) -> None:
        """End the connection with its next answer, and say so there."""
        self.ending = True
        if self._quick is not None and not self._quick.busy:
            self._quick = None  # What goes the quick way ends no connection.

    @property
    def waiting(self) -> bool:
        """Whether it has no request, or not yet the whole head of one."""
        busy = self._quick is not None and self._quick.busy
        return self._state is _State.READING and not (busy or self._next_deferred or self.link.unsent)

    # --- what the link tells -----------------------------------------------------------------------------------

    def bytes_received(self, data: bytes) -> None:
        """Take what the app sent."""
        if self._state is _State.LINGERING:
            return
        http = self.http
        quick = self._quick
        if quick is not None:
            if quick.busy:
                quick.general()  # Something of a next request is here already.
            elif self._state is _State.READING and not http.begun:
                if 0 < (missing := body_missing(data)) <= MAX_LONG:
                    data += self.link.receive_more(missing)
                if quick.begin(data):
                    if quick.busy:
                        self.alarm.set(quick.due)
                    return
        http.receive(data)
        exchange = self._exchange
        if exchange is None and not self._next_deferred:
            self._next()
        elif exchange is not None and not http.body_ended:
            exchange.body_arrived()
        elif http.buffered > self._limits.pipelined_bytes:
            self.link.pause()
        if not http.body_ended and len(data) < ACKNOWLEDGED_BELOW and self._state is _State.BUSY:
            self.link.acknowledge()

    def eof_received(self) -> None:
        """The app sends no more: it is gone.

        HTTP/1.1 knows no use for a half-closed connection, and for a proxy there is no other sign that nobody waits
        for the answer.
        """
        self._leave_quick_way()
        self.http.receive_eof()
        if self._exchange is not None:
            self._exchange.caller_gone()
        else:
            self.abort()

    def _leave_quick_way(self) -> None:
        if self._quick is not None and self._quick.busy:
            self._quick.general()

    def hung_up(self) -> None:
        """The app is gone, while its connection was not read."""
        self._leave_quick_way()
        if self._exchange is not None:
            self._exchange.caller_gone()
        else:
            self.abort()

    def broken(self) -> None:
        """End: nothing can be said to the app any more."""
        self.hung_up()

    def drained(self) -> None:
        """The app took everything that was sent to it."""
        self._quick_taken()
        if self._exchange is not None:
            self._exchange.caller_drained()
        elif self._state is _State.LINGERING:
            self.alarm.set(self.reactor.now + self._limits.linger_s)
        elif self.waiting and self._head_began == math.inf:
            self._await_next()

    # --- requests ----------------------------------------------------------------------------------------------

    def _next(self) -> None:
        """Begin the next request, if its head is here."""
        self._next_deferred = False
        if self._state is not _State.READING:
            return
        http = self.http
        try:
            request = http.next_request()
        except RequestError as error:
            self._refuse(error)
            return
        if request is None:
            if http.begun and self._head_began == math.inf:
                self._head_began = self.reactor.now
                self.alarm.set(self._head_began + self._limits.head_timeout_s)
            self.link.resume()
            return
        self._head_began = math.inf
        self._state = _State.BUSY
        self._exchange = exchange = self._exchange_of(self, request)
        exchange.start()

    def exchange_over(self, *, complete: bool, stray: bool = False) -> None:
        """The request is answered, or cannot be: go on, close, or break off.

        Args:
            complete: whether the answer is complete.
            stray: whether what is here behind the request must not be taken for another one.
        """
        self._exchange = None
        http = self.http
        if not complete:
            self.abort()
        elif http.complete and not stray:
            http.next_exchange()
            self._state = _State.READING
            if http.buffered <= self._limits.pipelined_bytes:
                self.link.resume()
            self._await_next()
            if http.buffered and not self._next_deferred:
                # Not at once: a caller that pipelines must not keep others waiting, nor deepen the stack.
                self._next_deferred = True
                self.reactor.defer(self._next)
        else:
            self._linger()

    def take_over(self, data: bytes, quick: QuickCall) -> StreamListener:
        """Go on with a request that began the quick way: ``data`` is what it was."""
        self.http.receive(data)
        request = self.http.next_request()
        assert request is not None, "the general way does not read what the quick way did"
        self._state = _State.BUSY
        exchange = self._continue(self, request)
        self._exchange = exchange
        exchange.take_over(quick)
        return exchange

    def quick_over(self, over: Callable[[], None]) -> None:
        """A request was answered the quick way; ``over`` is told once the app took the answer, or never will."""
        if self.ending:
            self._quick = None
        if self.link.unsent:
            self._untaken = over
        else:
            over()
        self._await_next()

    def _quick_taken(self) -> None:
        over, self._untaken = self._untaken, None
        if over is not None:
            over()

    def _await_next(self) -> None:
        """Wait for the next request, while the app takes what it was sent."""
        limits, link = self._limits, self.link
        due = self.reactor.now + limits.keep_alive_s
        self.alarm.set(link.taken_at + limits.write_idle_timeout_s if link.unsent else due)

    def hand_over(self) -> Link:
        """Give the link away, to a tunnel; this is over then, but for :meth:`release`."""
        self._state = _State.OVER
        self._quick_taken()
        self.alarm.drop()
        return self.link

    def stop(self) -> None:
        """End everything now: this daemon stops."""
        self._leave_quick_way()
        if self._exchange is not None:
            self._exchange.stop()
        self.abort()

    def release(self) -> None:
        """Count as closed, after what took the link over is done with it."""
        self._closed(self)

    def _refuse(self, error: RequestError) -> None:
        """Answer what could not even be read as a request."""
        began = self.reactor.now if self._head_began == math.inf else self._head_began
        reply = self._refused(error, began)
        self.link.send(self.http.whole(reply.head, reply.body, last=True))
        self._linger()

    # --- ending ------------------------------------------------------------------------------------------------

    def _late(self) -> None:
        now = self.reactor.now
        self._leave_quick_way()
        if self._exchange is not None:
            self._exchange.late(now)
        elif self._state is _State.READING and self._head_began < math.inf:
            self._refuse(RequestError("DPE", 408, "the request's head took too long"))
        elif self.link.unsent and now < self.link.taken_at + self._limits.write_idle_timeout_s:
            self._await_next()
        else:
            self.abort()  # Idle for too long, or lingered for long enough.

    def _linger(self) -> None:
        """Close so that the app gets all that was sent to it.

        With bytes of the app unread, closing would be a reset, and it could overtake the response (RFC 9112,
        section 9.6). So only our side is closed at first, and what still comes is read and thrown away, for
        ``linger_s`` at most; longer only while the app still takes what it was sent.
        """
        self._state = _State.LINGERING
        link = self.link
        patience_s = self._limits.write_idle_timeout_s if link.unsent else self._limits.linger_s
        self.alarm.set(self.reactor.now + patience_s)
        link.send_eof()
        link.resume()

    def abort(self) -> None:
        """Break the connection off so that the app sees that its response is not complete.

        Where a chunk or a Content-Length is missing, closing shows it. A response that its end alone delimits would
        look complete, so that connection is reset.
        """
        if self._state is _State.OVER:
            return
        self._leave_quick_way()
        exchange, self._exchange = self._exchange, None
        lingered = self._state is _State.LINGERING
        self._state = _State.OVER
        if exchange is not None:
            exchange.caller_gone()
        self._quick_taken()
        self.alarm.drop()
        self.link.close(reset=not lingered and self.http.answering and self.http.delimited_by_close)
        self._closed(self)
