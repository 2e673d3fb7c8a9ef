"""A request or an answer that is complete when it is sent, and too long for one frame: it is told when all of it came.

A LONG frame holds what a CALL or an ANSWER would (:mod:`gossipmesh.channel.hop_whole`), but for the body, and says how
many bytes that has; they follow in DATA frames, in turns with those of other bodies, and no END. Whoever sends one has
all of it, so that what is missing at the other side is on its way. To tell of it in one piece spares both sides what a
body in parts costs: more than 64 KiB cost to copy and to seal (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gossipmesh.channel.hop_events import RequestOpened, ResponseWhole
from gossipmesh.channel.hop_frames import U32
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.hop_whole import decode_answer_untrusted, decode_call_untrusted
from gossipmesh.channel.secure import Part
from gossipmesh.errors import RemoteProtocolError

MAX_LONG: Final = 65_536
"""Body bytes of a long message: the credit that every stream begins with, as none is given while it is gathered."""
LEAST_PART: Final = 4_096
"""Smaller pieces of a body are put together as they come; who sends in good faith sends few of them."""
MAX_GATHERED: Final = 256 * MAX_LONG
"""Bytes that the unfinished requests of a channel may announce together. They are no requests yet to whoever counts and
times these, so that a peer which finishes none must not fill our memory. Of one that sends on they are about half as
many at most: its channel's credit bounds what it has not sent, and the turns that its bodies take what it has."""


class LongMessage:
    """A request or an answer whose body is being gathered.

    Args:
        head: the request's, or the answer's.
        end: the answer's end; a request's holds nothing.
        size: bytes of the body, 1 to :data:`MAX_LONG`.
    """

    __slots__ = ("_noted", "_parts", "end", "head", "left", "over")

    def __init__(self, head: RequestHead | ResponseHead, end: End, size: int) -> None:
        self.head: Final = head
        self.end: Final = end
        self._parts: list[Part] = []
        self.left = size
        """Bytes that are still to come."""
        self.over: Callable[[], None] = _nothing
        """Is told once that all of it came, or that nothing more is wanted."""
        self._noted = -1

    def add(self, data: Part, *, keep: bool) -> bool:
        """Take what came next, and forget it unless somebody still wants it; True with the last of it.

        Raises:
            RemoteProtocolError: ``hop.order``, for more than was announced.
        """
        self.left -= len(data)
        if self.left < 0:
            raise RemoteProtocolError("hop.order", "more of a body than its message announced")
        if not keep:
            self._parts.clear()
        elif len(data) >= LEAST_PART:
            self._parts.append(data)
        else:
            # Put together: whoever sends a few bytes at a time must not cost an object, and a record's rest, for each.
            last = self._parts[-1] if self._parts else None
            if type(last) is bytearray:
                last += data
            else:
                self._parts.append(bytearray(data))
        return not self.left

    def stalled(self) -> bool:
        """Tell whether nothing of it came since this was asked last."""
        noted, self._noted = self._noted, self.left
        return noted == self.left

    def finish(self) -> None:
        """Keep nothing of it any more."""
        self._parts.clear()
        over, self.over = self.over, _nothing
        over()

    def complete(self, number: int) -> RequestOpened | ResponseWhole:
        """Give what came on stream ``number``, where all of it was kept."""
        body = b"".join(self._parts)
        head = self.head
        if isinstance(head, RequestHead):
            return RequestOpened(number, head, body)
        return ResponseWhole(number, head, body, self.end)


def encode_long(payload: bytes, size: int) -> bytes:
    """Encode a long message.

    Args:
        payload: what ``encode_call`` or ``encode_answer`` gave for it without its body.
        size: bytes of the body.
    """
    return U32.pack(size) + payload


def decode_long_call_untrusted(payload: bytes) -> LongMessage:
    """Give the request whose body follows.

    Raises:
        RemoteProtocolError: ``hop.malformed``, for any other bytes.
    """
    size = _size_untrusted(payload)
    head, body = decode_call_untrusted(payload[U32.size :])
    _refuse_any(body)
    return LongMessage(head, End(), size)


def decode_long_answer_untrusted(payload: bytes) -> LongMessage:
    """Give the answer whose body follows.

    Raises:
        RemoteProtocolError: ``hop.malformed``, for any other bytes.
    """
    size = _size_untrusted(payload)
    head, body, end = decode_answer_untrusted(payload[U32.size :])
    _refuse_any(body)
    return LongMessage(head, end, size)


def _size_untrusted(payload: bytes) -> int:
    size: int = U32.unpack_from(payload)[0] if len(payload) > U32.size else 0
    if not 0 < size <= MAX_LONG:
        raise RemoteProtocolError("hop.malformed", f"a long message with {size} body bytes")
    return size


def _refuse_any(body: bytes) -> None:
    if body:
        raise RemoteProtocolError("hop.malformed", "a long message with body bytes in its head")


def _nothing() -> None:
    """Nobody counts this message."""
