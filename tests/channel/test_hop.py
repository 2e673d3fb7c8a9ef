"""Two multiplexers with a fake wire between them: requests, answers, and their order."""

from __future__ import annotations

from types import ModuleType

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.hop_events import (
    DataReceived,
    PongReceived,
    RequestOpened,
    ResponseStarted,
    StreamEnded,
    StreamReset,
)
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.hop_stream import INITIAL_WINDOW

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)
ALL = 2**30


def frame_kinds(records: list[bytes]) -> list[tuple[int, int]]:
    return [(number, kind) for body in records for number, kind, _ in frames.split_frames_untrusted(body)]


def test_a_request_and_its_answer_take_one_record_each(lab: ModuleType) -> None:
    pair = lab.Pair()
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


def test_all_requests_of_one_turn_leave_in_one_record(lab: ModuleType) -> None:
    pair = lab.Pair()
    for _ in range(100):
        pair.web.send_end(pair.web.open_stream(GET), End())
    (record,) = pair.web.take_records(ALL)
    opened = [
        event for event in pair.orders.receive_record_untrusted(record) if isinstance(event, RequestOpened)
    ]
    assert len(opened) == 100


def test_an_answer_may_end_before_its_request(lab: ModuleType) -> None:
    pair = lab.Pair()
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


def test_interim_heads_come_before_the_final_one_and_101_hands_the_stream_over(lab: ModuleType) -> None:
    pair = lab.Pair()
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


def test_a_bulk_body_delays_a_small_request_by_one_chunk_at_most(lab: ModuleType) -> None:
    pair = lab.Pair()
    bulk = pair.web.open_stream(GET)
    pair.web.send_data(bulk, bytes(INITIAL_WINDOW))
    small = pair.web.open_stream(GET)
    pair.web.send_data(small, b"small")
    pair.web.send_end(small, End())
    sent = [(number, kind) for number, kind in frame_kinds(pair.web.take_records(ALL)) if kind != frames.HEAD]
    assert sent[:4] == [(bulk, frames.DATA), (small, frames.DATA), (small, frames.END), (bulk, frames.DATA)]


def test_heads_and_control_frames_go_before_bodies(lab: ModuleType) -> None:
    pair = lab.Pair()
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


def test_a_turn_is_limited_and_loses_nothing(lab: ModuleType) -> None:
    pair = lab.Pair()
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
    assert (turns, received) == (4, INITIAL_WINDOW)


def test_a_ping_is_answered_and_a_flood_of_them_only_once(lab: ModuleType) -> None:
    pair = lab.Pair()
    for nonce in range(1_000):
        pair.web.ping(nonce)
        pair.deliver(pair.web)
    assert pair.deliver(pair.orders) == [PongReceived(999)]
