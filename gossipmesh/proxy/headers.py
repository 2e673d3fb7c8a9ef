"""What a proxy may and must do to header fields: pure functions from header lists to header lists.

Names and values are bytes and travel as received: in order, duplicates kept, case kept. What is taken away and added
is said here and nowhere else. Both daemons apply the stripping rules, because the one that talks to an app must not
rely on the other one having done so. References are to RFC 9110 (semantics) and RFC 9112 (HTTP/1.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from gossipmesh.channel.hop_messages import MAX_METHOD, Headers
from gossipmesh.errors import RemoteProtocolError

Pairs = list[tuple[bytes, bytes]]
"""Headers under work; finished ones are :data:`~gossipmesh.channel.hop_messages.Headers`."""

SOURCE_HEADER: Final = b"x-gossipmesh-source"
"""The service that the caller speaks as; absent if it speaks as none."""
NODE_HEADER: Final = b"x-gossipmesh-node"
"""The caller's node, by name."""
OURS: Final = b"x-gossipmesh-"
"""Every name that starts so is the mesh's own: what arrives under one is dropped."""

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"proxy-connection",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
        b"proxy-authenticate",
        b"proxy-authorization",
    }
)
_FRAMING: Final = frozenset(
    {
        b"content-length",
        b"transfer-encoding",
        b"host",
        b"connection",
        b"keep-alive",
        b"te",
        b"trailer",
        b"upgrade",
        b"expect",
    }
)
"""Names that frame or route a message; another spelling of one is refused."""
_FORWARDED: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"})
_KEPT: Final = frozenset({b"host", b"content-length", b"via"})
"""What a Connection token cannot remove, besides the forwarded and our own headers."""
_NOT_IN_TRAILERS: Final = (
    _FRAMING
    | _HOP_BY_HOP
    | _FORWARDED
    | frozenset(
        {
            # RFC 9110, section 6.5.1: routing, authentication, request modifiers, response control, content format.
            b"via",
            b"authorization",
            b"www-authenticate",
            b"cookie",
            b"set-cookie",
            b"cache-control",
            b"max-forwards",
            b"range",
            b"content-encoding",
            b"content-type",
            b"content-range",
            b"location",
            b"retry-after",
            b"vary",
            b"age",
            b"expires",
            b"date",
        }
    )
)
_ODD: Final = re.compile(rb"[^0-9a-z-]")


def canonical(name: bytes) -> bytes:
    """Give the name that CGI, WSGI and their kin see: lower case, everything but letters and digits alike.

    They turn ``Content_Length`` and ``Content-Length`` into one variable, so a header that we leave alone could
    stand in the app for one that we check.
    """
    return _ODD.sub(b"-", name.lower())


def _aliases(lower: bytes, names: frozenset[bytes]) -> bool:
    """Tell whether a name, in lower case, is another spelling of one of ``names``."""
    return _ODD.search(lower) is not None and canonical(lower) in names


def _is_ours(lower: bytes) -> bool:
    # The first look is the cheap one: this runs for every header of every message.
    return b"gossipmesh" in lower and canonical(lower).startswith(OURS)


def values_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Give the values of every field called ``name`` (lower case), in order."""
    return [value for field, value in headers if field.lower() == name]


def tokens_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Give the comma-separated members of every field called ``name``, lower case, empty ones left out."""
    members = b",".join(values_of(headers, name)).lower().split(b",")
    return [token for member in members if (token := member.strip(b" \t"))]


def check_framing_untrusted(headers: Headers, *, version: bytes) -> None:
    """Refuse a message whose end two parsers could see in different places (RFC 9112, section 6.3).

    Args:
        headers: of a request or response, as parsed.
        version: of the HTTP message that they came in, ``b"1.1"``; that of a hop's head is ``b"1.1"``.

    Raises:
        RemoteProtocolError: ``http.framing`` for Content-Length beside Transfer-Encoding, or for the latter in
            HTTP/1.0; ``http.alias`` for another spelling of a name that frames or routes.
    """
    names = {name.lower() for name, _ in headers}
    if b"transfer-encoding" in names:
        if b"content-length" in names:
            raise RemoteProtocolError("http.framing", "Content-Length and Transfer-Encoding in one message")
        if version < b"1.1":
            raise RemoteProtocolError("http.framing", "Transfer-Encoding in an HTTP/1.0 message")
    for name in names:
        if _aliases(name, _FRAMING):
            raise RemoteProtocolError(
                "http.alias", f"{name.decode('ascii')!r} reads like another header's name"
            )


def check_request_untrusted(method: bytes, version: bytes, headers: Headers) -> None:
    """Refuse a request that a proxy must not forward.

    Raises:
        RemoteProtocolError: as :func:`check_framing_untrusted`; ``http.preface`` for that of HTTP/2;
            ``http.version`` for anything but 1.0 and 1.1; ``http.method`` for one longer than any method is;
            ``http.expectation`` for any but 100-continue.
    """
    if method == b"PRI":
        raise RemoteProtocolError("http.preface", "this is HTTP/2, which is not spoken here")
    if version not in (b"1.0", b"1.1"):
        raise RemoteProtocolError("http.version", "only HTTP/1.0 and HTTP/1.1 are spoken here")
    if len(method) > MAX_METHOD:
        # Longer ones would be refused at the other end of a channel that other requests share.
        raise RemoteProtocolError("http.method", f"a method of more than {MAX_METHOD} letters")
    check_framing_untrusted(headers, version=version)
    # RFC 9110, section 10.1.1: HTTP/1.0 has no expectations.
    if version == b"1.1" and any(token != b"100-continue" for token in tokens_of(headers, b"expect")):
        raise RemoteProtocolError("http.expectation", "the only expectation that can be met is 100-continue")


