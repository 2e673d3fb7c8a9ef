"""What a proxy may and must do to header fields: pure functions from header lists to header lists.

Names and values are bytes and travel as received: in order, duplicates kept, case kept. What is taken away and added
is said here and nowhere else. Both daemons apply the stripping rules, because the one that talks to an app must not
rely on the other one having done so. References are to RFC 9110 (semantics) and RFC 9112 (HTTP/1.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter
from typing import Final

from gossipmesh.channel.hop_messages import MAX_METHOD, Headers
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.proxy.kinds import (
    CHECKED,
    CODING,
    CONNECTION,
    FORWARDED,
    FORWARDED_FOR,
    FORWARDED_HOST,
    FORWARDED_PROTO,
    FRAMING_ALIAS,
    HOP,
    HOST,
    KINDS,
    OURS,
    TE,
    TO_APP,
    TO_MESH,
    UPGRADE,
    Rule,
)

Pairs = list[tuple[bytes, bytes]]
"""Headers under work; finished ones are :data:`~gossipmesh.channel.hop_messages.Headers`."""

SOURCE_HEADER: Final = b"x-gossipmesh-source"
"""The service that the caller speaks as; absent if it speaks as none."""
NODE_HEADER: Final = b"x-gossipmesh-node"
"""The caller's node, by name."""

MAX_FORWARDS_DIGITS: Final = 9

_ERROR: Final = OURS + b"error"
_KEPT: Final = frozenset({b"host", b"content-length", b"via"})
"""What a Connection token cannot remove, besides the forwarded and our own headers."""
_NAME: Final = itemgetter(0)
_COMMON: Final = frozenset({b"keep-alive", b"Keep-Alive", b"close", b"Close", b"upgrade", b"Upgrade", b"TE"})
"""What Connection mostly says; none of it names a header that would stay without being named."""
_VIA: Final = frozenset(
    bytes(letters) for letters in ((v, i, a) for v in b"vV" for i in b"iI" for a in b"aA")
)
"""Each way to write this name: there are so few that it need not be made lower case."""


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
    if not CHECKED.others.issuperset(map(_NAME, headers)):
        _check_framing(headers, version)


def _check_framing(headers: Headers, version: bytes) -> None:
    kinds = [KINDS[name] for name, _ in headers]
    if any(kind & CODING for kind in kinds):
        if any(name.lower() == b"content-length" for name, _ in headers):
            raise RemoteProtocolError("http.framing", "Content-Length and Transfer-Encoding in one message")
        if version < b"1.1":
            raise RemoteProtocolError("http.framing", "Transfer-Encoding in an HTTP/1.0 message")
    for (name, _), kind in zip(headers, kinds, strict=True):
        if kind & FRAMING_ALIAS:
            text = f"{name.lower().decode('ascii')!r} reads like another header's name"
            raise RemoteProtocolError("http.alias", text)


def check_request_untrusted(method: bytes, version: bytes, headers: Headers) -> None:
    """Refuse a request that a proxy must not forward.

    Raises:
        RemoteProtocolError: as :func:`check_framing_untrusted`; ``http.preface`` for that of HTTP/2;
            ``http.version`` for anything but 1.0 and 1.1; ``http.method`` for one longer than any method is;
            ``http.expectation`` for any but 100-continue.
    """
    if method == b"PRI":
        raise RemoteProtocolError("http.preface", "this is HTTP/2, which is not spoken here")
    if version not in (b"1.1", b"1.0"):
        raise RemoteProtocolError("http.version", "only HTTP/1.0 and HTTP/1.1 are spoken here")
    if len(method) > MAX_METHOD:
        # Longer ones would be refused at the other end of a channel that other requests share.
        raise RemoteProtocolError("http.method", f"a method of more than {MAX_METHOD} letters")
    if not CHECKED.others.issuperset(map(_NAME, headers)):
        _check_framing(headers, version)
        # RFC 9110, section 10.1.1: HTTP/1.0 has no expectations.
        if version == b"1.1" and any(token != b"100-continue" for token in tokens_of(headers, b"expect")):
            raise RemoteProtocolError(
                "http.expectation", "the only expectation that can be met is 100-continue"
            )


def strip_connection(headers: Headers) -> Pairs:
    """Give the headers that are not about one connection alone (RFC 9110, section 7.6.1), without our own.

    ``TE: trailers`` stays: whether trailers are wanted concerns both ends. A Connection token cannot remove what
    frames, routes or identifies the message.
    """
    kept, concerned = _divide(headers, HOP)
    return _stripped(kept, concerned) if concerned else kept


