"""Header lines: what each is, and that remembering them changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.channel.header_lines import (
    BAD,
    DROPPED,
    FORWARDED,
    HOST,
    LENGTH,
    MAX_LINES,
    ODD,
    PLAIN,
    REQUEST_ID,
    TRACEPARENT,
    TRACESTATE,
    VIA,
    HeaderLines,
    kinds_untrusted,
)

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"Accept: */*", PLAIN),
        (b"X-A: a\tb \xe9", PLAIN),
        (b"host: a", HOST),
        (b"Content-Length: 12", LENGTH),
        (b"content-length: 0", LENGTH),
        (b"Content-Length: +1", ODD),
        (b"Content-Length: 1, 1", ODD),
        (b"Content-Length: 1234567890123456789", ODD),
        (b"Content_Length: 1", ODD),
        (b"X-Request-Id: a-1", REQUEST_ID),
        (b"X-Request-Id: a 1", ODD),
        (b"X-Request-Id: " + b"a" * 129, ODD),
        (b"traceparent: " + PARENT, TRACEPARENT),
        (b"traceparent: " + PARENT.replace(b"4b", b"4B"), ODD),
        (b"traceparent: 00-" + b"0" * 32 + PARENT[35:], ODD),
        (b"tracestate: a=b", TRACESTATE),
        (b"X-Forwarded-For: 10.0.0.1", FORWARDED),
        (b"Via: 1.1 web", VIA),
        (b"Connection: Keep-Alive", DROPPED),
        (b"Proxy-Connection: keep-alive", DROPPED),
        (b"Keep-Alive: timeout=5", DROPPED),
        (b"Connection: close", ODD),
        (b"Connection: keep-alive, x", ODD),
        (b"Transfer-Encoding: chunked", ODD),
        (b"Upgrade: websocket", ODD),
        (b"Expect: 100-continue", ODD),
        (b"TE: trailers", ODD),
        (b"Max-Forwards: 1", ODD),
        (b"x-gossipmesh-source: admin", ODD),
        (b"X_Gossipmesh_Source: admin", ODD),
        (b"A:", BAD),
        (b"A:b", BAD),
        (b"A: ", ODD),
        (b"A:  b", ODD),
        (b"A: b ", ODD),
        (b"A: \x01", ODD),
        (b"A\x80: b", BAD),
        (b" A: b", BAD),
        (b"A : b", BAD),
        (b"A: b\rc", BAD),
        (b"A: b\nc: d", BAD),
        (b"A: b\0", BAD),
        (b"", BAD),
    ],
)
def test_a_line_is_what_it_is_however_often_it_is_asked_about(line: bytes, kind: int) -> None:
    assert kinds_untrusted([line]) == bytes([kind])
    assert kinds_untrusted([line, line]) == bytes([kind, kind])


@given(st.binary(max_size=30) | st.from_regex(rb"[A-Za-z_-]{1,12}: ?[ -~\t]{0,12}", fullmatch=True))
def test_nothing_that_could_end_a_line_or_a_name_is_anything_but_bad(line: bytes) -> None:
    (kind,) = kinds_untrusted([line])
    name, colon, value = line.partition(b": ")
    token = bool(name) and not name.translate(
        None, b"-!#$%&'*+.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    )
    assert (kind != BAD) == bool(colon and token and not set(value) & {0, 10, 13})
    if kind not in (BAD, ODD):
        assert value == value.strip() != b""


def test_what_is_remembered_is_bounded_and_forgetting_changes_nothing() -> None:
    for number in range(MAX_LINES + 10):
        assert kinds_untrusted([b"X-%d: %d" % (number, number)]) == bytes([PLAIN])
    assert kinds_untrusted([b"X-1: 1", b"Host: a"]) == bytes([PLAIN, HOST])


def test_lines_are_a_sequence_of_names_and_values() -> None:
    lines = [b"A: b: c", b"D: "]
    headers = HeaderLines(lines, kinds_untrusted(lines))
    pairs = ((b"A", b"b: c"), (b"D", b""))
    assert headers == pairs == tuple(headers)
    assert headers == HeaderLines(list(lines), b"")
    assert (len(headers), headers[1], headers[:1]) == (2, pairs[1], pairs[:1])
    assert hash(headers) == hash(pairs)
    assert repr(headers) == repr(pairs)
