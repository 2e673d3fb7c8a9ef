"""A multiplexer and a peer that breaks the rules, or a wire that breaks bits."""

from __future__ import annotations

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
from gossipmesh.channel.noise import Role
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError

GET = RequestHead("orders", b"GET", b"/")
OK = ResponseHead(200)
ALL = 2**30


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
