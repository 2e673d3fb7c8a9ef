"""What a request and its answer are between two daemons: values, never HTTP/1.1 text.

A daemon parses HTTP once, at the app's side. From there on a head is a msgpack array whose fields have lengths, so
nothing inside one field can become another one on the way: no request can be smuggled between two daemons. What the
far daemon writes to its app is checked here as well (tokens where RFC 9110 wants tokens, no CR, LF or NUL anywhere):
both when a head is sent and when it is received, because one refused head ends a channel that many requests share.

Shapes (elements that a later release appends are ignored)::

    RequestHead   [service, method, target, [name, value, name, value ...], deadline ms, attempt, request id, source]
    ResponseHead  [status, [name, value ...]]
    End           [[name, value ...], requests in flight, requests queued, microseconds of the app]

and, where they are complete when they begin (:mod:`gossipmesh.channel.hop_whole`)::

    Call          [body, service, method, target, lines, deadline ms, attempt, request id, source]
    Answer        [body, status, lines, requests in flight, requests queued, microseconds of the app]

The microseconds are left out where there is nothing to say, as they are by older releases.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final

from gossipmesh.channel import hop_headers
from gossipmesh.channel.hop_headers import are_tokens, are_values, check_number
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.unchanging import Unchanging
from gossipmesh.wire import Fields, Value, pack, unpack_untrusted

MAX_HEAD: Final = 65_000
"""A head or trailers, encoded. It fits one frame, and a frame never spans two records."""
MAX_METHOD: Final = 32
MAX_REQUEST_ID: Final = 128
MAX_DEADLINE_MS: Final = 2**32 - 1
MAX_ATTEMPT: Final = 255
MAX_LOAD: Final = 2**32 - 1
MAX_FLAG: Final = 16

REFUSED: Final = "refused"
"""The flag of a stream whose request nobody has begun to handle: another try is safe, for a POST too."""
UPSTREAM_CLOSED: Final = "UC"
"""The flag of a stream whose channel broke."""
UNWANTED: Final = "UR"
"""The flag of a stream whose destination has answered without taking all of the request, or without answering."""

REQUEST_LINE: Final = "a method that is no token, or a target that is not printable"
"""What is wrong with a request line that is none."""
MAX_HEADERS: Final = hop_headers.MAX_HEADERS
Headers = hop_headers.Headers

_MALFORMED: Final = "hop.malformed"
_USUAL: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_is_method: Final = re.compile(hop_headers.TOKEN).fullmatch
_is_target: Final = re.compile(rb"[\x21-\x7e]+").fullmatch
_FLAG: Final = re.compile(rb"[A-Za-z-]{1,%d}" % MAX_FLAG)


class RequestHead(Unchanging):
    """One request as it travels: what the caller asked, and what the mesh knows about the asking."""

    __match_args__: ClassVar = (
        "service",
        "method",
        "target",
        "headers",
        "deadline_ms",
        "attempt",
        "request_id",
        "source_service",
    )
    __slots__ = __match_args__

    def __init__(  # noqa: PLR0917 -- one for each field
        self,
        service: str,
        method: bytes,
        target: bytes,
        headers: Headers = (),
        deadline_ms: int = 0,
        attempt: int = 1,
        request_id: bytes = b"",
        source_service: str = "",
    ) -> None:
        self.service: Final = service
        self.method: Final = method
        self.target: Final = target
        """The request target in origin form (RFC 9112, section 3.2.1), or ``HOST:PORT`` of a CONNECT."""
        self.headers: Final = headers
        """In order, as received, duplicates kept."""
        self.deadline_ms: Final = deadline_ms
        """Milliseconds left for the whole request when this was sent; 0: no deadline."""
        self.attempt: Final = attempt
        """Which try of this request this is; 1 is the first."""
        self.request_id: Final = request_id
        self.source_service: Final = source_service
        """The service that the caller speaks as, or none. The destination checks it against the caller's chain."""


class ResponseHead(Unchanging):
    """One response head. Interim ones (1xx except 101) may come before the final one."""

    __match_args__: ClassVar = ("status", "headers")
    __slots__ = __match_args__

    def __init__(self, status: int, headers: Headers = ()) -> None:
        self.status: Final = status
        self.headers: Final = headers

    @property
    def final(self) -> bool:
        """Whether the response begins with this head: 101 hands the stream over, 200 and above answer."""
        return self.status >= 200 or self.status == 101


class End(Unchanging):
    """The end of one direction of a stream; of a response also how busy its server is, for the balancer."""

    __match_args__: ClassVar = ("trailers", "in_flight", "queued", "app_us")
    __slots__ = __match_args__

    def __init__(self, trailers: Headers = (), in_flight: int = 0, queued: int = 0, app_us: int = 0) -> None:
        self.trailers: Final = trailers
        self.in_flight: Final = in_flight
        """Requests that the sender's daemon is serving."""
        self.queued: Final = queued
        """Requests that wait for their turn there."""
        self.app_us: Final = app_us
        """Of a response: microseconds from the request's arrival to the first byte of its app's answer; 0: not said."""


def app_us_of(took_s: float) -> int:
    """Give what :attr:`End.app_us` says of an app that took ``took_s`` seconds: at least 1, for it did answer.

    Clocks are read once a turn: an app that answers within the turn of its request took none by that measure.
    """
    return max(1, int(took_s * 1e6))


