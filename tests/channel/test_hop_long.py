"""Requests and answers too long for one frame, and complete when they are sent: told when all of them came."""

from __future__ import annotations

import tracemalloc
from types import ModuleType

import pytest

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.hop_events import (
    DataReceived,
    HopEvent,
    RequestOpened,
    ResponseStarted,
    ResponseWhole,
    StreamReset,
)
from gossipmesh.channel.hop_long import MAX_GATHERED, MAX_LONG, encode_long
from gossipmesh.channel.hop_messages import REFUSED, End, RequestHead, ResponseHead
from gossipmesh.channel.hop_stream import INITIAL_WINDOW
from gossipmesh.channel.hop_whole import MAX_WHOLE, encode_answer, encode_call
from gossipmesh.errors import RemoteProtocolError

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)
END = End(in_flight=4, queued=2, app_us=7)
ALL = 2**30
LENGTHS = (MAX_WHOLE + 1, 40_000, MAX_LONG)


def body_of(length: int) -> bytes:
    return b"".join(b"%7d\n" % at for at in range(0, length + 8, 8))[:length]


def call(body: bytes = b"") -> bytes:
    payload = encode_call(GET, body)
    assert payload is not None
    return payload


def answer(head: ResponseHead = OK, body: bytes = b"") -> bytes:
    payload = encode_answer(head, body, END)
    assert payload is not None
    return payload


def kinds(records: list[bytes]) -> list[int]:
    return [kind for record in records for _, kind, _ in frames.split_frames_untrusted(record)]


def received(lab: ModuleType, *parts: tuple[int, bytes]) -> list[HopEvent]:
    """Give what an initiator with one open stream takes these frames of it for."""
    web = lab.Pair(compact=True, long=True).web
    stream = web.open_stream(GET, b"")
    web.take_records(ALL)
    record = b"".join(frames.encode_frame(stream, kind, payload) for kind, payload in parts)
    return web.receive_record_untrusted(record)


def test_a_stream_begins_with_credit_for_the_longest() -> None:
    assert MAX_LONG <= INITIAL_WINDOW


@pytest.mark.parametrize("length", LENGTHS)
def test_a_long_answer_is_told_in_one_piece_and_leaves_nothing_open(lab: ModuleType, length: int) -> None:
    pair = lab.Pair(compact=True, long=True)
    stream = pair.web.open_stream(GET, b"")
    pair.deliver(pair.web)
    assert pair.orders.answer(stream, OK, memoryview(body_of(length)), END)
    records = pair.orders.take_records(ALL)
    assert kinds(records)[0] == frames.LONG
    assert set(kinds(records)[1:]) == {frames.DATA}
    events = [event for record in records for event in pair.web.receive_record_untrusted(record)]
    assert events == [ResponseWhole(stream, OK, body_of(length), END)]
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_long_request_is_opened_when_all_of_it_came(lab: ModuleType, length: int) -> None:
    pair = lab.Pair(compact=True, long=True)
    stream = pair.web.open_stream(GET, body_of(length))
    records = pair.web.take_records(ALL)
    assert kinds(records)[0] == frames.LONG
    events = [event for record in records for event in pair.orders.receive_record_untrusted(record)]
    assert events == [RequestOpened(stream, GET, body_of(length))]
    pair.orders.consume(stream, length)  # As of any request's body; nothing comes of it.
    assert pair.orders.answer(stream, OK, b"", END)
    pair.deliver(pair.orders)
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


def test_who_does_not_know_long_messages_is_sent_their_parts(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True, long=False)
    body = body_of(MAX_LONG)
    stream = pair.web.open_stream(GET, body)
    events = pair.deliver(pair.web)
    assert type(events[0]) is RequestOpened
    assert b"".join(event.data for event in events if type(event) is DataReceived) == body
    assert pair.orders.answer(stream, OK, body, END)
    events = pair.deliver(pair.orders)
    assert type(events[0]) is ResponseStarted
    assert b"".join(event.data for event in events if type(event) is DataReceived) == body


