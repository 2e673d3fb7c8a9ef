"""What a simulated node sends: datagrams as they are, and an estimate of what its exchanges over TCP take.

Nothing of TCP is simulated packet by packet, so its part is reckoned from the sizes of request and answer. It is
what a quiet link shows: each message goes alone, and acknowledgements ride on answers.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from gossipmesh.crypto import KEY, TAG

KEPT_CHANNELS: Final = 2
"""As many as the daemon's sync client keeps open."""
RECORD_BYTES: Final = 2 + 1 + TAG
"""Around each message on a channel: length, type and tag."""
HANDSHAKE_BYTES: Final = KEY, 2 * KEY + 2 * TAG, KEY + 2 * TAG
"""The three messages of Noise XX without what they carry, the initiator's first."""
CALLER_PACKETS: Final = 6
"""SYN and its acknowledgement, two messages of the handshake, FIN and its acknowledgement."""
CALLEE_PACKETS: Final = 4
"""The same of the other side, which sends one message."""
SEGMENT: Final = 1_400


@define
class Traffic:
    """What one node has sent since the start, in packets and in bytes of payload.

    The ``stream`` figures are the estimate.
    """

    datagrams: int = 0
    datagram_bytes: int = 0
    exchanges: int = 0
    stream_packets: int = 0
    stream_bytes: int = 0
    kept: dict[str, None] = field(factory=dict, repr=False)
    """Whom it has a channel to, the least recently used first."""

    @property
    def packets(self) -> int:
        """UDP and TCP together."""
        return self.datagrams + self.stream_packets

    @property
    def total_bytes(self) -> int:
        """UDP and TCP together."""
        return self.datagram_bytes + self.stream_bytes

    def send(self, size: int) -> None:
        """Count one message on a channel."""
        self.stream_packets += -(-(RECORD_BYTES + size) // SEGMENT)
        self.stream_bytes += RECORD_BYTES + size


def count_channel(caller: Traffic, callee: Traffic, to: str, credentials: tuple[int, int]) -> None:
    """Count what opening a channel takes on both sides, unless the caller keeps one to that node.

    Args:
        caller: of the node that asks.
        callee: of the node that is asked.
        to: whom it asks.
        credentials: the bytes that the caller shows, and those that the callee shows.
    """
    if to in caller.kept:
        del caller.kept[to]
    else:
        shown, answered = credentials
        first, second, third = HANDSHAKE_BYTES
        caller.stream_packets += CALLER_PACKETS
        caller.stream_bytes += first + third + shown
        callee.stream_packets += CALLEE_PACKETS
        callee.stream_bytes += second + answered
    caller.kept[to] = None
    if len(caller.kept) > KEPT_CHANNELS:
        del caller.kept[next(iter(caller.kept))]
