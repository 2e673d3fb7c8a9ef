"""One request inside a hop channel: its two directions, its credit, and what it still has to send.

Each direction ends exactly once for its sender, with END or with RESET, and a stream is over when both directions
are. Who gets a RESET and has not ended its own direction yet answers with one. So either side knows, without timers
or a list of numbers used lately, when the other one sends nothing more on a stream.

The law:

- A sender never sends more than it was given credit for, so what lies between two apps is bounded.
- Credit of a stream is given back as its app takes bytes, half a window at a time.
- Every stream begins with :data:`INITIAL_WINDOW`; one whose app reads gets :data:`STREAM_WINDOW` while the daemon's
  :class:`ReceiveBudget` lasts, so that windows shrink, rather than requests fail, when many are open.
"""

from __future__ import annotations

import enum
from typing import Final

from gossipmesh.channel.hop_messages import ResponseHead
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError

INITIAL_WINDOW: Final = 64 * 1024
"""Bytes that may be sent on a new stream, in either direction, before its reader has taken any."""
STREAM_WINDOW: Final = 256 * 1024
"""Bytes that may be under way on a stream whose reader keeps up."""
RECEIVE_BUDGET: Final = 64 * 1024 * 1024
"""Bytes by which all the streams of one daemon together may have grown beyond their initial windows."""
MAX_INTERIM_HEADS: Final = 16
"""Response heads before the final one; heads need no credit, so their number is bounded."""


class ReceiveBudget:
    """What the streams of all channels of one daemon share: by how much their windows may grow in all.

    Args:
        limit: bytes.
    """

    __slots__ = ("_left",)

    def __init__(self, limit: int = RECEIVE_BUDGET) -> None:
        self._left = limit

    @property
    def left(self) -> int:
        """Bytes not taken."""
        return self._left

    def take(self, size: int) -> bool:
        """Take ``size`` bytes, or nothing if there are fewer."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give(self, size: int) -> None:
        """Give back what was taken."""
        self._left += size


class Sending(enum.Enum):
    """How far our own direction of a stream is."""

    HEAD_DUE = "head due"
    OPEN = "open"
    ENDING = "ending"
    """Its END waits behind what was accepted before."""
    RESETTING = "resetting"
    """Its RESET waits to be sent."""
    CLOSED = "closed"


class Receiving(enum.Enum):
    """How far the other side's direction of a stream is."""

    HEAD_DUE = "head due"
    OPEN = "open"
    DISCARDING = "discarding"
    """We reset the stream; what the other side had sent by then is ignored."""
    CLOSED = "closed"


