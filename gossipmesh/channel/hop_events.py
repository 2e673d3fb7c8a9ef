"""What a hop multiplexer reports to the shell around it: one closed union of values."""

from __future__ import annotations

from typing import ClassVar, Final

from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.unchanging import Unchanging


class RequestOpened(Unchanging):
    """The initiator opened a stream (acceptor only)."""

    __match_args__: ClassVar = ("stream", "head", "body")
    __slots__ = __match_args__

    def __init__(self, stream: int, head: RequestHead, body: bytes | None = None) -> None:
        self.stream: Final = stream
        self.head: Final = head
        self.body: Final = body
        """All of the body, where the request came whole: its direction has ended, and no StreamEnded follows.

        None: what there is of it follows.
        """


class ResponseStarted(Unchanging):
    """A response head came (initiator only); again for each interim one."""

    __match_args__: ClassVar = ("stream", "head")
    __slots__ = __match_args__

    def __init__(self, stream: int, head: ResponseHead) -> None:
        self.stream: Final = stream
        self.head: Final = head


class ResponseWhole(Unchanging):
    """A whole response came (initiator only), perhaps after interim heads: nothing follows but, perhaps, a reset."""

    __match_args__: ClassVar = ("stream", "head", "body", "end")
    __slots__ = __match_args__

    def __init__(self, stream: int, head: ResponseHead, body: bytes, end: End) -> None:
        self.stream: Final = stream
        self.head: Final = head
        self.body: Final = body
        self.end: Final = end


class DataReceived(Unchanging):
    """Body bytes came. Call ``consume`` as the app takes them, or the stream stalls."""

    __match_args__: ClassVar = ("stream", "data")
    __slots__ = __match_args__

    def __init__(self, stream: int, data: bytes) -> None:
        self.stream: Final = stream
        self.data: Final = data


class StreamEnded(Unchanging):
    """The other side's direction is complete: everything it sent was reported before this."""

    __match_args__: ClassVar = ("stream", "end")
    __slots__ = __match_args__

    def __init__(self, stream: int, end: End) -> None:
        self.stream: Final = stream
        self.end: Final = end


class StreamReset(Unchanging):
    """The stream is of no more use, for ``flag``; ``refused`` says that nobody began to handle its request."""

    __match_args__: ClassVar = ("stream", "flag")
    __slots__ = __match_args__

    def __init__(self, stream: int, flag: str) -> None:
        self.stream: Final = stream
        self.flag: Final = flag


class CreditGained(Unchanging):
    """More may be sent on a stream; or, where ``stream`` is None, the channel has credit for all of them again."""

    __match_args__: ClassVar = ("stream",)
    __slots__ = __match_args__

    def __init__(self, stream: int | None) -> None:
        self.stream: Final = stream


class GoneAway(Unchanging):
    """The other side takes, or opens, no stream above ``last``. The ``refused`` ones nobody began to handle."""

    __match_args__: ClassVar = ("last", "refused")
    __slots__ = __match_args__

    def __init__(self, last: int, refused: tuple[int, ...] = ()) -> None:
        self.last: Final = last
        self.refused: Final = refused


class PongReceived(Unchanging):
    """The other side answered the ping with this number."""

    __match_args__: ClassVar = ("nonce",)
    __slots__ = __match_args__

    def __init__(self, nonce: int) -> None:
        self.nonce: Final = nonce


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
