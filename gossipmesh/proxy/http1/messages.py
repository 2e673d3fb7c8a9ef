"""What is read from an HTTP/1.1 connection, as values; and what both sides say and fear alike."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from attrs import define

from gossipmesh.channel.hop_messages import Headers
from gossipmesh.errors import MeshError

MAX_AHEAD: Final = 65_536
"""Bytes received behind what was asked for, above which a connection is not read from until they are.

A caller may send its next requests early; none of them is looked at before the present one is over.
"""


class PeerGone(MeshError):
    """The other end of a connection closed or reset it in the middle of a message; it is of no more use."""


# Nobody changes these two. They are not frozen because that costs a microsecond each, and a whole head costs three.


@define
class RequestIn:
    """One request's head, as it came."""

    method: bytes
    target: bytes
    version: bytes
    """``b"1.1"`` or ``b"1.0"``."""
    headers: Headers
    """In order, duplicates kept, values without the white space around them."""
    length: int | None
    """Body bytes that follow: 0 for none, None where their number is not known (chunked)."""
    expects: bool
    """Whether the caller sends its body only after a 100 (RFC 9110, section 10.1.1)."""
    upgrade: bytes
    """The protocols that the caller would rather speak (RFC 9110, section 7.8), comma-separated; or nothing.

    Nothing as well where Connection does not name Upgrade, in HTTP/1.0, and with a body. Never ``h2c``.
    """
    host: bytes | None
    """The Host header, of which there is at most one; in HTTP/1.1, exactly one."""
    close: bool
    """Whether the caller has this for its last request on the connection."""

    @property
    def has_body(self) -> bool:
        """Whether body bytes follow, or may follow."""
        return self.length != 0


@define
class ResponseIn:
    """One response's head, as it came."""

    status: int
    headers: Headers
    length: int | None
    """Body bytes that follow: 0 for none, None where their number is not known."""

    @property
    def final(self) -> bool:
        """Whether this is the answer: 101 hands the connection over, other 1xx come before an answer."""
        return self.status >= 200 or self.status == 101


def reason_of(status: int) -> bytes:
    """Give the reason phrase that goes with ``status``, none for one that is not registered."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
