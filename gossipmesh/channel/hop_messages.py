"""What a request and its answer are between two daemons: values, never HTTP/1.1 text.

A daemon parses HTTP once, at the app's side. From there on a head is a msgpack array whose fields have lengths, so
nothing inside one field can become another one on the way: no request can be smuggled between two daemons. What the
far daemon writes to its app is checked here as well (tokens where RFC 9110 wants tokens, no CR, LF or NUL anywhere):
both when a head is sent and when it is received, because one refused head ends a channel that many requests share.

Shapes (elements that a later release appends are ignored)::

    RequestHead   [service, method, target, [name, value, name, value ...], deadline ms, attempt, request id, source]
    ResponseHead  [status, [name, value ...]]
    End           [[name, value ...], requests in flight, requests queued]
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.wire import Fields, Value, pack, unpack_untrusted

MAX_HEAD: Final = 65_000
"""A head or trailers, encoded. It fits one frame, and a frame never spans two records."""
MAX_HEADERS: Final = 320
"""Headers of one head: more than the proxy takes from an app, so that there is room for those it adds itself."""
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

Headers = tuple[tuple[bytes, bytes], ...]

_MALFORMED: Final = "hop.malformed"
_TOKEN: Final = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_METHOD: Final = re.compile(_TOKEN)
_NAMES: Final = re.compile(rb"%b(?:,%b)*" % (_TOKEN, _TOKEN))
_TARGET: Final = re.compile(rb"[\x21-\x7e]+")
_BREAKS: Final = re.compile(rb"[\r\n\0]")
_FLAG: Final = re.compile(rb"[A-Za-z-]{1,%d}" % MAX_FLAG)


@frozen
class RequestHead:
    """One request as it travels: what the caller asked, and what the mesh knows about the asking."""

    service: str
    method: bytes
    target: bytes
    """The request target in origin form (RFC 9112, section 3.2.1), or ``HOST:PORT`` of a CONNECT."""
    headers: Headers = ()
    """In order, as received, duplicates kept."""
    deadline_ms: int = 0
    """Milliseconds left for the whole request when this was sent; 0: no deadline."""
    attempt: int = 1
    """Which try of this request this is; 1 is the first."""
    request_id: bytes = b""
    source_service: str = ""
    """The service that the caller speaks as, or none. The destination checks it against the caller's chain."""


@frozen
class ResponseHead:
    """One response head. Interim ones (1xx except 101) may come before the final one."""

    status: int
    headers: Headers = ()

    @property
    def final(self) -> bool:
        """Whether the response begins with this head: 101 hands the stream over, 200 and above answer."""
        return self.status >= 200 or self.status == 101


@frozen
class End:
    """The end of one direction of a stream; of a response also how busy its server is, for the balancer."""

    trailers: Headers = ()
    in_flight: int = 0
    """Requests that the sender's daemon is serving."""
    queued: int = 0
    """Requests that wait for their turn there."""


def encode_request_head(head: RequestHead) -> bytes:
    """Encode a request's head.

    Raises:
        LocalProtocolError: ``hop.head-too-long`` (answer 431), or ``hop.head`` for a field that no HTTP message
            may have.
    """
    if not (_METHOD.fullmatch(head.method) and _TARGET.fullmatch(head.target)):
        raise LocalProtocolError("hop.head", "a method that is no token, or a target that is not printable")
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
    if not (_METHOD.fullmatch(method) and _TARGET.fullmatch(target)):
        raise RemoteProtocolError(_MALFORMED, "a method that is no token, or a target that is not printable")
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
    return _encode([_flatten(end.trailers), min(end.in_flight, MAX_LOAD), min(end.queued, MAX_LOAD)])


def decode_end_untrusted(payload: bytes) -> End:
    """Give the end that ``payload`` holds.

    Raises:
        RemoteProtocolError: ``hop.malformed``, for any other bytes.
    """
    fields = _fields(payload)
    return End(
        trailers=_headers(fields), in_flight=fields.integer(0, MAX_LOAD), queued=fields.integer(0, MAX_LOAD)
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


def _plain(names: list[bytes], values: list[bytes]) -> bool:
    if not names:
        return True
    # One match over all names costs half of one each. A comma is in no token, hence the count: the name "a,b"
    # would pass for two.
    joined = b",".join(names)
    tokens = joined.count(b",") == len(names) - 1 and _NAMES.fullmatch(joined) is not None
    return tokens and _BREAKS.search(b"".join(values)) is None


def _flatten(headers: Headers) -> list[Value]:
    if len(headers) > MAX_HEADERS:
        raise LocalProtocolError("hop.head-too-long", f"{len(headers)} headers; {MAX_HEADERS} are allowed")
    if not _plain([name for name, _ in headers], [value for _, value in headers]):
        raise LocalProtocolError("hop.head", "a header name that is no token, or a value with CR, LF or NUL")
    return [part for header in headers for part in header]


def _headers(fields: Fields) -> Headers:
    parts = fields.array(2 * MAX_HEADERS)
    strings = [part for part in parts if type(part) is bytes]
    names, values = strings[::2], strings[1::2]
    if len(strings) != len(parts) or len(names) != len(values) or not _plain(names, values):
        raise RemoteProtocolError(
            _MALFORMED, "headers are pairs of a token and a value without CR, LF or NUL"
        )
    return tuple(zip(names, values, strict=True))