def _divide(headers: Headers, rule: Rule) -> tuple[Pairs, list[tuple[int, bytes]]]:
    """Part the headers that do not concern a rule from those that do: kind and value of each."""
    others = rule.others
    if others.issuperset(map(_NAME, headers)):
        return list(headers), []
    kept: Pairs = []
    concerned = []
    for header in headers:
        name = header[0]
        if name in others or not (kind := KINDS[name]) & rule.kinds:
            kept.append(header)
        else:
            concerned.append((kind, header[1]))
    return kept, concerned


def _stripped(kept: Pairs, concerned: list[tuple[int, bytes]]) -> Pairs:
    """Finish :func:`strip_connection`: take out what Connection names, and keep the wish for trailers."""
    trailers_wanted = False
    for kind, value in concerned:
        if kind & CONNECTION and value not in _COMMON:
            kept = _without_named(kept, value)
        elif kind & TE:
            trailers_wanted = trailers_wanted or _wants_trailers(value)
    if trailers_wanted:
        kept.append((b"TE", b"trailers"))
    return kept


def _without_named(headers: Pairs, connection: bytes) -> Pairs:
    tokens = tokens_of([(b"connection", connection)], b"connection")
    named = {token for token in tokens if not _is_protected(token)}
    return [header for header in headers if header[0].lower() not in named]


def _is_protected(token: bytes) -> bool:
    return token in _KEPT or token in FORWARDED or token.startswith(OURS)


def _wants_trailers(value: bytes) -> bool:
    return any(member.strip(b" \t").lower() == b"trailers" for member in value.split(b","))


