"""The quick way's rules against the general ones: whatever it takes comes out as h11 and they would have it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from almost import requests, responses
from gossipmesh.channel.header_lines import HeaderLines, kinds_untrusted
from gossipmesh.channel.hop_messages import ResponseHead
from gossipmesh.errors import RequestError
from gossipmesh.proxy.headers import (
    request_to_app,
    request_to_mesh,
    response_to_caller,
    response_to_mesh,
    visits,
)
from gossipmesh.proxy.http1.asking import Asking
from gossipmesh.proxy.http1.serving import Serving
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.names import name_request
from gossipmesh.proxy.quick_heads import (
    STATUS_LINES,
    added_lines,
    identity_lines,
    length_fits,
    may_go_to_app,
    may_go_to_caller,
    read_answer,
    read_request,
)
from gossipmesh.proxy.tracing import trace, trace_id_of

LIMITS = ProxyLimits()
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


def entropy(size: int) -> bytes:
    return b"\x5a" * size


def by_the_general_way(data: bytes, fixed: str | None) -> tuple[object, ...]:
    """Give service, target, Host, ids, headers and body of the request that ``data`` is, read by h11."""
    serving = Serving(LIMITS, fast_lane=False)
    serving.receive(data)
    request = serving.next_request()
    assert request is not None
    body = b""
    while part := serving.take_body():
        body += part
    assert serving.body_ended
    assert serving.buffered == 0
    assert not request.expects
    assert not request.upgrade
    assert not request.close
    traced = trace(request.headers, entropy)
    named = name_request(request.method, request.target, request.host, fixed=fixed)
    assert visits(request.headers, "web-1") == 0
    headers = request_to_mesh(
        traced.headers,
        host=named.host,
        version=request.version,
        via="web-1",
        caller="127.0.0.1",
        chunked=request.length is None,
    )
    ids = traced.request_id, traced.trace_id
    return named.service, request.method, named.target, named.host, *ids, tuple(headers), body


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
def test_a_request_that_goes_quickly_goes_as_it_would_have_gone_anyway(
    data: bytes, fixed: str | None
) -> None:
    quick = read_request(
        data, fixed=fixed, max_bytes=LIMITS.head_bytes, max_lines=LIMITS.head_count, entropy=entropy
    )
    if quick is None:
        return
    lines = quick.lines + added_lines(quick.host, "127.0.0.1", "web-1")
    assert by_the_general_way(data, fixed) == (
        quick.service,
        quick.method,
        quick.target,
        quick.host,
        quick.request_id,
        quick.trace_id,
        HeaderLines(lines, b"").pairs,
        quick.body,
    )


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


@given(likely_requests())
@example(b"GET / HTTP/1.1\r\nAccept: */*\r\nHost: hello\r\n\r\n")
def test_what_an_app_gets_quickly_is_what_it_would_have_got_anyway(data: bytes) -> None:
    quick = read_request(
        data, fixed=None, max_bytes=LIMITS.head_bytes, max_lines=LIMITS.head_count, entropy=entropy
    )
    if quick is None:
        return
    lines = quick.lines + added_lines(quick.host, "127.0.0.1", "web-1")
    kinds = kinds_untrusted(lines)
    assert may_go_to_app(kinds)
    assert length_fits(lines, kinds, quick.body)
    headers = HeaderLines(lines, kinds)
    assert trace_id_of(headers) == quick.trace_id
    added = identity_lines("web-1", "web")
    head = b"%b %b HTTP/1.1\r\n%b\r\n%b" % (quick.method, quick.target, b"\r\n".join(lines), added)
    pairs = request_to_app(headers, source="web", node="web-1")
    asking = Asking(LIMITS, fast_lane=False)
    assert asking.whole(quick.method, quick.target, pairs, quick.body) == head + quick.body


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
    answer = read_answer(data, max_bytes=LIMITS.head_bytes, max_lines=LIMITS.head_count)
    if answer is None:
        return
    status, lines, body = answer
    asking = Asking(LIMITS, fast_lane=False)
    asking.whole(b"GET", b"/", [(b"Host", b"hello")], b"")
    asking.receive(data)
    response = asking.next_response()
    assert response is not None
    got = b""
    while part := asking.take_body():
        got += part
    assert asking.spare
    assert (response.status, got) == (status, body)
    headers = response_to_mesh(response.headers, status=status)
    assert HeaderLines(lines, b"") == tuple(headers)
    assert (
        may_go_to_caller(status, lines, kinds_untrusted(lines), body) or b"\r\nx-gossipmesh" in data.lower()
    )


@given(likely_responses())
def test_what_a_caller_gets_quickly_is_what_it_would_have_got_anyway(data: bytes) -> None:
    head, _, body = data.partition(b"\r\n\r\n")
    status, lines = int(head[9:12]), head.split(b"\r\n")[1:]
    kinds = kinds_untrusted(lines)
    if not may_go_to_caller(status, lines, kinds, body):
        return
    written = b"%b%b\r\nVia: 1.1 web-1\r\n\r\n%b" % (STATUS_LINES[status], b"\r\n".join(lines), body)
    serving = Serving(LIMITS, fast_lane=False)
    serving.receive(b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n")
    assert serving.next_request() is not None
    pairs = response_to_caller(HeaderLines(lines, kinds), status=status, via="web-1")
    assert serving.whole(ResponseHead(status, tuple(pairs)), body, last=False) == written
    assert serving.complete


def test_a_name_outside_the_mesh_is_left_to_the_general_way() -> None:
    data = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
    assert read_request(data, fixed=None, max_bytes=999, max_lines=9, entropy=entropy) is None
    with pytest.raises(RequestError):
        by_the_general_way(data, None)
