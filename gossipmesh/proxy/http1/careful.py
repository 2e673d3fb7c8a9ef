"""The careful lane: h11 for everything that is not plain, and the rules that h11 leaves to us.

A fresh h11 machine for each exchange, so that a head that came early is judged like any other. Where the fast lane read
or wrote one half of an exchange and the other half turns out not to be plain, a machine that has seen the same first
half stands in for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import h11

from gossipmesh.channel.hop_messages import Headers, ResponseHead
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.proxy.headers import check_framing_untrusted, check_request_untrusted, tokens_of, values_of
from gossipmesh.proxy.http1.lines import Pair
from gossipmesh.proxy.http1.messages import RequestIn, ResponseIn, reason_of

_FRAMING: Final = (b"content-length", b"transfer-encoding")


def new_machine(role: type[h11.SERVER] | type[h11.CLIENT], trailer_bytes: int) -> h11.Connection:
    """Give the machine for one exchange."""
    # Heads reach h11 whole, so what it may find incomplete is a chunk's header or trailers.
    return h11.Connection(role, max_incomplete_event_size=trailer_bytes)


def server_stand_in(request: RequestIn, trailer_bytes: int) -> h11.Connection:
    """Give a machine that has received a request like ``request``, which was plain, and has yet to answer it."""
    machine = new_machine(h11.SERVER, trailer_bytes)
    close = b"Connection: close\r\n" if request.close else b""
    machine.receive_data(b"%b / HTTP/1.1\r\nHost: a\r\n%b\r\n" % (request.method, close))
    machine.next_event()
    machine.next_event()
    return machine


def client_stand_in(method: bytes, trailer_bytes: int) -> h11.Connection:
    """Give a machine that has sent a plain request and has yet to receive the response."""
    machine = new_machine(h11.CLIENT, trailer_bytes)
    machine.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"a")]))
    machine.send(h11.EndOfMessage())
    return machine


# --- reading -------------------------------------------------------------------------------------------------------


def parse_request(machine: h11.Connection, head: bytes) -> h11.Request:
    """Give h11's event for a whole, checked head.

    Raises:
        h11.RemoteProtocolError: it is no request's.
    """
    machine.receive_data(head)
    event = machine.next_event()
    assert isinstance(event, h11.Request), f"a whole head cannot be {event!r}"
    return event


def judge_request(machine: h11.Connection, event: h11.Request) -> RequestIn:
    """Give the request that h11 has parsed. ``machine`` has read its body as well, if there is none.

    Raises:
        RemoteProtocolError: a proxy must not forward it.
    """
    headers = tuple(event.headers.raw_items())
    check_request_untrusted(event.method, event.http_version, headers)
    modern = event.http_version == b"1.1"
    length = _length_of(headers)
    if length == 0:
        machine.next_event()  # From here on the request counts as read to its end.
    hosts = values_of(headers, b"host")
    return RequestIn(
        method=event.method,
        target=event.target,
        version=event.http_version,
        headers=headers,
        length=length,
        expects=modern and length != 0 and bool(values_of(headers, b"expect")),
        upgrade=_upgrade_of(headers) if modern and length == 0 and event.method != b"CONNECT" else b"",
        host=hosts[0] if hosts else None,
        close=not modern or b"close" in tokens_of(headers, b"connection"),
    )


def _length_of(headers: Headers) -> int | None:
    if values_of(headers, b"transfer-encoding"):
        return None
    lengths = values_of(headers, b"content-length")
    return int(lengths[0]) if lengths else 0


def _upgrade_of(headers: Headers) -> bytes:
    if b"upgrade" not in tokens_of(headers, b"connection"):
        return b""
    members = b",".join(values_of(headers, b"upgrade")).split(b",")
    return b", ".join(
        [name for member in members if (name := member.strip(b" \t")) and name.lower() != b"h2c"]
    )


def read_response(machine: h11.Connection, head: bytes, *, method: bytes, asked: Headers) -> ResponseIn:
    """Give the response of a whole, checked head.

    Args:
        machine: has sent the request.
        head: as received.
        method: of the request.
        asked: its headers; a 101 has to answer an Upgrade in there.

    Raises:
        h11.RemoteProtocolError, RemoteProtocolError: it is none, or its end is in doubt.
    """
    machine.receive_data(head)
    event = machine.next_event()
    assert isinstance(event, h11.Response | h11.InformationalResponse), f"a whole head cannot be {event!r}"
    status = event.status_code
    headers = tuple(event.headers.raw_items())
    if status > 599:
        raise RemoteProtocolError("http.status", f"{status} is no HTTP status")
    if isinstance(event, h11.InformationalResponse):
        if status == 101:
            try:
                check_switch(ResponseHead(status, headers), _upgrade_of(asked))
            except LocalProtocolError as error:
                raise RemoteProtocolError(error.code, str(error)) from None
        return ResponseIn(status, headers, 0)
    if event.http_version not in (b"1.0", b"1.1"):
        raise RemoteProtocolError("http.version", "a response that is not HTTP/1.0 or HTTP/1.1")
    check_framing_untrusted(headers, version=event.http_version)
    if method == b"HEAD" or status in (204, 304) or (method == b"CONNECT" and status < 300):
        length: int | None = 0
    elif not values_of(headers, b"content-length"):
        length = None
    else:
        length = _length_of(headers)
    return ResponseIn(status, headers, length)


def body_bytes(event: Any) -> bytes:
    """Give the bytes of a :class:`h11.Data`, of which h11 says that they are ``bytes``, and gives a ``bytearray``."""
    return bytes(event.data)


def check_switch(head: ResponseHead, asked: bytes) -> None:
    """Refuse a 101 whose protocol is not one that was asked for (RFC 9110, section 7.8).

    Args:
        head: of the 101.
        asked: comma-separated, as in :attr:`~.messages.RequestIn.upgrade`.

    Raises:
        LocalProtocolError: ``http.upgrade``.
    """
    wanted = tokens_of(((b"upgrade", asked),), b"upgrade")
    given = tokens_of(head.headers, b"upgrade")
    if not given or not set(given) <= set(wanted):
        raise LocalProtocolError("http.upgrade", "a switch to a protocol that was not asked for")


# --- writing -------------------------------------------------------------------------------------------------------


def request_event(method: bytes, target: bytes, headers: Iterable[Pair]) -> h11.Request:
    """Give h11's event for a request.

    Raises:
        LocalProtocolError: ``http.invalid`` for a head that is no request's; ``http.framing`` for one with two ends.
    """
    try:
        event = h11.Request(method=method, target=target, headers=list(headers))
    except h11.LocalProtocolError as error:
        raise invalid(error) from None
    if {name for name, _ in event.headers}.issuperset(_FRAMING):
        raise LocalProtocolError("http.framing", "Content-Length and Transfer-Encoding in one message")
    return event


def response_event(head: ResponseHead, *, last: bool) -> h11.Response:
    """Give h11's event for a final response.

    Raises:
        LocalProtocolError: ``http.invalid``.
    """
    headers = list(head.headers)
    if last:
        headers.append((b"Connection", b"close"))
    try:
        return h11.Response(status_code=head.status, headers=headers, reason=reason_of(head.status))
    except h11.LocalProtocolError as error:
        raise invalid(error) from None


def interim_event(head: ResponseHead, *, reason: bytes = b"") -> h11.InformationalResponse:
    """Give h11's event for an interim response.

    Raises:
        LocalProtocolError: ``http.invalid``.
    """
    try:
        return h11.InformationalResponse(status_code=head.status, headers=list(head.headers), reason=reason)
    except h11.LocalProtocolError as error:
        raise invalid(error) from None


def without_framing(head: ResponseHead) -> ResponseHead:
    """Give ``head`` as it may precede bytes that are no HTTP (RFC 9110, section 9.3.6)."""
    kept = tuple((name, value) for name, value in head.headers if name.lower() not in _FRAMING)
    return ResponseHead(head.status, kept)


def trailer_event(trailers: Headers) -> h11.EndOfMessage:
    """Give h11's event for the end of a message.

    Raises:
        LocalProtocolError: ``http.invalid``.
    """
    try:
        return h11.EndOfMessage(headers=list(trailers))
    except h11.LocalProtocolError as error:
        raise invalid(error) from None


def announced(event: h11.Request | h11.Response) -> int | None:
    """Give the Content-Length that frames a message, checked by h11; None if there is none."""
    return _length_of(tuple(event.headers)) if has(event, b"content-length") else None


def has(event: h11.Request | h11.Response, name: bytes) -> bool:
    """Tell whether an event has a header called ``name`` (lower case)."""
    return any(field == name for field, _ in event.headers)


def invalid(error: h11.LocalProtocolError) -> LocalProtocolError:
    """Give our error for h11's."""
    return LocalProtocolError("http.invalid", str(error))


def write_trailers(trailers: Headers) -> bytes:
    """Give the end of a chunked body.

    Raises:
        LocalProtocolError: ``http.invalid``.
    """
    event = trailer_event(trailers)
    machine = h11.Connection(h11.CLIENT)
    framing = [(b"Host", b"a"), (b"Transfer-Encoding", b"chunked")]
    machine.send(h11.Request(method=b"POST", target=b"/", headers=framing))
    return machine.send(event)
