"""The answering half of one request of a local app: what becomes of its response, of failures, and of its end.

:class:`~.exchange.Exchange` is the other half: what is asked, and of whom. The law: what went to the caller decides.
Before the first byte of a response, a failure leads to another attempt or to an answer of our own; after it, to a
visibly broken-off response.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from gossipmesh.channel.hop_messages import End, ResponseHead
from gossipmesh.errors import LocalProtocolError, RequestError
from gossipmesh.proxy.access import Direction, RequestReport, path_of
from gossipmesh.proxy.answer import Answer
from gossipmesh.proxy.attempts import Attempts
from gossipmesh.proxy.caller import CallerConnection
from gossipmesh.proxy.direct import DirectAttempt
from gossipmesh.proxy.headers import switches_to_what_was_asked
from gossipmesh.proxy.http1.messages import RequestIn
from gossipmesh.proxy.names import Named
from gossipmesh.proxy.ports import OutboundPorts
from gossipmesh.proxy.replies import SAFE_FLAGS, Reply, known_flag, refusal, reply_to
from gossipmesh.proxy.stream import Stream
from gossipmesh.proxy.tunnel import Tunnel
from gossipmesh.proxy.upload import Upload
from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind

UNNEEDED: Final = "unneeded"
"""The flag with which a stream is stopped that nobody waits for: the caller is gone, or has its response already."""


class Answering:
    """One request whose answer is awaited, passed on, or given by the mesh itself.

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

    # --- the response ----------------------------------------------------------------------------------------------

    def whole_received(self, head: ResponseHead, body: bytes, end: End) -> None:
        """Answer with a response that came at once."""
        if head.status < 200:
            self._broke_http()
            return
        self._end_if_open()
        self._progressed()
        try:
            self._answer.whole(self._kept_session(head), body, last=self._last)
        except LocalProtocolError:
            self._broke_http()
            return
        self._answered(end)

    def head_received(self, head: ResponseHead) -> None:
        """Pass an interim head on; hold a short response; begin to answer with any other.

        A request that is not complete by now may never be; whoever answers early does not wait for it.
        """
        self._progressed()
        if head.status == 101 or (self._request.method == b"CONNECT" and 200 <= head.status < 300):
            self._switch(head)
            return
        try:
            if head.status < 200:
                self._answer.interim(head)
                return
            self._end_if_open()
            self._answer.head(self._kept_session(head), last=self._last)
        except LocalProtocolError:
            self._broke_http()
            return
        self._caller.alarm.set(self.deadline)

    def _progressed(self) -> None:
        if self._attempts is not None:
            self._attempts.progressed()

    def _kept_session(self, head: ResponseHead) -> ResponseHead:
        """Give a final head with the cookie that keeps the caller's session where it is, if there is to be one."""
        attempts = self._attempts
        cookie = attempts.plan.cookie() if isinstance(attempts, Attempts) else None
        return head if cookie is None else ResponseHead(head.status, (*head.headers, (b"Set-Cookie", cookie)))

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

    def _end_if_open(self) -> None:
        """End a request that was left open to become a tunnel, and is answered instead."""
        if self._stream is not None and self._upload.passed and not self._stream.sent_end:
            self._stream.send_end(End())

    def data_received(self, data: bytes) -> None:
        """Pass body bytes on, or hold them."""
        stream = self._stream
        assert stream is not None
        self._progressed()
        try:
            taken = self._answer.data(data)
        except LocalProtocolError:
            self._broke_http()
            return
        if taken:
            stream.consumed(taken)
        else:
            self._caller.alarm.set(self.deadline)

    def end_received(self, end: End) -> None:
        """End the answer."""
        try:
            self._answer.end(end.trailers, last=self._last)
        except LocalProtocolError:
            self._broke_http()
            return
        self._answered(end)

    def _answered(self, end: End) -> None:
        """Everything of the answer was given to the link."""
        attempts, stream = self._attempts, self._stream
        assert attempts is not None
        assert stream is not None
        # The far daemon's own answers tell by their flag what they are.
        outcome = AttemptOutcome(OutcomeKind.ANSWERED, self._answer.flag, self._answer.status)
        attempts.answered(outcome, report=end.in_flight)
        # Also where a RESET that came with the answer is still to be told: that is no failure any more.
        if not (self._upload.passed and stream.sent_end):
            stream.reset(UNNEEDED)
        self._stream = None
        self._complete = True
        self._finish_once_taken()

    def caller_drained(self) -> None:
        """The caller took everything: more may come, or all is over."""
        if self._complete:
            self._finish()
        elif self._stream is not None and (owed := self._answer.drained()):
            self._stream.consumed(owed)

    def reset_received(self, flag: str) -> None:
        """The service's side gave up, or its channel broke."""
        kind = OutcomeKind.REFUSED if flag in SAFE_FLAGS else OutcomeKind.FAILED
        self._stream = None
        self._fail(kind, known_flag(flag))

    def doubted(self) -> None:
        """Ask elsewhere, if nothing of an answer went out yet and there is somebody else; else wait on."""
        attempts, answer = self._attempts, self._answer
        fresh = not answer.begun and not answer.interim_count and self._upload.replayable
        if fresh and isinstance(attempts, Attempts) and attempts.has_another:
            self._fail(OutcomeKind.DOUBTED, "UT")

    def _broke_http(self) -> None:
        """The far daemon sent what no HTTP response may be."""
        self._fail(OutcomeKind.FAILED, "UPE")

    def _fail(self, kind: OutcomeKind, flag: str) -> None:
        """End an attempt that broke; if its response had begun, that is what was answered."""
        attempts, answer = self._attempts, self._answer
        assert attempts is not None
        self._drop_stream()
        if answer.begun:
            self._flag = flag
            attempts.answered(AttemptOutcome(OutcomeKind.ANSWERED, flag, answer.status))
            self._finish()
            return
        # An interim response is a response's first byte: what follows it must come from the same app.
        replayable = self._upload.replayable and answer.interim_count == 0
        if replayable:
            self._upload.restart()
        self._patience = math.inf
        answer.restart()
        attempts.failed(AttemptOutcome(kind, flag), replayable=replayable)
        self._watch_dial()

    # --- tunnels ---------------------------------------------------------------------------------------------------

    def _switch(self, head: ResponseHead) -> None:
        """Become a tunnel."""
        stream, attempts, http = self._stream, self._attempts, self._caller.http
        assert stream is not None
        assert attempts is not None
        if head.status == 101 and not switches_to_what_was_asked(self._request.upgrade, head.headers):
            self._broke_http()
            return
        try:
            data = http.switch(self._answer.forwarded(head))
        except LocalProtocolError:
            self._broke_http()
            return
        self._answer.status = head.status
        attempts.answered(AttemptOutcome(OutcomeKind.ANSWERED, "", head.status))
        attempts.over()
        self._tell_over = self._tell_switched()
        link = self._caller.hand_over()
        link.send(data)
        self._tunnel = Tunnel(
            self._reactor, link, stream, self._limits, broken_flag=UNNEEDED, over=self._tunnel_over
        )
        self._tunnel.start(http.take_raw())

    def _tunnel_over(self, flag: str, sent: int, received: int) -> None:
        self._flag = "DC" if flag == UNNEEDED else flag and known_flag(flag)
        self._answer.bytes_out = sent
        self._tunnelled = received
        self._over = True
        self._ports.observe(self._report())
        self._let_go()
        self._tell_over()
        self._caller.release()

    # --- ending ----------------------------------------------------------------------------------------------------

    def late(self, now: float) -> None:
        """See which deadline has passed, and act on it."""
        limits, link = self._limits, self._caller.link
        upload = self._upload
        if link.unsent and now >= link.taken_at + limits.write_idle_timeout_s:
            self.caller_gone()
        elif now >= upload.due and self._answer.begun:
            upload.unblock()  # An answer has begun: that the rest of the request is not taken is its own affair.
            self._caller.alarm.set(self.deadline)
        elif now >= upload.due and not upload.blocked:
            self._abandon()
            self._refuse(RequestError("DPE", 408, "nothing more of the request's body came"))
        elif not self._answer.begun and now >= min(self._patience, self._request_deadline, upload.due):
            if self._stream is None:
                self._abandon()
                self._refuse(refusal("UT"))
            else:
                self._fail(OutcomeKind.FAILED, "UT")
        else:
            self._caller.alarm.set(self.deadline)

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
        self._reply(reply_to(error, service=service, request_id=self._request_id))

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
        attempts, named = self._attempts, self._named
        target = named.target if named else self._request.target
        return RequestReport(
            direction=Direction.OUTBOUND,
            request_id=self._request_id.decode("ascii"),
            trace_id=self._trace_id.decode("ascii"),
            source=self._ports.source_service,
            service=named.service if named else "",
            method=self._request.method.decode("ascii"),
            path="" if self._request.method == b"CONNECT" else path_of(target),
            code=self._answer.status,
            flag=self._flag or self._answer.flag,
            bytes_in=self._upload.size + self._tunnelled,
            bytes_out=self._answer.bytes_out,
            duration_s=self._reactor.now - self._started,
            attempts=attempts.count if attempts is not None else 0,
            endpoint=attempts.whom if attempts is not None else "",
            retried=tuple(attempts.retried) if attempts is not None and attempts.retried else (),
        )
