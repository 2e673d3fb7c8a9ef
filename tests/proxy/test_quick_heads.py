"""The quick way's rules against the general ones: whatever it takes comes out as h11 and they would have it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from almost import requests, responses
from gossipmesh.errors import RequestError
from gossipmesh.proxy.quick_heads import read_request
from quick_way import (
    LIMITS,
    by_the_general_way,
    compare_answer,
    compare_forwarded_answer,
    compare_request,
    entropy,
    quick_request,
)

PARENT = b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

LINES = [
    b"Host: hello", b"host: hello.mesh", b"HOST: other:80", b"Accept: */*", b"Cookie: a=b", b"X-Request-Id: r1",
    b"x-request-id: r 1", PARENT, PARENT[:-1], b"tracestate: a=1", b"Connection: keep-alive", b"Connection: close",
    b"Proxy-Connection: Keep-Alive", b"Keep-Alive: timeout=5", b"Content-Length: 3", b"Content-Length: 0",
    b"Content_Length: 3", b"Transfer-Encoding: chunked", b"X-Forwarded-For: 1.2.3.4", b"Via: 1.1 web-1",
    b"x-gossipmesh-source: admin", b"X_gossipmesh_node: a", b"Upgrade: websocket", b"TE: trailers", b"A: \xe9\t.",
    b"Max-Forwards: 1", b"Expect: 100-continue", b"Close: x",
]  # fmt: skip
STARTS = [
    b"GET / HTTP/1.1", b"GET /a%2F//b?c=d HTTP/1.1", b"POST / HTTP/1.1", b"PUT http://hello.mesh/x HTTP/1.1",
    b"GET http://hello HTTP/1.1", b"HEAD / HTTP/1.1", b"GET /#a HTTP/1.1", b"GET / HTTP/1.0", b"DELETE * HTTP/1.1",
    b"GET http://example.com/ HTTP/1.1", b"GET https://hello/ HTTP/1.1", b"TRACE / HTTP/1.1",
]  # fmt: skip


@st.composite
def likely_requests(draw: st.DrawFn) -> bytes:
    lines = [draw(st.sampled_from(STARTS[:5] * 2 + STARTS)), b"Host: hello"]
    lines += draw(st.lists(st.sampled_from(LINES), max_size=6))
    if draw(st.integers(0, 9)) == 0:
        draw(st.randoms(use_true_random=False)).shuffle(lines)
    return b"\r\n".join([*lines, b"", b""]) + draw(st.sampled_from([b"", b"", b"abc", b"GET / HTTP/1.1\r\n"]))


@given(likely_requests() | requests(), st.sampled_from([None, None, "world"]))
@example(b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: keep-alive\r\n\r\n", None)
@example(b"GET http://hello.mesh/x?y HTTP/1.1\r\nhost: other\r\n" + PARENT + b"\r\n\r\n", None)
@example(b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 3\r\n\r\nabc", None)
@example(b"GET / HTTP/1.1\r\nHost: anything.example\r\n\r\n", "world")
@example(b"GET / HTTP/1.1\r\nHost: hello\r\nX-Request-Id: a\r\nX-Request-Id: b\r\n\r\n", None)
@example(b"GET / HTTP/1.1\r\nHost: hello\r\n" + PARENT + b"\r\n" + PARENT[:-2] + b"00\r\n\r\n", None)
@example(b"GET / HTTP/1.1\r\nHost: hello\r\ntracestate: a=1\r\n\r\n", None)
@example(b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", None)
@example(b"GET /#a HTTP/1.1\r\nHost: hello\r\n\r\n", None)
@example(b"GET / HTTP/1.1\r\nAccept: */*\r\nHost: hello\r\n\r\n", None)
def test_a_request_that_goes_quickly_goes_as_it_would_have_gone_anyway(
    data: bytes, fixed: str | None
) -> None:
    compare_request(data, fixed)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n",
        b"GET http://hello.mesh/x?y HTTP/1.1\r\nhost: other\r\nX-Request-Id: a\r\n" + PARENT + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 3\r\nProxy-Connection: keep-alive\r\n\r\nabc",
        b"DELETE /a HTTP/1.1\r\nHost: hello.mesh\r\n\r\n",
    ],
)
def test_what_most_callers_send_does_go_quickly(data: bytes) -> None:
    limits = {"max_bytes": LIMITS.head_bytes, "max_lines": LIMITS.head_count}
    assert read_request(data, fixed=None, entropy=entropy, **limits) is not None
    for size in range(len(data)):
        assert read_request(data[:size], fixed=None, entropy=entropy, **limits) is None
    assert read_request(data + b"G", fixed=None, entropy=entropy, **limits) is None
    head = data.index(b"\r\n\r\n") + 4
    assert read_request(data, fixed=None, entropy=entropy, max_bytes=head - 1, max_lines=9) is None
    assert read_request(data, fixed=None, entropy=entropy, max_bytes=head, max_lines=0) is None


@st.composite
def likely_responses(draw: st.DrawFn) -> bytes:
    status = draw(
        st.sampled_from(
            [b"200 OK", b"404 Not Found", b"204 No Content", b"304 X", b"500", b"103 X", b"599 \xe9"]
        )
    )
    more = [
        b"Content-Length: 3",
        b"Set-Cookie: a",
        b"Server: b",
        b"Connection: close",
        b"x-gossipmesh-error: UF",
    ]
    lines = [
        b"HTTP/1.1 " + status,
        b"Content-Length: 3",
        *draw(st.lists(st.sampled_from(more + LINES), max_size=5)),
    ]
    return b"\r\n".join([*lines, b"", b""]) + draw(st.sampled_from([b"abc", b"abc", b"ab", b"abcd", b""]))


@given(likely_responses() | responses())
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc")
def test_an_answer_that_goes_quickly_goes_as_it_would_have_gone_anyway(data: bytes) -> None:
    compare_answer(data)


@given(likely_responses())
def test_what_a_caller_gets_quickly_is_what_it_would_have_got_anyway(data: bytes) -> None:
    compare_forwarded_answer(data)


def test_a_name_outside_the_mesh_is_left_to_the_general_way() -> None:
    data = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
    assert quick_request(data) is None
    with pytest.raises(RequestError):
        by_the_general_way(data, None)