def is_request_line(method: bytes, target: bytes) -> bool:
    """Tell whether a request may have this method and this target."""
    return (method in _USUAL or _is_method(method) is not None) and _is_target(target) is not None


def encode_request_head(head: RequestHead) -> bytes:
    """Encode a request's head.

    Raises:
        LocalProtocolError: ``hop.head-too-long`` (answer 431), or ``hop.head`` for a field that no HTTP message
            may have.
    """
    if not is_request_line(head.method, head.target):
        raise LocalProtocolError("hop.head", REQUEST_LINE)
    return _encode(
        [
            head.service.encode(),
            head.method,
            head.target,
            _flatten(head.headers),
            head.deadline_ms,
            head.attempt,
            head.request_id,
            head.source_service.encode(),
        ]
    )


def decode_request_head_untrusted(payload: bytes) -> RequestHead:
    """Give the request head that ``payload`` holds.

    Raises:
        RemoteProtocolError: ``hop.malformed``, for any other bytes.
    """
    fields = _fields(payload)
    service = fields.name()
    method = fields.binary(1, MAX_METHOD)
    target = fields.binary(1, MAX_HEAD)
    if not is_request_line(method, target):
        raise RemoteProtocolError(_MALFORMED, REQUEST_LINE)
    return RequestHead(
        service=service,
        method=method,
        target=target,
        headers=_headers(fields),
        deadline_ms=fields.integer(0, MAX_DEADLINE_MS),
        attempt=fields.integer(0, MAX_ATTEMPT),
        request_id=fields.binary(0, MAX_REQUEST_ID),
        source_service=fields.name(empty=True),
    )


def encode_response_head(head: ResponseHead) -> bytes:
    """Encode a response's head.

    Raises:
        LocalProtocolError: ``hop.head-too-long`` or ``hop.head``.
    """
    if not 100 <= head.status <= 599:
        raise LocalProtocolError("hop.head", f"{head.status} is no HTTP status")
    return _encode([head.status, _flatten(head.headers)])


def decode_response_head_untrusted(payload: bytes) -> ResponseHead:
    """Give the response head that ``payload`` holds.

    Raises:
        RemoteProtocolError: ``hop.malformed``, for any other bytes.
    """
    fields = _fields(payload)
    return ResponseHead(status=fields.integer(100, 599), headers=_headers(fields))


def encode_end(end: End) -> bytes:
    """Encode the end of one direction.

    Raises:
        LocalProtocolError: ``hop.head-too-long`` or ``hop.head``, for its trailers.
    """
    values: list[Value] = [_flatten(end.trailers), min(end.in_flight, MAX_LOAD), min(end.queued, MAX_LOAD)]
    if end.app_us:
        values.append(min(end.app_us, MAX_LOAD))
    return _encode(values)


def decode_end_untrusted(payload: bytes) -> End:
    """Give the end that ``payload`` holds.

    Raises:
        RemoteProtocolError: ``hop.malformed``, for any other bytes.
    """
    fields = _fields(payload)
    return End(
        trailers=_headers(fields),
        in_flight=fields.integer(0, MAX_LOAD),
        queued=fields.integer(0, MAX_LOAD),
        app_us=fields.integer(0, MAX_LOAD) if fields.left else 0,
    )


def encode_flag(flag: str) -> bytes:
    """Encode why a stream was reset.

    Raises:
        LocalProtocolError: ``hop.flag``, for anything but 1 to 16 letters and hyphens.
    """
    payload = flag.encode()
    if _FLAG.fullmatch(payload) is None:
        raise LocalProtocolError("hop.flag", f"{flag!r} is no flag")
    return payload


def decode_flag_untrusted(payload: bytes) -> str:
    """Give the flag that ``payload`` holds.

    Raises:
        RemoteProtocolError: ``hop.malformed``, for any other bytes.
    """
    if _FLAG.fullmatch(payload) is None:
        raise RemoteProtocolError(_MALFORMED, "a flag is 1 to 16 letters and hyphens")
    return payload.decode()


def _encode(value: list[Value]) -> bytes:
    payload = pack(value)
    if len(payload) > MAX_HEAD:
        raise LocalProtocolError(
            "hop.head-too-long", f"a head of {len(payload)} bytes; {MAX_HEAD} are allowed"
        )
    return payload


def _fields(payload: bytes) -> Fields:
    return Fields(unpack_untrusted(payload, code=_MALFORMED, max_bytes=MAX_HEAD), code=_MALFORMED)


def _flatten(headers: Headers) -> list[Value]:
    check_number(headers)
    if not (are_tokens([name for name, _ in headers]) and are_values([text for _, text in headers])):
        raise hop_headers.not_plain()
    return [part for header in headers for part in header]


def _headers(fields: Fields) -> Headers:
    parts = fields.array(2 * MAX_HEADERS)
    strings = [part for part in parts if type(part) is bytes]
    names, values = strings[::2], strings[1::2]
    if len(strings) != len(parts) or len(names) != len(values):
        raise hop_headers.malformed_headers()
    if not (are_tokens(names) and are_values(values)):
        raise hop_headers.malformed_headers()
    return tuple(zip(names, values, strict=True))
