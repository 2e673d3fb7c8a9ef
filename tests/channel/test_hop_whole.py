"""Whole messages as values: they hold what their parts would, and nothing else is read at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.channel.hop_frames import MAX_PAYLOAD
from gossipmesh.channel.hop_messages import (
    MAX_HEADERS,
    End,
    RequestHead,
    ResponseHead,
    decode_end_untrusted,
    decode_request_head_untrusted,
    decode_response_head_untrusted,
    encode_end,
    encode_request_head,
    encode_response_head,
)
from gossipmesh.channel.hop_whole import (
    MAX_WHOLE,
    MAX_WHOLE_HEAD,
    decode_answer_untrusted,
    decode_call_untrusted,
    encode_answer,
    encode_call,
)
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.wire import Value, pack

REQUEST = RequestHead(
    service="orders",
    method=b"POST",
    target=b"/v1/orders?open=1",
    headers=((b"Host", b"orders"), (b"Cookie", b"a=1; b=2"), (b"Cookie", b"c=3")),
    deadline_ms=1_500,
    attempt=2,
    request_id=b"r-1",
    source_service="web",
)
RESPONSE = ResponseHead(200, ((b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=\xe9"), (b"X-Empty", b"")))
LOAD = End(in_flight=3, queued=1)


def call(head: RequestHead, body: bytes = b"") -> bytes:
    payload = encode_call(head, body)
    assert payload is not None
    return payload


def answer(head: ResponseHead, body: bytes = b"", end: End = LOAD) -> bytes:
    payload = encode_answer(head, body, end)
    assert payload is not None
    return payload


EXAMPLES: list[tuple[bytes, Callable[[bytes], object]]] = [
    (call(REQUEST, b"\x00\r\n body"), decode_call_untrusted),
    (answer(RESPONSE, b"\x00\r\n body"), decode_answer_untrusted),
]

names = st.from_regex(rb"[!#-'*+.0-9A-Z^-z|~-]{1,20}", fullmatch=True)
values = st.binary(max_size=40).filter(lambda value: not set(value) & set(b"\r\n\0"))
headers = st.lists(st.tuples(names, values), max_size=12).map(tuple)
requests = st.builds(
    RequestHead,
    service=st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True),
    method=st.sampled_from([b"GET", b"POST", b"M-SEARCH"]),
    target=st.from_regex(rb"[\x21-\x7e]{1,60}", fullmatch=True),
    headers=headers,
    deadline_ms=st.integers(0, 2**32 - 1),
    attempt=st.integers(0, 255),
    request_id=st.binary(max_size=128),
    source_service=st.from_regex(r"[a-z0-9-]{0,63}", fullmatch=True),
)
responses = st.builds(ResponseHead, st.just(101) | st.integers(200, 599), headers)
ends = st.builds(End, st.just(()), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))


@given(requests, st.binary(max_size=200))
def test_a_whole_request_arrives_as_it_was_sent_and_as_its_parts_would(
    head: RequestHead, body: bytes
) -> None:
    assert decode_call_untrusted(call(head, body)) == (head, body)
    assert decode_request_head_untrusted(encode_request_head(head)) == head


@given(responses, st.binary(max_size=200), ends)
def test_a_whole_answer_arrives_as_it_was_sent_and_as_its_parts_would(
    head: ResponseHead, body: bytes, end: End
) -> None:
    assert decode_answer_untrusted(answer(head, body, end)) == (head, body, end)
    assert decode_response_head_untrusted(encode_response_head(head)) == head
    assert decode_end_untrusted(encode_end(end)) == end


@given(st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=6)), max_size=4).map(tuple))
def test_the_same_headers_may_go_whole_and_in_parts(odd: tuple[tuple[bytes, bytes], ...]) -> None:
    head = RequestHead("orders", b"GET", b"/", odd)
    try:
        encode_request_head(head)
    except LocalProtocolError:
        with pytest.raises(LocalProtocolError):
            encode_call(head, b"")
    else:
        assert decode_call_untrusted(call(head)) == (head, b"")


@given(
    st.binary(max_size=60) | st.lists(st.sampled_from([b"a", b": ", b":", b" ", b"\0", b"\n"])).map(b"".join)
)
def test_the_same_headers_are_taken_whole_and_in_parts(lines: bytes) -> None:
    parts = [line.partition(b": ") for line in lines.split(b"\0")] if lines else []
    # A line without its colon has no name that could be a token.
    in_parts = pack([200, [part for name, colon, value in parts for part in (name if colon else b"", value)]])
    try:
        expected = decode_response_head_untrusted(in_parts)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            decode_answer_untrusted(pack([b"", 200, lines, 0, 0]))
    else:
        assert decode_answer_untrusted(pack([b"", 200, lines, 0, 0])) == (expected, b"", End())


@pytest.mark.parametrize(("payload", "decode"), EXAMPLES, ids=["request", "answer"])
def test_every_truncation_is_refused(payload: bytes, decode: Callable[[bytes], object]) -> None:
    for size in range(len(payload)):
        with pytest.raises(RemoteProtocolError) as raised:
            decode(payload[:size])
        assert raised.value.code == "hop.malformed"


@pytest.mark.parametrize(("payload", "decode"), EXAMPLES, ids=["request", "answer"])
def test_a_flipped_bit_gives_another_value_or_the_one_error(
    payload: bytes, decode: Callable[[bytes], object]
) -> None:
    for bit in range(8 * len(payload)):
        changed = bytearray(payload)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            assert decode(bytes(changed)) != decode(payload)
        except RemoteProtocolError as error:
            assert error.code == "hop.malformed"


@given(st.binary(max_size=200), st.sampled_from([decode_call_untrusted, decode_answer_untrusted]))
def test_any_bytes_are_a_message_or_the_one_error(payload: bytes, decode: Callable[[bytes], object]) -> None:
    try:
        decode(payload)
    except RemoteProtocolError as error:
        assert error.code == "hop.malformed"


CALL: list[Value] = [b"", b"orders", b"GET", b"/", b"a: b", 0, 1, b"", b""]
ANSWER: list[Value] = [b"", 200, b"a: b", 0, 0]


@pytest.mark.parametrize(
    ("element", "wrong"),
    [
        (0, 1),
        (0, bytes(MAX_WHOLE + 1)),
        (1, b""),
        (1, b"Orders"),
        (1, b"a" * 64),
        (1, [b"orders"]),
        (2, b""),
        (2, b"GET /x HTTP/1.1\r\n"),
        (2, b"G" * 33),
        (3, b""),
        (3, b"/ HTTP/1.1\r\nHost: x"),
        (4, [b"a", b"b"]),
        (4, b"a"),
        (4, b"\0a: b"),
        (4, b"a: b\0c"),
        (4, b"a: b\r\nc\0"),
        (4, b"a: b\r\nc: d"),
        (4, b"a: b\nc"),
        (4, b"a,b: c"),
        (4, b"\0".join([b"a: b"] * (MAX_HEADERS + 1))),
        (5, 2**32),
        (5, b""),
        (6, 256),
        (7, b"x" * 129),
        (7, 7),
        (8, b"../web"),
    ],
)
def test_a_field_that_no_request_may_have_is_refused(element: int, wrong: Value) -> None:
    decode_call_untrusted(pack(CALL))
    with pytest.raises(RemoteProtocolError) as raised:
        decode_call_untrusted(pack([*CALL[:element], wrong, *CALL[element + 1 :]]))
    assert raised.value.code == "hop.malformed"


@pytest.mark.parametrize(
    ("element", "wrong"),
    [
        (0, bytes(MAX_WHOLE + 1)),
        (1, b"200"),
        (1, 99),
        (1, 100),
        (1, 103),
        (1, 600),
        (2, b"a"),
        (2, b"a: b\r"),
        (3, 2**32),
        (4, 2**32),
        (4, b""),
    ],
)
def test_a_field_that_no_answer_may_have_is_refused(element: int, wrong: Value) -> None:
    decode_answer_untrusted(pack(ANSWER))
    with pytest.raises(RemoteProtocolError) as raised:
        decode_answer_untrusted(pack([*ANSWER[:element], wrong, *ANSWER[element + 1 :]]))
    assert raised.value.code == "hop.malformed"


def test_a_boolean_is_no_number() -> None:
    for decode, payload in (
        (decode_call_untrusted, pack([*CALL[:6], True, *CALL[7:]])),
        (decode_answer_untrusted, pack([*ANSWER[:3], True, 0])),
    ):
        with pytest.raises(RemoteProtocolError):
            decode(payload)


def test_elements_that_a_later_release_appends_are_ignored() -> None:
    assert decode_call_untrusted(pack([*CALL, 7, b"new"])) == decode_call_untrusted(pack(CALL))
    assert decode_answer_untrusted(pack([*ANSWER, 0, [7]])) == decode_answer_untrusted(pack(ANSWER))


def test_how_long_the_app_took_is_said_and_may_be_left_out_as_older_releases_do() -> None:
    head, end = ResponseHead(204), End((), 3, 4, 250_000)
    timed = encode_answer(head, b"", end)
    assert timed is not None
    assert decode_answer_untrusted(timed) == (head, b"", end)
    untimed = encode_answer(head, b"", End((), 3, 4))
    assert untimed == pack([b"", 204, b"", 3, 4])
    assert decode_answer_untrusted(untimed) == (head, b"", End((), 3, 4))
    for wrong in (-1, True, 2**32, b"7"):
        with pytest.raises(RemoteProtocolError):
            decode_answer_untrusted(pack([b"", 204, b"", 3, 4, wrong]))


def test_whole_messages_have_small_heads_and_always_fit_a_frame() -> None:
    head = RequestHead("orders", b"GET", b"/", ((b"a", b""),) * MAX_HEADERS)
    room = MAX_WHOLE_HEAD - len(call(head))
    fits = RequestHead("orders", b"GET", b"/" * (room + 1 - 2), head.headers)
    body = bytes(MAX_WHOLE)
    assert len(call(fits, body)) <= MAX_PAYLOAD
    assert decode_call_untrusted(call(fits, body)) == (fits, body)
    assert encode_request_head(fits)
    assert encode_call(RequestHead("orders", b"GET", b"/" * (room + 2), head.headers), b"") is None
    assert encode_answer(ResponseHead(200, ((b"a", bytes([97]) * MAX_WHOLE_HEAD),)), b"", End()) is None


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (RequestHead("orders", b"GE T", b"/"), "hop.head"),
        (RequestHead("orders", b"GET", b"/a b"), "hop.head"),
        (RequestHead("orders", b"GET", b"/", ((b"a:", b""),)), "hop.head"),
        (RequestHead("orders", b"GET", b"/", ((b"a", b"b\n"),)), "hop.head"),
        (RequestHead("orders", b"GET", b"/", ((b"a", b"b\0c\0d"),)), "hop.head"),
        (RequestHead("orders", b"GET", b"/", ((b"a", b"b"),) * (MAX_HEADERS + 1)), "hop.head-too-long"),
    ],
)
def test_a_request_that_would_end_the_channel_is_not_sent(head: RequestHead, code: str) -> None:
    with pytest.raises(LocalProtocolError) as raised:
        encode_call(head, b"")
    assert raised.value.code == code


def test_an_answer_without_a_status_is_not_sent() -> None:
    with pytest.raises(LocalProtocolError):
        encode_answer(ResponseHead(600), b"", End())
