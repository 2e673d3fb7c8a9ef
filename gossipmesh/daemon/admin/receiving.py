"""One request to the admin API, whole: its head, and the body that a change may have."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import h11
import trio
from attrs import field, frozen

from gossipmesh.daemon.admin.answers import CHARTER, TRIALS, Answer

MAX_HEAD: Final = 16 * 1024
CHUNK: Final = 4 * 1024
MAX_BODY: Final = 16 * 1024
"""Bytes; a service with a command of 64 arguments is the longest that anybody would write by hand."""
MAX_OFFERED: Final = 64 * 1024
"""Bytes of something that is signed for the whole mesh."""
WITH_BODY: Final = frozenset({b"PUT", b"PATCH"})
"""Methods whose requests have a body; so has POST below ``CHARTER`` and ``TRIALS``."""


@frozen
class Asked:
    """A request. Method and target are ASCII, for h11 takes no others."""

    request: h11.Request
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")

    @property
    def method(self) -> str:
        """Its method."""
        return self.request.method.decode("ascii")

    @property
    def target(self) -> str:
        """Its target, query and all."""
        return self.request.target.decode("ascii")

    def header(self, name: bytes) -> str:
        """Give the value of a header, in lower case named; empty where it is not there."""
        return next((value.decode("latin-1") for each, value in self.request.headers if each == name), "")


@frozen
class NoRequest:
    """What came is no request, or none that is read to its end: it has an answer, and its connection ends.

    ``to_head``: it had said that it is a HEAD, so the answer goes without its body.
    """

    answer: Answer
    to_head: bool


async def receive_request(
    stream: trio.SocketStream, connection: h11.Connection, *, refused: Callable[[h11.Request], bool]
) -> Asked | NoRequest | None:
    """Give the next request, what to say to something that is none, or None at the end of the connection.

    Args:
        stream: to read from.
        connection: what came so far.
        refused: tells of a head whether it is refused whatever follows; its body is not waited for.
    """
    request: h11.Request | None = None
    body = bytearray()
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            large = status is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            text = f"a request's head has at most {MAX_HEAD} bytes here" if large else "this is not a request"
            return _refused(request, status, text)
        match event:
            case h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    more = connection.send(h11.InformationalResponse(status_code=100, headers=[]))
                    await stream.send_all(more or b"")
                connection.receive_data(await stream.receive_some(CHUNK))
            case h11.Request():
                if (refusal := _refusal_of_form(event)) is not None:
                    return refusal
                request = event
                if refused(event):
                    return Asked(event, b"")
            case h11.EndOfMessage():
                return None if request is None else Asked(request, bytes(body))
            case h11.Data():
                body += event.data
                allowed = 0 if request is None else _allowed(request)
                if len(body) > allowed:
                    text = (
                        f"a body has at most {allowed} bytes here"
                        if allowed
                        else "such requests have no body"
                    )
                    return _refused(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
            case _:
                return None


def _allowed(request: h11.Request) -> int:
    """Give how many bytes the body of a change may have."""
    if request.method == b"POST" and request.target.startswith((CHARTER.encode(), TRIALS.encode())):
        return MAX_OFFERED
    return MAX_BODY if request.method in WITH_BODY else 0


def _refused(request: h11.Request | None, status: HTTPStatus, text: str) -> NoRequest:
    to_head = request is not None and request.method == b"HEAD"
    return NoRequest(Answer.of_error(status, text), to_head)


def _refusal_of_form(request: h11.Request) -> NoRequest | None:
    """Give the answer to a request that h11 takes and that a server should not (RFC 9110, 15.6.6; RFC 9112, 6.1)."""
    if not request.http_version.startswith(b"1."):
        return _refused(request, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "this listener speaks HTTP/1.1")
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in request.headers}:
        text = "content-length beside transfer-encoding: where this request ends is anybody's guess"
        return _refused(request, HTTPStatus.BAD_REQUEST, text)
    return None
