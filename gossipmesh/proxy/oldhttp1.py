"""HTTP/1.1 over one TCP connection: trio outside, h11 inside, heads checked in between.

Both ends of the proxy stand on this: :mod:`.caller` reads requests and writes responses, :mod:`.apps` the other way
round. What it adds to h11: heads are judged as bytes first (:mod:`.heads`), trailers are counted and filtered, all
body bytes of one receive are given as one, and a reader that takes nothing is found out.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

import h11
import trio

from gossipmesh.channel.hop_messages import Headers
from gossipmesh.errors import MeshError, RemoteProtocolError
from gossipmesh.proxy.headers import check_framing_untrusted, filter_trailers
from gossipmesh.proxy.heads import HeadBuffer
from gossipmesh.proxy.http1.messages import PeerGone
from gossipmesh.proxy.limits import CHUNK, ProxyLimits

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger."""
_LINE_ENDS: Final = 4
"""Bytes of a trailer line beside its name and value: colon, space, CR, LF."""


class PeerSilent(MeshError):
    """The other end of a connection took nothing for too long; it is of no more use."""


class Http1:
    """One connection, one message exchange after the other.

    Two tasks may use it at once, one that receives and one that sends.

    Resource handling: it owns ``stream`` and closes it in :meth:`close`.
    Error handling: what receives raises :class:`PeerGone`, :class:`h11.RemoteProtocolError` or
    :class:`RemoteProtocolError`, and has no timer: how long silence is in order depends on who reads what for. What
    sends raises :class:`PeerGone` or :class:`PeerSilent`. After any of them only :meth:`close`, and at the server's
    side the sending of one last response, make sense.

    Args:
        stream: connected.
        role: ``h11.SERVER`` where requests are received, ``h11.CLIENT`` where they are sent.
        limits: head and trailer sizes, and timers.
    """

    def __init__(
        self, stream: trio.SocketStream, role: type[h11.SERVER] | type[h11.CLIENT], limits: ProxyLimits
    ) -> None:
        self.stream = stream
        self.trailers: Headers = ()
        """Of the last body received, filtered; known once :meth:`receive_body` gave its end."""
        self.body_ended = False
        """Whether the whole body of the present message was received."""
        self._role = role
        self._limits = limits
        self._heads = HeadBuffer(
            max_bytes=limits.head_bytes, max_lines=limits.head_count, skip_empty_line=role is h11.SERVER
        )
        self._eof = False
        self._h11 = self._new_connection()

    def _new_connection(self) -> h11.Connection:
        # Heads reach h11 whole, so what it may find incomplete is a chunk's header or trailers.
        return h11.Connection(self._role, max_incomplete_event_size=self._limits.trailer_bytes)

    # --- receiving -------------------------------------------------------------------------------------------------

    async def wait_for_bytes(self) -> bool:
        """Wait until something of the next message is here; False if the other end closes before.

        Raises:
            PeerGone: it was reset.
        """
        while not self._heads and not self._eof:
            self._heads.receive_bytes(await self._receive())
        return len(self._heads) > 0

    async def receive_head(self) -> h11.Request | h11.InformationalResponse | h11.Response:
        """Receive the next head; of responses, interim ones first."""
        while (head := self._heads.take_head_untrusted()) is None:
            if self._eof:
                raise PeerGone("http.gone", "the connection was closed inside a message head")
            self._heads.receive_bytes(await self._receive())
        self._h11.receive_data(head)
        event = self._h11.next_event()
        assert isinstance(event, h11.Request | h11.InformationalResponse | h11.Response)
        if isinstance(event, h11.Response):
            if event.http_version not in (b"1.0", b"1.1"):
                raise RemoteProtocolError("http.version", "a response that is not HTTP/1.0 or HTTP/1.1")
            check_framing_untrusted(tuple(event.headers.raw_items()), version=event.http_version)
        if not isinstance(event, h11.InformationalResponse):
            # An interim head is followed by another one, which is to be judged like the first.
            rest = self._heads.take_rest()
            if rest:
                self._h11.receive_data(rest)
        return event

    async def receive_body(self) -> bytes:
        """Receive the next bytes of the body, at most :data:`CHUNK`; none at its end, and ever after."""
        parts: list[bytes] = []
        while not self.body_ended:
            event = self._next_event()
            if isinstance(event, h11.Data):
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._take_trailers(event)
            elif parts:
                break
            else:
                assert event is h11.NEED_DATA, f"a body cannot be followed by {event!r}"
                self._h11.receive_data(await self._receive())
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _next_event(self) -> object:
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError:
            if self._eof:
                raise PeerGone("http.gone", "the connection was closed inside a message body") from None
            raise

    def _take_trailers(self, event: h11.EndOfMessage) -> None:
        trailers = event.headers.raw_items()
        size = sum(len(name) + len(value) + _LINE_ENDS for name, value in trailers)
        if len(trailers) > self._limits.trailer_count or size > self._limits.trailer_bytes:
            raise RemoteProtocolError("http.trailers-too-large", "too many or too long trailers")
        self.trailers = filter_trailers(tuple(trailers))
        self.body_ended = True

    async def _receive(self) -> bytes:
        try:
            data = bytes(await self.stream.receive_some(CHUNK))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise PeerGone("http.gone", "the connection was reset") from None
        self._eof = not data
        return data

    async def watch(self) -> None:
        """Return once the other end closes or resets the connection, or sends something of its next message.

        For the time after a whole message was received; what came is kept. :attr:`closed` tells which it was.
        """
        if self._eof or self._h11.trailing_data[0]:
            return
        try:
            self._h11.receive_data(await self._receive())
        except PeerGone:
            self._eof = True

    @property
    def closed(self) -> bool:
        """Whether the other end is known to have closed the connection."""
        return self._eof

    # --- sending ---------------------------------------------------------------------------------------------------

    async def send(self, *events: h11.Event) -> None:
        """Send ``events`` in one write.

        Raises:
            PeerGone: the other end is gone.
            PeerSilent: it took nothing for ``write_idle_timeout_s``.
            h11.LocalProtocolError: an event that cannot be sent; those before it are not sent either.
        """
        data = b"".join([self._h11.send(event) or b"" for event in events])
        if data:
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        view = memoryview(data)
        timeout_s = self._limits.write_idle_timeout_s
        # One scope for the whole write, its deadline moved by whatever is taken: slow is not the same as gone.
        with trio.CancelScope(deadline=trio.current_time() + timeout_s) as scope:
            while view:
                try:
                    view = view[await self.stream.socket.send(view) :]
                except OSError:
                    raise PeerGone("http.gone", "the connection was closed or reset") from None
                scope.deadline = trio.current_time() + timeout_s
        if scope.cancelled_caught:
            raise PeerSilent("http.silent", f"the other end took nothing for {timeout_s:g} s")

    # --- from one exchange to the next -----------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether both messages of this exchange are over and both sides are willing to go on."""
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE and not self._eof

    @property
    def excess(self) -> bool:
        """Whether bytes came behind the end of the other side's message."""
        return bool(self._h11.trailing_data[0])

    @property
    def delimited_by_close(self) -> bool:
        """Whether only closing the connection tells the other end that our message is over."""
        return self._h11.their_http_version == b"1.0"

    def next_exchange(self) -> None:
        """Make ready for the next one; only when this one is :attr:`complete`.

        A fresh h11 machine each time, so that a head that came early is judged like any other.
        """
        self._heads.receive_bytes(self._h11.trailing_data[0])
        self._h11 = self._new_connection()
        self.body_ended = False
        self.trailers = ()

    def close(self, *, reset: bool = False) -> None:
        """Close the connection at once, or reset it. Safe to call twice; who waits on it gets :class:`PeerGone`."""
        sock = self.stream.socket
        if reset and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        sock.close()
