"""One request in a hop channel, as the proxies at its two ends see it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.errors import MeshError
from gossipmesh.identity.credentials import Peer
from gossipmesh.transport.parking import Parking


class StreamResetError(MeshError):
    """The stream is of no more use; raised from every wait on it, at both ends.

    Args:
        flag: why, as it goes into ``x-gossipmesh-error``: ``UC`` where the channel broke, ``refused`` where nobody
            began to handle the request, so that another try is safe whatever its method; else what was given to
            ``reset``.
    """

    def __init__(self, flag: str) -> None:
        super().__init__("hop.reset", f"the stream was reset ({flag})")
        self.flag = flag


class Carrier(Protocol):
    """What a stream needs of the connection that carries it."""

    @property
    def peer(self) -> Peer:
        """Who is on the other side."""

    def send_head(self, stream: HopStream, head: ResponseHead) -> None:
        """Send a response head."""

    def send_data(self, stream: HopStream, data: bytes | memoryview) -> int:
        """Send as much as credit allows, and give how much that is."""

    async def wait_for_credit(self, stream: HopStream) -> None:
        """Wait until there may be credit again."""

    def send_end(self, stream: HopStream, end: End) -> None:
        """End our direction."""

    def consume(self, stream: HopStream, size: int) -> None:
        """Note that the app took body bytes."""

    def reset(self, stream: HopStream, flag: str) -> None:
        """Give the stream up."""


class HopStream:
    """One request and its response. At each end one task reads and one task writes; they may be the same.

    The caller's end: :meth:`response_head` (again for each interim one), then :meth:`receive_data` until it gives
    ``b""``; beside that :meth:`send_data` and :meth:`send_end` for the request's body. The destination's end reads
    :attr:`request` and the body, and answers with :meth:`send_head`, :meth:`send_data` and :meth:`send_end`.

    Nothing here waits unless it must: what can be sent at once, or is here already, costs no checkpoint. Deadlines
    need no cancel scope: :meth:`reset` from any task wakes whoever waits on the stream, with StreamResetError.
    Leaving a stream unfinished keeps it open: reset it then (at the destination that is done when the handler returns).
    """

    __slots__ = (
        "_buffer",
        "_carrier",
        "_heads",
        "_reading",
        "_writing",
        "end",
        "flag",
        "number",
        "on_reset",
        "request",
        "sent_end",
    )

    def __init__(self, carrier: Carrier, number: int, request: RequestHead) -> None:
        self._carrier = carrier
        self._heads: deque[ResponseHead] = deque()
        self._buffer: bytes | bytearray = b""
        self._reading = Parking()
        self._writing = Parking()
        self.number = number
        self.request = request
        self.end: End | None = None
        """The other side's end, once it is here; what it sent before may still wait to be received."""
        self.sent_end = False
        self.flag: str | None = None
        """Why the stream was reset; None if it was not."""
        self.on_reset: Callable[[], None] | None = None
        """Called once if the other side resets the stream or the channel breaks: for a task that waits elsewhere."""

    @property
    def peer(self) -> Peer:
        """Who is on the other side."""
        return self._carrier.peer

    # --- what both ends do -------------------------------------------------------------------------------------

    async def receive_data(self) -> bytes:
        """Wait for body bytes and give all that came, at most a stream's window; ``b""`` once there are no more.

        Then :attr:`end` has the trailers and, of a response, the load of its server. An end without all of the body
        does not exist: a body that was cut raises.

        Raises:
            StreamResetError: if the body is not complete and will never be.
        """
        while not self._buffer:
            if self.end is not None:
                return b""
            self._raise_if_reset()
            await self._reading.park()
        data, self._buffer = bytes(self._buffer), b""
        self._carrier.consume(self, len(data))
        return data

    async def send_data(self, data: bytes) -> None:
        """Send body bytes; waits while the other side's app has not taken enough of those before.

        Raises:
            StreamResetError: if the stream was reset; how much arrived is unknown.
        """
        self._raise_if_reset()
        sent = self._carrier.send_data(self, data)
        if sent == len(data):
            return
        left = memoryview(data)[sent:]
        while left:
            await self._carrier.wait_for_credit(self)
            self._raise_if_reset()
            left = left[self._carrier.send_data(self, left) :]

    def send_end(self, end: End) -> None:
        """End our direction: everything was sent.

        Raises:
            StreamResetError: if the stream was reset.
        """
        self._raise_if_reset()
        self._carrier.send_end(self, end)

    def reset(self, flag: str) -> None:
        """Give the stream up at once, both ways; does nothing to one that is over.

        Args:
            flag: 1 to 16 letters and hyphens.
        """
        self._carrier.reset(self, flag)

    # --- the caller's end --------------------------------------------------------------------------------------

    async def response_head(self) -> ResponseHead:
        """Wait for the next response head: interim ones first, then the final one.

        Raises:
            StreamResetError: if there will be none.
        """
        while not self._heads:
            self._raise_if_reset()
            await self._reading.park()
        return self._heads.popleft()

    # --- the destination's end ---------------------------------------------------------------------------------

    def send_head(self, head: ResponseHead) -> None:
        """Send an interim or the final response head.

        Raises:
            StreamResetError: if the stream was reset.
        """
        self._raise_if_reset()
        self._carrier.send_head(self, head)

    # --- what the connection calls -----------------------------------------------------------------------------

    def deliver_head(self, head: ResponseHead) -> None:
        """Take a response head that came."""
        self._heads.append(head)
        self._reading.unpark()

    def deliver_data(self, data: bytes) -> None:
        """Take body bytes that came. Their number is bounded by the stream's credit."""
        if not self._buffer:
            self._buffer = data
        else:
            # One buffer, however small the pieces: a list of them could weigh a hundred times what it carries.
            if type(self._buffer) is bytes:
                self._buffer = bytearray(self._buffer)
            self._buffer += data
        self._reading.unpark()

    def deliver_end(self, end: End) -> None:
        """Take the end of the other side's direction."""
        self.end = end
        self._reading.unpark()

    def deliver_reset(self, flag: str) -> None:
        """Take a reset by the other side, or the loss of the channel."""
        if self.flag is None:
            self.fail(flag)
            if self.on_reset is not None:
                self.on_reset()

    def fail(self, flag: str) -> None:
        """Wake whoever waits, with StreamResetError."""
        if self.flag is None:
            self.flag = flag
            self._reading.unpark()
            self._writing.unpark()

    async def park_for_credit(self) -> None:
        """Wait for :meth:`deliver_credit`."""
        await self._writing.park()

    def deliver_credit(self) -> None:
        """Wake who waits to send."""
        self._writing.unpark()

    def _raise_if_reset(self) -> None:
        if self.flag is not None:
            raise StreamResetError(self.flag)
