"""Two multiplexers with a fake wire between them."""

from __future__ import annotations

from collections import defaultdict, deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.hop import CHANNEL_WINDOW, MAX_STREAMS, HopMux, StreamLimit
from gossipmesh.channel.hop_events import (
    CreditGained,
    DataReceived,
    GoneAway,
    HopEvent,
    PongReceived,
    RequestOpened,
    ResponseStarted,
    StreamEnded,
    StreamReset,
)
from gossipmesh.channel.hop_messages import (
    End,
    RequestHead,
    ResponseHead,
    encode_end,
    encode_request_head,
    encode_response_head,
)
from gossipmesh.channel.hop_stream import INITIAL_WINDOW, STREAM_WINDOW
from gossipmesh.channel.noise import Role
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)
ALL = 2**30


class Pair:
    """An initiator, an acceptor, and what is under way between them."""

    def __init__(self) -> None:
        self.web = HopMux(Role.INITIATOR)
        self.orders = HopMux(Role.RESPONDER)
        self._wires: dict[HopMux, deque[bytes]] = {self.web: deque(), self.orders: deque()}

    def other(self, side: HopMux) -> HopMux:
        return self.orders if side is self.web else self.web

    def send(self, side: HopMux, limit: int = ALL) -> None:
        self._wires[side].extend(side.take_records(limit))

    def deliver_one(self, side: HopMux) -> list[HopEvent]:
        """Deliver the oldest record that ``side`` has sent."""
        wire = self._wires[side]
        return self.other(side).receive_record_untrusted(wire.popleft()) if wire else []

    def deliver(self, side: HopMux) -> list[HopEvent]:
        """Send and deliver all that ``side`` has ready, and give what it means to the other side."""
        self.send(side)
        events = []
        while self._wires[side]:
            events += self.deliver_one(side)
        return events

    def settle(self) -> None:
        while self.web.has_output or self.orders.has_output or any(self._wires.values()):
            self.deliver(self.web)
            self.deliver(self.orders)


def answered(pair: Pair, head: RequestHead = GET) -> int:
    """Open a stream whose request is complete and whose response has begun."""
    stream = pair.web.open_stream(head)
    pair.web.send_end(stream, End())
    pair.deliver(pair.web)
    pair.orders.send_head(stream, OK)
    pair.deliver(pair.orders)
    return stream


def frame_kinds(records: list[bytes]) -> list[tuple[int, int]]:
    return [(number, kind) for body in records for number, kind, _ in frames.split_frames_untrusted(body)]


def test_a_request_and_its_answer_take_one_record_each() -> None:
    pair = Pair()
    stream = pair.web.open_stream(GET)
    assert pair.web.send_data(stream, b"question") == 8
    pair.web.send_end(stream, End())
    (request,) = pair.web.take_records(ALL)
    assert pair.orders.receive_record_untrusted(request) == [
        RequestOpened(stream, GET),
        DataReceived(stream, b"question"),
        StreamEnded(stream, End()),
    ]
    pair.orders.send_head(stream, OK)
    pair.orders.send_data(stream, b"answer")
    pair.orders.send_end(stream, End(((b"x-sum", b"1"),), in_flight=4, queued=2))
    (response,) = pair.orders.take_records(ALL)
    assert pair.web.receive_record_untrusted(response) == [
        ResponseStarted(stream, OK),
        DataReceived(stream, b"answer"),
        StreamEnded(stream, End(((b"x-sum", b"1"),), in_flight=4, queued=2)),
    ]
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)
    assert not pair.web.has_output
    assert not pair.orders.has_output


def test_all_requests_of_one_turn_leave_in_one_record() -> None:
    pair = Pair()
    for _ in range(100):
        pair.web.send_end(pair.web.open_stream(GET), End())
    (record,) = pair.web.take_records(ALL)
    opened = [
        event for event in pair.orders.receive_record_untrusted(record) if isinstance(event, RequestOpened)
    ]
    assert len(opened) == 100