def strip_connection(headers: Headers) -> Pairs:
    """Give the headers that are not about one connection alone (RFC 9110, section 7.6.1), without our own.

    ``TE: trailers`` stays: whether trailers are wanted concerns both ends. A Connection token cannot remove what
    frames, routes or identifies the message.
    """
    named = {token for token in tokens_of(headers, b"connection") if not _is_protected(token)}
    kept = []
    trailers_wanted = False
    for name, value in headers:
        lower = name.lower()
        if lower == b"te":
            trailers_wanted = trailers_wanted or _wants_trailers(value)
        elif lower not in _HOP_BY_HOP and lower not in named and not _is_ours(lower):
            kept.append((name, value))
    if trailers_wanted:
        kept.append((b"TE", b"trailers"))
    return kept


def _is_protected(token: bytes) -> bool:
    return token in _KEPT or token in _FORWARDED or token.startswith(OURS)


def _wants_trailers(value: bytes) -> bool:
    return any(member.strip(b" \t").lower() == b"trailers" for member in value.split(b","))


def request_to_mesh(
    headers: Headers, *, host: bytes, version: bytes, via: str, caller: str, chunked: bool
) -> Pairs:
    """Give what the outbound side sends of a request's headers.

    X-Forwarded-For grows by ``caller``; -Proto and -Host are set where no proxy before us has done so, since they
    speak of the first request of all (a gateway with TLS in front of the mesh, say). Expect is answered here and
    goes no further. A body of unknown length is marked by ``Transfer-Encoding: chunked``, in a hop's head a word
    and no framing: without it, or Content-Length, the far side takes the request to have no body.

    Args:
        headers: as received from the app.
        host: what Host is rewritten to, or set to if there was none.
        version: of the received message, for Via.
        via: this node's name.
        caller: the app's IP address.
        chunked: whether the body's length is unknown.
    """
    forwarded_for = [*values_of(headers, b"x-forwarded-for"), caller.encode()]
    result: Pairs = []
    seen = set()
    for name, value in strip_connection(headers):
        lower = name.lower()
        seen.add(lower)
        if lower == b"host":
            result.append((name, host))
        elif lower not in (b"expect", b"x-forwarded-for") and not _aliases(lower, _FORWARDED):
            result.append((name, value))
    if b"host" not in seen:
        result.insert(0, (b"Host", host))
    result.append((b"X-Forwarded-For", b", ".join(forwarded_for)))
    if b"x-forwarded-proto" not in seen:
        result.append((b"X-Forwarded-Proto", b"http"))
    if b"x-forwarded-host" not in seen:
        result.append((b"X-Forwarded-Host", host))
    result.append((b"Via", via_entry(version, via)))
    if chunked:
        result.append((b"Transfer-Encoding", b"chunked"))
    return result


def request_to_app(headers: Headers, *, source: str, node: str) -> Pairs:
    """Give what the inbound side sends to the app of a request's headers.

    Args:
        headers: of the hop's head; nothing about them is taken on trust.
        source: the service that the caller speaks as, verified, or empty.
        node: the caller's node, from its verified chain.
    """
    result = [(name, value) for name, value in strip_connection(headers) if name.lower() != b"expect"]
    if any(name == b"TE" for name, _ in result):
        # RFC 9110, section 10.1.4: TE is for the next hop, so Connection must name it.
        result.append((b"Connection", b"TE"))
    if source:
        result.append((SOURCE_HEADER, source.encode()))
    result.append((NODE_HEADER, node.encode()))
    if tokens_of(headers, b"transfer-encoding"):
        result.append((b"Transfer-Encoding", b"chunked"))
    return result


def response_to_mesh(headers: Headers, *, status: int) -> Pairs:
    """Give what the inbound side sends of a response's headers.

    Content-Length survives wherever it may stand, on answers to HEAD and on 304 as well; 1xx and 204 must not have
    it (RFC 9110, section 8.6).
    """
    bare = status < 200 or status == 204
    return [
        (name, value)
        for name, value in strip_connection(headers)
        if not (bare and name.lower() == b"content-length")
    ]


def response_to_caller(headers: Headers, *, status: int, via: str) -> Pairs:
    """Give what the outbound side sends to the app of a response's headers.

    ``x-gossipmesh-error`` stays: the app behind a service cannot set it, since the far daemon strips it.
    """
    errors = [(name, value) for name, value in headers if name.lower() == OURS + b"error"]
    return [*response_to_mesh(headers, status=status), *errors, (b"Via", via_entry(b"1.1", via))]


def filter_trailers(trailers: Headers) -> Headers:
    """Give the trailers that may be passed on: none that frames, routes, authenticates or speaks for the mesh.

    A recipient may merge trailers into the headers (RFC 9110, section 6.5.1), long after they were checked.
    """
    return tuple(
        (name, value)
        for name, value in trailers
        if canonical(name) not in _NOT_IN_TRAILERS and not _is_ours(name.lower())
    )


def via_entry(version: bytes, node: str) -> bytes:
    """Give this node's entry for Via (RFC 9110, section 7.6.3)."""
    return version + b" " + node.encode()


def visits(headers: Headers, node: str) -> int:
    """Count how often ``node`` is in Via: how often this request, or one that copied its headers, came through it.

    More than once is legal: two services of one node may call each other by way of a third, and frameworks copy
    headers from call to call. Without end is a loop.
    """
    entries = tokens_of(headers, b"via")
    return sum(entry.split()[1:2] == [node.encode()] for entry in entries)
