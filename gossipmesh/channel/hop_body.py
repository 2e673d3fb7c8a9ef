"""The part of one body that was accepted and waits to be sent."""

from __future__ import annotations

from collections import deque
from typing import Final

from gossipmesh.channel.hop_frames import MAX_CHUNK
from gossipmesh.channel.secure import Part

GATHERED: Final = MAX_CHUNK
"""Pieces of fewer bytes are put together, so that an app that sends a byte at a time costs no object for each."""


class WaitingBody:
    """Bytes in the pieces in which they came, as far as these are large: those are copied first into their record.

    How many bytes there may be is bounded by credit, and so is the number of pieces.
    """

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: deque[memoryview | bytearray] = deque()
        self.size = 0
        """Bytes that wait."""

    def add(self, data: bytes | memoryview, size: int) -> None:
        """Append the first ``size`` bytes of ``data``."""
        pieces = self._pieces
        self.size += size
        view = memoryview(data)[:size]
        if (size >= GATHERED or not pieces) and type(view.obj) is bytes:
            pieces.append(view)  # Nobody can change these.
            return
        last = pieces[-1] if pieces else None
        if type(last) is bytearray:
            last += view
        else:
            pieces.append(bytearray(view))

    def take(self, most: int) -> Part:
        """Give what comes next, at most ``most`` bytes and perhaps fewer; there must be some."""
        piece = self._pieces[0]
        if len(piece) <= most:
            self._pieces.popleft()
            self.size -= len(piece)
            return piece
        self.size -= most
        if type(piece) is bytearray:
            with memoryview(piece) as view:
                chunk = bytes(view[:most])
            del piece[:most]
            return chunk
        self._pieces[0] = piece[most:]
        return piece[:most]

    def clear(self) -> int:
        """Forget everything; give how many bytes that was."""
        size, self.size = self.size, 0
        self._pieces.clear()
        return size
