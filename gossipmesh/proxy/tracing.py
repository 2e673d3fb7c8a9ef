"""The two names under which one request is found again: x-request-id and traceparent. Pure.

Both are passed on as they came and made where there are none. Entropy is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from gossipmesh.channel.hop_messages import MAX_REQUEST_ID, Headers
from gossipmesh.model import value
from gossipmesh.proxy.kinds import KINDS, REQUEST_ID, TRACE_PARENT, TRACE_STATE, TRACED

_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,%d}" % MAX_REQUEST_ID)
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]*)?"
)
"""W3C Trace Context, section 3.2; later versions may be longer."""
_SHAPE: Final = bytes(
    ord("h") if byte in b"0123456789abcdef" else byte if byte == ord("-") else 0 for byte in range(256)
)
_SHAPE_OF_PARENT: Final = b"hh-%b-%b-hh" % (b"h" * 32, b"h" * 16)
_NO_TRACE: Final = b"0" * 32
_NO_PARENT: Final = b"0" * 16


@value
class Trace:
    """How a request is found again, and its headers with both names in them."""

    request_id: bytes
    trace_id: bytes
    """32 hex digits."""
    headers: Headers


def trace_id_of(headers: Headers) -> bytes:
    """Give the trace id (32 hex digits) that the headers of a request carry, or none if there is no valid one."""
    others = TRACED.others
    named = [header for header in headers if header[0] not in others]
    parents = [value for name, value in named if KINDS[name] & TRACE_PARENT]
    return _trace_id_in(parents[0]) if len(parents) == 1 else b""


def _trace_id_in(parent: bytes) -> bytes:
    # Almost all are of version 00, and for these a look at the shape takes half as long.
    if parent.translate(_SHAPE) == _SHAPE_OF_PARENT and parent.startswith(b"00"):
        trace_id = parent[3:35]
        return b"" if trace_id == _NO_TRACE or parent.startswith(_NO_PARENT, 36) else trace_id
    match = _TRACEPARENT.fullmatch(parent)
    return match[1] if match is not None else b""


def trace(headers: Headers, entropy: Callable[[int], bytes]) -> Trace:
    """Take the request's names from its headers, or make them.

    A name that is there twice, or that is not what it should be, is replaced: it ends in logs and in other
    people's headers. With traceparent goes tracestate, which means nothing without it.

    Args:
        headers: as they will be sent.
        entropy: gives so many random bytes.
    """
    others = TRACED.others
    named = [header for header in headers if header[0] not in others]
    by_kind = {KINDS[name]: value for name, value in named}
    if len(by_kind) == len(named):
        request_id = by_kind.get(REQUEST_ID, b"")
        trace_id = _trace_id_in(by_kind.get(TRACE_PARENT, b""))
        if trace_id and _is_request_id(request_id):
            return Trace(request_id, trace_id, headers)
    ids = [value for name, value in named if KINDS[name] & REQUEST_ID]
    return _mended(headers, ids, trace_id_of(headers), entropy)


def _is_request_id(text: bytes) -> bool:
    # Most are UUIDs or hex digits, and that is seen in a quarter of the time.
    plain = text.replace(b"-", b"").isalnum() and len(text) <= MAX_REQUEST_ID
    return plain or _REQUEST_ID.fullmatch(text) is not None


def _mended(headers: Headers, ids: list[bytes], trace_id: bytes, entropy: Callable[[int], bytes]) -> Trace:
    """Make the name that is missing or not valid, or both."""
    made: Headers = ()
    unwanted = 0
    if len(ids) == 1 and _is_request_id(ids[0]):
        request_id = ids[0]
    else:
        unwanted = REQUEST_ID
        request_id = entropy(16).hex().encode()
        made = ((b"X-Request-Id", request_id),)
    if not trace_id:
        unwanted |= TRACE_PARENT | TRACE_STATE
        entropy_of_both = entropy(24)
        trace_id = entropy_of_both[:16].hex().encode()
        parent = b"00-%b-%b-01" % (trace_id, entropy_of_both[16:].hex().encode())
        made = (*made, (b"Traceparent", parent))
    kept = tuple(header for header in headers if not KINDS[header[0]] & unwanted)
    return Trace(request_id, trace_id, (*kept, *made))