def test_an_answer_may_end_before_its_request() -> None:
    pair = Pair()
    stream = pair.web.open_stream(GET)
    pair.web.send_data(stream, b"part")
    pair.deliver(pair.web)
    pair.orders.send_head(stream, ResponseHead(413))
    pair.orders.send_end(stream, End())
    assert pair.deliver(pair.orders) == [
        ResponseStarted(stream, ResponseHead(413)),
        StreamEnded(stream, End()),
    ]
    pair.orders.reset(stream, "UR")
    assert pair.deliver(pair.orders) == [StreamReset(stream, "UR")]
    pair.settle()
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


@pytest.mark.parametrize("flushed", [False, True])
def test_an_answer_that_needs_no_more_of_its_request_arrives_whole_before_the_reset(flushed: bool) -> None:
    pair = Pair()
    stream = pair.web.open_stream(GET)
    pair.web.send_data(stream, bytes(INITIAL_WINDOW))
    pair.deliver(pair.web)
    pair.orders.send_head(stream, ResponseHead(413))
    pair.orders.send_data(stream, b"too much")
    pair.orders.send_end(stream, End())
    if flushed:
        pair.send(pair.orders)
    pair.orders.discard(stream)
    assert pair.deliver(pair.orders) == [
        ResponseStarted(stream, ResponseHead(413)),
        DataReceived(stream, b"too much"),
        StreamEnded(stream, End()),
        StreamReset(stream, "UR"),
    ]
    pair.settle()
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)
    pair.orders.discard(stream)


def test_interim_heads_come_before_the_final_one_and_101_hands_the_stream_over() -> None:
    pair = Pair()
    stream = pair.web.open_stream(GET)
    pair.deliver(pair.web)
    for status in (100, 103, 101):
        pair.orders.send_head(stream, ResponseHead(status))
    assert pair.deliver(pair.orders) == [
        ResponseStarted(stream, ResponseHead(status)) for status in (100, 103, 101)
    ]
    pair.web.send_data(stream, b"ping")
    assert pair.deliver(pair.web) == [DataReceived(stream, b"ping")]
    pair.orders.send_data(stream, b"pong")
    assert pair.deliver(pair.orders) == [DataReceived(stream, b"pong")]


@pytest.mark.parametrize("upwards", [True, False], ids=["to the acceptor", "to the initiator"])
def test_200_stalled_streams_hold_up_no_live_one(upwards: bool) -> None:
    pair = Pair()
    sender, receiver = (pair.web, pair.orders) if upwards else (pair.orders, pair.web)
    stalled = [pair.web.open_stream(GET) for _ in range(200)]
    live = pair.web.open_stream(GET)
    pair.deliver(pair.web)
    if not upwards:
        for stream in (*stalled, live):
            pair.orders.send_head(stream, OK)
    for stream in stalled:
        for _ in range(5):  # nobody takes a byte of these
            sender.send_data(stream, bytes(INITIAL_WINDOW))
            pair.settle()
        assert sender.send_data(stream, b"x") == 0
    body = bytes(range(256)) * 8_192
    received = bytearray()
    sent = 0
    for _ in range(1_000):
        sent += sender.send_data(live, body[sent : sent + 2**17])
        for event in pair.deliver(sender):
            if isinstance(event, DataReceived):
                received += event.data
                receiver.consume(event.stream, len(event.data))
        pair.deliver(receiver)
        if len(received) == len(body):
            break
    assert received == body


def test_a_bulk_body_delays_a_small_request_by_one_chunk_at_most() -> None:
    pair = Pair()
    bulk = pair.web.open_stream(GET)
    pair.web.send_data(bulk, bytes(INITIAL_WINDOW))
    small = pair.web.open_stream(GET)
    pair.web.send_data(small, b"small")
    pair.web.send_end(small, End())
    sent = [(number, kind) for number, kind in frame_kinds(pair.web.take_records(ALL)) if kind != frames.HEAD]
    assert sent[:4] == [(bulk, frames.DATA), (small, frames.DATA), (small, frames.END), (bulk, frames.DATA)]


