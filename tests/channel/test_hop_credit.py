"""How much may be under way and open at once, in one stream and in all together."""

from __future__ import annotations

from types import ModuleType

import pytest

from gossipmesh.channel.hop import CHANNEL_WINDOW, MAX_STREAMS
from gossipmesh.channel.hop_events import CreditGained, DataReceived
from gossipmesh.channel.hop_messages import RequestHead, ResponseHead
from gossipmesh.channel.hop_stream import INITIAL_WINDOW, STREAM_WINDOW
from gossipmesh.errors import StreamLimit

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)


def test_a_sender_stops_at_its_credit_and_goes_on_when_the_app_reads(lab: ModuleType) -> None:
    pair = lab.Pair()
    stream = lab.answered(pair)
    assert pair.orders.send_data(stream, bytes(10 * INITIAL_WINDOW)) == INITIAL_WINDOW
    pair.settle()
    pair.web.consume(stream, INITIAL_WINDOW)
    assert pair.deliver(pair.web) == [CreditGained(stream)]
    assert pair.orders.send_data(stream, bytes(10 * INITIAL_WINDOW)) == STREAM_WINDOW


def test_the_channels_credit_bounds_all_streams_together(lab: ModuleType) -> None:
    pair = lab.Pair()
    streams = [pair.web.open_stream(GET) for _ in range(100)]
    accepted = sum(pair.web.send_data(stream, bytes(INITIAL_WINDOW)) for stream in streams)
    assert accepted == CHANNEL_WINDOW
    pair.deliver(pair.web)
    assert CreditGained(None) in pair.deliver(pair.orders)
    assert pair.web.send_credit == CHANNEL_WINDOW


@pytest.mark.parametrize("upwards", [True, False], ids=["to the acceptor", "to the initiator"])
def test_200_stalled_streams_hold_up_no_live_one(lab: ModuleType, upwards: bool) -> None:
    pair = lab.Pair()
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


def test_what_a_reset_stream_never_sent_gives_the_channel_its_credit_back(lab: ModuleType) -> None:
    pair = lab.Pair()
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


def test_no_more_streams_open_than_the_limit_until_one_is_over(lab: ModuleType) -> None:
    pair = lab.Pair()
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
