"""Heads and ends as values: what is written is read back, and nothing else is read at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.channel.hop_messages import (
    MAX_HEAD,
    MAX_HEADERS,
    End,
    RequestHead,
    ResponseHead,
    app_us_of,
    decode_end_untrusted,
    decode_flag_untrusted,
    decode_request_head_untrusted,
    decode_response_head_untrusted,
    encode_end,
    encode_flag,
    encode_request_head,
    encode_response_head,
)
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.wire import pack

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
END = End(((b"Grpc-Status", b"0"),), in_flight=3, queued=1)

EXAMPLES: list[tuple[bytes, Callable[[bytes], object]]] = [
    (encode_request_head(REQUEST), decode_request_head_untrusted),
    (encode_response_head(RESPONSE), decode_response_head_untrusted),
    (encode_end(END), decode_end_untrusted),
    (encode_flag("UT"), decode_flag_untrusted),
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


@given(requests)
def test_a_request_head_arrives_as_it_was_sent(head: RequestHead) -> None:
    assert decode_request_head_untrusted(encode_request_head(head)) == head


@given(st.builds(ResponseHead, st.integers(100, 599), headers))
def test_a_response_head_arrives_as_it_was_sent(head: ResponseHead) -> None:
    assert decode_response_head_untrusted(encode_response_head(head)) == head


@given(st.builds(End, headers, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)))
def test_an_end_arrives_as_it_was_sent(end: End) -> None:
    assert decode_end_untrusted(encode_end(end)) == end


def test_only_101_and_what_is_no_interim_answer_is_final() -> None:
    assert [status for status in (100, 101, 103, 200, 304, 599) if ResponseHead(status).final] == [
        101,
        200,
        304,
        599,
    ]


@pytest.mark.parametrize(("payload", "decode"), EXAMPLES, ids=["request", "response", "end", "flag"])
def test_every_truncation_is_refused(payload: bytes, decode: Callable[[bytes], object]) -> None:
    for size in range(len(payload)):
        if decode is decode_flag_untrusted and size:
            continue  # every beginning of a flag is a flag; its frame has a length
        with pytest.raises(RemoteProtocolError):
            decode(payload[:size])


@pytest.mark.parametrize(("payload", "decode"), EXAMPLES, ids=["request", "response", "end", "flag"])
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


@pytest.mark.parametrize(
    "array",
    [
        [b"orders", b"GET", b"/", [b"a: b\r\nc", b""], 0, 1, b"", b""],
        [b"orders", b"GET", b"/", [b"a", b"b\r\nc: d"], 0, 1, b"", b""],
        [b"orders", b"GET", b"/", [b"a", b"b\0"], 0, 1, b"", b""],
        [b"orders", b"GET", b"/", [b"", b"b"], 0, 1, b"", b""],
        [b"orders", b"GET", b"/", [b"a,b", b"b"], 0, 1, b"", b""],
        [b"orders", b"GET", b"/", [b"a"], 0, 1, b"", b""],
        [b"orders", b"GET", b"/", [b"a", 1], 0, 1, b"", b""],
        [b"orders", b"GET", b"/", [b"a", b"b", 1], 0, 1, b"", b""],
        [b"orders", b"GET /x HTTP/1.1\r\n", b"/", [], 0, 1, b"", b""],
        [b"orders", b"GET", b"/ HTTP/1.1\r\nHost: x", [], 0, 1, b"", b""],
        [b"orders", b"GET", b"", [], 0, 1, b"", b""],
        [b"Orders", b"GET", b"/", [], 0, 1, b"", b""],
        [b"", b"GET", b"/", [], 0, 1, b"", b""],
        [b"orders", b"GET", b"/", [], 2**32, 1, b"", b""],
        [b"orders", b"GET", b"/", [], 0, 256, b"", b""],
        [b"orders", b"GET", b"/", [], 0, 1, b"x" * 129, b""],
        [b"orders", b"GET", b"/", [], 0, 1, b"", b"../web"],
        [b"orders", b"GET", b"/", [b"a", b"b"] * (MAX_HEADERS + 1), 0, 1, b"", b""],
    ],
)
def test_a_field_that_no_http_message_may_have_is_refused(array: list[bytes | int | list[bytes]]) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        decode_request_head_untrusted(pack(array))  # type: ignore[arg-type]
    assert raised.value.code == "hop.malformed"


def test_elements_that_a_later_release_appends_are_ignored() -> None:
    assert decode_response_head_untrusted(pack([204, [], 7, b"new"])) == ResponseHead(204)
    assert decode_end_untrusted(pack([[], 3, 4, 5, b"new"])) == End((), 3, 4, 5)


def test_an_end_says_how_long_the_app_took_or_leaves_that_out_as_older_releases_do() -> None:
    assert encode_end(End((), 3, 4)) == pack([[], 3, 4])
    assert decode_end_untrusted(pack([[], 3, 4])) == End((), 3, 4)
    assert decode_end_untrusted(encode_end(End((), 3, 4, 250_000))) == End((), 3, 4, 250_000)
    assert decode_end_untrusted(encode_end(End(app_us=2**40))).app_us == 2**32 - 1


def test_an_app_that_answers_within_a_tick_of_the_clock_is_not_taken_for_one_of_which_nothing_is_known() -> (
    None
):
    assert (app_us_of(0.0), app_us_of(2.5e-7), app_us_of(0.25)) == (1, 1, 250_000)


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (RequestHead("orders", b"GE T", b"/"), "hop.head"),
        (RequestHead("orders", b"GET", b"/a b"), "hop.head"),
        (RequestHead("orders", b"GET", b"/", ((b"a:", b""),)), "hop.head"),
        (RequestHead("orders", b"GET", b"/", ((b"a", b"b\n"),)), "hop.head"),
        (RequestHead("orders", b"GET", b"/", ((b"a", b"b"),) * (MAX_HEADERS + 1)), "hop.head-too-long"),
        (RequestHead("orders", b"GET", b"/", ((b"a", b"b" * MAX_HEAD),)), "hop.head-too-long"),
    ],
)
def test_a_head_that_would_end_the_channel_is_not_sent(head: RequestHead, code: str) -> None:
    with pytest.raises(LocalProtocolError) as raised:
        encode_request_head(head)
    assert raised.value.code == code


def test_a_response_without_a_status_is_not_sent() -> None:
    with pytest.raises(LocalProtocolError):
        encode_response_head(ResponseHead(600))


@pytest.mark.parametrize("flag", ["", "two words", "x" * 17, "ä"])
def test_a_flag_is_a_short_word(flag: str) -> None:
    with pytest.raises(LocalProtocolError):
        encode_flag(flag)
    with pytest.raises(RemoteProtocolError):
        decode_flag_untrusted(flag.encode())
