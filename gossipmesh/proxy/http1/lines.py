"""Single header lines, validated once and remembered by their bytes.

Whole heads rarely repeat: paths, ids and cookies differ. Most of their lines do repeat. So each line is matched on its
own, once; from then on it costs one look into a dict (0.1 us against 0.6). What is not remembered, because it would
push out what is worth it or is better not kept: lines that carry ids, secrets or times, and long ones.

A line is in here only if h11 gives the same name and value for it. What frames or routes a message has a kind; what
needs more than one line to be understood, or is merely rare, is nobody's here: None, and h11 decides.
"""

from __future__ import annotations

import re
from typing import Final

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.proxy.headers import check_framing_untrusted

MAX_LINES: Final = 2_048
"""Lines remembered; above it all are forgotten, and those in use are back within a request or two."""
LONGEST: Final = 128
"""Bytes of a line that is remembered."""
MAX_LENGTH_DIGITS: Final = 20
"""Digits of a Content-Length; h11 refuses more."""

FREE: Final = 0
"""The kind of a line that means nothing to HTTP's framing."""
HOST: Final = 1
LENGTH: Final = 2
CLOSE: Final = 3
"""Connection, with ``close`` among its members."""
OPEN: Final = 4
"""Connection, without."""

_CHANGING: Final = 5
_DOUBTFUL: Final = 6

_NAMED: Final = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"connection": OPEN,
    b"transfer-encoding": _DOUBTFUL,
    b"expect": _DOUBTFUL,
    b"upgrade": _DOUBTFUL,
} | dict.fromkeys(
    (
        b"authorization",
        b"b3",
        b"cookie",
        b"etag",
        b"idempotency-key",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"last-modified",
        b"location",
        b"proxy-authorization",
        b"referer",
        b"request-id",
        b"set-cookie",
        b"traceparent",
        b"tracestate",
        b"x-amzn-trace-id",
        b"x-b3-parentspanid",
        b"x-b3-spanid",
        b"x-b3-traceid",
        b"x-cloud-trace-context",
        b"x-correlation-id",
        b"x-request-id",
    ),
    _CHANGING,
)

# Less than h11 takes: no control or non-ASCII characters, no tab inside a value.
_TOKEN: Final = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_VALUE: Final = rb"(?:[!-~](?:[ -~]*[!-~])?)?"
_match_line: Final = re.compile(rb"(%b):[ \t]*(%b)[ \t]*\r" % (_TOKEN, _VALUE)).fullmatch
_match_name: Final = re.compile(_TOKEN).fullmatch
match_value: Final = re.compile(_VALUE).fullmatch

Pair = tuple[bytes, bytes]
Received = tuple[Pair, int]
"""A line's name and value, and its kind."""
Written = tuple[bytes, int]
"""A header as it is written, CR LF included, and its kind."""

received: Final[dict[bytes, Received]] = {}
"""By the line as it came, its CR included and its LF not: what splitting a head at LF leaves."""
written: Final[dict[Pair, Written]] = {}
changing: Final[set[bytes]] = set()
"""Names, as they are spelt, of lines that are not remembered."""
_names: Final[dict[bytes, int]] = {}


def learn_received(line: bytes) -> Received | None:
    """Give what a line that is not in :data:`received` says; None in doubt."""
    match = _match_line(line)
    if match is None:
        return None
    name, value = pair = match[1], match[2]
    kind = _names.get(name)
    if kind is None:
        kind = _learn_name(name)
    if kind == _CHANGING:
        return pair, FREE
    kind = _kind_of(kind, value)
    if kind == _DOUBTFUL:
        return None
    if len(line) <= LONGEST:
        if len(received) >= MAX_LINES:
            received.clear()
        received[line] = pair, kind
    return pair, kind


def learn_written(pair: Pair) -> Written | None:
    """Give how a header that is not in :data:`written` is written; None in doubt, or if it must not be written."""
    name, value = pair
    kind = _names.get(name)
    if kind is None:
        if _match_name(name) is None:
            return None
        kind = _learn_name(name)
    if match_value(value) is None:
        return None
    line = b"%b: %b\r\n" % pair
    if kind == _CHANGING:
        return line, FREE
    kind = _kind_of(kind, value)
    if kind == _DOUBTFUL:
        return None
    if len(line) <= LONGEST:
        if len(written) >= MAX_LINES:
            written.clear()
        written[pair] = line, kind
    return line, kind


def _learn_name(name: bytes) -> int:
    lower = name.lower()
    kind = _NAMED.get(lower, FREE)
    try:
        check_framing_untrusted(((lower, b""),), version=b"1.1")
    except RemoteProtocolError:
        kind = _DOUBTFUL
    if len(name) <= LONGEST:
        if len(_names) >= MAX_LINES:
            _names.clear()
            changing.clear()
        _names[name] = kind
        if kind == _CHANGING:
            changing.add(name)
    return kind


def _kind_of(kind: int, value: bytes) -> int:
    """Give the kind of a line from that of its name."""
    if kind == LENGTH:
        return LENGTH if value.isdigit() and len(value) <= MAX_LENGTH_DIGITS else _DOUBTFUL
    if kind == OPEN and b"close" in [member.strip() for member in value.lower().split(b",")]:
        return CLOSE
    return kind
