"""Random traffic between two multiplexers, compared with what was put in."""

from __future__ import annotations

from collections import defaultdict
from types import ModuleType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.channel.hop import CHANNEL_WINDOW, HopMux
from gossipmesh.channel.hop_events import (
    DataReceived,
    HopEvent,
    RequestOpened,
    ResponseWhole,
    StreamEnded,
    StreamReset,
)
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)


class Traffic:
    """Random traffic over a pair, with what each stream should deliver written down beside it."""

    def __init__(self, pair: Any) -> None:
        self.pair = pair
        self.sent: dict[tuple[HopMux, int], bytearray] = defaultdict(bytearray)
        self.received: dict[tuple[HopMux, int], bytearray] = defaultdict(bytearray)
        self.unread: dict[tuple[HopMux, int], int] = defaultdict(int)
        self.ended: set[tuple[HopMux, int]] = set()
        self.complete: set[tuple[HopMux, int]] = set()
        self.dead: set[int] = set()
        self.streams: list[int] = []
        self.answering: set[int] = set()
        self.begun: set[int] = set()
        self.whole: set[tuple[HopMux, int]] = set()
        """Requests that were asked whole, by who gets them: their end holds nothing, if it has a frame of its own."""
        self._byte = 0

    def open(self, _: int) -> None:
        self.streams.append(self.pair.web.open_stream(GET))

    def ask_whole(self, choice: int) -> None:
        body = self._body(choice % 65_537)
        stream = self.pair.web.open_stream(GET, body)
        self.streams.append(stream)
        self.sent[self.pair.web, stream] += body
        self.ended.add((self.pair.web, stream))
        self.whole.add((self.pair.orders, stream))

    def answer_whole(self, choice: int) -> None:
        waiting = sorted(self.answering - self.begun - self.dead)
        if waiting:
            stream = waiting[choice % len(waiting)]
            body = self._body(choice % 65_537)
            if self.pair.orders.answer(stream, OK, body, End(in_flight=stream)):
                self.begun.add(stream)
                self.sent[self.pair.orders, stream] += body
                self.ended.add((self.pair.orders, stream))

    def send_head(self, choice: int) -> None:
        waiting = sorted(self.answering - self.begun - self.dead)
        if waiting:
            stream = waiting[choice % len(waiting)]
            self.pair.orders.send_head(stream, OK)
            self.begun.add(stream)

    def _body(self, size: int) -> bytes:
        self._byte = (self._byte + 1) % 256
        return bytes([self._byte]) * size

    def send(self, choice: int) -> None:
        side, stream = self._writable(choice)
        if stream:
            data = self._body(choice % 90_000)
            accepted = side.send_data(stream, data)
            self.sent[side, stream] += data[:accepted]

    def end(self, choice: int) -> None:
        side, stream = self._writable(choice)
        if stream:
            side.send_end(stream, End(in_flight=stream))
            self.ended.add((side, stream))

    def reset(self, choice: int) -> None:
        if self.streams and choice % 4 == 0:
            stream = self.streams[choice % len(self.streams)]
            side = self.pair.web if choice % 8 else self.pair.orders
            if side is self.pair.web or stream in self.answering:
                side.reset(stream, "DC")
                self.dead.add(stream)

    def read(self, choice: int) -> None:
        if self.unread:
            side, stream = list(self.unread)[choice % len(self.unread)]
            side.consume(stream, self.unread.pop((side, stream)))

    def deliver(self, choice: int) -> None:
        side = self.pair.web if choice % 2 else self.pair.orders
        self.pair.send(side, limit=choice % 100_000 + 1)
        self.note(self.pair.other(side), self.pair.deliver_one(side))

    def note(self, side: HopMux, events: list[HopEvent]) -> None:
        for event in events:
            match event:
                case RequestOpened(stream, _, body):
                    self.answering.add(stream)
                    if body is not None:
                        self.received[side, stream] += body
                        self.complete.add((side, stream))
                case ResponseWhole(stream, _, body, end):
                    assert end == End(in_flight=stream)
                    self.received[side, stream] += body
                    self.complete.add((side, stream))
                case DataReceived(stream, data):
                    self.received[side, stream] += data
                    self.unread[side, stream] += len(data)
                case StreamEnded(stream, end):
                    assert end == End(in_flight=0 if (side, stream) in self.whole else stream)
                    assert (side, stream) not in self.complete
                    self.complete.add((side, stream))
                case StreamReset(stream, _):
                    self.dead.add(stream)

    def finish(self) -> None:
        """Let everything arrive and be read, and check it."""
        web, orders = self.pair.web, self.pair.orders
        for _ in range(10):
            for side in (web, orders):
                self.note(self.pair.other(side), self.pair.deliver(side))
            while self.unread:
                self.read(0)
        for (side, stream), data in self.sent.items():
            received = self.received[self.pair.other(side), stream]
            assert received == (data[: len(received)] if stream in self.dead else data)
        for side, stream in self.ended:
            assert stream in self.dead or (self.pair.other(side), stream) in self.complete
        for side in (web, orders):
            assert side.send_credit > CHANNEL_WINDOW // 2
            assert side.open_streams == sum(
                stream not in self.dead and not {(web, stream), (orders, stream)} <= self.ended
                for stream in self.streams
            )

    def _writable(self, choice: int) -> tuple[HopMux, int]:
        side = self.pair.web if choice % 2 else self.pair.orders
        streams = [
            stream
            for stream in self.streams
            if stream not in self.dead
            and (side, stream) not in self.ended
            and (side is self.pair.web or stream in self.begun)
        ]
        return side, streams[choice // 2 % len(streams)] if streams else 0


steps = st.tuples(
    st.sampled_from(
        [
            *("open", "ask_whole", "send_head", "answer_whole", "send", "send", "send"),
            *("end", "reset", "read", "deliver", "deliver", "deliver"),
        ]
    ),
    st.integers(0, 10**6),
)


@given(st.lists(steps, max_size=120), st.booleans(), st.booleans())
def test_any_interleaving_delivers_exactly_what_was_sent_in_order(
    lab: ModuleType, script: list[tuple[str, int]], compact: bool, long: bool
) -> None:
    traffic = Traffic(lab.Pair(compact=compact, long=long))
    for name, choice in script:
        getattr(traffic, name)(choice)
    traffic.finish()
