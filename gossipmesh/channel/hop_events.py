"""What a hop multiplexer reports to the shell around it: one closed union of values."""

from __future__ import annotations

from attrs import field, frozen

from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead


def _size(data: bytes) -> str:
    return f"<{len(data)} bytes>"


@frozen
class RequestOpened:
    """The initiator opened a stream (acceptor only)."""

    stream: int
    head: RequestHead


@frozen
class ResponseStarted:
    """A response head came (initiator only); again for each interim one."""

    stream: int
    head: ResponseHead


@frozen
class DataReceived:
    """Body bytes came. Call ``consume`` as the app takes them, or the stream stalls."""

    stream: int
    data: bytes = field(repr=_size)


@frozen
class StreamEnded:
    """The other side's direction is complete: everything it sent was reported before this."""

    stream: int
    end: End


@frozen
class StreamReset:
    """The stream is of no more use, for ``flag``; ``refused`` says that nobody began to handle its request."""

    stream: int
    flag: str


@frozen
class CreditGained:
    """More may be sent on a stream; or, where ``stream`` is None, the channel has credit for all of them again."""

    stream: int | None


@frozen
class GoneAway:
    """The other side takes, or opens, no stream above ``last``. The ``refused`` ones nobody began to handle."""

    last: int
    refused: tuple[int, ...] = ()


@frozen
class PongReceived:
    """The other side answered the ping with this number."""

    nonce: int


HopEvent = (
    RequestOpened
    | ResponseStarted
    | DataReceived
    | StreamEnded
    | StreamReset
    | CreditGained
    | GoneAway
    | PongReceived
)
