"""A request's body on its way through, kept as long as it may have to be sent once more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class ReplayableBody:
    """Reads a body chunk by chunk; while little of it was read, it can begin again.

    Args:
        source: gives the next bytes, none at the end.
        limit: bytes that are kept; past them nothing is, and the body can no longer be replayed.
    """

    def __init__(self, source: Callable[[], Awaitable[bytes]], limit: int) -> None:
        self.size = 0
        """Bytes read from the source."""
        self._source = source
        self._limit = limit
        self._kept: list[bytes] | None = []
        self._next = 0
        self._ended = False

    @property
    def replayable(self) -> bool:
        """Whether :meth:`rewind` is possible."""
        return self._kept is not None

    async def read(self) -> bytes:
        """Give the next bytes, none at the end. Raises what the source raises."""
        if self._kept is not None and self._next < len(self._kept):
            chunk = self._kept[self._next]
            self._next += 1
            return chunk
        if self._ended:
            return b""
        chunk = await self._source()
        if not chunk:
            self._ended = True
            return b""
        self.size += len(chunk)
        if self.size > self._limit:
            self._kept = None
        elif self._kept is not None:
            self._kept.append(chunk)
            self._next = len(self._kept)
        return chunk

    def rewind(self) -> None:
        """Begin again; only while :attr:`replayable`."""
        assert self._kept is not None, "what was not kept cannot be read again"
        self._next = 0