def test_heads_and_control_frames_go_before_bodies() -> None:
    pair = Pair()
    bulk = pair.web.open_stream(GET)
    pair.web.send_data(bulk, b"x")
    late = pair.web.open_stream(GET)
    pair.web.ping(1)
    assert frame_kinds(pair.web.take_records(ALL)) == [
        (0, frames.PING),
        (bulk, frames.HEAD),
        (late, frames.HEAD),
        (bulk, frames.DATA),
    ]


def test_a_turn_is_limited_and_loses_nothing() -> None:
    pair = Pair()
    stream = pair.web.open_stream(GET)
    pair.web.send_data(stream, bytes(INITIAL_WINDOW))
    turns = 0
    received = 0
    while pair.web.has_output:
        turns += 1
        records = pair.web.take_records(20_000)
        assert sum(map(len, records)) < 20_000 + frames.MAX_CHUNK
        received += sum(
            len(event.data)
            for record in records
            for event in pair.orders.receive_record_untrusted(record)
            if isinstance(event, DataReceived)
        )
    assert (turns, received) == (2, INITIAL_WINDOW)


def test_a_sender_stops_at_its_credit_and_goes_on_when_the_app_reads() -> None:
    pair = Pair()
    stream = answered(pair)
    assert pair.orders.send_data(stream, bytes(10 * INITIAL_WINDOW)) == INITIAL_WINDOW
    pair.settle()
    pair.web.consume(stream, INITIAL_WINDOW)
    assert pair.deliver(pair.web) == [CreditGained(stream)]
    assert pair.orders.send_data(stream, bytes(10 * INITIAL_WINDOW)) == STREAM_WINDOW


def test_the_channels_credit_bounds_all_streams_together() -> None:
    pair = Pair()
    streams = [pair.web.open_stream(GET) for _ in range(100)]
    accepted = sum(pair.web.send_data(stream, bytes(INITIAL_WINDOW)) for stream in streams)
    assert accepted == CHANNEL_WINDOW
    pair.deliver(pair.web)
    assert CreditGained(None) in pair.deliver(pair.orders)
    assert pair.web.send_credit == CHANNEL_WINDOW


def test_what_a_reset_stream_never_sent_gives_the_channel_its_credit_back() -> None:
    pair = Pair()
    for drop in (
        lambda stream: pair.web.reset(stream, "DC"),
        lambda stream: (pair.orders.reset(stream, "UR"), pair.deliver(pair.orders)),
        lambda stream: (pair.orders.go_away(), pair.deliver(pair.orders)),
    ):
        stream = pair.web.open_stream(GET)
        pair.deliver(pair.web)
        late = pair.web.open_stream(GET)
        pair.web.send_data(stream, b"unsent")
        pair.web.send_data(late, b"unsent")
        drop(stream)
        pair.web.reset(late, "DC")
        if pair.web.gone_away:
            pair.web.reset(stream, "DC")
        assert pair.web.send_credit == CHANNEL_WINDOW


def test_a_reset_cancels_the_other_sides_work() -> None:
    pair = Pair()
    stream = answered(pair)
    pair.orders.send_data(stream, bytes(INITIAL_WINDOW))
    pair.web.reset(stream, "DC")
    assert pair.deliver(pair.web) == [StreamReset(stream, "DC")]
    with pytest.raises(LocalProtocolError):
        pair.orders.send_data(stream, b"more")
    pair.settle()
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


def test_what_was_under_way_when_we_reset_is_ignored() -> None:
    pair = Pair()
    stream = answered(pair)
    pair.orders.send_data(stream, b"late")
    pair.orders.send_end(stream, End())
    pair.send(pair.orders)
    pair.web.reset(stream, "DC")
    assert pair.deliver(pair.orders) == []
    assert pair.deliver(pair.web) == []
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


