"""We are the client of a connection: requests out, responses in, one exchange after the other.

An exchange begins with :meth:`Asking.request` or :meth:`Asking.whole`. The response may begin, and end, before the
request does. When both are over and nothing speaks against it, :attr:`Asking.spare`, comes
:meth:`Asking.next_exchange`.
"""

from __future__ import annotations

import h11

from gossipmesh.channel.hop_messages import Headers
from gossipmesh.errors import LocalProtocolError, PeerGone, RemoteProtocolError
from gossipmesh.proxy.headers import Pairs
from gossipmesh.proxy.http1 import careful, plain
from gossipmesh.proxy.http1.messages import ResponseIn
from gossipmesh.proxy.http1.receiving import Receiving
from gossipmesh.proxy.http1.sending import TOO_LITTLE, TOO_MUCH
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.replies import words_of


class Asking(Receiving):
    """One connection to an app.

    Error handling: what reads raises :class:`~gossipmesh.errors.RemoteProtocolError` for a response that is not valid,
    and goes on raising it; :class:`~gossipmesh.errors.PeerGone` where the connection ended inside one. What writes
    raises :class:`~gossipmesh.errors.LocalProtocolError`: for a head that is not valid, and nothing has changed; after
    any other the request can only be broken off.

    Args:
        limits: head and trailer sizes.
        fast_lane: whether plain messages are read and written without h11.
    """

    def __init__(self, limits: ProxyLimits, *, fast_lane: bool) -> None:
        super().__init__(limits, fast_lane=fast_lane, skip_empty_line=False)
        self._method = b""
        """Of the present request; empty if there is none."""
        self._asked: Headers = ()
        """Its headers, if h11 wrote them."""
        self._answered = False
        self._closing = False

    # --- the request -----------------------------------------------------------------------------------------------

    def request(self, method: bytes, target: bytes, headers: Pairs) -> bytes:
        """Give a request's head as it is written. Its framing is what ``headers`` say.

        Raises:
            LocalProtocolError: ``http.invalid``, ``http.framing``; ``http.state`` if there is a request already, or
                if the app has sent something or closed before it; nothing has changed.
        """
        parts = self._plain_head(method, target, headers, None)
        if parts is None:
            return self._head_by_h11(method, target, headers, None)
        return b"".join(parts)

    def whole(self, method: bytes, target: bytes, headers: Pairs, body: bytes) -> bytes:
        """Give a whole request as it is written: :meth:`request`, :meth:`data` and :meth:`end` in one.

        Raises:
            LocalProtocolError: as :meth:`request`, and ``http.length`` for a body that is not as long as the head
                says; nothing has changed.
        """
        parts = self._plain_head(method, target, headers, body)
        if parts is None:
            head = self._head_by_h11(method, target, headers, body)
            return b"".join((head, self.data(body), self.end(())))
        self._writing = False
        self.written = True
        if body:
            parts.append(body)
        return b"".join(parts)

    def _plain_head(
        self, method: bytes, target: bytes, headers: Pairs, body: bytes | None
    ) -> list[bytes] | None:
        if self._method or self._eof or self._at < len(self._data) or self._collecting:
            # What came before it was asked for would be taken for the answer.
            raise LocalProtocolError("http.state", "this connection is not ready for a request")
        if not self._fast_lane:
            return None
        found = plain.write_request(method, target, headers)
        if found is None:
            return None
        parts, length = found
        if body is not None and length != len(body):
            raise LocalProtocolError("http.length", TOO_MUCH if len(body) > length else TOO_LITTLE)
        self._start_writing(length, chunked=False, bodyless=False)
        self._method = method
        return parts

    def _head_by_h11(self, method: bytes, target: bytes, headers: Pairs, body: bytes | None) -> bytes:
        event = careful.request_event(method, target, headers)
        chunked = careful.has(event, b"transfer-encoding")
        length = None if chunked else careful.announced(event) or 0
        if body is not None and length is not None and length != len(body):
            raise LocalProtocolError("http.length", TOO_MUCH if len(body) > length else TOO_LITTLE)
        machine = careful.new_machine(h11.CLIENT, self._limits.trailer_bytes)
        self._reader = self._writer = machine
        self._start_writing(length, chunked=chunked, bodyless=False)
        self._method = event.method
        self._asked = tuple(event.headers.raw_items())
        return self._written_by(machine, event)

    # --- the response ----------------------------------------------------------------------------------------------

    def next_response(self) -> ResponseIn | None:
        """Give the next response's head, interim ones first; None if it is not complete, or not asked for.

        Behind a 101, or a 2xx to CONNECT, everything is raw.

        Raises:
            RemoteProtocolError: it is no valid response, or its end is in doubt; ``http.upgrade`` for a 101 to
                something that was not asked for.
            PeerGone: the connection ended before it, or inside its head.
        """
        if self._answered or not self._method:
            return None
        if self._fast_lane and self._writer is None and not self._collecting:
            found = plain.lines_at(self._data, self._at, self._limits.head_bytes)
            if found is not None:
                response = plain.read_response(found[0], self._limits.head_count, self._method)
                if response is not None:
                    self._at = found[1]
                    return self._begin(*response)
        return self._next_response_carefully()

    def _begin(self, response: ResponseIn, close: bool) -> ResponseIn:
        """Begin a final response, a plain one."""
        self._answered = True
        self._closing = close
        self._reader = None
        self._left = response.length or 0
        self.body_ended = response.length == 0
        return response

    def _next_response_carefully(self) -> ResponseIn | None:
        if self._fault is not None:
            raise self._fault
        try:
            head = self._take_head_untrusted()
            if head is None:
                if self._eof:
                    raise PeerGone("http.gone", "the connection was closed before the response")
                return None
            if self._fast_lane and self._writer is None:
                # It may have been cut into pieces on its way; that must not decide the lane.
                found = plain.lines_at(head, 0, len(head))
                plainly = found and plain.read_response(found[0], self._limits.head_count, self._method)
                if plainly:
                    return self._begin(*plainly)
            return self._read_by_h11(head)
        except (RemoteProtocolError, h11.RemoteProtocolError) as error:
            raise self._fail(error) from None

    def _read_by_h11(self, head: bytes) -> ResponseIn:
        reader = self._reader
        if reader is None:
            reader = self._reader = careful.client_stand_in(self._method, self._limits.trailer_bytes)
        response = careful.read_response(reader, head, method=self._method, asked=self._asked)
        if response.status == 101 and not self.written:
            raise RemoteProtocolError("http.upgrade", "a switch before the end of the request")
        self._answered = response.final
        if response.status == 101 or (self._method == b"CONNECT" and 200 <= response.status < 300):
            self._raw = self.body_ended = True
        elif response.final and response.length == 0:
            reader.next_event()  # From here on the response counts as read to its end.
            self.body_ended = True
        return response

    def _refused(self, error: RemoteProtocolError | h11.RemoteProtocolError) -> RemoteProtocolError:
        return (
            error
            if isinstance(error, RemoteProtocolError)
            else RemoteProtocolError("http.invalid", words_of(error))
        )

    # --- the end ---------------------------------------------------------------------------------------------------

    @property
    def spare(self) -> bool:
        """Whether another request may be written: both messages are over, and nothing came behind the response."""
        if not (self.written and self.body_ended) or self._closing or self._eof or self._raw:
            return False
        if self._at < len(self._data):
            return False
        writer, reader = self._writer, self._reader
        return (writer is None or writer.our_state is h11.DONE) and (
            reader is None or reader.their_state is h11.DONE
        )

    def next_exchange(self) -> None:
        """Make ready for another request; only a :attr:`spare` connection.

        Raises:
            LocalProtocolError: ``http.state``.
        """
        if not self.spare:
            raise LocalProtocolError("http.state", "this exchange is not over")
        self._method = b""
        self._asked = ()
        self._answered = False
        self._forget_message()
        self._forget_writing()