class HopStreamState:
    """The state of one stream at one side of a channel.

    Args:
        number: the stream's number.
        opened_by_us: the side that opens a stream has sent its head with that, and waits for the other's.
        budget: shared with all other streams of this daemon.
    """

    __slots__ = (
        "_budget",
        "_grown",
        "_interim_heads",
        "_owed",
        "_receive_credit",
        "_unconsumed",
        "ending",
        "flag",
        "heads",
        "number",
        "outgoing",
        "receiving",
        "send_credit",
        "sending",
        "unannounced",
    )

    def __init__(self, number: int, *, opened_by_us: bool, budget: ReceiveBudget) -> None:
        self.number = number
        self.sending = Sending.OPEN if opened_by_us else Sending.HEAD_DUE
        self.receiving = Receiving.HEAD_DUE if opened_by_us else Receiving.OPEN
        self.unannounced = opened_by_us
        """Whether the other side has not heard of this stream: its first head waits in :attr:`heads`."""
        self.heads: list[bytes] = []
        self.outgoing = bytearray()
        self.ending = b""
        self.flag = b""
        self.send_credit = INITIAL_WINDOW
        self._budget = budget
        self._receive_credit = INITIAL_WINDOW
        self._unconsumed = 0
        self._owed = 0
        self._grown = 0
        self._interim_heads = 0

    @property
    def over(self) -> bool:
        """Whether neither side sends anything more on this stream, except credit that comes too late."""
        return self.sending is Sending.CLOSED and self.receiving is Receiving.CLOSED

    # --- our own direction -------------------------------------------------------------------------------------

    def send_head(self, head: ResponseHead, payload: bytes) -> None:
        """Accept a response head, encoded as ``payload``.

        Raises:
            LocalProtocolError: ``hop.order``, after the final one or where no response is due.
        """
        if self.sending is not Sending.HEAD_DUE:
            raise LocalProtocolError("hop.order", f"a response head on a stream that is {self.sending.value}")
        self.heads.append(payload)
        if head.final:
            self.sending = Sending.OPEN

    def send_data(self, data: bytes | memoryview, channel_credit: int) -> int:
        """Accept as much of ``data`` as both credits allow, and give how much that is.

        Raises:
            LocalProtocolError: ``hop.order``, before the head or after the end.
        """
        if self.sending is not Sending.OPEN:
            raise LocalProtocolError("hop.order", f"body bytes on a stream that is {self.sending.value}")
        size = min(len(data), self.send_credit, channel_credit)
        self.outgoing += data if size == len(data) else memoryview(data)[:size]
        self.send_credit -= size
        return size

    def send_end(self, payload: bytes) -> None:
        """Accept the end of our direction, encoded as ``payload``.

        Raises:
            LocalProtocolError: ``hop.order``, before the head or after the end.
        """
        if self.sending is not Sending.OPEN:
            raise LocalProtocolError("hop.order", f"an end on a stream that is {self.sending.value}")
        self.ending = payload
        self.sending = Sending.ENDING

    def reset(self, flag: bytes) -> None:
        """Have a RESET sent, and ignore what still comes."""
        self.flag = flag
        self.sending = Sending.RESETTING
        if self.receiving is not Receiving.CLOSED:
            self.receiving = Receiving.DISCARDING

    def discard(self, flag: bytes) -> bool:
        """Ignore what still comes, and have a RESET sent behind our end; tell whether that was sent already.

        Raises:
            LocalProtocolError: ``hop.order``, before our end.
        """
        if self.sending is not Sending.ENDING and self.sending is not Sending.CLOSED:
            raise LocalProtocolError("hop.order", f"discarding a stream that is {self.sending.value}")
        if self.receiving is Receiving.CLOSED or self.receiving is Receiving.DISCARDING:
            return False
        self.receiving = Receiving.DISCARDING
        self.flag = flag
        if self.sending is Sending.ENDING:
            return False
        self.sending = Sending.RESETTING
        return True

    def drop_output(self) -> int:
        """Forget what waits to be sent, and give how many body bytes that was."""
        size = len(self.outgoing)
        self.heads.clear()
        self.outgoing.clear()
        self.ending = b""
        return size

    def take_chunk(self, size: int) -> bytes:
        """Give the next ``size`` bytes that wait to be sent."""
        if size >= len(self.outgoing):
            chunk = bytes(self.outgoing)
            self.outgoing.clear()
            return chunk
        with memoryview(self.outgoing) as view:
            chunk = bytes(view[:size])
        del self.outgoing[:size]
        return chunk

    # --- the other side's direction ----------------------------------------------------------------------------

    def receive_credit(self, credit: int) -> None:
        """Take credit for our direction.

        Raises:
            RemoteProtocolError: ``hop.credit``, for none or more than a whole window in all: more would let a peer
                that reads nothing fill our memory.
        """
        if credit == 0 or self.send_credit + credit > STREAM_WINDOW:
            raise RemoteProtocolError("hop.credit", f"stream {self.number}: credit for {credit} more bytes")
        self.send_credit += credit

    def receive_head(self, head: ResponseHead) -> bool:
        """Take a response head; tell whether anybody still wants it.

        Raises:
            RemoteProtocolError: ``hop.order``, after the final head, or for too many interim ones.
        """
        if self.receiving is Receiving.DISCARDING:
            return False
        if self.receiving is not Receiving.HEAD_DUE:
            raise self._out_of_order("a head")
        if head.final:
            self.receiving = Receiving.OPEN
        elif self._interim_heads == MAX_INTERIM_HEADS:
            raise self._out_of_order(f"more than {MAX_INTERIM_HEADS} interim heads")
        else:
            self._interim_heads += 1
        return True

    def receive_data(self, size: int) -> bool:
        """Take ``size`` body bytes; tell whether anybody still wants them.

        Raises:
            RemoteProtocolError: ``hop.order``, before the head or after the end; ``hop.credit``, past the credit.
        """
        if self.receiving is not Receiving.OPEN and self.receiving is not Receiving.DISCARDING:
            raise self._out_of_order("body bytes")
        if size > self._receive_credit:
            raise RemoteProtocolError("hop.credit", f"stream {self.number}: {size} bytes past its credit")
        self._receive_credit -= size
        self._unconsumed += size
        return self.receiving is Receiving.OPEN

    def receive_end(self) -> bool:
        """Take the end of the other side's direction; tell whether anybody still wants to know.

        Raises:
            RemoteProtocolError: ``hop.order``, before the head or a second time.
        """
        if self.receiving is not Receiving.OPEN and self.receiving is not Receiving.DISCARDING:
            raise self._out_of_order("an end")
        wanted = self.receiving is Receiving.OPEN
        self.receiving = Receiving.CLOSED
        return wanted

    def receive_reset(self, flag: bytes) -> bool:
        """Take a RESET, which ends the other direction and asks for the end of ours; tell whether it is news."""
        wanted = self.receiving is not Receiving.DISCARDING
        self.receiving = Receiving.CLOSED
        if self.sending is not Sending.CLOSED and self.sending is not Sending.RESETTING:
            self.reset(flag)
        return wanted

    def consume(self, size: int) -> None:
        """Note that the app took ``size`` bytes.

        Raises:
            LocalProtocolError: ``hop.consume``, for more than was received.
        """
        if size > self._unconsumed:
            raise LocalProtocolError("hop.consume", f"{size} bytes taken of {self._unconsumed} received")
        self._unconsumed -= size
        self._owed += size

    @property
    def credit_due(self) -> bool:
        """Whether enough was taken for credit to be worth a frame. Never once the other side has ended."""
        return self.receiving is Receiving.OPEN and 2 * self._owed >= INITIAL_WINDOW + self._grown

    def take_credit(self) -> int:
        """Give the credit to send now, the window's growth included where the budget allows it."""
        if not self._grown and self._budget.take(STREAM_WINDOW - INITIAL_WINDOW):
            self._grown = STREAM_WINDOW - INITIAL_WINDOW
            self._owed += self._grown
        credit, self._owed = self._owed, 0
        self._receive_credit += credit
        return credit

    def release(self) -> None:
        """Give the budget back what this stream took of it. What its reader has not fetched is not counted on."""
        self._budget.give(self._grown)
        self._grown = 0

    def _out_of_order(self, what: str) -> RemoteProtocolError:
        return RemoteProtocolError("hop.order", f"stream {self.number}: {what} while {self.receiving.value}")
