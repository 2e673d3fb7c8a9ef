"""What came on a connection: kept until it is asked for, heads found in it, bodies counted or parsed.

The second of two halves that :mod:`.serving` and :mod:`.asking` have in common; it is on top of the other,
:mod:`.sending`, for a compiled class has one base (docs/compiled.md). Bytes are kept as they came, one object for one
receive, with an offset into it; a receive that is all body is given on as the same object. A body whose length is known
is counted, not parsed, unless h11 read its head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import h11

from gossipmesh.channel.hop_messages import Headers
from gossipmesh.errors import MeshError, PeerGone, RemoteProtocolError
from gossipmesh.proxy.heads import HeadBuffer
from gossipmesh.proxy.http1 import careful
from gossipmesh.proxy.http1.sending import Sending
from gossipmesh.proxy.limits import CHUNK, ProxyLimits
from gossipmesh.proxy.trailers import filter_trailers

_LINE_ENDS = 4
"""Bytes of a trailer line beside its name and value: colon, space, CR, LF."""


class Receiving(Sending, ABC):
    """The second direction of one connection.

    Args:
        limits: head and trailer sizes.
        fast_lane: whether plain heads are read without h11.
        skip_empty_line: whether one empty line before a head is ignored.
    """

    def __init__(self, limits: ProxyLimits, *, fast_lane: bool, skip_empty_line: bool) -> None:
        super().__init__()
        self.trailers: Headers = ()
        """Of the body, filtered; known once :attr:`body_ended`."""
        self.body_ended = False
        """Whether all of the present message's body was taken; told by the call that takes the last of it."""
        self._limits = limits
        self._fast_lane = fast_lane
        # What was received and not consumed; and, where a head is not plain or not whole, what is judged with it.
        self._data = b""
        self._at = 0
        self._heads = HeadBuffer(
            max_bytes=limits.head_bytes, max_lines=limits.head_count, skip_empty_line=skip_empty_line
        )
        self._collecting = False
        self._eof = False
        # Who reads the present body: h11, or, if that is None, whoever counts the bytes that are left.
        self._reader: h11.Connection | None = None
        self._left = 0
        self._reader_eof = False
        self._raw = False
        self._fault: MeshError | None = None

    def receive(self, data: bytes) -> None:
        """Keep what was received. How much that may become is bounded by who calls it, with :attr:`buffered`."""
        if self._at == len(self._data):
            self._data = data
        else:
            # Quadratic only for a head, or a next message, that comes in crumbs; both are bounded.
            self._data = self._data[self._at :] + data
        self._at = 0

    def receive_eof(self) -> None:
        """Learn that nothing more will come."""
        self._eof = True

    @property
    def begun(self) -> bool:
        """Whether some byte of a next message is here."""
        return self._collecting or self._at < len(self._data)

    @property
    def buffered(self) -> int:
        """How many bytes were received and not asked for; see :data:`~.messages.MAX_AHEAD`."""
        return len(self._data) - self._at + len(self._heads)

    def take_raw(self) -> bytes:
        """Give everything that is here, of a connection that no longer speaks HTTP; nothing before that."""
        if not self._raw:
            return b""
        data = self._data[self._at :]
        self._data = b""
        self._at = 0
        return data

    # --- heads -----------------------------------------------------------------------------------------------------

    def _take_head_untrusted(self) -> bytes | None:
        """Give the next head, whole and checked; what follows it stays. None as long as it is not complete.

        Raises:
            RemoteProtocolError: as :meth:`.heads.HeadBuffer.take_head_untrusted`.
            PeerGone: it never will be.
        """
        if self._at < len(self._data):
            self._collecting = True
            self._heads.receive_bytes(self._data[self._at :])
            self._data = b""
            self._at = 0
        head = self._heads.take_head_untrusted()
        if head is not None:
            self._collecting = False
            self._data = self._heads.take_rest()
        elif self._eof and self._collecting:
            raise PeerGone("http.gone", "the connection was closed inside a message head")
        return head

    # --- bodies ----------------------------------------------------------------------------------------------------

    def take_body(self) -> bytes:
        """Give the body bytes that are here, at most :data:`~gossipmesh.proxy.limits.CHUNK`; none if there are none.

        Raises:
            PeerGone: the connection ended inside the body.
            MeshError: the body is not valid; which error it is depends on who reads.
        """
        if self._reader is not None:
            return self._take_parsed()
        left = self._left
        if left == 0:
            return b""
        data, at = self._data, self._at
        here = len(data) - at
        if here == 0:
            if self._eof:
                raise PeerGone("http.gone", "the connection was closed inside a message body")
            return b""
        if at == 0 and here <= left and here <= CHUNK:
            self._data = b""
            self._left = left - here
        else:
            taken = min(here, left, CHUNK)
            data = data[at : at + taken]
            self._at = at + taken
            self._left = left - taken
        if self._left == 0:
            self.body_ended = True
        return data

    def _take_parsed(self) -> bytes:
        """Let h11 find the body in what is here, one chunk of it at most."""
        reader = self._reader
        assert reader is not None, "whoever counts does not parse"
        if self._fault is not None:
            raise self._fault
        parts: list[bytes] = []
        try:
            while not (self.body_ended or self._raw):
                event = reader.next_event()
                if isinstance(event, h11.Data):
                    parts.append(careful.body_bytes(event))
                elif isinstance(event, h11.EndOfMessage):
                    self._end_parsed(reader, event)
                elif parts or not self._feed(reader):
                    break
        except (RemoteProtocolError, h11.RemoteProtocolError) as error:
            if self._reader_eof and isinstance(error, h11.RemoteProtocolError):
                raise PeerGone("http.gone", "the connection was closed inside a message body") from None
            raise self._fail(error) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _feed(self, reader: h11.Connection) -> bool:
        """Give h11 some of what is here, so little that what it makes of it is no more than one chunk."""
        if self._at < len(self._data):
            piece = self._data[self._at : self._at + CHUNK]
            self._at += len(piece)
            reader.receive_data(piece)
            return True
        if self._eof and not self._reader_eof:
            self._reader_eof = True
            reader.receive_data(b"")
            return True
        return False

    def _end_parsed(self, reader: h11.Connection, event: h11.EndOfMessage) -> None:
        trailers = event.headers.raw_items()
        size = sum(len(name) + len(value) + _LINE_ENDS for name, value in trailers)
        if len(trailers) > self._limits.trailer_count or size > self._limits.trailer_bytes:
            raise RemoteProtocolError("http.trailers-too-large", "too many or too long trailers")
        self.trailers = filter_trailers(tuple(trailers))
        self.body_ended = True
        behind = reader.trailing_data[0]
        if behind:
            self._data = behind + self._data[self._at :]
            self._at = 0

    def _fail(self, error: RemoteProtocolError | h11.RemoteProtocolError) -> MeshError:
        """Give what is raised for bytes that are not valid, now and whenever more is asked for."""
        self._fault = self._refused(error)
        self._fast_lane = False
        return self._fault

    @abstractmethod
    def _refused(self, error: RemoteProtocolError | h11.RemoteProtocolError) -> MeshError:
        """Give our error for what was found in the bytes."""

    def _forget_message(self) -> None:
        """Make ready for the next message."""
        self.trailers = ()
        self.body_ended = False
        self._reader = None
        self._left = 0
