"""Bytes both ways between a connection and a stream: what an upgraded request or a CONNECT becomes."""

from __future__ import annotations

from collections.abc import Callable

from gossipmesh.channel.hop_messages import End, ResponseHead
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.stream import Stream
from gossipmesh.transport.link import Link
from gossipmesh.transport.reactor import Reactor


class Tunnel:
    """Takes over a link and a stream, at either daemon, until both directions have ended.

    Each direction ends by itself: that one side has said everything closes only that way (RFC 9293, section 3.6), which
    protocols inside rely on. Whatever breaks one side resets the other.

    Args:
        reactor: calls back.
        link: the connection; its owner is this from now on.
        stream: its listener is this from now on.
        limits: for how long a tunnel may be silent.
        broken_flag: the flag for the far side where the link breaks.
        over: is told once, with a flag or an empty string, and the bytes that went to the link and came from it.
    """

    def __init__(
        self,
        reactor: Reactor,
        link: Link,
        stream: Stream,
        limits: ProxyLimits,
        *,
        broken_flag: str,
        over: Callable[[str, int, int], None],
    ) -> None:
        self._reactor = reactor
        self._link = link
        self._stream = stream
        self._idle_s = limits.tunnel_idle_timeout_s
        self._broken_flag = broken_flag
        self._tell: Callable[[str, int, int], None] | None = over
        self._rest: bytes | memoryview = b""
        self._owed = 0
        self._link_ended = self._stream_ended = False
        self._sent = self._received = 0
        self._alarm = reactor.alarm(self._silent)
        self._active_at = reactor.now
        self._alarm.set(self._active_at + self._idle_s)
        stream.listener = self
        link.adopt(self)

    def start(self, from_link: bytes = b"") -> None:
        """Begin, with what the link had given already."""
        self._link.resume()
        if from_link:
            self.bytes_received(from_link)

    # --- from the link -----------------------------------------------------------------------------------------

    def bytes_received(self, data: bytes) -> None:
        """Pass bytes to the stream as far as it takes them; no more are read before the rest went."""
        self._active_at = self._reactor.now
        self._received += len(data)
        sent = self._stream.send_data(data)
        if sent < len(data):
            self._rest = memoryview(data)[sent:]
            self._link.pause()

    def credit_gained(self) -> None:
        """Pass on what is left; then read again."""
        self._active_at = self._reactor.now
        if self._rest:
            self._rest = self._rest[self._stream.send_data(self._rest) :]
            if self._rest:
                return
            self._rest = b""
        if self._link_ended:
            self._end_stream()
        else:
            self._link.resume()

    def eof_received(self) -> None:
        """End the stream's direction, behind all that came."""
        self._link_ended = True
        if not self._rest:
            self._end_stream()

    def _end_stream(self) -> None:
        if self._tell is not None and not self._stream.sent_end:
            self._stream.send_end(End())
            self._finish_if_over()

    def hung_up(self) -> None:
        """Break off what nobody is at the other end of any more.

        Not while there is something to read: what was sent before is read to its end first. Nor once we have closed our
        direction as well: then both ends are closed, and nothing is wrong.
        """
        if self._link_ended and not self._stream_ended:
            self._link.close()
            self.broken()

    def drained(self) -> None:
        """Let more come, now that everything was taken."""
        owed, self._owed = self._owed, 0
        self._stream.consumed(owed)
        self._finish_if_over()

    def broken(self) -> None:
        """The connection is gone."""
        self._stream.reset(self._broken_flag)
        self._finish(self._broken_flag)

    # --- from the stream ---------------------------------------------------------------------------------------

    def doubted(self) -> None:
        """Wait on: what a tunnel carried cannot be sent elsewhere."""

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the link."""
        self._active_at = self._reactor.now
        self._sent += len(data)
        self._link.send(data)
        if self._link.unsent:
            self._owed += len(data)
        else:
            self._stream.consumed(len(data))

    def end_received(self, end: End) -> None:
        """End the link's direction, behind all that waits."""
        self._stream_ended = True
        self._link.send_eof()
        self._finish_if_over()

    def reset_received(self, flag: str) -> None:
        """Break the connection off, visibly."""
        self._link.close(reset=True)
        self._finish(flag)

    def head_received(self, head: ResponseHead) -> None:
        """Cannot come: the stream's final head was the one that made this tunnel."""
        raise AssertionError(f"a head behind the final one: {head}")

    def whole_received(self, head: ResponseHead, body: bytes, end: End) -> None:
        """Cannot come either."""
        raise AssertionError(f"a head behind the final one: {head}")

    # --- ending ------------------------------------------------------------------------------------------------

    def _silent(self) -> None:
        due = self._active_at + self._idle_s
        if self._reactor.now < due:
            self._alarm.set(due)
        else:
            self.abort("UT")

    def abort(self, flag: str) -> None:
        """End both sides now."""
        self._stream.reset(flag)
        self._link.close(reset=True)
        self._finish(flag)

    def _finish_if_over(self) -> None:
        if self._stream.sent_end and self._stream_ended and not self._link.unsent:
            self._link.close()
            self._finish("")

    def _finish(self, flag: str) -> None:
        self._alarm.drop()
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(flag, self._sent, self._received)
