"""Message heads as bytes: whatever two parsers could read in two ways is refused."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.proxy.heads import HeadBuffer, check_head_untrusted

HEAD = b"GET / HTTP/1.1\r\nHost: hello\r\nAccept: */*\r\n\r\n"


def buffer(*, max_bytes: int = 200, max_lines: int = 4, skip: bool = True) -> HeadBuffer:
    return HeadBuffer(max_bytes=max_bytes, max_lines=max_lines, skip_empty_line=skip)


def code_of(heads: HeadBuffer, data: bytes) -> str:
    heads.receive_bytes(data)
    with pytest.raises(RemoteProtocolError) as raised:
        heads.take_head_untrusted()
    return raised.value.code


@pytest.mark.parametrize("cut", range(len(HEAD)))
def test_a_head_that_comes_in_two_parts_is_given_once_it_is_whole(cut: int) -> None:
    heads = buffer()
    heads.receive_bytes(HEAD[:cut])
    assert heads.take_head_untrusted() is None
    heads.receive_bytes(HEAD[cut:])
    assert heads.take_head_untrusted() == HEAD
    assert heads.take_rest() == b""


def test_a_head_that_comes_byte_by_byte_is_given_once_it_is_whole() -> None:
    heads = buffer()
    for at in range(len(HEAD)):
        assert heads.take_head_untrusted() is None
        heads.receive_bytes(HEAD[at : at + 1])
    assert heads.take_head_untrusted() == HEAD


def test_what_follows_a_head_is_kept_and_not_judged_with_it() -> None:
    heads = buffer()
    heads.receive_bytes(HEAD + b"body\n with\nbare line feeds\n" + b"x" * 500)
    assert heads.take_head_untrusted() == HEAD
    assert heads.take_rest() == b"body\n with\nbare line feeds\n" + b"x" * 500
    assert heads.take_head_untrusted() is None


def test_two_heads_in_one_receive_come_one_after_the_other() -> None:
    heads = buffer()
    heads.receive_bytes(HEAD + HEAD)
    assert heads.take_head_untrusted() == HEAD
    assert heads.take_head_untrusted() == HEAD


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", "http.bare-lf"),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", "http.bare-lf"),
        (b"GET / HTTP/1.1\r\nHost: a\n\n", "http.bare-lf"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", "http.bare-lf"),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", "http.bare-lf"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "http.obs-fold"),
        (b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", "http.obs-fold"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5 + b"\r\n", "http.head-too-large"),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 200 + b"\r\n\r\n", "http.head-too-large"),
        (b"GET /" + b"a" * 200, "http.head-too-large"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "http.start-line"),
        (b" GET / HTTP/1.1\r\n\r\n", "http.start-line"),
        (b"\nGET / HTTP/1.1\r\n\r\n", "http.start-line"),
        (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", "http.start-line"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(data: bytes, code: str) -> None:
    assert code_of(buffer(), data) == code


def test_as_many_lines_and_bytes_as_allowed_pass() -> None:
    head = b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 4 + b"\r\n"
    check_head_untrusted(head, max_bytes=len(head), max_lines=4)


@pytest.mark.parametrize("cut", [1, 2])
def test_one_empty_line_before_a_request_is_ignored(cut: int) -> None:
    heads = buffer()
    heads.receive_bytes((b"\r\n" + HEAD)[:cut])
    assert heads.take_head_untrusted() is None
    heads.receive_bytes((b"\r\n" + HEAD)[cut:])
    assert heads.take_head_untrusted() == HEAD


def test_an_empty_line_before_a_response_is_refused() -> None:
    assert code_of(buffer(skip=False), b"\r\nHTTP/1.1 200 OK\r\n\r\n") == "http.start-line"


@given(
    lines=st.lists(
        st.sampled_from([b"Host: a", b" x", b"A: b\n", b"\r", b"", b"B:c\r", b"\n", b"C: d\x00"]), max_size=6
    ),
    end=st.sampled_from([b"\r\n", b"\n"]),
)
def test_every_head_that_passes_ends_where_h11_sees_its_end(lines: list[bytes], end: bytes) -> None:
    data = end.join([b"GET / HTTP/1.1", *lines, b"", b""])
    heads = buffer()
    heads.receive_bytes(data)
    try:
        head = heads.take_head_untrusted()
    except RemoteProtocolError:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return
    if head is None:
        assert event is h11.NEED_DATA
    else:
        assert isinstance(event, h11.Request)
        assert head + connection.trailing_data[0] == data
