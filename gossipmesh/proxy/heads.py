"""Message heads as bytes, judged before h11 sees them. Pure.

h11 parses strictly, but folds continuation lines, takes a bare LF for a line's end, and counts only heads that are
incomplete: a head of any size that comes in one receive passes. Two parsers that see different lines in the same
bytes are what request smuggling is made of, so whatever could be read in two ways is refused here.
"""

from __future__ import annotations

import re
from typing import Final

from gossipmesh.errors import RemoteProtocolError

_END: Final = re.compile(rb"\r?\n\r?\n")
"""Where h11 sees the end of a head; a lenient look for it, so that what follows the head is never judged with it."""
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_FOLD: Final = re.compile(rb"\n[ \t]")


def check_head_untrusted(head: bytes, *, max_bytes: int, max_lines: int) -> None:
    """Check a whole message head, its start line and final empty line included.

    Raises:
        RemoteProtocolError: ``http.head-too-large``, ``http.bare-lf`` or ``http.obs-fold``.
    """
    if len(head) > max_bytes:
        raise RemoteProtocolError("http.head-too-large", f"a head of more than {max_bytes} bytes")
    if _BARE_LF.search(head):
        raise RemoteProtocolError("http.bare-lf", "a header line that ends without CR LF")
    if _FOLD.search(head):
        raise RemoteProtocolError("http.obs-fold", "a header continued on a second line")
    # The start line and the empty line are not headers.
    if head.count(b"\n") - 2 > max_lines:
        raise RemoteProtocolError("http.head-too-large", f"more than {max_lines} header lines")


class HeadBuffer:
    """Collects received bytes until a whole head is there, and keeps what follows it.

    Args:
        max_bytes: of one head; more is never collected.
        max_lines: header lines of one head.
        skip_empty_line: whether one empty line before a head is ignored, as a server should (RFC 9112, section
            2.2); a client has no such leave.
    """

    def __init__(self, *, max_bytes: int, max_lines: int, skip_empty_line: bool = False) -> None:
        self._max_bytes = max_bytes
        self._max_lines = max_lines
        self._skip_empty_line = skip_empty_line
        self._may_skip = skip_empty_line
        self._buffer = bytearray()
        self._searched = 0

    def __len__(self) -> int:
        return len(self._buffer)

    def receive_bytes(self, data: bytes) -> None:
        """Append what was received."""
        self._buffer += data

    def take_head_untrusted(self) -> bytes | None:
        """Give the next head, checked, or None as long as it is not complete.

        Raises:
            RemoteProtocolError: as :func:`check_head_untrusted`; ``http.head-too-large`` for an incomplete one as
                well; ``http.start-line`` as soon as it is clear that no start line will come.
        """
        if self._may_skip and self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]
            self._may_skip = False
        if self._buffer and self._buffer[0] <= 0x20 and not (self._may_skip and self._buffer == b"\r"):
            # Without this a TLS hello, which holds no line end, would be waited on until the timer runs out.
            raise RemoteProtocolError("http.start-line", "this is not plain HTTP/1.1")
        end = _END.search(self._buffer, max(0, self._searched - 3))
        if end is None:
            self._searched = len(self._buffer)
            if len(self._buffer) > self._max_bytes:
                raise RemoteProtocolError(
                    "http.head-too-large", f"a head of more than {self._max_bytes} bytes"
                )
            return None
        head = bytes(self._buffer[: end.end()])
        check_head_untrusted(head, max_bytes=self._max_bytes, max_lines=self._max_lines)
        del self._buffer[: end.end()]
        self._searched = 0
        self._may_skip = self._skip_empty_line
        return head

    def take_rest(self) -> bytes:
        """Give, and forget, everything behind the last head that was taken."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return rest
