"""What goes out on a connection: the body of the present message, counted or in chunks.

The first half of what :mod:`.serving` and :mod:`.asking` have in common; heads are written there. A
body goes the way its head went: written here if that was plain, by h11 if not. The errors are the same.
"""

from __future__ import annotations

import h11

from gossipmesh.channel.hop_messages import Headers
from gossipmesh.errors import LocalProtocolError
from gossipmesh.proxy.http1 import careful
from gossipmesh.proxy.http1.lines import FREE, learn_written, written

LAST_CHUNK = b"0\r\n"
TOO_MUCH = "more of a body than its Content-Length says"
TOO_LITTLE = "less of a body than its Content-Length says"


class Sending:
    """One direction of one connection."""

    def __init__(self) -> None:
        self.written = False
        """Whether the whole of our message was written."""
        self._writing = False
        """Whether a head was written, and neither the end nor an error came since."""
        self._writer: h11.Connection | None = None
        """Who writes, if the head was not plain."""
        self._bodyless = False
        """Whether this message has no body, whatever its head says."""
        self._room: int | None = None
        """Body bytes that are still to be written; None: they come in chunks, or to the end of the connection."""
        self._chunked = False

    def data(self, data: bytes) -> bytes:
        """Give body bytes as they are written; none for a message that has no body, whatever is said.

        Raises:
            LocalProtocolError: ``http.length`` for more of them than the head announced, ``http.state`` if no head was
                written, or an error came before.
        """
        self._check_writing()
        if self._bodyless or not data:
            return b""
        if self._room is not None:
            if len(data) > self._room:
                self._writing = False
                raise LocalProtocolError("http.length", TOO_MUCH)
            self._room -= len(data)
        if self._writer is not None:
            return self._written_by(self._writer, h11.Data(data=data))
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(data), data)
        return data

    def end(self, trailers: Headers) -> bytes:
        """Give what ends the message. Trailers are left out where the framing has no room for them.

        Raises:
            LocalProtocolError: ``http.length`` for less of a body than the head announced; ``http.invalid`` for a
                trailer that is not valid, and nothing has changed; ``http.state`` as :meth:`data`.
        """
        self._check_writing()
        if self._room and not self._bodyless:
            self._writing = False
            raise LocalProtocolError("http.length", TOO_LITTLE)
        if not self._chunked:
            trailers = ()
        if self._writer is not None:
            end = self._written_by(self._writer, careful.trailer_event(trailers))
        elif not self._chunked:
            end = b""
        elif not trailers:
            end = LAST_CHUNK + b"\r\n"
        else:
            end = _plain_trailers(trailers) or careful.write_trailers(trailers)
        self._writing = False
        self.written = True
        return end

    def _check_writing(self) -> None:
        if not self._writing:
            raise LocalProtocolError("http.state", "no message is being written")

    def _written_by(self, writer: h11.Connection, event: h11.Event) -> bytes:
        try:
            return writer.send(event) or b""
        except h11.LocalProtocolError as error:
            self._writing = False
            raise careful.invalid(error) from None

    def _start_writing(self, length: int | None, *, chunked: bool, bodyless: bool) -> None:
        """A head was written."""
        self._writing = True
        self._room = length
        self._chunked = chunked and not bodyless
        self._bodyless = bodyless

    def _forget_writing(self) -> None:
        """Make ready for the next message."""
        self.written = False
        self._writer = None


def _plain_trailers(trailers: Headers) -> bytes | None:
    """Give the end of a chunked body; None in doubt."""
    parts = [LAST_CHUNK]
    for pair in trailers:
        known = written.get(pair) or learn_written(pair)
        if known is None or known[1] != FREE:
            return None
        parts.append(known[0])
    parts.append(b"\r\n")
    return b"".join(parts)
