"""Header lines, and what kind of header each is: judged once, and remembered by their bytes. Pure but for that memory.

Real heads differ in every request, but most of their *lines* repeat. A line is ``Name: value``, with one space and
nothing around the value, as nearly everybody writes it; what it is to a proxy is one small number, so that a head of a
dozen lines costs a dozen look-ups. Lines that carry an id or a session are judged anew each time and not remembered.

The law: a line that could be read in two ways is :data:`BAD` or :data:`ODD`, never anything better. ``BAD`` is no
header at all; ``ODD`` is one that the quick way knows nothing about, and that the general rules (``proxy/headers.py``)
must look at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, overload

PLAIN: Final = 1
"""End to end, and nobody's business here."""
HOST: Final = 2
LENGTH: Final = 3
"""Content-Length, of 1 to 18 digits."""
REQUEST_ID: Final = 4
"""x-request-id, with an id that may be passed on."""
TRACEPARENT: Final = 5
TRACESTATE: Final = 6
FORWARDED: Final = 7
"""x-forwarded-for, -proto or -host."""
VIA: Final = 8
DROPPED: Final = 9
"""About one connection, and saying nothing but that it may be kept."""
ODD: Final = 10
BAD: Final = 11

MAX_LINES: Final = 4_096
"""Lines that are remembered; one more, and all are forgotten: whoever sends odd ones gains no more than that."""
MAX_LINE: Final = 128
"""Bytes of a line that is remembered."""
MAX_REQUEST_ID: Final = 128
REQUEST_ID_AT: Final = len(b"x-request-id: ")
HOST_AT: Final = len(b"host: ")
LENGTH_AT: Final = len(b"content-length: ")
TRACE_ID_FROM: Final = len(b"traceparent: 00-")
TRACE_ID_TO: Final = TRACE_ID_FROM + 32

_VALUE: Final = re.compile(rb"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?")
_STRICT: Final = re.compile(rb"[0-9A-Za-z-]+: " + _VALUE.pattern)
"""A line that every parser reads alike. Names with other characters are legal, but may be another name to an app."""
_LENIENT: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+: [^\r\n\0]*")
"""A token (RFC 9110, section 5.6.2), and any value that cannot end a line."""
_ID: Final = re.compile(rb"[\x21-\x7e]{1,%d}" % MAX_REQUEST_ID)
_PARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]*)?"
)
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_KEEPS: Final = re.compile(rb"keep-alive", re.IGNORECASE)

_SPECIAL: Final[dict[bytes, tuple[int, re.Pattern[bytes]]]] = {
    b"host": (HOST, _VALUE),
    b"content-length": (LENGTH, _DIGITS),
    b"x-request-id": (REQUEST_ID, _ID),
    b"traceparent": (TRACEPARENT, _PARENT),
    b"tracestate": (TRACESTATE, _VALUE),
    b"x-forwarded-for": (FORWARDED, _VALUE),
    b"x-forwarded-proto": (FORWARDED, _VALUE),
    b"x-forwarded-host": (FORWARDED, _VALUE),
    b"via": (VIA, _VALUE),
    b"connection": (DROPPED, _KEEPS),
    b"proxy-connection": (DROPPED, _KEEPS),
    b"keep-alive": (DROPPED, _VALUE),
}
"""What has a kind of its own where its value is as the pattern says, and is odd otherwise."""
_ODD_NAMES: Final = frozenset(
    {
        b"close",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
        b"http2-settings",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"max-forwards",
    }
)
_UNREMEMBERED: Final = frozenset(
    {b"x-request-id", b"traceparent", b"tracestate", b"cookie", b"authorization"}
)


class HeaderLines(Sequence[tuple[bytes, bytes]]):
    """Headers as their lines, with the kind of each; pairs of name and value are made for who asks for them.

    Args:
        lines: ``Name: value``, each of them judged, and none of them :data:`BAD`.
        kinds: what :func:`kinds_untrusted` gave for them.
    """

    __slots__ = ("_pairs", "kinds", "lines")

    def __init__(self, lines: list[bytes], kinds: bytes) -> None:
        self.lines = lines
        self.kinds = kinds
        self._pairs: tuple[tuple[bytes, bytes], ...] | None = None

    @property
    def pairs(self) -> tuple[tuple[bytes, bytes], ...]:
        """Name and value of each."""
        if self._pairs is None:
            parts = [line.partition(b": ") for line in self.lines]
            self._pairs = tuple([(name, value) for name, _, value in parts])
        return self._pairs

    @overload
    def __getitem__(self, index: int) -> tuple[bytes, bytes]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[tuple[bytes, bytes], ...]: ...
    def __getitem__(self, index: int | slice) -> tuple[bytes, bytes] | tuple[tuple[bytes, bytes], ...]:
        return self.pairs[index]

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        # What Sequence would do is ask for one after the other by number, ten times as slow.
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.lines)

    def __eq__(self, other: object) -> bool:
        return self.pairs == (other.pairs if isinstance(other, HeaderLines) else other)

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __repr__(self) -> str:
        return repr(self.pairs)


_lines: Final[dict[bytes, int]] = {}
_names: Final[dict[bytes, tuple[int, re.Pattern[bytes], bool]]] = {}


def kinds_untrusted(lines: list[bytes]) -> bytes:
    """Give the kind of each of ``lines``."""
    known = _lines.get
    return bytes([known(line) or _judge(line) for line in lines])


def _judge(line: bytes) -> int:
    name, _, value = line.partition(b": ")
    known = _names.get(name)
    if known is None:
        if _STRICT.fullmatch(line) is None:
            return _judge_other(line)
        known = _judge_name(name)
    kind, values, remembered = known
    if values.fullmatch(value) is None:
        # Perhaps a value that is only not as this name's should be.
        kind = ODD if _VALUE.fullmatch(value) is not None else _judge_other(line)
    if remembered and len(line) <= MAX_LINE:
        if len(_lines) >= MAX_LINES:
            _lines.clear()
        _lines[line] = kind
    return kind


def _judge_other(line: bytes) -> int:
    return ODD if _LENIENT.fullmatch(line) is not None else BAD


def _judge_name(name: bytes) -> tuple[int, re.Pattern[bytes], bool]:
    """Judge a name that is known to be one."""
    lower = name.lower()
    kind, values = PLAIN, _VALUE
    if lower in _SPECIAL:
        kind, values = _SPECIAL[lower]
    elif lower in _ODD_NAMES or lower.startswith(b"x-gossipmesh"):
        kind = ODD
    known = kind, values, lower not in _UNREMEMBERED
    if len(name) <= MAX_LINE:
        if len(_names) >= MAX_LINES:
            _names.clear()
        _names[name] = known
    return known