def test_resets_that_cross_close_the_stream_on_both_sides() -> None:
    pair = Pair()
    stream = pair.web.open_stream(GET)
    pair.deliver(pair.web)
    pair.web.reset(stream, "DC")
    pair.orders.reset(stream, "UR")
    pair.send(pair.web)
    pair.send(pair.orders)
    assert pair.deliver_one(pair.web) == []
    assert pair.deliver_one(pair.orders) == []
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


def test_a_stream_that_was_given_up_before_it_left_is_never_heard_of() -> None:
    pair = Pair()
    for _ in range(3 * MAX_STREAMS):
        pair.web.reset(pair.web.open_stream(GET), "DC")
    assert not pair.web.has_output
    stream = pair.web.open_stream(GET)
    assert pair.deliver(pair.web) == [RequestOpened(stream, GET)]


def test_a_peer_that_opens_and_resets_without_end_meets_a_limit() -> None:
    pair = Pair()
    for number in range(1, MAX_STREAMS + 1):
        given_up = head_frame(number) + frames.encode_frame(number, frames.RESET, b"DC")
        pair.orders.receive_record_untrusted(given_up)
    with pytest.raises(RemoteProtocolError) as raised:
        pair.orders.receive_record_untrusted(head_frame(MAX_STREAMS + 1))
    assert raised.value.code == "hop.stream"
    assert pair.orders.open_streams == MAX_STREAMS


def test_no_more_streams_open_than_the_limit_until_one_is_over() -> None:
    pair = Pair()
    streams = [pair.web.open_stream(GET) for _ in range(MAX_STREAMS)]
    with pytest.raises(StreamLimit) as raised:
        pair.web.open_stream(GET)
    assert raised.value.code == "hop.stream-limit"
    pair.deliver(pair.web)
    pair.web.reset(streams[0], "DC")
    with pytest.raises(StreamLimit):
        pair.web.open_stream(GET)
    pair.settle()
    pair.web.open_stream(GET)
    pair.settle()
    assert pair.orders.open_streams == MAX_STREAMS


def test_going_away_names_the_last_accepted_stream_and_lets_it_end() -> None:
    pair = Pair()
    kept = pair.web.open_stream(GET)
    pair.deliver(pair.web)
    refused = pair.web.open_stream(GET)
    pair.web.send_data(refused, b"body")
    pair.web.send_end(refused, End())
    pair.send(pair.web)
    pair.orders.go_away()
    assert pair.deliver_one(pair.web) == []
    assert pair.deliver(pair.orders) == [GoneAway(kept, (refused,))]
    with pytest.raises(StreamLimit) as raised:
        pair.web.open_stream(GET)
    assert raised.value.code == "hop.gone-away"
    pair.web.send_end(kept, End())
    assert pair.deliver(pair.web) == [StreamEnded(kept, End())]
    pair.orders.send_head(kept, OK)
    pair.orders.send_end(kept, End())
    pair.deliver(pair.orders)
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


def test_an_initiator_that_goes_away_finishes_what_it_opened() -> None:
    pair = Pair()
    stream = pair.web.open_stream(GET)
    pair.web.go_away()
    assert pair.deliver(pair.web) == [GoneAway(stream), RequestOpened(stream, GET)]
    pair.orders.go_away()
    pair.orders.send_head(stream, OK)
    assert pair.deliver(pair.orders) == [ResponseStarted(stream, OK)]
    with pytest.raises(StreamLimit):
        pair.web.open_stream(GET)


def test_a_ping_is_answered_and_a_flood_of_them_only_once() -> None:
    pair = Pair()
    for nonce in range(1_000):
        pair.web.ping(nonce)
        pair.deliver(pair.web)
    assert pair.deliver(pair.orders) == [PongReceived(999)]


def head_frame(number: int) -> bytes:
    return frames.encode_frame(number, frames.HEAD, encode_request_head(GET))


def data_frame(number: int, size: int) -> bytes:
    return frames.encode_frame(number, frames.DATA, bytes(size))


