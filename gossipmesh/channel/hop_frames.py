"""Frames: how the parts of many requests lie in the records of one channel.

A frame is ``u32 stream | u8 kind | u16 length | payload`` (big-endian). A record holds any number of whole frames;
a frame never spans two records, so that a record can be judged as it comes. Stream 0 is the channel itself.
"""

from __future__ import annotations

import struct
from typing import Final

from gossipmesh.channel.secure import MAX_RECORD_BODY, Part
from gossipmesh.errors import RemoteProtocolError

HEAD: Final = 1
"""A request's head from the initiator, response heads from the acceptor."""
DATA: Final = 2
"""Body bytes, never none; they need credit."""
END: Final = 3
"""Nothing more comes in this direction; trailers and load."""
RESET: Final = 4
"""This direction ends unfinished, and the other one is no longer wanted; a flag says why."""
WINDOW: Final = 5
"""More credit for a stream, or on stream 0 for the channel: a u32."""
GOAWAY: Final = 6
"""No stream above this number (u32) was or will be taken."""
PING: Final = 7
"""A u64 to be sent back ..."""
PONG: Final = 8
"""... with this."""
CALL: Final = 9
"""A whole request from the initiator: head, body and end. Its body needs credit as DATA does."""
ANSWER: Final = 10
"""A whole response from the acceptor, perhaps after interim heads. Its body needs credit as DATA does."""
LONG: Final = 11
"""What a CALL or an ANSWER holds but its body, which follows in DATA frames; a u32 says how long it is."""

HEADER: Final = struct.Struct(">IBH")
U32: Final = struct.Struct(">I")
U64: Final = struct.Struct(">Q")

_HEADER_SIZE: Final = HEADER.size
_pack_header: Final = HEADER.pack
_unpack_header: Final = HEADER.unpack_from

MAX_PAYLOAD: Final = MAX_RECORD_BODY - HEADER.size
MAX_CHUNK: Final = 16_384
"""The largest DATA payload while several bodies wait: what each may put before a small request that came later."""
LEAST_CHUNK: Final = 1_024
"""Less room than this in a record is left empty, rather than filled with the start of a larger body."""

VIEWED: Final = 4
"""A DATA payload of at least this part of its record is left where it is: what holds it holds no more than so many
times its size. Others are copied."""

Frame = tuple[int, int, Part]
"""Stream, kind, payload, which is bytes but for large DATA. A plain tuple: there is one for every part of a request."""


def encode_frame(stream: int, kind: int, payload: Part = b"") -> bytes:
    """Encode one frame; ``payload`` must not be longer than :data:`MAX_PAYLOAD`."""
    return HEADER.pack(stream, kind, len(payload)) + payload


def split_frames_untrusted(body: bytes | memoryview) -> list[Frame]:
    """Give the frames that a record's body holds, their payloads still unread.

    Raises:
        RemoteProtocolError: ``hop.malformed``, if the body does not end with a whole frame.
    """
    frames: list[Frame] = []
    at, size = 0, len(body)
    while at < size:
        start = at + _HEADER_SIZE
        if start > size:
            raise RemoteProtocolError("hop.malformed", "a record ends inside a frame's header")
        stream, kind, length = _unpack_header(body, at)
        at = start + length
        if at > size:
            raise RemoteProtocolError("hop.malformed", "a record ends inside a frame")
        payload = body[start:at]
        if kind != DATA or VIEWED * length < size:
            payload = bytes(payload)
        frames.append((stream, kind, payload))
    return frames


def decode_u32_untrusted(payload: bytes) -> int:
    """Give the payload of a WINDOW or GOAWAY frame.

    Raises:
        RemoteProtocolError: ``hop.malformed``, for any other length.
    """
    if len(payload) != U32.size:
        raise RemoteProtocolError("hop.malformed", "a number of four bytes was expected")
    number: int = U32.unpack(payload)[0]
    return number


def decode_u64_untrusted(payload: bytes) -> int:
    """Give the payload of a PING or PONG frame.

    Raises:
        RemoteProtocolError: ``hop.malformed``, for any other length.
    """
    if len(payload) != U64.size:
        raise RemoteProtocolError("hop.malformed", "a number of eight bytes was expected")
    number: int = U64.unpack(payload)[0]
    return number


class RecordPacker:
    """Puts frames into as few records as they fit.

    Args:
        limit: bytes of records after which :attr:`full` is true. It is passed by at most one record.
    """

    __slots__ = ("_left", "_parts", "_records", "_room")

    def __init__(self, limit: int) -> None:
        self._records: list[list[Part]] = []
        self._parts: list[Part] = []
        self._room = MAX_RECORD_BODY
        self._left = limit

    @property
    def full(self) -> bool:
        """Whether the limit is reached; what is not packed yet belongs to the next turn."""
        return self._left <= 0

    def add(self, stream: int, kind: int, payload: Part = b"") -> None:
        """Append one frame, in a new record if the present one has no room for it."""
        length = len(payload)
        size = _HEADER_SIZE + length
        if size > self._room:
            self._close()
        # Two parts, so that a large payload is copied once, when the record is joined.
        self._parts += (_pack_header(stream, kind, length), payload)
        self._room -= size
        self._left -= size

    def chunk_room(self, wanted: int, *, alone: bool = False) -> int:
        """Give how many of ``wanted`` body bytes the next DATA frame should carry: 1 to :data:`MAX_CHUNK`.

        Where no other body waits (``alone``) it may be what is left of the limit, up to :data:`MAX_PAYLOAD`.
        """
        wanted = min(wanted, max(MAX_CHUNK, min(MAX_PAYLOAD, self._left)) if alone else MAX_CHUNK)
        room = self._room - HEADER.size
        return wanted if wanted <= room or room < LEAST_CHUNK else room

    def finish(self) -> list[list[Part]]:
        """Give the bodies of the records, each in parts: whoever seals it joins them with what it needs itself."""
        self._close()
        return self._records

    def _close(self) -> None:
        if self._parts:
            self._records.append(self._parts)
            self._parts = []
            self._room = MAX_RECORD_BODY
