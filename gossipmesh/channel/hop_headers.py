"""Headers between two daemons: what names and values may be, and how many are checked at once.

A name is a token (RFC 9110, section 5.6.2), a value is anything without CR, LF and NUL. Both are checked where headers
are sent and where they are received. One search over all headers of a head costs a tenth of one over each; and real
heads use the same few names again and again, so that those known to be tokens are remembered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gossipmesh.channel.header_lines import BAD, HeaderLines, kinds_untrusted
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError

MAX_HEADERS: Final = 320
"""Headers of one head: more than the proxy takes from an app, so that there is room for those it adds itself."""
MAX_REMEMBERED: Final = 1_024
"""Names known to be tokens; then all are forgotten, lest somebody fills the place with names that nobody uses."""
MAX_REMEMBERED_NAME: Final = 64
"""Bytes of a name that is remembered."""

Headers = Sequence[tuple[bytes, bytes]]

TOKEN: Final = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
# A search for a number finds a byte five times as fast as one for a string of that one byte.
_CR: Final = 13
_LF: Final = 10
_NUL: Final = 0
_NAMES: Final = re.compile(rb"%b(?:,%b)*" % (TOKEN, TOKEN))
_known: Final[set[bytes]] = set()


def are_tokens(names: Sequence[bytes]) -> bool:
    """Tell whether all ``names`` are tokens."""
    if _known.issuperset(names):
        return True
    # One match over all names costs half of one each. A comma is in no token, hence the count: the name "a,b"
    # would pass for two.
    joined = b",".join(names)
    if joined.count(b",") != len(names) - 1 or _NAMES.fullmatch(joined) is None:
        return False
    if len(_known) + len(names) > MAX_REMEMBERED:
        _known.clear()
    _known.update([name for name in names if len(name) <= MAX_REMEMBERED_NAME])
    return True


def are_values(values: Sequence[bytes]) -> bool:
    """Tell whether all ``values`` may be values of headers."""
    joined = b"".join(values)
    return not (_CR in joined or _LF in joined or _NUL in joined)


def join_lines(headers: Headers) -> bytes:
    """Give headers as ``Name: value NUL Name: value ...``.

    Raises:
        LocalProtocolError: ``hop.head-too-long`` or ``hop.head``.
    """
    if not headers:
        return b""
    check_number(headers)
    if type(headers) is HeaderLines:
        return b"\0".join(headers.lines)
    lines = b"\0".join([name + b": " + value for name, value in headers])
    plain = lines.count(b"\0") == len(headers) - 1 and b"\r" not in lines and b"\n" not in lines
    if not (plain and are_tokens([name for name, _ in headers])):
        raise not_plain()
    return lines


def split_lines_untrusted(lines: bytes) -> Headers:
    """Give the headers that :func:`join_lines` made one string of.

    Raises:
        RemoteProtocolError: ``hop.malformed``, for any other bytes.
    """
    if not lines:
        return ()
    parts = lines.split(b"\0", MAX_HEADERS)
    kinds = kinds_untrusted(parts)
    if BAD in kinds or len(parts) > MAX_HEADERS:
        raise malformed_headers()
    return HeaderLines(parts, kinds)


def check_number(headers: Headers) -> None:
    """Raise LocalProtocolError ``hop.head-too-long`` for more headers than :data:`MAX_HEADERS`."""
    if len(headers) > MAX_HEADERS:
        raise LocalProtocolError("hop.head-too-long", f"{len(headers)} headers; {MAX_HEADERS} are allowed")


def not_plain() -> LocalProtocolError:
    """Give the error for headers that must not be sent."""
    return LocalProtocolError("hop.head", "a header name that is no token, or a value with CR, LF or NUL")


def malformed_headers() -> RemoteProtocolError:
    """Give the error for headers that must not be received."""
    return RemoteProtocolError(
        "hop.malformed", "headers are pairs of a token and a value without CR, LF or NUL"
    )