END_1 = frames.encode_frame(1, frames.END, encode_end(End()))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (data_frame(1, 1), "hop.stream"),
        (END_1, "hop.stream"),
        (frames.encode_frame(1, frames.RESET, b"DC"), "hop.stream"),
        (frames.encode_frame(1, frames.WINDOW, frames.U32.pack(1)), "hop.stream"),
        (head_frame(1) + END_1 + END_1, "hop.order"),
        (head_frame(1) + END_1 + data_frame(1, 1), "hop.order"),
        (head_frame(1) + head_frame(1), "hop.order"),
        (head_frame(2) + head_frame(1), "hop.order"),
        (head_frame(1) + data_frame(1, 0), "hop.malformed"),
        (head_frame(1) + frames.encode_frame(1, frames.WINDOW, frames.U32.pack(0)), "hop.credit"),
        (head_frame(1) + frames.encode_frame(1, frames.WINDOW, frames.U32.pack(2**31)), "hop.credit"),
        (frames.encode_frame(0, frames.WINDOW, frames.U32.pack(1)), "hop.credit"),
        (
            frames.encode_frame(0, frames.GOAWAY, frames.U32.pack(1))
            + frames.encode_frame(0, frames.GOAWAY, frames.U32.pack(2)),
            "hop.order",
        ),
        (frames.encode_frame(1, frames.GOAWAY, frames.U32.pack(1)), "hop.malformed"),
        (frames.encode_frame(0, frames.HEAD, encode_request_head(GET)), "hop.malformed"),
        (frames.encode_frame(0, frames.PING, b"short"), "hop.malformed"),
        (frames.encode_frame(1, 0), "hop.malformed"),
        (frames.encode_frame(1, 9), "hop.malformed"),
        (frames.encode_frame(1, frames.HEAD, encode_response_head(OK)), "hop.malformed"),
    ],
)
def test_a_violation_is_refused_and_final(body: bytes, code: str) -> None:
    orders = HopMux(Role.RESPONDER)
    with pytest.raises(RemoteProtocolError) as raised:
        orders.receive_record_untrusted(body)
    assert raised.value.code == code
    with pytest.raises(RemoteProtocolError) as raised:
        orders.receive_record_untrusted(head_frame(1))
    assert raised.value.code == "hop.broken"


