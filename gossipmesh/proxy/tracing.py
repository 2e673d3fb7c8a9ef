"""The two names under which one request is found again: x-request-id and traceparent. Pure.

Both are passed on as they came and made where there are none. Entropy is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from attrs import frozen

from gossipmesh.channel.hop_messages import MAX_REQUEST_ID, Headers
from gossipmesh.proxy.headers import values_of

_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,%d}" % MAX_REQUEST_ID)
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]*)?"
)
"""W3C Trace Context, section 3.2; later versions may be longer."""


@frozen
class Trace:
    """How a request is found again, and its headers with both names in them."""

    request_id: bytes
    trace_id: bytes
    """32 hex digits."""
    headers: Headers


def trace_id_of(headers: Headers) -> bytes:
    """Give the trace id (32 hex digits) that the headers of a request carry, or none if there is no valid one."""
    parents = values_of(headers, b"traceparent")
    match = _TRACEPARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    return match[1] if match is not None else b""


def trace(headers: Headers, entropy: Callable[[int], bytes]) -> Trace:
    """Take the request's names from its headers, or make them.

    A name that is there twice, or that is not what it should be, is replaced: it ends in logs and in other
    people's headers. With traceparent goes tracestate, which means nothing without it.

    Args:
        headers: as they will be sent.
        entropy: gives so many random bytes.
    """
    ids = values_of(headers, b"x-request-id")
    trace_id = trace_id_of(headers)
    result = list(headers)
    if len(ids) == 1 and _REQUEST_ID.fullmatch(ids[0]):
        request_id = ids[0]
    else:
        request_id = entropy(16).hex().encode()
        result = [header for header in result if header[0].lower() != b"x-request-id"]
        result.append((b"X-Request-Id", request_id))
    if not trace_id:
        trace_id = entropy(16).hex().encode()
        result = [header for header in result if header[0].lower() not in (b"traceparent", b"tracestate")]
        result.append((b"Traceparent", b"00-%b-%b-01" % (trace_id, entropy(8).hex().encode())))
    return Trace(request_id, trace_id, tuple(result))
