"""One request in a hop channel, as the proxies at its two ends see it: calls down, callbacks up."""

from __future__ import annotations

from typing import Protocol

from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.errors import StreamResetError
from gossipmesh.identity.credentials import Peer


class StreamListener(Protocol):
    """Who is told what comes on a stream, in a turn of the reactor.

    After ``reset_received``, or after a reset of one's own, nothing more is told.
    """

    def head_received(self, head: ResponseHead) -> None:
        """A response head came (the caller's end only): interim ones first, then the final one."""

    def whole_received(self, head: ResponseHead, body: bytes, end: End) -> None:
        """The whole response came at once (the caller's end only); nothing else follows."""

    def data_received(self, data: bytes) -> None:
        """Body bytes came. Call ``consumed`` as they are passed on: the other side may send so many more."""

    def end_received(self, end: End) -> None:
        """The other side's direction is complete."""

    def reset_received(self, flag: str) -> None:
        """The other side gave the stream up, or the channel broke."""

    def doubted(self) -> None:
        """It may be long before an answer comes (the caller's end only): whoever can ask elsewhere had better do it."""

    def credit_gained(self) -> None:
        """There may be credit again, where ``send_data`` took less than it was given."""


class Carrier(Protocol):
    """What a stream needs of the connection that carries it."""

    @property
    def peer(self) -> Peer:
        """Who is on the other side."""

    @property
    def is_silent(self) -> bool:
        """Whether nothing came from the other side for long, not even after a ping."""

    def send_head(self, stream: HopStream, head: ResponseHead) -> None:
        """Send a response head."""

    def send_data(self, stream: HopStream, data: bytes | memoryview) -> int:
        """Send as much as credit allows, and give how much that is."""

    def send_end(self, stream: HopStream, end: End) -> None:
        """End our direction."""

    def answer(self, stream: HopStream, head: ResponseHead, body: bytes | memoryview, end: End) -> bool:
        """Send a whole response."""

    def consume(self, stream: HopStream, size: int) -> None:
        """Note that body bytes were passed on."""

    def reset(self, stream: HopStream, flag: str) -> None:
        """Give the stream up."""

    def done(self, stream: HopStream) -> None:
        """Want no more of what the other side may still send."""


class HopStream:
    """One request and its response, at either end.

    The caller's end sends the request's body and is told the response; the destination's end reads :attr:`request`
    and :attr:`body`, is told the rest of the body, and answers. Nothing here waits: what has no credit stays with
    whoever sends. A stream must be brought to its end: by both directions' ends, by :meth:`reset`, or, at the
    destination, by :meth:`done`.
    """

    __slots__ = ("_carrier", "body", "ended", "flag", "listener", "moved", "number", "request", "sent_end")

    def __init__(
        self, carrier: Carrier, number: int, request: RequestHead, body: bytes | None = None
    ) -> None:
        self._carrier = carrier
        self.listener: StreamListener | None = None
        self.number = number
        self.request = request
        self.body = body
        """At the destination: the request's whole body if it came with its head, else None."""
        self.ended = body is not None
        """Whether the other side's direction has ended."""
        self.sent_end = False
        self.moved = 0
        """Body bytes of DATA frames, both ways together."""
        self.flag: str | None = None
        """Why the stream was reset; None if it was not."""

    @property
    def peer(self) -> Peer:
        """Who is on the other side."""
        return self._carrier.peer

    @property
    def is_silent(self) -> bool:
        """Whether its channel is silent: nothing came on it for long, not even after a ping."""
        return self._carrier.is_silent

    def send_head(self, head: ResponseHead) -> None:
        """Send an interim or the final response head.

        Raises:
            StreamResetError: if the stream was reset.
            LocalProtocolError: ``hop.order``, ``hop.head-too-long`` or ``hop.head``.
        """
        self._raise_if_reset()
        self._carrier.send_head(self, head)

    def send_data(self, data: bytes | memoryview) -> int:
        """Send body bytes as far as there is credit, and give how many; ``credit_gained`` tells when to go on.

        Raises:
            StreamResetError: if the stream was reset.
        """
        self._raise_if_reset()
        return self._carrier.send_data(self, data)

    def send_end(self, end: End) -> None:
        """End our direction: everything was sent.

        Raises:
            StreamResetError: if the stream was reset.
        """
        self._raise_if_reset()
        self._carrier.send_end(self, end)

    def answer(self, head: ResponseHead, body: bytes | memoryview, end: End) -> bool:
        """Send a whole response of at most ``MAX_LONG`` body bytes, without trailers.

        False, and nothing done, if credit does not allow that.

        Raises:
            StreamResetError: if the stream was reset.
            LocalProtocolError: ``hop.order``, ``hop.head-too-long`` or ``hop.head``.
        """
        self._raise_if_reset()
        return self._carrier.answer(self, head, body, end)

    def consumed(self, size: int) -> None:
        """Note that ``size`` body bytes were passed on; does nothing to a stream that is over."""
        self._carrier.consume(self, size)

    def reset(self, flag: str) -> None:
        """Give the stream up at once, both ways; does nothing to one that is over.

        Args:
            flag: 1 to 16 letters and hyphens.
        """
        self._carrier.reset(self, flag)

    def done(self) -> None:
        """Want no more of the request (destination only): what was answered still goes; unanswered, it is reset."""
        self._carrier.done(self)

    def fail(self, flag: str) -> None:
        """Take a reset by the other side, or the loss of the channel; for the connection."""
        if self.flag is None:
            self.flag = flag
            if self.listener is not None:
                self.listener.reset_received(flag)

    def _raise_if_reset(self) -> None:
        if self.flag is not None:
            raise StreamResetError(self.flag)