def request_to_mesh(
    headers: Headers,
    *,
    host: bytes,
    version: bytes,
    via: str,
    caller: str,
    chunked: bool,
    upgrade: bytes = b"",
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
        upgrade: the protocols that the app asks to go over to, or none.
    """
    others = TO_MESH.others
    result: Pairs = []
    concerned = []
    seen = 0
    forwarded_for = caller.encode()
    for header in headers:
        name, value = header
        if name in others:
            result.append(header)
            continue
        kind = KINDS[name]
        seen |= kind
        if kind & HOST:
            result.append(header if value == host else (name, host))
        elif kind & FORWARDED_FOR:
            concerned.append((kind, value))
        elif kind & (FORWARDED_PROTO | FORWARDED_HOST) or not kind & TO_MESH.kinds:
            result.append(header)
        elif kind & (CONNECTION | TE):
            concerned.append((kind, value))
    if concerned:
        result = _stripped(result, concerned)
        before = [value for kind, value in concerned if kind & FORWARDED_FOR]
        forwarded_for = b", ".join((*before, forwarded_for))
    if not seen & HOST:
        result.insert(0, (b"Host", host))
    result.append((b"X-Forwarded-For", forwarded_for))
    if not seen & FORWARDED_PROTO:
        result.append((b"X-Forwarded-Proto", b"http"))
    if not seen & FORWARDED_HOST:
        result.append((b"X-Forwarded-Host", host))
    result.append((b"Via", via_entry(version, via)))
    if chunked:
        result.append((b"Transfer-Encoding", b"chunked"))
    if upgrade and (protocols := _upgradable([upgrade])):
        result.append((b"Upgrade", protocols))
    return result


def request_to_outside(
    headers: Headers, *, host: bytes, version: bytes, via: str, chunked: bool, upgrade: bytes = b""
) -> Pairs:
    """Give what leaves the mesh of a request's headers: nothing that is the mesh's own, but for Via.

    Who asked is not told: X-Forwarded-* are only passed on. The connection is for this one request.

    Args:
        headers: as received from the app.
        host: what Host is rewritten to, or set to if there was none.
        version: of the received message, for Via.
        via: this node's name.
        chunked: whether the body's length is unknown.
        upgrade: the protocols that the app asks to go over to, or none.
    """
    result, concerned = _divide(headers, TO_APP)
    if concerned:
        result = _stripped(result, concerned)
    options = [b"TE"] if result and result[-1] == (b"TE", b"trailers") else []
    protocols = _upgradable([upgrade])
    options.append(b"Upgrade" if protocols else b"close")
    result = [(name, host if name.lower() == b"host" else value) for name, value in result]
    if not values_of(result, b"host"):
        result.insert(0, (b"Host", host))
    result.append((b"Via", via_entry(version, via)))
    result.append((b"Connection", b", ".join(options)))
    if protocols:
        result.append((b"Upgrade", protocols))
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
    result, concerned = _divide(headers, TO_APP)
    chunked = False
    if concerned:
        result = _stripped(result, concerned)
        options = [b"TE"] if result and result[-1] == (b"TE", b"trailers") else []
        protocols = _upgradable([value for kind, value in concerned if kind & UPGRADE])
        if protocols:
            options.append(b"Upgrade")
        if options:
            # RFC 9110, sections 7.8 and 10.1.4: both are for the next hop, so Connection must name them.
            result.append((b"Connection", b", ".join(options)))
        if protocols:
            result.append((b"Upgrade", protocols))
        chunked = any(kind & CODING and value.strip(b" \t,") for kind, value in concerned)
    if source:
        result.append((SOURCE_HEADER, source.encode()))
    result.append((NODE_HEADER, node.encode()))
    if chunked:
        result.append((b"Transfer-Encoding", b"chunked"))
    return result


def response_to_mesh(headers: Headers, *, status: int) -> Pairs:
    """Give what the inbound side sends of a response's headers.

    Content-Length survives wherever it may stand, on answers to HEAD and on 304 as well; 1xx and 204 must not have
    it (RFC 9110, section 8.6). A 101 keeps its Upgrade, which says what is spoken from now on.
    """
    result, concerned = _divide(headers, HOP)
    if concerned:
        result = _stripped(result, concerned)
    if status < 200 or status == 204:
        result = [header for header in result if header[0].lower() != b"content-length"]
    if status == 101:
        result.extend((b"Upgrade", value) for kind, value in concerned if kind & UPGRADE)
    return result


def response_to_caller(headers: Headers, *, status: int, via: str) -> Pairs:
    """Give what the outbound side sends to the app of a response's headers.

    ``x-gossipmesh-error`` stays: the app behind a service cannot set it, since the far daemon strips it.
    """
    result, concerned = _divide(headers, HOP)
    if concerned:
        result = response_to_mesh(headers, status=status)
        result.extend((name, value) for name, value in headers if name.lower() == _ERROR)
        if status == 101 and values_of(result, b"upgrade"):
            # RFC 9110, section 7.8: Upgrade is for the next hop, so Connection must name it.
            result.append((b"Connection", b"Upgrade"))
    elif status < 200 or status == 204:
        result = response_to_mesh(headers, status=status)
    result.append((b"Via", via_entry(b"1.1", via)))
    return result


def without_ours(headers: Iterable[tuple[bytes, bytes]]) -> Pairs:
    """Give the headers that are not the mesh's own, for who is outside of it."""
    return [header for header in headers if not header[0].lower().startswith(OURS)]


def _upgradable(values: list[bytes]) -> bytes:
    """Give the protocols to ask for. ``h2c`` is never among them: HTTP/2 would walk around every rule on requests."""
    members = [member.strip(b" \t") for member in b",".join(values).split(b",")]
    return b", ".join(member for member in members if member and member.lower() != b"h2c")


def asks_to_switch(headers: Pairs) -> bool:
    """Tell whether a request, as :func:`request_to_app` gives it, has an Upgrade and no body."""
    if b"Upgrade" not in map(_NAME, headers):
        return False
    names = {name.lower(): value for name, value in headers}
    return b"transfer-encoding" not in names and not names.get(b"content-length", b"").strip(b"0")


def switches_to_what_was_asked(asked: bytes, headers: Headers) -> bool:
    """Tell whether a 101 goes over to protocols that were asked for, and to at least one (RFC 9110, section 7.8).

    Args:
        asked: the Upgrade of the request.
        headers: of the 101.
    """
    taken = tokens_of(headers, b"upgrade")
    return bool(taken) and set(taken) <= set(tokens_of([(b"upgrade", asked)], b"upgrade"))


@lru_cache(maxsize=16)
def via_entry(version: bytes, node: str) -> bytes:
    """Give this node's entry for Via (RFC 9110, section 7.6.3)."""
    return version + b" " + node.encode()


def visits(headers: Headers, node: str) -> int:
    """Count how often ``node`` is in Via: how often this request, or one that copied its headers, came through it.

    More than once is legal: two services of one node may call each other by way of a third, and frameworks copy
    headers from call to call. Without end is a loop.
    """
    if _VIA.isdisjoint(map(_NAME, headers)):
        return 0
    entries = tokens_of(headers, b"via")
    return sum(entry.split()[1:2] == [node.encode()] for entry in entries)


def spend_forward(headers: Headers) -> Headers | None:
    """Give the headers of an OPTIONS with one less in Max-Forwards, or None if none is left (RFC 9110, section 7.6.2).

    Only the outbound side counts: the two daemons of a hop are one proxy, with one entry in Via. A value that is not
    a number, or is there twice, is left to whoever may know what it means.
    """
    values = values_of(headers, b"max-forwards")
    if len(values) != 1 or not values[0].isdigit() or len(values[0]) > MAX_FORWARDS_DIGITS:
        return headers
    left = int(values[0])
    if left == 0:
        return None
    return tuple(
        (name, b"%d" % (left - 1)) if name.lower() == b"max-forwards" else (name, value)
        for name, value in headers
    )