def test_a_long_answer_shares_the_channel_with_other_bodies_and_small_ones_overtake_it(
    lab: ModuleType,
) -> None:
    pair = lab.Pair(compact=True, long=True)
    streams = [pair.web.open_stream(GET, b"") for _ in range(3)]
    pair.deliver(pair.web)
    for stream in streams[:2]:
        pair.orders.answer(stream, OK, body_of(MAX_LONG), END)
    pair.orders.take_records(100)  # Both heads, and a turn of the first body.
    pair.orders.answer(streams[2], OK, b"small", END)
    frames_left = [
        (number, kind)
        for record in pair.orders.take_records(ALL)
        for number, kind, _ in frames.split_frames_untrusted(record)
    ]
    assert frames_left[0] == (streams[2], frames.ANSWER)
    assert {number for number, _ in frames_left[1:3]} == set(streams[:2])


def test_an_answer_that_is_given_up_halfway_is_told_as_given_up_only(lab: ModuleType) -> None:
    head = (frames.LONG, encode_long(answer(), 30_000))
    events = received(lab, head, (frames.DATA, bytes(10_000)), (frames.RESET, b"UC"))
    assert events == [StreamReset(1, "UC")]


def test_what_comes_of_an_answer_that_nobody_wants_any_more_is_ignored_to_its_end(lab: ModuleType) -> None:
    pair = lab.Pair(compact=True, long=True)
    stream = pair.web.open_stream(GET, b"")
    pair.deliver(pair.web)
    assert pair.orders.answer(stream, OK, body_of(MAX_LONG), END)
    pair.web.reset(stream, "DC")
    first, *rest = pair.orders.take_records(ALL)
    assert pair.web.receive_record_untrusted(first) == []
    pair.deliver(pair.web)
    assert [event for record in rest for event in pair.web.receive_record_untrusted(record)] == []
    pair.deliver(pair.orders)
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


def test_a_request_that_is_taken_back_halfway_was_never_there(lab: ModuleType) -> None:
    orders = lab.Pair(compact=True, long=True).orders
    record = frames.encode_frame(1, frames.LONG, encode_long(call(), 30_000))
    record += frames.encode_frame(1, frames.DATA, bytes(10_000)) + frames.encode_frame(1, frames.RESET, b"DC")
    assert orders.receive_record_untrusted(record) == [StreamReset(1, "DC")]
    orders.take_records(ALL)
    assert orders.open_streams == 0


def test_a_peer_that_finishes_no_request_is_refused_more_of_them(lab: ModuleType) -> None:
    orders = lab.Pair(compact=True, long=True).orders
    most = MAX_GATHERED // MAX_LONG
    head = encode_long(call(), MAX_LONG)
    for stream in range(1, most + 1):
        orders.receive_record_untrusted(frames.encode_frame(stream, frames.LONG, head))
    assert orders.take_records(ALL) == []
    orders.receive_record_untrusted(frames.encode_frame(most + 1, frames.LONG, head))
    assert orders.take_records(ALL) == [frames.encode_frame(most + 1, frames.RESET, REFUSED.encode())]
    # Who finishes one, or takes one back, may begin another; what still comes of the refused one is ignored.
    body = [frames.encode_frame(each, frames.DATA, bytes(32_768)) for each in (1, most + 1) for _ in "ab"]
    (event,) = [event for each in body for event in orders.receive_record_untrusted(each)]
    assert event == RequestOpened(1, GET, bytes(MAX_LONG))
    orders.receive_record_untrusted(frames.encode_frame(2, frames.RESET, b"DC"))
    orders.take_records(ALL)
    for stream in (most + 2, most + 3):
        orders.receive_record_untrusted(frames.encode_frame(stream, frames.LONG, head))
    assert orders.take_records(ALL) == []
    assert orders.open_streams == most + 1


