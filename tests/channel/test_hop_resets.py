"""Streams that end before their time, and channels that take no more of them."""

from __future__ import annotations

from types import ModuleType

import pytest

from gossipmesh.channel.hop import MAX_STREAMS
from gossipmesh.channel.hop_events import (
    DataReceived,
    GoneAway,
    RequestOpened,
    ResponseStarted,
    StreamEnded,
    StreamReset,
)
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.hop_stream import INITIAL_WINDOW
from gossipmesh.errors import LocalProtocolError, StreamLimit

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)


@pytest.mark.parametrize("flushed", [False, True])
def test_an_answer_that_needs_no_more_of_its_request_arrives_whole_before_the_reset(
    lab: ModuleType, flushed: bool
) -> None:
    pair = lab.Pair()
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


def test_a_reset_cancels_the_other_sides_work(lab: ModuleType) -> None:
    pair = lab.Pair()
    stream = lab.answered(pair)
    pair.orders.send_data(stream, bytes(INITIAL_WINDOW))
    pair.web.reset(stream, "DC")
    assert pair.deliver(pair.web) == [StreamReset(stream, "DC")]
    with pytest.raises(LocalProtocolError):
        pair.orders.send_data(stream, b"more")
    pair.settle()
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


def test_what_was_under_way_when_we_reset_is_ignored(lab: ModuleType) -> None:
    pair = lab.Pair()
    stream = lab.answered(pair)
    pair.orders.send_data(stream, b"late")
    pair.orders.send_end(stream, End())
    pair.send(pair.orders)
    pair.web.reset(stream, "DC")
    assert pair.deliver(pair.orders) == []
    assert pair.deliver(pair.web) == []
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


def test_resets_that_cross_close_the_stream_on_both_sides(lab: ModuleType) -> None:
    pair = lab.Pair()
    stream = pair.web.open_stream(GET)
    pair.deliver(pair.web)
    pair.web.reset(stream, "DC")
    pair.orders.reset(stream, "UR")
    pair.send(pair.web)
    pair.send(pair.orders)
    assert pair.deliver_one(pair.web) == []
    assert pair.deliver_one(pair.orders) == []
    assert (pair.web.open_streams, pair.orders.open_streams) == (0, 0)


def test_a_stream_that_was_given_up_before_it_left_is_never_heard_of(lab: ModuleType) -> None:
    pair = lab.Pair()
    for _ in range(3 * MAX_STREAMS):
        pair.web.reset(pair.web.open_stream(GET), "DC")
    assert not pair.web.has_output
    stream = pair.web.open_stream(GET)
    assert pair.deliver(pair.web) == [RequestOpened(stream, GET)]


def test_going_away_names_the_last_accepted_stream_and_lets_it_end(lab: ModuleType) -> None:
    pair = lab.Pair()
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


def test_an_initiator_that_goes_away_finishes_what_it_opened(lab: ModuleType) -> None:
    pair = lab.Pair()
    stream = pair.web.open_stream(GET)
    pair.web.go_away()
    assert pair.deliver(pair.web) == [GoneAway(stream), RequestOpened(stream, GET)]
    pair.orders.go_away()
    pair.orders.send_head(stream, OK)
    assert pair.deliver(pair.orders) == [ResponseStarted(stream, OK)]
    with pytest.raises(StreamLimit):
        pair.web.open_stream(GET)
