"""What is read from an HTTP/1.1 connection, as values; and what both sides say and fear alike."""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar, Final

from gossipmesh.channel.hop_messages import Headers
from gossipmesh.unchanging import Unchanging

MAX_AHEAD: Final = 65_536
"""Bytes received behind what was asked for, above which a connection is not read from until they are.

A caller may send its next requests early; none of them is looked at before the present one is over.
"""


class RequestIn(Unchanging):
    """One request's head, as it came."""

    __match_args__: ClassVar = (
        "method",
        "target",
        "version",
        "headers",
        "length",
        "expects",
        "upgrade",
        "host",
        "close",
    )
    __slots__ = __match_args__

    def __init__(  # noqa: PLR0917 -- one for each field
        self,
        method: bytes,
        target: bytes,
        version: bytes,
        headers: Headers,
        length: int | None,
        expects: bool,
        upgrade: bytes,
        host: bytes | None,
        close: bool,
    ) -> None:
        self.method: Final = method
        self.target: Final = target
        self.version: Final = version
        """``b"1.1"`` or ``b"1.0"``."""
        self.headers: Final = headers
        """In order, duplicates kept, values without the white space around them."""
        self.length: Final = length
        """Body bytes that follow: 0 for none, None where their number is not known (chunked)."""
        self.expects: Final = expects
        """Whether the caller sends its body only after a 100 (RFC 9110, section 10.1.1)."""
        self.upgrade: Final = upgrade
        """The protocols that the caller would rather speak (RFC 9110, section 7.8), comma-separated; or nothing.

        Nothing as well where Connection does not name Upgrade, in HTTP/1.0, and with a body. Never ``h2c``.
        """
        self.host: Final = host
        """The Host header, of which there is at most one; in HTTP/1.1, exactly one."""
        self.close: Final = close
        """Whether the caller has this for its last request on the connection."""

    @property
    def has_body(self) -> bool:
        """Whether body bytes follow, or may follow."""
        return self.length != 0


class ResponseIn(Unchanging):
    """One response's head, as it came."""

    __match_args__: ClassVar = ("status", "headers", "length")
    __slots__ = __match_args__

    def __init__(self, status: int, headers: Headers, length: int | None) -> None:
        self.status: Final = status
        self.headers: Final = headers
        self.length: Final = length
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
