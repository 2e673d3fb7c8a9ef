"""A multiplexer and a peer that breaks the rules, or a wire that breaks bits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.hop import CHANNEL_WINDOW, MAX_STREAMS, HopMux
from gossipmesh.channel.hop_messages import (
    End,
    RequestHead,
    ResponseHead,
    encode_end,
    encode_request_head,
    encode_response_head,
)
from gossipmesh.channel.hop_stream import INITIAL_WINDOW
from gossipmesh.channel.hop_whole import MAX_WHOLE, encode_answer, encode_call
from gossipmesh.channel.noise import Role
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)
ALL = 2**30


def head_frame(number: int) -> bytes:
    return frames.encode_frame(number, frames.HEAD, encode_request_head(GET))


def data_frame(number: int, size: int) -> bytes:
    return frames.encode_frame(number, frames.DATA, bytes(size))


def call_frame(number: int, body: bytes = b"") -> bytes:
    return frames.encode_frame(number, frames.CALL, encode_call(GET, body) or b"")


def answer_frame(number: int, body: bytes = b"") -> bytes:
    return frames.encode_frame(number, frames.ANSWER, encode_answer(OK, body, End()) or b"")


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
        (frames.encode_frame(1, 11), "hop.malformed"),
        (frames.encode_frame(1, frames.CALL), "hop.malformed"),
        (frames.encode_frame(0, frames.CALL, encode_call(GET, b"") or b""), "hop.malformed"),
        (call_frame(1) + call_frame(1), "hop.order"),
        (head_frame(1) + call_frame(1), "hop.order"),
        (call_frame(1) + head_frame(1), "hop.order"),
        (call_frame(2) + call_frame(1), "hop.order"),
        (call_frame(1) + END_1, "hop.order"),
        (call_frame(1) + data_frame(1, 1), "hop.order"),
        (call_frame(1, bytes(MAX_WHOLE + 1)), "hop.malformed"),
        (answer_frame(1), "hop.malformed"),
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


def test_whole_requests_past_the_credit_of_the_channel_are_refused() -> None:
    orders = HopMux(Role.RESPONDER)
    number = 0
    for number in range(1, CHANNEL_WINDOW // MAX_WHOLE + 1):
        orders.receive_record_untrusted(call_frame(number, bytes(MAX_WHOLE)))
    orders.receive_record_untrusted(call_frame(number + 1))
    with pytest.raises(RemoteProtocolError) as raised:
        orders.receive_record_untrusted(call_frame(number + 2, b"x"))
    assert raised.value.code == "hop.credit"


def test_whole_requests_that_nobody_takes_use_the_channels_credit_too() -> None:
    orders = HopMux(Role.RESPONDER)
    orders.go_away()
    for number in range(1, CHANNEL_WINDOW // MAX_WHOLE + 1):
        assert orders.receive_record_untrusted(call_frame(number, bytes(MAX_WHOLE))) == []
    with pytest.raises(RemoteProtocolError) as raised:
        orders.receive_record_untrusted(call_frame(2**31, b"x"))
    assert raised.value.code == "hop.credit"


def initiator(*, streams: int = 1) -> HopMux:
    web = HopMux(Role.INITIATOR, compact=True)
    for _ in range(streams):
        web.open_stream(GET, b"")
    web.take_records(ALL)
    return web


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (frames.encode_frame(1, frames.HEAD, encode_response_head(OK)) + answer_frame(1), "hop.order"),
        (answer_frame(1) + answer_frame(1), "hop.stream"),
        (answer_frame(1) + END_1, "hop.stream"),
        (answer_frame(2), "hop.stream"),
        (answer_frame(0), "hop.malformed"),
        (answer_frame(1, bytes(MAX_WHOLE + 1)), "hop.malformed"),
        (call_frame(1), "hop.malformed"),
    ],
)
def test_a_violation_of_the_acceptor_is_refused_and_final(body: bytes, code: str) -> None:
    web = initiator()
    with pytest.raises(RemoteProtocolError) as raised:
        web.receive_record_untrusted(body)
    assert raised.value.code == code
    with pytest.raises(RemoteProtocolError) as raised:
        web.receive_record_untrusted(answer_frame(1))
    assert raised.value.code == "hop.broken"


def test_whole_answers_past_the_credit_of_the_channel_are_refused() -> None:
    most = CHANNEL_WINDOW // MAX_WHOLE
    web = initiator(streams=most + 1)
    for number in range(1, most + 1):
        web.receive_record_untrusted(answer_frame(number, bytes(MAX_WHOLE)))
    with pytest.raises(RemoteProtocolError) as raised:
        web.receive_record_untrusted(answer_frame(most + 1, b"x"))
    assert raised.value.code == "hop.credit"


def test_a_whole_answer_past_the_credit_of_its_stream_is_refused_even_if_nobody_wants_it() -> None:
    web = initiator()
    web.receive_record_untrusted(frames.encode_frame(1, frames.HEAD, encode_response_head(OK)))
    web.receive_record_untrusted(data_frame(1, INITIAL_WINDOW - MAX_WHOLE + 1))
    web.reset(1, "DC")
    with pytest.raises(RemoteProtocolError) as raised:
        web.receive_record_untrusted(answer_frame(1, bytes(MAX_WHOLE)))
    assert raised.value.code == "hop.credit"


def test_a_record_that_cannot_be_decoded_changes_nothing() -> None:
    web = initiator()
    with pytest.raises(RemoteProtocolError):
        web.receive_record_untrusted(answer_frame(1, b"x") + frames.encode_frame(1, frames.ANSWER, b"x"))
    assert web.open_streams == 1


def test_an_answer_to_a_stream_that_was_not_announced_is_refused() -> None:
    web = HopMux(Role.INITIATOR, compact=True)
    stream = web.open_stream(GET, b"body")
    with pytest.raises(RemoteProtocolError) as raised:
        web.receive_record_untrusted(answer_frame(stream))
    assert raised.value.code == "hop.stream"


def test_a_peer_that_opens_and_resets_without_end_meets_a_limit() -> None:
    orders = HopMux(Role.RESPONDER)
    for number in range(1, MAX_STREAMS + 1):
        given_up = head_frame(number) + frames.encode_frame(number, frames.RESET, b"DC")
        orders.receive_record_untrusted(given_up)
    with pytest.raises(RemoteProtocolError) as raised:
        orders.receive_record_untrusted(head_frame(MAX_STREAMS + 1))
    assert raised.value.code == "hop.stream"
    assert orders.open_streams == MAX_STREAMS


def test_only_the_initiator_opens_streams() -> None:
    web, orders = HopMux(Role.INITIATOR), HopMux(Role.RESPONDER)
    with pytest.raises(LocalProtocolError):
        orders.open_stream(GET)
    with pytest.raises(RemoteProtocolError) as raised:
        web.receive_record_untrusted(frames.encode_frame(1, frames.HEAD, encode_response_head(OK)))
    assert raised.value.code == "hop.stream"


def test_a_stream_that_was_not_announced_cannot_be_answered() -> None:
    web = HopMux(Role.INITIATOR)
    stream = web.open_stream(GET)
    with pytest.raises(RemoteProtocolError) as raised:
        web.receive_record_untrusted(frames.encode_frame(stream, frames.HEAD, encode_response_head(OK)))
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
            call_frame(3, b"whole"),
            frames.encode_frame(0, frames.GOAWAY, frames.U32.pack(3)),
        )
    )


def full_answers() -> bytes:
    """One record with all that an initiator may get for two streams."""
    return b"".join(
        (
            frames.encode_frame(1, frames.HEAD, encode_response_head(ResponseHead(103))),
            answer_frame(1, b"whole"),
            frames.encode_frame(2, frames.HEAD, encode_response_head(OK)),
            data_frame(2, 20),
            frames.encode_frame(2, frames.END, encode_end(End())),
        )
    )


RECORDS = pytest.mark.parametrize(
    ("body", "side", "events"),
    [
        (full_record(), lambda: HopMux(Role.RESPONDER), 8),
        (full_answers(), lambda: initiator(streams=2), 5),
    ],
    ids=["requests", "answers"],
)


@RECORDS
def test_every_truncation_of_a_record_is_understood_or_refused_with_one_error(
    body: bytes, side: Callable[[], HopMux], events: int
) -> None:
    assert len(side().receive_record_untrusted(body)) == events
    for size in range(len(body)):
        try:
            side().receive_record_untrusted(body[:size])
        except RemoteProtocolError as error:
            assert error.code == "hop.malformed"


@RECORDS
def test_every_flipped_bit_of_a_record_is_understood_or_refused_with_one_error(
    body: bytes, side: Callable[[], HopMux], events: int
) -> None:
    assert len(side().receive_record_untrusted(body)) == events
    for bit in range(8 * len(body)):
        changed = bytearray(body)
        changed[bit // 8] ^= 1 << bit % 8
        mux = side()
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
