"""What a request goes out on: a stream to another daemon, or a connection to a host outside the mesh."""

from __future__ import annotations

from typing import Protocol

from gossipmesh.channel.hop_messages import End
from gossipmesh.transport.hop_stream import StreamListener


class Stream(Protocol):
    """One request's two directions, as :class:`~.hop_stream.HopStream` has them at the caller's end."""

    listener: StreamListener | None
    """Is told of what comes back."""
    sent_end: bool
    """Whether our direction has ended."""

    def send_data(self, data: bytes | memoryview) -> int:
        """Send as much as is taken, and give how much that is; ``credit_gained`` tells when to go on.

        Raises:
            StreamResetError: the stream is of no more use; its listener is told too.
        """

    def send_end(self, end: End) -> None:
        """End our direction."""

    def consumed(self, size: int) -> None:
        """Note that so many bytes were passed on: as many more may come."""

    def reset(self, flag: str) -> None:
        """Give it up at once, both ways; nothing is told any more."""
