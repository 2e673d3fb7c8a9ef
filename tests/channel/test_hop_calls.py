"""Two multiplexers that speak in whole messages, and what those may not do."""

from __future__ import annotations

from types import ModuleType

import pytest

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.hop import CHANNEL_WINDOW, MAX_STREAMS, HopMux
from gossipmesh.channel.hop_events import (
    CreditGained,
    DataReceived,
    GoneAway,
    RequestOpened,
    ResponseStarted,
    ResponseWhole,
    StreamEnded,
    StreamReset,
)
from gossipmesh.channel.hop_long import MAX_LONG
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.hop_stream import INITIAL_WINDOW, STREAM_WINDOW
from gossipmesh.channel.hop_whole import MAX_WHOLE, MAX_WHOLE_HEAD
from gossipmesh.errors import LocalProtocolError, StreamLimit

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)
ALL = 2**30
LONG = ((b"x-long", b"x" * MAX_WHOLE_HEAD),)


def kinds(records: list[bytes]) -> list[tuple[int, int]]:
    return [(number, kind) for body in records for number, kind, _ in frames.split_frames_untrusted(body)]


def use_up_credit(side: HopMux, streams: list[int]) -> None:
    for stream in streams:
        side.send_data(stream, bytes(INITIAL_WINDOW))
    assert side.send_credit == 0


def test_a_whole_request_and_its_whole_answer_take_one_frame_each(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    stream = pair.web.open_stream(GET, b"question")
    (request,) = pair.web.take_records(ALL)
    assert kinds([request]) == [(stream, frames.CALL)]
    assert pair.orders.receive_record_untrusted(request) == [RequestOpened(stream, GET, b"question")]
    assert pair.orders.answer(stream, OK, b"answer", End(in_flight=4, queued=2))
    (response,) = pair.orders.take_records(ALL)
    assert kinds([response]) == [(stream, frames.ANSWER)]
    assert pair.web.receive_record_untrusted(response) == [
        ResponseWhole(stream, OK, b"answer", End(in_flight=4, queued=2))
    ]
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)
    assert not pair.web.has_output
    assert not pair.orders.has_output


@pytest.mark.parametrize("body", [b"", b"body"])
def test_to_a_peer_that_did_not_say_that_it_understands_them_the_parts_go(
    lab: ModuleType, body: bytes
) -> None:
    pair = lab.Pair(compact=False)
    stream = pair.web.open_stream(GET, body)
    data = [DataReceived(stream, body)] if body else []
    assert pair.deliver(pair.web) == [RequestOpened(stream, GET, None), *data, StreamEnded(stream, End())]
    assert pair.orders.answer(stream, OK, body, End(in_flight=1))
    assert pair.deliver(pair.orders) == [
        ResponseStarted(stream, OK),
        *data,
        StreamEnded(stream, End(in_flight=1)),
    ]
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


