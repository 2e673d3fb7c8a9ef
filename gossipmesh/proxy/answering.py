"""The answering half of one request of a local app: what becomes of its response and of failures.

:class:`~.exchange.Exchange` is the other half: what is asked, and of whom. The law: what went to the caller decides.
Before the first byte of a response, a failure leads to another attempt or to an answer of our own; after it, to a
visibly broken-off response.
"""

from __future__ import annotations

import math

from gossipmesh.channel.hop_messages import End, ResponseHead
from gossipmesh.errors import LocalProtocolError, RequestError
from gossipmesh.proxy.attempts import Attempts
from gossipmesh.proxy.finishing import UNNEEDED, Finishing
from gossipmesh.proxy.headers import switches_to_what_was_asked
from gossipmesh.proxy.replies import ERROR_HEADER, SAFE_FLAGS, known_flag, refusal
from gossipmesh.proxy.tunnel import Tunnel
from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind
from gossipmesh.transport.hop_stream import HopStream


class Answering(Finishing):
    """One request whose answer is awaited, passed on, or given by the mesh itself; see :class:`.Finishing`."""

    __slots__ = ()

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
        """Give an app's final head with the cookie that keeps the caller's session there, if there is to be one."""
        attempts = self._attempts
        cookie = attempts.plan.cookie() if isinstance(attempts, Attempts) else None
        if cookie is None or any(name == ERROR_HEADER for name, _ in head.headers):
            return head
        return ResponseHead(head.status, (*head.headers, (b"Set-Cookie", cookie)))

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
        attempts.answered(outcome, end)
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
        attempts, answer, stream = self._attempts, self._answer, self._stream
        if answer.begun or answer.interim_count or not self._upload.replayable:
            return
        if not isinstance(attempts, Attempts) or not isinstance(stream, HopStream):
            return
        if attempts.has_another or attempts.has_another_way(stream):
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
            # One who tunnels by CONNECT keeps no cookies.
            kept = self._kept_session(head) if head.status == 101 else head
            data = http.switch(self._answer.forwarded(kept))
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
