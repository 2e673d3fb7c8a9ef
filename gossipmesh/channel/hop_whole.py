"""A request that is complete when it begins, or an answer that is, as one message: what most of them are.

A head, its body and its end in frames of their own cost three times what one frame does. Besides, headers travel here
as one byte string (:func:`~gossipmesh.channel.hop_headers.join_lines`), which takes half the time of an array of them.
The shapes are those of the package's other messages (:mod:`gossipmesh.channel.hop_messages`), and so are the checks:
what arrives whole could have arrived in parts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from gossipmesh.channel.hop_headers import join_lines, split_lines_untrusted
from gossipmesh.channel.hop_messages import (
    MAX_ATTEMPT,
    MAX_DEADLINE_MS,
    MAX_LOAD,
    MAX_METHOD,
    MAX_REQUEST_ID,
    REQUEST_LINE,
    End,
    RequestHead,
    ResponseHead,
    is_request_line,
)
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.model import is_name
from gossipmesh.wire import Value, pack, unpack_untrusted

MAX_WHOLE: Final = 16_384
"""Body bytes of a whole message. As much as a chunk of a larger body: it delays others no longer than that."""
MAX_WHOLE_HEAD: Final = 32_768
"""All the rest of one. Whatever is longer goes in parts; so a whole message always fits one frame, and its head is
never too long to go in parts."""

_MALFORMED: Final = "hop.malformed"
_CALL: Final = [bytes, bytes, bytes, bytes, bytes, int, int, bytes, bytes]
_ANSWER: Final = [bytes, int, bytes, int, int, int]


def encode_call(head: RequestHead, body: bytes) -> bytes | None:
    """Encode a whole request; None if its head is too long for that.

    Raises:
        LocalProtocolError: ``hop.head-too-long`` or ``hop.head``, as for a head alone.
    """
    if not is_request_line(head.method, head.target):
        raise LocalProtocolError("hop.head", REQUEST_LINE)
    return _encode(
        [
            body,
            head.service.encode(),
            head.method,
            head.target,
            join_lines(head.headers),
            head.deadline_ms,
            head.attempt,
            head.request_id,
            head.source_service.encode(),
        ],
        len(body),
    )


def decode_call_untrusted(payload: bytes) -> tuple[RequestHead, bytes]:
    """Give the request and the body that ``payload`` holds.

    Raises:
        RemoteProtocolError: ``hop.malformed``, for any other bytes.
    """
    body, service, method, target, lines, deadline_ms, attempt, request_id, source = _decode_untrusted(
        payload, _CALL
    )
    if (
        len(body) > MAX_WHOLE
        or len(method) > MAX_METHOD
        or len(request_id) > MAX_REQUEST_ID
        or not (0 <= deadline_ms <= MAX_DEADLINE_MS and 0 <= attempt <= MAX_ATTEMPT)
        or not is_request_line(method, target)
    ):
        raise RemoteProtocolError(_MALFORMED, "a field of a request is out of its range")
    return RequestHead(
        _name_untrusted(service),
        method,
        target,
        split_lines_untrusted(lines),
        deadline_ms,
        attempt,
        request_id,
        _name_untrusted(source) if source else "",
    ), body


def encode_answer(head: ResponseHead, body: bytes, end: End) -> bytes | None:
    """Encode a whole response, which has no trailers; None if its head is too long for that.

    Raises:
        LocalProtocolError: ``hop.head-too-long`` or ``hop.head``, as for a head alone.
    """
    if head.status > 599:
        raise LocalProtocolError("hop.head", f"{head.status} is no HTTP status")
    in_flight, queued = min(end.in_flight, MAX_LOAD), min(end.queued, MAX_LOAD)
    values: list[Value] = [body, head.status, join_lines(head.headers), in_flight, queued]
    if end.app_us:
        values.append(min(end.app_us, MAX_LOAD))
    return _encode(values, len(body))


def decode_answer_untrusted(payload: bytes) -> tuple[ResponseHead, bytes, End]:
    """Give the response that ``payload`` holds.

    Raises:
        RemoteProtocolError: ``hop.malformed``, for any other bytes, and for an interim head.
    """
    body, status, lines, in_flight, queued, app_us = _decode_untrusted(payload, _ANSWER, may_lack=1)
    if (
        len(body) > MAX_WHOLE
        or not (200 <= status <= 599 or status == 101)
        or not (0 <= in_flight <= MAX_LOAD and 0 <= queued <= MAX_LOAD and 0 <= app_us <= MAX_LOAD)
    ):
        raise RemoteProtocolError(_MALFORMED, "a field of a response is out of its range")
    return ResponseHead(status, split_lines_untrusted(lines)), body, End((), in_flight, queued, app_us)


def _encode(values: list[Value], body_size: int) -> bytes | None:
    payload = pack(values)
    return payload if len(payload) - body_size <= MAX_WHOLE_HEAD else None


def _decode_untrusted(payload: bytes, types: list[type], *, may_lack: int = 0) -> list[Any]:
    """Give the values of a message; of its last ones, all numbers, ``may_lack`` may be missing and are 0 then."""
    values = unpack_untrusted(payload, code=_MALFORMED, max_bytes=MAX_WHOLE_HEAD + MAX_WHOLE)
    if type(values) is list:
        if len(values) > len(types):
            del values[len(types) :]
        elif may_lack and len(values) == len(types) - may_lack:
            values.extend([0] * may_lack)
        # One comparison of all types; `type(True) is bool`, which is none of them.
        if [*map(type, values)] == types:
            return values
    raise RemoteProtocolError(_MALFORMED, "other elements than those of a whole message")


@lru_cache(maxsize=1_024)
def _name_untrusted(raw: bytes) -> str:
    name = raw.decode("ascii", "replace")
    if not is_name(name):
        raise RemoteProtocolError(_MALFORMED, "a name was expected: [a-z0-9-]{1,63}")
    return name
