"""A request's body on its way through, kept as long as it may have to be sent once more. Pure."""

from __future__ import annotations

from collections import deque

from gossipmesh.channel.hop_messages import Headers


class ReplayableBody:
    """Body bytes between who gives them and who takes them; while little came, they can be taken again.

    What was put and not taken is bounded by whoever puts: it stops reading.

    Args:
        limit: bytes that are kept; past them nothing is, and the body can no longer be replayed.
    """

    __slots__ = ("_kept", "_limit", "_waiting", "ended", "size", "taken", "trailers")

    def __init__(self, limit: int) -> None:
        self.size = 0
        """Bytes put."""
        self.taken = 0
        """Bytes taken since the beginning, or since the last :meth:`rewind`."""
        self.ended = False
        """Whether everything was put."""
        self.trailers: Headers = ()
        self._limit = limit
        self._kept: list[bytes] | None = []
        self._waiting: deque[bytes | memoryview] = deque()

    @property
    def replayable(self) -> bool:
        """Whether :meth:`rewind` is possible."""
        return self._kept is not None

    @property
    def waiting(self) -> bool:
        """Whether something was put and not taken."""
        return bool(self._waiting)

    @property
    def passed(self) -> bool:
        """Whether all of it was taken, and nothing more will come."""
        return self.ended and not self._waiting

    def put(self, data: bytes) -> None:
        """Append bytes, at least one."""
        self.size += len(data)
        self._waiting.append(data)
        if self._kept is not None:
            if self.size > self._limit:
                self._kept = None
            else:
                self._kept.append(data)

    def finish(self, trailers: Headers = ()) -> None:
        """Note that everything was put."""
        self.ended = True
        self.trailers = trailers

    def take(self) -> bytes | memoryview | None:
        """Give the next bytes, or None if none are here."""
        if not self._waiting:
            return None
        data = self._waiting.popleft()
        self.taken += len(data)
        return data

    def put_back(self, data: bytes | memoryview) -> None:
        """Give back the end of what was taken last."""
        self.taken -= len(data)
        self._waiting.appendleft(data)

    def whole(self) -> bytes | None:
        """Give the whole body, if it is here, can be replayed and has no trailers."""
        if not self.ended or self._kept is None or self.trailers:
            return None
        return self._kept[0] if len(self._kept) == 1 else b"".join(self._kept)

    def rewind(self) -> None:
        """Begin again; only while :attr:`replayable`."""
        assert self._kept is not None, "what was not kept cannot be taken again"
        self._waiting = deque(self._kept)
        self.taken = 0
