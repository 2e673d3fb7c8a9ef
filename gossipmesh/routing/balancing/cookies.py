"""The cookie that keeps a session at its endpoint (RFC 6265)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from gossipmesh.model import NodeId

TOKEN_BYTES: Final = 16
MAX_COOKIE_BYTES: Final = 16_384
"""Of a Cookie header that is searched; a longer one is taken for one without our cookie."""
_TOKEN: Final = re.compile(rb"[0-9a-f]{32}")


def token_of(node: NodeId, service: str, key: bytes) -> bytes:
    """Give what a cookie says for one endpoint of a service.

    Only who knows the key (at most 64 bytes) learns from it which node that is, or makes one.
    """
    text = b"cookie\0" + service.encode() + b"\0" + node
    return blake2b(text, digest_size=TOKEN_BYTES, key=key).hexdigest().encode()


def read_cookie_untrusted(headers: Iterable[bytes], name: bytes) -> bytes | None:
    """Give the token that the cookie ``name`` holds; None if there is none, more than one, or it is no token of ours.

    Args:
        headers: the values of the request's Cookie headers.
        name: of the cookie; case counts (RFC 6265, section 4.1.1).
    """
    found: list[bytes] = []
    for header in headers:
        if len(header) > MAX_COOKIE_BYTES or name not in header:
            continue
        for pair in header.split(b";"):
            one, equals, token = pair.strip(b" \t").partition(b"=")
            if equals and one == name:
                found.append(token)
    if len(found) != 1 or _TOKEN.fullmatch(found[0]) is None:
        return None
    return found[0]


def set_cookie(name: bytes, token: bytes) -> bytes:
    """Give the value of the Set-Cookie header that keeps a session: until the browser ends, out of scripts' reach."""
    return b"%b=%b; Path=/; HttpOnly; SameSite=Lax" % (name, token)
