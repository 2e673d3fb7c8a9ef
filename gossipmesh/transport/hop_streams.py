"""The streams of one hop channel that are not over, and who is told what of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from gossipmesh.channel.hop_events import (
    CreditGained,
    DataReceived,
    GoneAway,
    HopEvent,
    PongReceived,
    RequestOpened,
    ResponseStarted,
    ResponseWhole,
    StreamEnded,
    StreamReset,
)
from gossipmesh.channel.hop_messages import REFUSED
from gossipmesh.transport.hop_stream import HopStream

BULK: Final = 1024 * 1024
"""Body bytes of one stream, either way, after which it counts as bulk: small requests had better go elsewhere."""


class HopStreams:
    """Streams by number; tells their listeners what the multiplexer reports.

    Args:
        opened: is told of a request that the other side began, and gives its stream, which is kept here.
    """

    def __init__(self, opened: Callable[[RequestOpened], None]) -> None:
        self._streams: dict[int, HopStream] = {}
        self._blocked: set[HopStream] = set()
        self._arrived: dict[HopStream, list[bytes]] = {}
        self.bulk = 0
        """Streams that have moved more than :data:`BULK`."""
        # By the type of event; what is called most often is bound once.
        self._perform: Final[dict[type, Callable[[Any], None]]] = {
            ResponseWhole: self._response_whole,
            RequestOpened: opened,
            DataReceived: self._data_received,
            ResponseStarted: self._response_started,
            StreamEnded: self._stream_ended,
            CreditGained: self._credit_gained,
            StreamReset: self._stream_reset,
            GoneAway: self._gone_away,
            PongReceived: lambda _: None,  # That anything came was noted when it was read.
        }

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[HopStream]:
        return iter(tuple(self._streams.values()))

    def __contains__(self, stream: HopStream) -> bool:
        return stream.number in self._streams

    def add(self, stream: HopStream) -> None:
        """Keep a stream until it is over."""
        self._streams[stream.number] = stream

    def forget(self, stream: HopStream) -> bool:
        """Keep a stream no longer; False if it was over already."""
        if self._streams.pop(stream.number, None) is None:
            return False
        if stream.moved > BULK:
            self.bulk -= 1
        self._blocked.discard(stream)
        return True

    def block(self, stream: HopStream) -> None:
        """Tell a stream's listener when there may be credit again."""
        self._blocked.add(stream)

    def count(self, stream: HopStream, size: int) -> None:
        """Note that body bytes moved, either way."""
        was_bulk = stream.moved > BULK
        stream.moved += size
        if stream.moved > BULK and not was_bulk:
            self.bulk += 1

    def wake_blocked(self) -> None:
        """Tell all who wait for credit that there may be some."""
        # Those that find none block again; told once each, whoever comes back while this goes on.
        blocked, self._blocked = self._blocked, set()
        for stream in blocked:
            if stream.listener is not None and stream.flag is None:
                stream.listener.credit_gained()

    def doubt(self, unhealthy: Callable[[str], bool]) -> None:
        """Tell whoever waits for a service that is ``unhealthy`` that it may take long."""
        services = {stream.request.service for stream in self._streams.values()}
        doubted = {service for service in services if unhealthy(service)}
        for stream in tuple(self._streams.values()) if doubted else ():
            if stream.listener is not None and stream.request.service in doubted and stream in self:
                stream.listener.doubted()

    def fail_all(self, flag: str) -> None:
        """Tell everybody that their streams are of no more use."""
        streams, self._streams = self._streams, {}
        self._blocked.clear()
        self._arrived.clear()
        self.bulk = 0
        for stream in streams.values():
            stream.fail(flag)

    # --- what the multiplexer reports ------------------------------------------------------------------------------

    def perform(self, events: list[HopEvent]) -> None:
        """Tell listeners of events; of body bytes not before :meth:`deliver`."""
        perform = self._perform
        for event in events:
            perform[type(event)](event)

    def deliver(self) -> None:
        """Tell of the body bytes that came.

        Chunks of several bodies come in turns; what came together for one of them is passed on together.
        """
        while self._arrived:
            arrived, self._arrived = self._arrived, {}
            for stream, parts in arrived.items():
                self._deliver(stream, parts)

    def _deliver(self, stream: HopStream, parts: list[bytes] | None) -> None:
        if parts and stream.listener is not None and stream.flag is None:
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            self.count(stream, len(data))
            stream.listener.data_received(data)

    def _response_whole(self, event: ResponseWhole) -> None:
        stream = self._streams.get(event.stream)
        if stream is not None and stream.listener is not None:
            stream.ended = True
            listener = stream.listener
            if stream.sent_end:
                self.forget(stream)
            listener.whole_received(event.head, event.body, event.end)

    def _data_received(self, event: DataReceived) -> None:
        stream = self._streams.get(event.stream)
        if stream is not None and stream.listener is not None:
            self._arrived.setdefault(stream, []).append(event.data)

    def _response_started(self, event: ResponseStarted) -> None:
        stream = self._streams.get(event.stream)
        if stream is not None and stream.listener is not None:
            stream.listener.head_received(event.head)

    def _stream_ended(self, event: StreamEnded) -> None:
        stream = self._streams.get(event.stream)
        if stream is not None:
            self._deliver(stream, self._arrived.pop(stream, None))
            stream.ended = True
            if stream.sent_end:
                self.forget(stream)
            if stream.listener is not None:
                stream.listener.end_received(event.end)

    def _credit_gained(self, event: CreditGained) -> None:
        if event.stream is None:
            self.wake_blocked()
        elif (stream := self._streams.get(event.stream)) is not None and stream in self._blocked:
            self._blocked.discard(stream)
            if stream.listener is not None:
                stream.listener.credit_gained()

    def _stream_reset(self, event: StreamReset) -> None:
        self._lose(event.stream, event.flag)
        self.wake_blocked()

    def _gone_away(self, event: GoneAway) -> None:
        for number in event.refused:
            self._lose(number, REFUSED)
        self.wake_blocked()

    def _lose(self, number: int, flag: str) -> None:
        # The other side may reset what is over for us, while our own end waits to be sent.
        if (stream := self._streams.get(number)) is not None:
            self._deliver(stream, self._arrived.pop(stream, None))
            self.forget(stream)
            stream.fail(flag)