def test_data_past_the_credit_of_a_stream_is_refused() -> None:
    orders = HopMux(Role.RESPONDER)
    orders.receive_record_untrusted(head_frame(1))
    for _ in range(INITIAL_WINDOW // frames.MAX_CHUNK):
        orders.receive_record_untrusted(data_frame(1, frames.MAX_CHUNK))
    with pytest.raises(RemoteProtocolError) as raised:
        orders.receive_record_untrusted(data_frame(1, 1))
    assert raised.value.code == "hop.credit"


def test_data_past_the_credit_of_the_channel_is_refused() -> None:
    orders = HopMux(Role.RESPONDER)
    streams = CHANNEL_WINDOW // INITIAL_WINDOW
    for number in range(1, streams + 2):
        orders.receive_record_untrusted(head_frame(number))
    for number in range(1, streams + 1):
        for _ in range(INITIAL_WINDOW // frames.MAX_CHUNK):
            orders.receive_record_untrusted(data_frame(number, frames.MAX_CHUNK))
    with pytest.raises(RemoteProtocolError) as raised:
        orders.receive_record_untrusted(data_frame(streams + 1, 1))
    assert raised.value.code == "hop.credit"


def test_only_the_initiator_opens_streams() -> None:
    pair = Pair()
    with pytest.raises(LocalProtocolError):
        pair.orders.open_stream(GET)
    with pytest.raises(RemoteProtocolError) as raised:
        pair.web.receive_record_untrusted(frames.encode_frame(1, frames.HEAD, encode_response_head(OK)))
    assert raised.value.code == "hop.stream"


def test_a_stream_that_was_not_announced_cannot_be_answered() -> None:
    pair = Pair()
    stream = pair.web.open_stream(GET)
    with pytest.raises(RemoteProtocolError) as raised:
        pair.web.receive_record_untrusted(frames.encode_frame(stream, frames.HEAD, encode_response_head(OK)))
    assert raised.value.code == "hop.stream"


def full_record() -> bytes:
    """One record with a frame of every kind that an acceptor may get."""
    return b"".join(
        (
            frames.encode_frame(0, frames.PING, frames.U64.pack(7)),
            frames.encode_frame(0, frames.PONG, frames.U64.pack(8)),
            head_frame(1),
            data_frame(1, 20),
            frames.encode_frame(1, frames.WINDOW, frames.U32.pack(100)),
            END_1,
            head_frame(2),
            frames.encode_frame(2, frames.RESET, b"DC"),
            frames.encode_frame(0, frames.GOAWAY, frames.U32.pack(2)),
        )
    )


def test_every_truncation_of_a_record_is_understood_or_refused_with_one_error() -> None:
    body = full_record()
    assert len(HopMux(Role.RESPONDER).receive_record_untrusted(body)) == 7
    for size in range(len(body)):
        try:
            HopMux(Role.RESPONDER).receive_record_untrusted(body[:size])
        except RemoteProtocolError as error:
            assert error.code == "hop.malformed"


def test_every_flipped_bit_of_a_record_is_understood_or_refused_with_one_error() -> None:
    body = full_record()
    for bit in range(8 * len(body)):
        changed = bytearray(body)
        changed[bit // 8] ^= 1 << bit % 8
        mux = HopMux(Role.RESPONDER)
        try:
            mux.receive_record_untrusted(bytes(changed))
        except RemoteProtocolError as error:
            assert error.code.startswith("hop.")
        mux.take_records(ALL)


@given(st.binary(max_size=200), st.sampled_from(list(Role)))
def test_any_bytes_are_understood_or_refused_with_one_error(body: bytes, role: Role) -> None:
    mux = HopMux(role)
    try:
        mux.receive_record_untrusted(body)
    except RemoteProtocolError as error:
        assert error.code.startswith("hop.")
    mux.take_records(ALL)


class Traffic:
    """Random traffic over a pair, with what each stream should deliver written down beside it."""

    def __init__(self) -> None:
        self.pair = Pair()
        self.sent: dict[tuple[HopMux, int], bytearray] = defaultdict(bytearray)
        self.received: dict[tuple[HopMux, int], bytearray] = defaultdict(bytearray)
        self.unread: dict[tuple[HopMux, int], int] = defaultdict(int)
        self.ended: set[tuple[HopMux, int]] = set()
        self.complete: set[tuple[HopMux, int]] = set()
        self.dead: set[int] = set()
        self.streams: list[int] = []
        self.answering: set[int] = set()
        self._byte = 0

    def open(self, _: int) -> None:
        self.streams.append(self.pair.web.open_stream(GET))

    def send(self, choice: int) -> None:
        side, stream = self._writable(choice)
        if stream:
            self._byte = (self._byte + 1) % 256
            data = bytes([self._byte]) * (choice % 90_000)
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
                case RequestOpened(stream, _):
                    self.pair.orders.send_head(stream, OK)
                    self.answering.add(stream)
                case DataReceived(stream, data):
                    self.received[side, stream] += data
                    self.unread[side, stream] += len(data)
                case StreamEnded(stream, end):
                    assert end == End(in_flight=stream)
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
            and (side is self.pair.web or stream in self.answering)
        ]
        return side, streams[choice // 2 % len(streams)] if streams else 0


steps = st.tuples(
    st.sampled_from(
        ["open", "send", "send", "send", "end", "reset", "read", "deliver", "deliver", "deliver"]
    ),
    st.integers(0, 10**6),
)


@settings(deadline=None)
@given(st.lists(steps, max_size=120))
def test_any_interleaving_delivers_exactly_what_was_sent_in_order(script: list[tuple[str, int]]) -> None:
    traffic = Traffic()
    for name, choice in script:
        getattr(traffic, name)(choice)
    traffic.finish()
