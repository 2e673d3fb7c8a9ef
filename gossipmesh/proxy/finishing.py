"""The state of one request of a local app, and its end: answered, refused, given up, reported.

:class:`~.answering.Answering` is built on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from gossipmesh.errors import RequestError
from gossipmesh.proxy.access import RequestReport
from gossipmesh.proxy.answer import Answer
from gossipmesh.proxy.attempts import Attempts
from gossipmesh.proxy.caller import CallerConnection
from gossipmesh.proxy.direct import DirectAttempt
from gossipmesh.proxy.http1.messages import RequestIn
from gossipmesh.proxy.names import Named
from gossipmesh.proxy.ports import OutboundPorts
from gossipmesh.proxy.replies import Reply, reply_to
from gossipmesh.proxy.reporting import report_of
from gossipmesh.proxy.stream import Stream
from gossipmesh.proxy.tunnel import Tunnel
from gossipmesh.proxy.upload import Upload

UNNEEDED: Final = "unneeded"
"""The flag with which a stream is stopped that nobody waits for: the caller is gone, or has its response already."""


class Finishing:
    """One request, what is known of it, and every way in which it ends.

    Args:
        ports: what surrounds it.
        caller: the connection that it came on.
        request: its head.
        switched: is told if it becomes a tunnel, and gives what is told its end in place of ``over``.
        over: is told once, when the request is over.
    """

    __slots__ = (
        "_answer",
        "_attempts",
        "_caller",
        "_complete",
        "_flag",
        "_limits",
        "_named",
        "_over",
        "_patience",
        "_ports",
        "_reactor",
        "_request",
        "_request_deadline",
        "_request_id",
        "_started",
        "_stream",
        "_switches",
        "_tell_over",
        "_tell_switched",
        "_trace_id",
        "_tunnel",
        "_tunnelled",
        "_upload",
    )

    def __init__(
        self,
        ports: OutboundPorts,
        caller: CallerConnection,
        request: RequestIn,
        *,
        switched: Callable[[], Callable[[], None]],
        over: Callable[[], None],
    ) -> None:
        self._ports = ports
        self._limits = ports.limits
        self._reactor = ports.reactor
        self._caller = caller
        self._request = request
        self._tell_switched = switched
        self._tell_over = over
        self._started = now = ports.reactor.now
        self._request_deadline = now + ports.limits.request_timeout_s
        self._request_id = self._trace_id = b""
        self._named: Named | None = None
        self._switches = bool(request.upgrade) or request.method == b"CONNECT"  # It may become a tunnel.
        http, link, has_body = caller.http, caller.link, request.has_body
        self._upload = Upload(
            http, link, ports.reactor, ports.limits, has_body=has_body, stays_open=self._switches
        )
        self._attempts: Attempts | DirectAttempt | None = None
        self._stream: Stream | None = None
        self._tunnel: Tunnel | None = None
        self._tunnelled = 0
        self._answer = Answer(caller.http, caller.link, ports.limits, ports.node)
        # Until when the response to the present attempt is waited for.
        self._patience = math.inf
        self._complete = self._over = False
        self._flag = ""

    @property
    def deadline(self) -> float:
        """When :meth:`late` is to be called."""
        due = self._upload.due
        if not self._answer.begun:
            due = min(due, self._patience, self._request_deadline)
        link = self._caller.link
        if link.unsent:
            due = min(due, link.taken_at + self._limits.write_idle_timeout_s)
        return due

    @property
    def _stray(self) -> bool:
        """Whether bytes may be here that were meant for a tunnel that there will not be.

        They must not be taken for the next request. A CONNECT that is refused ends its connection in any case: who
        sends ahead of the answer would be read differently by chance.
        """
        return self._switches and (self._request.method == b"CONNECT" or self._caller.http.buffered > 0)

    @property
    def _last(self) -> bool:
        """Whether the connection ends with the answer."""
        return self._caller.ending or not self._upload.passed or self._stray

    # --- ending ----------------------------------------------------------------------------------------------------

    def caller_gone(self) -> None:
        """Nobody waits for an answer any more."""
        if self._over:
            return
        self._complete = False
        self._flag = "DC"
        self._abandon()
        self._finish()

    def stop(self) -> None:
        """End at once: this daemon stops."""
        if self._tunnel is not None:
            self._tunnel.abort("DR")
        elif not self._over:
            self._flag = "DR"
            self._complete = False
            self._abandon()
            self._finish()

    def _watch_dial(self) -> None:
        """See to deadlines while there is no stream yet."""
        if self._stream is None and not self._over:
            self._caller.alarm.set(self.deadline)

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.reset(UNNEEDED)

    def _abandon(self) -> None:
        """Let go of the present attempt, and begin no other: nobody waits for an answer."""
        self._drop_stream()
        if self._attempts is not None:
            self._attempts.abandon()

    def _refuse(self, error: RequestError) -> None:
        self._flag = error.flag
        service = self._named.service if self._named else ""
        self._reply(
            reply_to(error, service=service, request_id=self._request_id, outside=self._answer.outside)
        )

    def _reply(self, reply: Reply) -> None:
        """Answer in the service's place, if no answer has begun."""
        if not self._answer.begun:
            # What of the request was not read ends the connection.
            self._answer.reply(
                reply, last=self._caller.ending or self._stray or not self._caller.http.body_ended
            )
            self._complete = True
        self._finish_once_taken()

    def _finish_once_taken(self) -> None:
        """End, but not before the caller took its answer: what waits to be sent is bounded by that."""
        if self._complete and self._caller.link.unsent:
            if self._attempts is not None:
                self._attempts.over()  # Its service is done with it, however slowly the caller takes the answer.
            if not self._caller.http.body_ended:
                self._caller.link.resume()  # There are callers that read no answer before they sent everything.
            self._caller.alarm.set(self.deadline)
        else:
            self._finish()

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        self._ports.observe(self._report())
        stray = self._stray
        if self._attempts is not None:
            self._attempts.over()
        self._let_go()
        self._tell_over()
        self._caller.exchange_over(complete=self._complete, stray=stray)

    def _let_go(self) -> None:
        # Attempts call back what holds them: bodies would live on until the collector of cycles comes by.
        self._attempts = self._tunnel = None

    def _report(self) -> RequestReport:
        return report_of(
            self._ports,
            self._request,
            self._named,
            self._attempts,
            self._answer,
            request_id=self._request_id,
            trace_id=self._trace_id,
            flag=self._flag,
            bytes_in=self._upload.size + self._tunnelled,
            started=self._started,
        )
