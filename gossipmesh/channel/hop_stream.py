"""One request inside a hop channel: its two directions, its credit, and what it still has to send.

Each direction ends exactly once for its sender, with END or with RESET, and a stream is over when both directions
are. Who gets a RESET and has not ended its own direction yet answers with one. So either side knows, without timers
or a list of numbers used lately, when the other one sends nothing more on a stream.

The law:

- A sender never sends more than it was given credit for, so what lies between two apps is bounded.
- Credit of a stream is given back as its app takes bytes, half a window at a time.
- A whole message takes its body's credit as its parts would, and gives none back: its direction is over with it.
- Every stream begins with :data:`INITIAL_WINDOW`; one whose app reads gets :data:`STREAM_WINDOW` while the daemon's
  :class:`ReceiveBudget` lasts, so that windows shrink, rather than requests fail, when many are open.
"""

from __future__ import annotations

import enum
from typing import Final

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.hop_body import WaitingBody
from gossipmesh.channel.hop_long import LongMessage
from gossipmesh.channel.hop_messages import ResponseHead
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError

INITIAL_WINDOW: Final = 64 * 1024
"""Bytes that may be sent on a new stream, in either direction, before its reader has taken any."""
STREAM_WINDOW: Final = 256 * 1024
"""Bytes that may be under way on a stream whose reader keeps up."""
CHANNEL_WINDOW: Final = 4 * 1024 * 1024
"""Body bytes of one direction of a channel that may be under way."""
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


class ChannelWindow:
    """What the other side may still send in all streams of a channel together."""

    __slots__ = ("_credit", "due")

    def __init__(self) -> None:
        self._credit = CHANNEL_WINDOW
        self.due = False
        """Whether enough came for credit to be worth a frame."""

    def receive(self, size: int) -> None:
        """Take ``size`` body bytes.

        Raises:
            RemoteProtocolError: ``hop.credit``, for more than there was credit for.
        """
        if size > self._credit:
            raise RemoteProtocolError("hop.credit", f"{size} bytes past the channel's credit")
        self._credit -= size
        # Whoever reads the stream: only the stream's own credit waits for its reader.
        self.due = 2 * self._credit <= CHANNEL_WINDOW

    def take_credit(self) -> int:
        """Give the credit to send now."""
        # Counted as given only here: counted when it fell due, two such times before one frame would differ.
        credit = CHANNEL_WINDOW - self._credit
        self._credit = CHANNEL_WINDOW
        self.due = False
        return credit


class Sending(enum.Enum):
    """How far our own direction of a stream is."""

    HEAD_DUE = "head due"
    OPEN = "open"
    ENDING = "ending"
    """Its END waits behind what was accepted before."""
    WHOLE = "ending whole"
    """The whole message waits to be sent."""
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


# Python 3.11 looks a member up in Python code; these are read many times for every request.
_HEAD_DUE: Final = Sending.HEAD_DUE
_OPEN: Final = Sending.OPEN
_CLOSED: Final = Sending.CLOSED
_WHOLE: Final = Sending.WHOLE
_THEIR_HEAD_DUE: Final = Receiving.HEAD_DUE
_THEIRS_OPEN: Final = Receiving.OPEN
_DISCARDING: Final = Receiving.DISCARDING
_THEIRS_CLOSED: Final = Receiving.CLOSED


