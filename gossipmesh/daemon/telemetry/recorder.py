"""The flight recorder: the last of what membership was told, in a ring of fixed size.

A segment begins with the whole state of membership and holds what came after it; there are two of them at most, so
what is in the ring always runs again from its beginning. Nothing here looks into what it keeps.

Law: the ring takes at most 4 MiB, whatever the mesh does. What cannot be recorded ends the recording, with a reason.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import define, field

import gossipmesh
from gossipmesh.daemon.disk.files import write_atomically
from gossipmesh.errors import LocalProtocolError, MeshError, StateError
from gossipmesh.membership.recorded import CALLS
from gossipmesh.membership.trace import MAX_ENTRIES, MAX_SEGMENTS, encode_trace

CRASH_TRACE: Final = "crash.trace"
"""In the state directory: what led to the last bug that ended this daemon."""
SPARE: Final = 128 * 1024
"""Bytes that one call may still add to a segment that is called full before it."""

Say = Callable[[str], None]


@define(eq=False)
class _Segment:
    keyframe: bytes
    entries: bytearray = field(factory=bytearray)


class Recorder:
    """The ring; a :class:`~gossipmesh.membership.recorded.Sink`.

    Args:
        segment_bytes: how many bytes of entries fill a segment.
    """

    def __init__(self, *, segment_bytes: int = MAX_ENTRIES - SPARE) -> None:
        self._segment_bytes = segment_bytes
        self._segments: deque[_Segment] = deque(maxlen=MAX_SEGMENTS)
        self._stopped = "nothing was recorded yet"

    def begin(self, keyframe: bytes) -> None:
        """Begin a segment; the oldest one goes."""
        self._segments.append(_Segment(keyframe))

    def add(self, entry: bytes) -> bool:
        """Take an entry; tell whether a segment has to begin after it. One that was stopped takes nothing."""
        if not self._segments:
            return False
        entries = self._segments[-1].entries
        entries += entry
        return len(entries) > self._segment_bytes

    def stop(self, why: str) -> None:
        """Let go of everything: what was recorded before a gap would only mislead."""
        self._segments.clear()
        self._stopped = why

    def trace(self, *, now: float, wall: float) -> bytes:
        """Give what is in the ring as a file.

        Args:
            now: monotonic seconds.
            wall: the same moment in unix seconds.

        Raises:
            MeshError: ``trace.none``, where nothing is recorded, and why.
        """
        if not self._segments:
            raise MeshError("trace.none", f"there is no recording: {self._stopped}")
        segments = [(each.keyframe, bytes(each.entries)) for each in self._segments]
        return encode_trace(segments, calls=CALLS, release=gossipmesh.__version__, now=now, wall=wall)

    @contextmanager
    def kept_on_a_bug(
        self, path: Path, clocks: Callable[[], tuple[float, float]], say: Say
    ) -> Iterator[None]:
        """Run something inside of this: if a bug ends it, what led there is written to ``path``.

        Args:
            path: a file, readable by its owner only.
            clocks: gives ``(now, wall)``.
            say: tells people where it is, or why it could not be written, in one line.
        """
        try:
            yield
        finally:
            error = sys.exc_info()[1]
            if error is not None and is_bug(error):
                self._keep(path, clocks, say)

    def _keep(self, path: Path, clocks: Callable[[], tuple[float, float]], say: Say) -> None:
        now, wall = clocks()
        try:
            write_atomically(path, self.trace(now=now, wall=wall))
        except StateError as error:
            say(f"what led to this bug is lost: {error}")
        except MeshError as error:
            say(str(error))
        else:
            say(f"what led to this bug is in {path}; see: gossipmesh sim --replay {path}")


def is_bug(error: BaseException) -> bool:
    """Tell whether our own code is to blame: for an end by cancellation, or for want of a port, it is not."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(is_bug, error.exceptions))
    return isinstance(error, LocalProtocolError) or (
        isinstance(error, Exception) and not isinstance(error, MeshError)
    )
