"""What the mesh says itself when a request cannot be answered by its service: flag, status and a short body.

Every such answer carries ``x-gossipmesh-error: FLAG`` and a JSON body; the same flag is in the access log and the
metrics. The flags are Envoy's where it has one.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Final

import h11
from attrs import frozen

from gossipmesh.channel.hop_messages import REFUSED, ResponseHead
from gossipmesh.errors import RemoteProtocolError, RequestError

ERROR_HEADER: Final = b"x-gossipmesh-error"

STATUS: Final = {
    "NR": 404,
    "UH": 503,
    "UF": 503,
    "UO": 503,
    "URX": 503,
    "UR": 502,
    "UC": 502,
    "UPE": 502,
    "UT": 504,
    "DR": 503,
    "LP": 508,
    "AZ": 403,
    "RL": 429,
    "DPE": 400,
}
"""The status that goes with a flag where nothing more is known."""

SAFE_FLAGS: Final = frozenset({"UF", "UO", "DR", "NR", REFUSED})
"""Flags of a reset with which the other daemon says that no app has seen the request: any method may be retried."""

_TEXTS: Final = {
    "NR": "no member of the mesh offers this service; `gossipmesh services` lists those that exist",
    "UH": "no endpoint of this service is healthy; `gossipmesh endpoints` says why",
    "UF": "no endpoint of this service could be connected to",
    "UO": "too many requests are in flight",
    "URX": "every attempt failed, and no more are allowed",
    "UR": "the service's side gave the request up before it answered",
    "UC": "the service closed the connection before it answered",
    "UPE": "the service's answer is not valid HTTP",
    "UT": "the service did not answer in time",
    "DR": "the service's node is draining",
    "LP": "this request came back to the same node too often: two services call each other in a circle",
    "AZ": "policy does not let this source call the service",
    "RL": "this source asks the service more often than its node allows",
    "DPE": "the request is not valid HTTP",
}

_ALLOW: Final = (b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
_STATUS_OF_CODE: Final = {
    "http.head-too-large": 431,
    "http.trailers-too-large": 431,
    "http.version": 505,
    "http.method": 501,
    "http.expectation": 417,
}


def known_flag(flag: str) -> str:
    """Give ``flag``, or ``UR`` for one that does not go with an answer, as later releases may send."""
    # Who says GOAWAY has not looked at a request behind it, and everybody may ask again.
    return "DR" if flag == REFUSED else flag if flag in STATUS else "UR"


def flag_in(head: ResponseHead) -> str:
    """Give the flag of an answer that a daemon gave in its service's place; empty for a service's own."""
    for name, value in head.headers:
        if name == ERROR_HEADER:
            return known_flag(value.decode("ascii", "replace"))
    return ""


_SHOWN_BYTES: Final = re.compile(r"""bytearray\(b(['"].*['"])\)""")


def refusal(flag: str, text: str = "") -> RequestError:
    """Give the error that answers a request with ``flag``, which is one of :data:`STATUS`."""
    return RequestError(flag, STATUS[flag], text or _TEXTS[flag])


def caller_fault(error: RemoteProtocolError | h11.RemoteProtocolError) -> RequestError:
    """Give the error that answers a caller who broke HTTP."""
    if isinstance(error, RemoteProtocolError):
        return RequestError("DPE", _STATUS_OF_CODE.get(error.code, 400), str(error))
    return RequestError("DPE", error.error_status_hint, words_of(error))


def words_of(error: h11.RemoteProtocolError) -> str:
    """Give what h11 says is wrong, and what it read as text in quotes, without the type that holds it there."""
    return _SHOWN_BYTES.sub(r"\1", str(error))


@frozen
class Reply:
    """A whole response made by the mesh."""

    head: ResponseHead
    body: bytes


def reply_to(
    error: RequestError, *, service: str = "", request_id: bytes = b"", outside: bool = False
) -> Reply:
    """Give the response that says ``error`` to the caller; to one ``outside`` the mesh nothing about the mesh."""
    document = {"request_id": request_id.decode("ascii", "replace")}
    if outside:
        own_fault = error.flag == "DPE" or error.status == 405
        document = {"error": str(error) if own_fault else HTTPStatus(error.status).phrase, **document}
    else:
        document = {"error": str(error), "flag": error.flag, "service": service, **document}
    body = json.dumps(document).encode() + b"\n"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (ERROR_HEADER, error.flag.encode()),
    ]
    if error.status == 405:
        # RFC 9110, section 15.5.6: Allow must be there; an empty one is legal, but helps nobody.
        headers.append(_ALLOW)
    if error.retry_after_s:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    return Reply(ResponseHead(error.status, tuple(headers)), body)


def without_body(head: ResponseHead) -> ResponseHead:
    """Give the head of a reply whose body cannot be sent."""
    headers = [
        (name, b"0" if name == b"content-length" else value)
        for name, value in head.headers
        if name != b"content-type"
    ]
    return ResponseHead(head.status, tuple(headers))


def options_reply() -> Reply:
    """Give the answer to an OPTIONS that may go no further (RFC 9110, section 7.6.2).

    The client asks what the last recipient can do, and that is this proxy: it knows methods and nothing else.
    """
    return Reply(ResponseHead(200, (_ALLOW, (b"content-length", b"0"))), b"")