def test_a_message_with_a_long_head_goes_in_parts(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    head = RequestHead("orders", b"GET", b"/", LONG)
    stream = pair.web.open_stream(head, b"body")
    assert pair.deliver(pair.web) == [
        RequestOpened(stream, head),
        DataReceived(stream, b"body"),
        StreamEnded(stream, End()),
    ]
    assert pair.orders.answer(stream, ResponseHead(200, LONG), b"", End())
    assert pair.deliver(pair.orders) == [
        ResponseStarted(stream, ResponseHead(200, LONG)),
        StreamEnded(stream, End()),
    ]


def test_interim_heads_go_before_a_whole_answer(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    stream = pair.web.open_stream(GET)
    pair.deliver(pair.web)
    pair.orders.send_head(stream, ResponseHead(103))
    pair.orders.answer(stream, OK, b"", End())
    assert pair.deliver(pair.orders) == [
        ResponseStarted(stream, ResponseHead(103)),
        ResponseWhole(stream, OK, b"", End()),
    ]


def test_an_answer_may_be_whole_before_its_request_has_ended(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    stream = pair.web.open_stream(GET)
    pair.web.send_data(stream, b"part")
    pair.deliver(pair.web)
    pair.orders.answer(stream, ResponseHead(413), b"too much", End())
    pair.orders.discard(stream)
    assert pair.deliver(pair.orders) == [
        ResponseWhole(stream, ResponseHead(413), b"too much", End()),
        StreamReset(stream, "UR"),
    ]
    pair.settle()
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


# --- order


def test_whole_messages_go_in_the_place_of_heads(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    bulk = pair.web.open_stream(GET)
    pair.web.send_data(bulk, bytes(INITIAL_WINDOW))
    small = pair.web.open_stream(GET, b"small")
    late = pair.web.open_stream(GET)
    pair.web.ping(1)
    assert kinds(pair.web.take_records(ALL))[:5] == [
        (0, frames.PING),
        (bulk, frames.HEAD),
        (small, frames.CALL),
        (late, frames.HEAD),
        (bulk, frames.DATA),
    ]


def test_no_flow_of_small_requests_stops_a_body(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    bulk = pair.web.open_stream(GET)
    pair.web.send_data(bulk, b"bulk")
    for _ in range(10):
        pair.web.open_stream(GET, bytes(MAX_WHOLE))
    records = pair.web.take_records(MAX_WHOLE)
    assert kinds(records) == [(1, frames.HEAD), (2, frames.CALL), (bulk, frames.DATA)]
    for record in records:
        pair.orders.receive_record_untrusted(record)
    pair.settle()
    assert pair.orders.open_streams == 11


def test_a_body_that_waits_alone_fills_records(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    bulk = pair.web.open_stream(GET)
    pair.web.send_data(bulk, bytes(INITIAL_WINDOW))
    assert len(kinds(pair.web.take_records(ALL))) == 3


# --- credit


def test_bodies_of_whole_messages_use_the_channels_credit_and_it_comes_back(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    for _ in range(CHANNEL_WINDOW // MAX_WHOLE):
        stream = pair.web.open_stream(GET, bytes(MAX_WHOLE))
        pair.deliver(pair.web)
        assert pair.orders.answer(stream, OK, bytes(MAX_WHOLE), End())
        pair.deliver(pair.orders)
    assert pair.web.open_streams == 0
    assert pair.orders.send_credit == CHANNEL_WINDOW // 2  # half a window came back on the way
    pair.settle()
    assert (pair.web.send_credit, pair.orders.send_credit) == (CHANNEL_WINDOW, CHANNEL_WINDOW)


def test_a_whole_answer_without_credit_is_not_begun(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    streams = [pair.web.open_stream(GET, b"") for _ in range(CHANNEL_WINDOW // INITIAL_WINDOW)]
    small = pair.web.open_stream(GET, b"")
    pair.deliver(pair.web)
    for stream in streams:
        pair.orders.send_head(stream, OK)
    use_up_credit(pair.orders, streams)
    assert not pair.orders.answer(small, OK, b"x", End())
    pair.orders.send_head(small, OK)
    assert pair.orders.send_data(small, b"x") == 0
    pair.settle()
    assert pair.orders.send_data(small, b"x") == 1


def test_a_whole_request_without_credit_begins_and_goes_on_when_there_is_some(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    use_up_credit(pair.web, [pair.web.open_stream(GET) for _ in range(CHANNEL_WINDOW // INITIAL_WINDOW)])
    stream, other = pair.web.open_stream(GET, bytes(MAX_WHOLE)), pair.web.open_stream(GET, b"other")
    empty = pair.web.open_stream(GET, b"")
    opened = pair.deliver(pair.web)
    assert RequestOpened(stream, GET) in opened
    assert RequestOpened(empty, GET, b"") in opened
    for call in (
        lambda: pair.web.send_data(stream, b"more"),
        lambda: pair.web.send_end(stream, End()),
    ):
        with pytest.raises(LocalProtocolError):
            call()
    assert pair.deliver(pair.orders) == [CreditGained(None)]
    assert pair.deliver(pair.web) == [
        DataReceived(stream, bytes(MAX_WHOLE)),
        StreamEnded(stream, End()),
        DataReceived(other, b"other"),
        StreamEnded(other, End()),
    ]


def test_what_is_given_up_before_it_leaves_gives_its_credit_back(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    stream = pair.web.open_stream(GET, b"unsent")
    assert pair.web.send_credit == CHANNEL_WINDOW - 6
    pair.web.reset(stream, "DC")
    assert (pair.web.send_credit, pair.web.open_streams, pair.web.has_output) == (CHANNEL_WINDOW, 0, False)
    answered = pair.web.open_stream(GET, b"")
    pair.deliver(pair.web)
    pair.orders.answer(answered, OK, b"unsent", End())
    pair.orders.reset(answered, "UR")
    assert pair.orders.send_credit == CHANNEL_WINDOW
    assert pair.deliver(pair.orders) == [StreamReset(answered, "UR")]
    pair.settle()
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


def test_a_request_that_is_given_up_while_it_waits_for_credit_takes_none(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    use_up_credit(pair.web, [pair.web.open_stream(GET) for _ in range(CHANNEL_WINDOW // INITIAL_WINDOW)])
    stream = pair.web.open_stream(GET, b"never mind")
    pair.deliver(pair.web)
    pair.web.reset(stream, "DC")
    pair.settle()
    assert pair.web.send_credit == CHANNEL_WINDOW


@pytest.mark.parametrize("gives_up", ["web", "orders"])
def test_a_whole_request_that_waits_goes_on_when_those_with_the_credit_are_given_up(
    lab: ModuleType, gives_up: str
) -> None:
    pair = lab.Pair(compact=True)
    bulk = [pair.web.open_stream(GET) for _ in range(CHANNEL_WINDOW // INITIAL_WINDOW)]
    pair.deliver(pair.web)
    use_up_credit(pair.web, bulk)
    small = pair.web.open_stream(GET, b"small")
    for stream in bulk:
        (pair.web if gives_up == "web" else pair.orders).reset(stream, "UR")
    pair.deliver(pair.orders)
    assert DataReceived(small, b"small") in pair.deliver(pair.web)


def test_taking_what_came_whole_asks_for_nothing(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    stream = pair.web.open_stream(GET, bytes(MAX_WHOLE))
    pair.deliver(pair.web)
    pair.orders.consume(stream, MAX_WHOLE)
    assert not pair.orders.has_output
    pair.orders.answer(stream, OK, bytes(MAX_WHOLE), End())
    pair.deliver(pair.orders)
    pair.web.consume(stream, MAX_WHOLE)
    assert not pair.web.has_output


# --- the end


def test_a_reset_that_crosses_a_whole_answer_is_harmless(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    stream = pair.web.open_stream(GET, b"body")
    pair.deliver(pair.web)
    pair.orders.answer(stream, OK, b"late", End())
    pair.send(pair.orders)
    pair.web.reset(stream, "DC")
    assert pair.deliver(pair.orders) == []
    assert pair.deliver(pair.web) == []
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


def test_a_reset_before_the_answer_left_is_answered(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    stream = pair.web.open_stream(GET, b"body")
    pair.deliver(pair.web)
    pair.orders.answer(stream, OK, b"unsent", End())
    pair.web.reset(stream, "DC")
    assert pair.deliver(pair.web) == [StreamReset(stream, "DC")]
    pair.settle()
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)
    assert pair.orders.send_credit == CHANNEL_WINDOW


def test_going_away_refuses_whole_requests_too(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    kept = pair.web.open_stream(GET, b"")
    pair.deliver(pair.web)
    refused = pair.web.open_stream(GET, b"body")
    pair.send(pair.web)
    pair.orders.go_away()
    assert pair.deliver_one(pair.web) == []
    assert pair.deliver(pair.orders) == [GoneAway(kept, (refused,))]
    with pytest.raises(StreamLimit):
        pair.web.open_stream(GET, b"")


def test_whole_requests_count_as_open_streams(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    for _ in range(MAX_STREAMS):
        pair.web.open_stream(GET, b"")
    with pytest.raises(StreamLimit):
        pair.web.open_stream(GET, b"")


# --- our own mistakes


def test_what_cannot_be_whole_is_our_own_mistake(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    with pytest.raises(LocalProtocolError):
        pair.web.open_stream(GET, bytes(MAX_LONG + 1))
    stream = pair.web.open_stream(GET, b"")
    pair.deliver(pair.web)
    for head, body, end in (
        (OK, bytes(MAX_LONG + 1), End()),
        (OK, b"", End(((b"x-sum", b"1"),))),
        (ResponseHead(103), b"", End()),
    ):
        with pytest.raises(LocalProtocolError) as raised:
            pair.orders.answer(stream, head, body, end)
        assert raised.value.code == "hop.whole"
    assert not pair.orders.has_output
    assert pair.orders.answer(stream, OK, b"", End())
    for late in (
        lambda: pair.orders.answer(stream, OK, b"", End()),
        lambda: pair.orders.send_head(stream, OK),
        lambda: pair.orders.send_end(stream, End()),
    ):
        with pytest.raises(LocalProtocolError) as raised:
            late()
        assert raised.value.code == "hop.order"


def test_a_bad_head_leaves_nothing_behind(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    with pytest.raises(LocalProtocolError):
        pair.web.open_stream(RequestHead("orders", b"GE T", b"/"), b"body")
    assert (pair.web.send_credit, pair.web.open_streams) == (CHANNEL_WINDOW, 0)
    stream = pair.web.open_stream(GET, b"")
    pair.deliver(pair.web)
    with pytest.raises(LocalProtocolError):
        pair.orders.answer(stream, ResponseHead(200, ((b"a b", b""),)), b"body", End())
    assert pair.orders.send_credit == CHANNEL_WINDOW
    assert pair.orders.answer(stream, OK, b"", End())


def test_a_window_that_was_given_in_advance_stays_within_its_bound(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True)
    stream = pair.web.open_stream(GET, b"")
    pair.deliver(pair.web)
    more = frames.encode_frame(stream, frames.WINDOW, frames.U32.pack(STREAM_WINDOW - INITIAL_WINDOW))
    assert pair.orders.receive_record_untrusted(more) == []
    assert pair.orders.answer(stream, OK, bytes(MAX_WHOLE), End())
