"""Requests from app to app, through two real daemons' proxies and a real channel, with raw sockets at both ends."""

from __future__ import annotations

from functools import partial
from types import ModuleType

import pytest
import trio

from gossipmesh.model import Address

GET = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_request_reaches_the_app_byte_for_byte_but_for_what_a_proxy_must_change(
    lab: ModuleType,
) -> None:
    seen: list[bytes] = []
    answer = (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-CASE: y\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok"
    )
    async with lab.pair(lab.answering(answer, seen=seen), speaks_as="web") as (web, hello):
        received = await lab.ask(
            web,
            b"POST http://hello/a%2Fb//c?q=1&q=2 HTTP/1.1\r\nHost: other\r\nb: 1\r\nA: \xe4\r\nb: 2\r\n"
            b"X-Request-Id: r-1\r\n"
            b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nx-gossipmesh-source: admin\r\n"
            b"Connection: close, x-drop\r\nX-Drop: 1\r\nContent-Length: 5\r\n\r\nhello",
        )
    assert seen == [
        b"POST /a%2Fb//c?q=1&q=2 HTTP/1.1\r\nHost: hello\r\nb: 1\r\nA: \xe4\r\nb: 2\r\nX-Request-Id: r-1\r\n"
        b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nContent-Length: 5\r\n"
        b"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: hello\r\nVia: 1.1 web-1\r\n"
        b"x-gossipmesh-source: web\r\nx-gossipmesh-node: web-1\r\n\r\nhello"
    ]
    assert received == (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-CASE: y\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n"
        b"Via: 1.1 web-1\r\nConnection: close\r\n\r\nok"
    )
    for report, endpoint in ((web.report, "hello-1"), (hello.report, "web-1")):
        assert (report.request_id, report.trace_id) == ("r-1", "4bf92f3577b34da6a3ce929d0e0e4736")
        assert (report.source, report.service, report.method) == ("web", "hello", "POST")
        assert (report.path, report.code, report.flag) == ("/a%2Fb//c", 200, "")
        assert (report.bytes_in, report.bytes_out, report.attempts, report.endpoint) == (5, 2, 1, endpoint)


async def test_an_options_goes_as_far_as_its_max_forwards_allows(lab: ModuleType) -> None:
    seen: list[bytes] = []
    request = b"OPTIONS * HTTP/1.1\r\nHost: hello\r\nConnection: close\r\nMax-Forwards: %d\r\n\r\n"
    async with lab.pair(lab.answering(OK, seen=seen)) as (web, _):
        ours = await lab.ask(web, request % 0)
        assert ours.startswith(b"HTTP/1.1 200 OK\r\nallow: GET, ")
        assert (seen, web.report.code, web.report.flag, web.report.attempts) == ([], 200, "", 0)
        assert (await lab.ask(web, request % 1)).endswith(b"ok")
        assert b"\r\nMax-Forwards: 0\r\n" in seen[0]


async def test_a_chunked_body_and_its_trailers_travel_both_ways(lab: ModuleType) -> None:
    seen: list[bytes] = []
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\n"
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\nDigest: x\r\nContent-Length: 3\r\n\r\n"
    )
    async with lab.pair(lab.answering(answer, seen=seen)) as (web, _):
        received = await lab.ask(
            web,
            b"PUT / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n3;x=y\r\ndef\r\n0\r\nDigest: y\r\nHost: evil\r\n\r\n",
        )
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert body == b"6\r\nabcdef\r\n0\r\nDigest: y\r\n\r\n"
    assert b"\r\nTE: trailers\r\n" in head
    assert b"\r\nConnection: TE\r\n" in head
    assert received.partition(b"\r\n\r\n")[2] == b"5\r\nhello\r\n0\r\nDigest: x\r\n\r\n"


@pytest.mark.parametrize(
    ("request_line", "answer", "expected"),
    [
        (
            b"HEAD / HTTP/1.1",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
        ),
        (
            b"GET / HTTP/1.1",
            b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n",
        ),
        (
            b"GET / HTTP/1.1",
            b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n",
        ),
    ],
)
async def test_responses_without_a_body_keep_their_heads(
    lab: ModuleType, request_line: bytes, answer: bytes, expected: bytes
) -> None:
    async with lab.pair(lab.answering(answer)) as (web, _):
        received = await lab.ask(web, request_line + GET[14:])
    assert received == expected + b"Via: 1.1 web-1\r\nConnection: close\r\n\r\n"


async def test_a_response_that_ends_with_its_connection_is_chunked_for_the_caller(lab: ModuleType) -> None:
    async with lab.pair(lab.closing(b"HTTP/1.0 200 OK\r\n\r\nhello")) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(GET)
            received = await lab.read_until(stream, b"0\r\n\r\n")
    assert received.endswith(b"Connection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


async def test_requests_on_one_connection_are_answered_in_turn_even_if_they_come_at_once(
    lab: ModuleType,
) -> None:
    seen: list[bytes] = []
    async with lab.pair(lab.answering(OK, OK, OK, seen=seen)) as (web, _):
        keep = b"GET /%d HTTP/1.1\r\nHost: hello\r\n\r\n"
        received = await lab.ask(web, keep % 1 + b"\r\n" + keep % 2 + GET)
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert [request.split()[1] for request in seen] == [b"/1", b"/2", b"/"]


async def test_a_port_of_its_own_needs_no_name(lab: ModuleType) -> None:
    seen: list[bytes] = []
    async with lab.pair(lab.answering(OK, seen=seen)) as (web, _), trio.open_nursery() as nursery:
        assert web.outbound is not None
        web.proxy = await nursery.start(partial(web.outbound.serve, service="hello"), Address("127.0.0.1", 0))
        assert (await lab.ask(web, b"GET /x HTTP/1.0\r\n\r\n")).endswith(b"\r\n\r\nok")
        nursery.cancel_scope.cancel()
    assert seen[0].startswith(b"GET /x HTTP/1.1\r\nHost: hello\r\n")
    assert b"\r\nVia: 1.0 web-1\r\n" in seen[0]


async def test_a_node_can_call_its_own_service(lab: ModuleType) -> None:
    async with lab.pair(lab.answering(OK)) as (_, hello):
        assert lab.flag_of(await lab.ask(hello, GET)) == (200, "")
        assert [report.endpoint for report in hello.reports] == ["hello-1", "hello-1"]


async def test_interim_responses_are_passed_on_but_for_100(lab: ModuleType) -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    async with lab.pair(lab.answering(answer)) as (web, _):
        received = await lab.ask(web, GET)
    assert received.startswith(b"HTTP/1.1 103 \r\nLink: </a>\r\nVia: 1.1 web-1\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_a_caller_that_waits_for_100_gets_it_from_us_and_the_app_hears_nothing_of_it(
    lab: ModuleType,
) -> None:
    seen: list[bytes] = []
    async with lab.pair(lab.answering(OK, seen=seen)) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(
                b"PUT / HTTP/1.1\r\nHost: hello\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            )
            assert await lab.read_until(stream, b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
            await stream.send_all(b"hello")
            assert (await lab.read_until(stream, b"ok")).count(b"HTTP/1.1") == 1
    assert b"xpect" not in seen[0]
