"""What a header is to a proxy: told by its name, and remembered by the name as it was written.

Almost every header of almost every message is nothing special, and the same few hundred names come again and again.
So each rule keeps the set of names that it has nothing to do with: one look into it settles most headers, without a
lower-case copy. The memory is bounded, and forgetting costs time only.
"""

from __future__ import annotations

import re
from typing import Final

OURS: Final = b"x-gossipmesh-"
"""Every name that starts so is the mesh's own: what arrives under one is dropped."""
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"close",  # No header: a name that is reserved, because Connection would name it (RFC 9110, section 18.4).
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
FRAMING: Final = frozenset(
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
FORWARDED: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"})
CLAIMS_PREFIX: Final = b"x-forwarded-"
CLAIMS: Final = frozenset(
    {
        b"forwarded",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"true-client-ip",
        b"x-original-url",
        b"x-original-host",
        b"x-rewrite-url",
        b"x-request-id",
        b"proxy",  # To a CGI program, Proxy: is the variable HTTP_PROXY (CVE-2016-5385 and others).
    }
)
"""Beside what begins with :data:`CLAIMS_PREFIX`: where a request came from, or what it is for, as apps believe it of
whoever is in front of them."""
NOT_IN_TRAILERS: Final = (
    FRAMING
    | HOP_BY_HOP
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
MAX_NAMES: Final = 2_048
"""Names that are remembered; one more, and all are forgotten: whoever sends odd ones gains no more than that."""
MAX_NAME: Final = 64
"""Bytes of a name that is remembered."""

# What a name may be, as bits: one name may be several of these.
HOST: Final = 1 << 0
CONNECTION: Final = 1 << 1
TE: Final = 1 << 2
UPGRADE: Final = 1 << 3
CODING: Final = 1 << 4
"""Transfer-Encoding."""
DROPPED: Final = 1 << 5
"""About one connection alone, or spoken in our name: never passed on as it is."""
EXPECT: Final = 1 << 6
FORWARDED_FOR: Final = 1 << 7
FORWARDED_PROTO: Final = 1 << 8
FORWARDED_HOST: Final = 1 << 9
FORWARDED_ALIAS: Final = 1 << 10
"""Another spelling of one of those three."""
FRAMING_ALIAS: Final = 1 << 11
"""Another spelling of a name that frames or routes."""
REQUEST_ID: Final = 1 << 12
TRACE_PARENT: Final = 1 << 13
TRACE_STATE: Final = 1 << 14

_EXACT: Final = {
    b"host": HOST,
    b"connection": CONNECTION,
    b"te": TE,
    b"upgrade": UPGRADE | DROPPED,
    b"transfer-encoding": CODING | DROPPED,
    b"expect": EXPECT,
    b"x-forwarded-for": FORWARDED_FOR,
    b"x-forwarded-proto": FORWARDED_PROTO,
    b"x-forwarded-host": FORWARDED_HOST,
    b"x-request-id": REQUEST_ID,
    b"traceparent": TRACE_PARENT,
    b"tracestate": TRACE_STATE,
} | dict.fromkeys(HOP_BY_HOP - {b"connection", b"te", b"upgrade", b"transfer-encoding"}, DROPPED)
_ODD: Final = re.compile(rb"[^0-9a-z-]")


def canonical(name: bytes) -> bytes:
    """Give the name that CGI, WSGI and their kin see: lower case, everything but letters and digits alike.

    They turn ``Content_Length`` and ``Content-Length`` into one variable, so a header that we leave alone could
    stand in the app for one that we check.
    """
    return _ODD.sub(b"-", name.lower())


def is_claim(name: bytes) -> bool:
    """Tell whether a canonical name is one of :data:`CLAIMS`, or begins as they may."""
    return name in CLAIMS or name.startswith(CLAIMS_PREFIX)


class Rule:
    """One rule's view of names: which kinds concern it, and the names that are known not to.

    Args:
        kinds: the bits that concern it.
    """

    def __init__(self, kinds: int) -> None:
        self.kinds: Final = kinds
        self.others: Final[set[bytes]] = set()
        """Names as received, of none of these kinds; only ever some of them, so a name that is missing says nothing."""


TO_MESH: Final = Rule(
    HOST
    | CONNECTION
    | TE
    | DROPPED
    | EXPECT
    | FORWARDED_FOR
    | FORWARDED_PROTO
    | FORWARDED_HOST
    | FORWARDED_ALIAS
)
TO_APP: Final = Rule(CONNECTION | TE | DROPPED | EXPECT)
HOP: Final = Rule(CONNECTION | TE | DROPPED)
CHECKED: Final = Rule(CODING | FRAMING_ALIAS | EXPECT)
TRACED: Final = Rule(REQUEST_ID | TRACE_PARENT | TRACE_STATE)

_RULES: Final = (TO_MESH, TO_APP, HOP, CHECKED, TRACED)


class _Kinds(dict[bytes, int]):
    """Kinds by name as received; one that is missing is judged, and told to the rules that it does not concern."""

    def __missing__(self, name: bytes) -> int:
        kind = _judge(name)
        if len(name) <= MAX_NAME:
            if len(self) >= MAX_NAMES:
                self.clear()
                for rule in _RULES:
                    rule.others.clear()
            self[name] = kind
            for rule in _RULES:
                if not kind & rule.kinds:
                    rule.others.add(name)
        return kind


KINDS: Final = _Kinds()
"""What a header is, as bits, by its name as received: ``KINDS[name]``, 0 for most."""


def _judge(name: bytes) -> int:
    lower = name.lower()
    kind = _EXACT.get(lower, 0)
    plain = canonical(lower)
    if plain.startswith(OURS):
        kind |= DROPPED
    if plain != lower:
        if plain in FRAMING:
            kind |= FRAMING_ALIAS
        if plain in FORWARDED:
            kind |= FORWARDED_ALIAS
    return kind