class HopStreamState:
    """The state of one stream at one side of a channel.

    Args:
        number: the stream's number.
        opened_by_us: the side that opens a stream has sent its head with that, and waits for the other's.
        budget: shared with all other streams of this daemon.
    """

    # What most streams never change is the class's, so that making a stream costs little.
    waiting: WaitingBody | None = None
    """Body bytes that wait to be sent; made for the first of them."""
    ending = b""
    flag = b""
    whole_size = 0
    """Body bytes of a whole message that waits to be sent."""
    long: LongMessage | None = None
    """The message of the other side whose body is being gathered."""
    send_credit = INITIAL_WINDOW
    _receive_credit = INITIAL_WINDOW
    _unconsumed = 0
    _owed = 0
    _grown = 0
    _interim_heads = 0

    def __init__(self, number: int, *, opened_by_us: bool, budget: ReceiveBudget) -> None:
        self.number = number
        self.sending = _OPEN if opened_by_us else _HEAD_DUE
        self.receiving = _THEIR_HEAD_DUE if opened_by_us else _THEIRS_OPEN
        self.unannounced = opened_by_us
        """Whether the other side has not heard of this stream: its first head waits in :attr:`heads`."""
        self.heads: list[tuple[int, bytes]] = []
        """Kind and payload of heads, or of the whole message, that wait to be sent."""
        self._budget = budget

    @property
    def over(self) -> bool:
        """Whether neither side sends anything more on this stream, except credit that comes too late."""
        return self.sending is _CLOSED and self.receiving is _THEIRS_CLOSED

    # --- our own direction -------------------------------------------------------------------------------------

    def send_head(self, head: ResponseHead, payload: bytes) -> None:
        """Accept a response head, encoded as ``payload``.

        Raises:
            LocalProtocolError: ``hop.order``, after the final one or where no response is due.
        """
        if self.sending is not _HEAD_DUE:
            raise LocalProtocolError("hop.order", f"a response head on a stream that is {self.sending.value}")
        self.heads.append((frames.HEAD, payload))
        if head.final:
            self.sending = _OPEN

    def send_whole(self, kind: int, payload: bytes, body_size: int) -> None:
        """Accept a whole message, whose body has ``body_size`` bytes, where a head is due and credit was looked at."""
        self.heads.append((kind, payload))
        self.whole_size = body_size
        self.send_credit -= body_size
        self.sending = _WHOLE

    def send_long(self, payload: bytes, body: bytes | memoryview) -> None:
        """Accept a long message where a head is due and credit was looked at; no END follows it."""
        self.heads.append((frames.LONG, payload))
        self._append(body, len(body))
        self.sending = Sending.ENDING

    def send_data(self, data: bytes | memoryview, channel_credit: int) -> int:
        """Accept as much of ``data`` as both credits allow, and give how much that is.

        Raises:
            LocalProtocolError: ``hop.order``, before the head or after the end.
        """
        if self.sending is not _OPEN:
            raise LocalProtocolError("hop.order", f"body bytes on a stream that is {self.sending.value}")
        size = min(len(data), self.send_credit, channel_credit)
        if size:
            self._append(data, size)
        return size

    def send_end(self, payload: bytes) -> None:
        """Accept the end of our direction, encoded as ``payload``.

        Raises:
            LocalProtocolError: ``hop.order``, before the head or after the end.
        """
        if self.sending is not _OPEN:
            raise LocalProtocolError("hop.order", f"an end on a stream that is {self.sending.value}")
        self.ending = payload
        self.sending = Sending.ENDING

    def send_rest(self, body: bytes, payload: bytes) -> None:
        """Accept all of the body, for which credit was looked at, and with it the end, encoded as ``payload``."""
        if body:
            self._append(body, len(body))
        self.ending = payload
        self.sending = Sending.ENDING

    def _append(self, data: bytes | memoryview, size: int) -> None:
        self.send_credit -= size
        if self.waiting is None:
            self.waiting = WaitingBody()
        self.waiting.add(data, size)

    def reset(self, flag: bytes) -> None:
        """Have a RESET sent, and ignore what still comes."""
        self.flag = flag
        self.sending = Sending.RESETTING
        if self.receiving is not _THEIRS_CLOSED:
            self.receiving = _DISCARDING
        if self.long is not None:
            self.long.finish()

    def discard(self, flag: bytes) -> bool:
        """Ignore what still comes, and have a RESET sent behind our end; tell whether that was sent already.

        Raises:
            LocalProtocolError: ``hop.order``, before our end.
        """
        if self.sending not in (Sending.ENDING, _WHOLE, _CLOSED):
            raise LocalProtocolError("hop.order", f"discarding a stream that is {self.sending.value}")
        if self.receiving is _THEIRS_CLOSED or self.receiving is _DISCARDING:
            return False
        self.receiving = _DISCARDING
        self.flag = flag
        if self.sending is not _CLOSED:
            return False
        self.sending = Sending.RESETTING
        return True

    def drop_output(self) -> int:
        """Forget what waits to be sent, and give how many body bytes that was."""
        size = self.whole_size
        if self.waiting is not None:
            size += self.waiting.clear()
        self.whole_size = 0
        self.heads.clear()
        self.ending = b""
        return size

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
        if self.receiving is _DISCARDING:
            return False
        if self.receiving is not _THEIR_HEAD_DUE:
            raise self._out_of_order("a head")
        if head.final:
            self.receiving = _THEIRS_OPEN
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
        if self.receiving is not _THEIRS_OPEN and self.receiving is not _DISCARDING:
            raise self._out_of_order("body bytes")
        if size > self._receive_credit:
            raise self._past_credit(size)
        self._receive_credit -= size
        self._unconsumed += size
        return self.receiving is _THEIRS_OPEN

    def receive_end(self) -> bool:
        """Take the end of the other side's direction; tell whether anybody still wants to know.

        Raises:
            RemoteProtocolError: ``hop.order``, before the head or a second time.
        """
        if self.receiving is not _THEIRS_OPEN and self.receiving is not _DISCARDING:
            raise self._out_of_order("an end")
        wanted = self.receiving is _THEIRS_OPEN
        self.receiving = _THEIRS_CLOSED
        return wanted

    def receive_whole(self, head: ResponseHead, size: int) -> bool:
        """Take a whole response with a body of ``size`` bytes; tell whether anybody still wants it.

        Raises:
            RemoteProtocolError: ``hop.order``, after the final head; ``hop.credit``, past the credit.
        """
        wanted = self.receive_head(head)
        if size > self._receive_credit:
            raise self._past_credit(size)
        self._unconsumed += size
        self.receiving = _THEIRS_CLOSED
        return wanted

    def receive_whole_request(self, size: int) -> None:
        """Take the whole request, with a body of ``size`` bytes, that opened this stream."""
        self._unconsumed = size
        self.receiving = _THEIRS_CLOSED

    def receive_reset(self, flag: bytes) -> bool:
        """Take a RESET, which ends the other direction and asks for the end of ours; tell whether it is news."""
        wanted = self.receiving is not _DISCARDING
        self.receiving = _THEIRS_CLOSED
        if self.sending is not _CLOSED and self.sending is not Sending.RESETTING:
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
        return self.receiving is _THEIRS_OPEN and 2 * self._owed >= INITIAL_WINDOW + self._grown

    def take_credit(self) -> int:
        """Give the credit to send now, the window's growth included where the budget allows it."""
        if not self._grown and self._budget.take(STREAM_WINDOW - INITIAL_WINDOW):
            self._grown = STREAM_WINDOW - INITIAL_WINDOW
            self._owed += self._grown
        credit, self._owed = self._owed, 0
        self._receive_credit += credit
        return credit

    def release(self) -> None:
        """Give the budgets back what this stream took of them. What its reader has not fetched is not counted on."""
        if self._grown:
            self._budget.give(self._grown)
            self._grown = 0
        if self.long is not None:
            self.long.finish()

    def _past_credit(self, size: int) -> RemoteProtocolError:
        return RemoteProtocolError("hop.credit", f"stream {self.number}: {size} bytes past its credit")

    def _out_of_order(self, what: str) -> RemoteProtocolError:
        return RemoteProtocolError("hop.order", f"stream {self.number}: {what} while {self.receiving.value}")
