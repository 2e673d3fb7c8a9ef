"""What a hop multiplexer reports to the shell around it: one closed union of values."""

from __future__ import annotations

from attrs import field

from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.model import value


def _size(data: bytes | None) -> str:
    return "None" if data is None else f"<{len(data)} bytes>"


@value
class RequestOpened:
    """The initiator opened a stream (acceptor only)."""

    stream: int
    head: RequestHead
    body: bytes | None = field(default=None, repr=_size)
    """All of the body, where the request came whole: its direction has ended, and no StreamEnded follows. None: what
    there is of it follows."""


@value
class ResponseStarted:
    """A response head came (initiator only); again for each interim one."""

    stream: int
    head: ResponseHead


@value
class ResponseWhole:
    """A whole response came (initiator only), perhaps after interim heads: nothing follows but, perhaps, a reset."""

    stream: int
    head: ResponseHead
    body: bytes = field(repr=_size)
    end: End


@value
class DataReceived:
    """Body bytes came. Call ``consume`` as the app takes them, or the stream stalls."""

    stream: int
    data: bytes = field(repr=_size)


@value
class StreamEnded:
    """The other side's direction is complete: everything it sent was reported before this."""

    stream: int
    end: End


@value
class StreamReset:
    """The stream is of no more use, for ``flag``; ``refused`` says that nobody began to handle its request."""

    stream: int
    flag: str


@value
class CreditGained:
    """More may be sent on a stream; or, where ``stream`` is None, the channel has credit for all of them again."""

    stream: int | None


@value
class GoneAway:
    """The other side takes, or opens, no stream above ``last``. The ``refused`` ones nobody began to handle."""

    last: int
    refused: tuple[int, ...] = ()


@value
class PongReceived:
    """The other side answered the ping with this number."""

    nonce: int


HopEvent = (
    RequestOpened
    | ResponseStarted
    | ResponseWhole
    | DataReceived
    | StreamEnded
    | StreamReset
    | CreditGained
    | GoneAway
    | PongReceived
)
