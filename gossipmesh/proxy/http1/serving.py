"""We are the server of a connection: requests in, responses out, one exchange after the other.

The user of this machine moves bytes and has the timers; what a request or response means is none of its business
here. An exchange begins with :meth:`Serving.next_request`; its body and its answer are independent of each other, in
any order; when both are over, and :attr:`Serving.complete`, comes :meth:`Serving.next_exchange`.
"""

from __future__ import annotations

from typing import Final

import h11

from gossipmesh.channel.hop_messages import ResponseHead
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError, RequestError
from gossipmesh.proxy.http1 import careful, plain
from gossipmesh.proxy.http1.messages import RequestIn, reason_of
from gossipmesh.proxy.http1.receiving import Receiving
from gossipmesh.proxy.http1.sending import LAST_CHUNK, TOO_LITTLE, TOO_MUCH
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.replies import caller_fault

_NO_BODY: Final = (204, 304)


class Serving(Receiving):
    """One connection of a caller.

    Error handling: what reads raises :class:`~gossipmesh.errors.RequestError` for a request that is not valid, and goes
    on raising it: an answer is still possible, the last one of this connection. :class:`~gossipmesh.errors.PeerGone`:
    the connection ended inside a message. What writes raises :class:`~gossipmesh.errors.LocalProtocolError`: for a head
    that is not valid, and nothing has changed; after any other the response can only be broken off.

    Args:
        limits: head and trailer sizes.
        fast_lane: whether plain messages are read and written without h11.
    """

    def __init__(self, limits: ProxyLimits, *, fast_lane: bool) -> None:
        super().__init__(limits, fast_lane=fast_lane, skip_empty_line=True)
        self.answering = False
        """Whether the head of a final response was written: from here on an error can only break it off."""
        self._request: RequestIn | None = None
        self._method = b""
        """Of the last request that was not plain, even if it was refused: how it is answered depends on it."""
        self._busy = False
        self._last = False

    # --- the request -----------------------------------------------------------------------------------------------

    def next_request(self) -> RequestIn | None:
        """Give the next request's head; None if it is not complete, or the present exchange is not over.

        A request without a body counts as read to its end with its head.

        Raises:
            RequestError: ``DPE`` with status 400, 417, 431, 501 or 505; see :func:`.replies.caller_fault`.
            PeerGone: the connection ended inside the head.
        """
        if self._busy:
            return None
        if self._fast_lane and not self._collecting:
            found = plain.lines_at(self._data, self._at, self._limits.head_bytes)
            if found is not None:
                request = plain.read_request(found[0], self._limits.head_count)
                if request is not None:
                    self._at = found[1]
                    return self._begin(request)
        return self._next_request_carefully()

    def _next_request_carefully(self) -> RequestIn | None:
        if self._fault is not None:
            raise self._fault
        try:
            head = self._take_head_untrusted()
            if head is None:
                return None
            if self._fast_lane:
                # It may have been cut into pieces on its way; that must not decide the lane.
                found = plain.lines_at(head, 0, len(head))
                request = None if found is None else plain.read_request(found[0], self._limits.head_count)
                if request is not None:
                    return self._begin(request)
            machine = careful.new_machine(h11.SERVER, self._limits.trailer_bytes)
            self._reader = self._writer = machine
            event = careful.parse_request(machine, head)
            self._method = event.method
            return self._begin(careful.judge_request(machine, event))
        except (RemoteProtocolError, h11.RemoteProtocolError) as error:
            raise self._fail(error) from None

    def _begin(self, request: RequestIn) -> RequestIn:
        self._request = request
        self._busy = True
        if request.length == 0:
            self.body_ended = True
        elif self._reader is None:
            self._left = request.length or 0
        return request

    def _refused(self, error: RemoteProtocolError | h11.RemoteProtocolError) -> RequestError:
        return caller_fault(error)

    # --- the response ----------------------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> bytes:
        """Give an interim response (1xx, but not 101) as it is written; nothing to an HTTP/1.0 caller.

        Raises:
            LocalProtocolError: ``http.invalid``, ``http.state``.
        """
        request = self._request
        if request is None or self.answering:
            raise LocalProtocolError("http.state", "no response is due")
        event = careful.interim_event(head)
        if head.status == 101:
            raise LocalProtocolError("http.invalid", "101 ends HTTP on a connection")
        if request.version == b"1.0":
            return b""
        # One that is thrown away: the final response may yet be plain.
        writer = self._writer or careful.server_stand_in(request, self._limits.trailer_bytes)
        return self._written_by(writer, event)

    def response(self, head: ResponseHead, *, last: bool) -> bytes:
        """Give the head of the final response as it is written. The framing is derived here.

        Content-Length is kept; without one, the body comes in chunks, or, to an HTTP/1.0 caller, lasts to the end of
        the connection. The answer to a request that was refused, or that never came, is the last one.

        Args:
            head: as the caller is to get it.
            last: whether the connection is closed behind it, beside where the caller asked for that.

        Raises:
            LocalProtocolError: ``http.invalid``, ``http.state``; nothing has changed.
        """
        parts = self._plain_head(head, last=last)
        if parts is None:
            return self._head_by_h11(head, None, last=last)
        return b"".join(parts)

    def whole(self, head: ResponseHead, body: bytes, *, last: bool) -> bytes:
        """Give a whole response as it is written: :meth:`response`, :meth:`data` and :meth:`end` in one.

        Raises:
            LocalProtocolError: as :meth:`response`, and ``http.length`` for a body that is not as long as the head
                says; nothing has changed.
        """
        parts = self._plain_head(head, last=last, body=body)
        if parts is None:
            written = self._head_by_h11(head, body, last=last)
            return b"".join((written, self.data(body), self.end(())))
        if self._bodyless or not body:
            if self._chunked:
                parts.append(LAST_CHUNK + b"\r\n")
        elif self._chunked:
            parts += (b"%x\r\n" % len(body), body, b"\r\n" + LAST_CHUNK + b"\r\n")
        else:
            parts.append(body)
        self._writing = False
        self.written = True
        return b"".join(parts)

    def _plain_head(self, head: ResponseHead, *, last: bool, body: bytes | None = None) -> list[bytes] | None:
        """Give a head in parts if it and its request are plain."""
        request = self._request
        if self._writer is not None or request is None or self.answering or not self._fast_lane:
            return None
        status = head.status
        found = plain.write_response(status, head.headers, asked_to_close=request.close, last=last)
        if found is None:
            return None
        parts, length = found
        bodyless = request.method == b"HEAD" or status in _NO_BODY
        if body is not None and length is not None and length != len(body) and not bodyless:
            raise LocalProtocolError("http.length", TOO_MUCH if len(body) > length else TOO_LITTLE)
        self._start_writing(length, chunked=length is None, bodyless=bodyless)
        self.answering = self._busy = True
        self._last = last
        return parts

    def _head_by_h11(self, head: ResponseHead, body: bytes | None, *, last: bool) -> bytes:
        """Let h11 write a head; with the body that will follow, if that is known."""
        if self.answering:
            raise LocalProtocolError("http.state", "this request has its response")
        request = self._request
        last = last or request is None or self._fault is not None
        event = careful.response_event(head, last=last)
        status = event.status_code
        method = self._method if request is None else request.method
        if method == b"CONNECT" and status < 300:
            raise LocalProtocolError("http.invalid", "a CONNECT that succeeds ends HTTP on a connection")
        length = careful.announced(event)
        bodyless = method == b"HEAD" or status in _NO_BODY
        if body is not None and length is not None and length != len(body) and not bodyless:
            raise LocalProtocolError("http.length", TOO_MUCH if len(body) > length else TOO_LITTLE)
        writer = self._writer
        if writer is None and request is not None:
            writer = careful.server_stand_in(request, self._limits.trailer_bytes)
        elif writer is None:
            writer = careful.new_machine(h11.SERVER, self._limits.trailer_bytes)
        self._writer = writer
        # h11 sees to the headers; it takes a caller whose version was not understood for one of HTTP/1.0.
        chunked = length is None and (writer.their_http_version or b"") >= b"1.1"
        self._start_writing(length, chunked=chunked, bodyless=bodyless)
        self.answering = self._busy = True
        self._last = last
        return self._written_by(writer, event)

    def switch(self, head: ResponseHead) -> bytes:
        """Give the head that ends HTTP on this connection: a 101, or a 2xx to CONNECT. What follows is raw.

        Raises:
            LocalProtocolError: ``http.upgrade`` for a protocol that was not asked for, ``http.invalid``,
                ``http.state``; nothing has changed.
        """
        request = self._request
        if request is None or self.answering or not self.body_ended:
            raise LocalProtocolError("http.state", "no switch is due")
        bare = careful.without_framing(head)
        event: h11.Event
        if head.status == 101:
            careful.check_switch(head, request.upgrade)
            event = careful.interim_event(bare, reason=reason_of(head.status))
        elif request.method == b"CONNECT" and 200 <= head.status < 300:
            event = careful.response_event(bare, last=False)
        else:
            raise LocalProtocolError("http.invalid", f"{head.status} does not end HTTP on a connection")
        assert self._writer is not None, "what asks for a switch is not plain"
        self.answering = self._raw = True
        return self._written_by(self._writer, event)

    # --- the end ---------------------------------------------------------------------------------------------------

    @property
    def delimited_by_close(self) -> bool:
        """Whether only closing the connection tells the caller that our response is over."""
        return self._writer is not None and self._writer.their_http_version == b"1.0"

    @property
    def complete(self) -> bool:
        """Whether both messages of this exchange are over and both sides are willing to go on."""
        request = self._request
        if not (self.written and self.body_ended) or self._eof or request is None:
            return False
        writer, reader = self._writer, self._reader
        if writer is None:
            return not (self._last or request.close)
        return writer.our_state is h11.DONE and (reader is None or reader.their_state is h11.DONE)

    def next_exchange(self) -> None:
        """Make ready for the next request; only when this exchange is :attr:`complete`.

        Raises:
            LocalProtocolError: ``http.state``.
        """
        if not self.complete:
            raise LocalProtocolError("http.state", "this exchange is not over")
        self._request = None
        self._method = b""
        self._busy = self.answering = False
        self._forget_message()
        self._forget_writing()