@pytest.mark.parametrize("piece", [1, 2, 3, 1_000, 16_383])
def test_a_body_that_comes_in_small_pieces_costs_hardly_more_than_its_bytes(
    lab: ModuleType, piece: int
) -> None:
    orders = lab.Pair(compact=True, long=True).orders
    body = body_of(MAX_LONG)
    data = [frames.encode_frame(1, frames.DATA, body[at : at + piece]) for at in range(0, MAX_LONG, piece)]
    orders.receive_record_untrusted(frames.encode_frame(1, frames.LONG, encode_long(call(), MAX_LONG)))
    tracemalloc.start()
    try:
        for each in data[:-1]:
            # As a channel gives it: a view of what was opened, which is held as long as the view.
            orders.receive_record_untrusted(memoryview(bytearray(each)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * MAX_LONG
    assert orders.receive_record_untrusted(data[-1]) == [RequestOpened(1, GET, body)]


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([(frames.LONG, encode_long(answer(), 0))], "hop.malformed"),
        ([(frames.LONG, encode_long(answer(), MAX_LONG + 1))], "hop.malformed"),
        ([(frames.LONG, encode_long(answer(body=b"x"), 20_000))], "hop.malformed"),
        ([(frames.LONG, encode_long(call(), 20_000))], "hop.malformed"),
        ([(frames.LONG, b"\0\0\1")], "hop.malformed"),
        ([(frames.LONG, b"")], "hop.malformed"),
        ([(frames.LONG, encode_long(answer(), 9)), (frames.DATA, bytes(10))], "hop.order"),
        ([(frames.LONG, encode_long(answer(), 9)), (frames.END, b"\x93\x90\0\0")], "hop.order"),
        ([(frames.LONG, encode_long(answer(), 9)), (frames.ANSWER, answer())], "hop.order"),
        ([(frames.LONG, encode_long(answer(), 9))] * 2, "hop.order"),
        ([(frames.ANSWER, answer()), (frames.LONG, encode_long(answer(), 9))], "hop.stream"),
    ],
)
def test_a_long_answer_is_what_it_says_or_the_channel_is_broken(
    lab: ModuleType, parts: list[tuple[int, bytes]], code: str
) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        received(lab, *parts)
    assert error.value.code == code


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([(frames.LONG, encode_long(call(b"x"), 20_000))], "hop.malformed"),
        ([(frames.LONG, encode_long(call(), MAX_LONG + 1))], "hop.malformed"),
        ([(frames.LONG, encode_long(call(), 9)), (frames.DATA, bytes(10))], "hop.order"),
        ([(frames.LONG, encode_long(call(), 9))] * 2, "hop.order"),
    ],
)
def test_so_is_a_long_request(lab: ModuleType, parts: list[tuple[int, bytes]], code: str) -> None:
    orders = lab.Pair(compact=True, long=True).orders
    with pytest.raises(RemoteProtocolError) as error:
        orders.receive_record_untrusted(b"".join(frames.encode_frame(1, *part) for part in parts))
    assert error.value.code == code


def test_a_long_request_of_which_nothing_more_comes_is_given_up_and_keeps_nothing(lab: ModuleType) -> None:
    orders = lab.Pair(compact=True, long=True).orders
    record = frames.encode_frame(1, frames.LONG, encode_long(call(), 30_000))
    orders.receive_record_untrusted(record + frames.encode_frame(1, frames.DATA, bytes(10_000)))
    orders.reset_stalled()
    orders.receive_record_untrusted(frames.encode_frame(1, frames.DATA, bytes(10_000)))
    orders.reset_stalled()
    assert not orders.has_output
    for _ in range(2):
        orders.reset_stalled()
    assert kinds(orders.take_records(ALL)) == [frames.RESET]
    # What was under way is ignored, to its end; then as much may be announced as before.
    assert orders.receive_record_untrusted(frames.encode_frame(1, frames.DATA, bytes(10_000))) == []
    assert orders.open_streams == 0
    for number in range(2, 2 + MAX_GATHERED // MAX_LONG):
        orders.receive_record_untrusted(
            frames.encode_frame(number, frames.LONG, encode_long(call(), MAX_LONG))
        )
    assert not orders.has_output
