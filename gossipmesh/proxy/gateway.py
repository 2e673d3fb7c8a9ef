"""Requests from outside the mesh: what a gateway believes of them, and which service each is for. Pure.

A gateway is the outbound proxy with strangers in front of it. So a request does not say where it goes: the map of
:mod:`.routes` does, and there is no other way through, neither by ``CONNECT`` nor by an absolute target. What a
stranger says about where a request came from, or what it is "really" for, is dropped, but for what trusted proxies in
front of us have added: to lists as many members as they are, and of other headers those that they always overwrite.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from gossipmesh.channel.hop_messages import Headers
from gossipmesh.errors import RequestError
from gossipmesh.proxy.headers import strip_connection
from gossipmesh.proxy.http1.messages import RequestIn
from gossipmesh.proxy.kinds import FORWARDED, canonical, is_claim
from gossipmesh.proxy.names import Named, authority_in, name_request
from gossipmesh.proxy.routes import Routes

MAX_TRUSTED_HOPS: Final = 16
"""More proxies in front of one gateway are a mistake."""

_SAID: Final = FORWARDED | {b"forwarded"}
"""What the app gets from us in any case."""
_WEBSOCKET: Final = b"websocket"
_HOST: Final = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,255}")
_ELEMENT: Final = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*")+')
"""One element of Forwarded: a comma in a quoted string ends none (RFC 7239, section 4)."""
_ELEMENTS: Final = re.compile(rb'(?:[^"]|"(?:[^"\\]|\\.)*")*')
"""All of them, with no quoted string left open: one that a stranger began would swallow what a proxy added."""


class Gate:
    """What one gateway's listener makes of requests.

    Args:
        routes: where they go.
        scheme: that of the listener, ``http`` or ``https``.
        trusted_hops: how many proxies in front of us tell the truth; the nearest of them is our peer.
        trusted_headers: which headers (in lower case) that one always writes itself, so that they may be believed.
    """

    __slots__ = ("_believed", "_hops", "_routes", "_scheme")

    def __init__(
        self, routes: Routes, *, scheme: str, trusted_hops: int, trusted_headers: Iterable[str] = ()
    ) -> None:
        self._routes = routes
        self._scheme = scheme.encode()
        self._hops = trusted_hops
        self._believed = frozenset(name.encode() for name in trusted_headers) if trusted_hops else frozenset()

    def admit(self, request: RequestIn, peer: str) -> RequestIn:
        """Give a request with nothing in it that a stranger may not say, and with what we know ourselves.

        Args:
            request: as it came.
            peer: the IP address that it came from.
        """
        return request.changed(
            headers=self._headers(request, authority_in(request.target) or request.host, peer),
            # Whatever else might be spoken, no rule for requests would be asked about it.
            upgrade=request.upgrade if request.upgrade.lower() == _WEBSOCKET else b"",
        )

    def name(self, request: RequestIn) -> Named:
        """Tell which service a request is for.

        Raises:
            RequestError: as :func:`~.names.name_request` and :meth:`~.routes.Routes.find`; 405 ``AZ`` for a CONNECT.
        """
        if request.method == b"CONNECT":
            raise RequestError("AZ", 405, "CONNECT leads nowhere from here: this is no open proxy")
        named = name_request(request.method, request.target, request.host, fixed="")
        service = self._routes.find(named.host, named.target)
        return Named(service, named.target, named.host or service.encode())

    def _headers(self, request: RequestIn, host: bytes | None, peer: str) -> Headers:
        hops, believed = self._hops, self._believed
        kept: list[tuple[bytes, bytes]] = []
        said: dict[bytes, list[bytes]] = {}
        # What Connection names goes now: later it would take what we add.
        for header in strip_connection(request.headers):
            name = canonical(header[0])
            if not is_claim(name):
                kept.append(header)
            elif header[0].lower() != name:
                continue  # Underscores for hyphens are nobody's we trust: one header would stand in for the other.
            elif name in _SAID:
                said.setdefault(name, []).append(header[1])
            elif name in believed or (hops and name == b"x-request-id"):
                kept.append(header)
        before = _last(b",".join(said.get(b"x-forwarded-for", ())).split(b","), hops)
        scheme = _one(said.get(b"x-forwarded-proto"), hops).lower()
        scheme = scheme if scheme in (b"http", b"https") else self._scheme
        told = (_one(said.get(b"x-forwarded-host"), hops) if b"x-forwarded-host" in believed else b"") or host
        if before:
            kept.append((b"X-Forwarded-For", b", ".join(before)))
        kept.append((b"X-Forwarded-Proto", scheme))
        if told:
            kept.append((b"X-Forwarded-Host", told))
        forwarded = b",".join(said.get(b"forwarded", ()))
        elements = _last(_ELEMENT.findall(forwarded) if _ELEMENTS.fullmatch(forwarded) else [], hops)
        elements.append(self._element(peer, host))
        kept.append((b"Forwarded", b", ".join(elements)))
        return tuple(kept)

    def _element(self, peer: str, host: bytes | None) -> bytes:
        """Give what we say of the request ourselves (RFC 7239, sections 4 and 6)."""
        node = f'"[{peer}]"' if ":" in peer else peer
        parts = [b"for=" + node.encode(), b"proto=" + self._scheme]
        if host and _HOST.fullmatch(host):
            parts.insert(1, b'host="' + host + b'"')
        return b";".join(parts)


def _last(members: list[bytes], count: int) -> list[bytes]:
    """Give what the nearest ``count`` proxies have added to a list."""
    stripped = [member.strip(b" \t") for member in members]
    return [member for member in stripped if member][-count:] if count else []


def _one(values: list[bytes] | None, hops: int) -> bytes:
    """Give what the nearest trusted proxy says; nothing where that is not clear."""
    return (
        values[0] if hops and values is not None and len(values) == 1 and _HOST.fullmatch(values[0]) else b""
    )
