"""What a proxy owes the app that asks: each rule as a row, with what is sent, and what comes of it.

Every row goes through both lanes, at once and in two pieces, since neither may decide anything.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gossipmesh.proxy.limits import ProxyLimits

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NEXT = b"GET /next HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: hello\r\n"
POST = b"POST / HTTP/1.1\r\nHost: hello\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

PIECES = pytest.mark.parametrize("pieces", [1, 2], ids=["at-once", "in-two-pieces"])


async def send(stream: trio.SocketStream, data: bytes, pieces: int) -> None:
    """Send, so that the proxy reads it in so many pieces."""
    middle = len(data) // 2 if pieces == 2 else len(data)
    await stream.send_all(data[:middle])
    if middle < len(data):
        await wait_all_tasks_blocked()
        await stream.send_all(data[middle:])


async def read_all(stream: trio.SocketStream) -> bytes:
    received = b""
    async for data in stream:
        received += data
    return received


async def ask(daemon: Any, lab: ModuleType, request: bytes, pieces: int) -> bytes:
    """Send a request, and another one behind it; give everything that comes until the connection is closed."""
    async with await lab.connect(daemon) as stream:
        await send(stream, request + NEXT, pieces)
        received: bytes = await read_all(stream)
    return received


# --- what is refused -----------------------------------------------------------------------------------------------

IN_DOUBT = {
    "content-length-and-transfer-encoding": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "transfer-encoding-and-content-length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
    ),
    "transfer-encoding-in-1.0": (CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n", 400),
    "http-1.2": (GET.replace(b"1.1", b"1.2") + b"\r\n", 505),
    "http-2.0": (GET.replace(b"1.1", b"2.0") + b"\r\n", 505),
    "http-0.9": (GET.replace(b"1.1", b"0.9") + b"\r\n", 505),
    "preface-of-http-2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "obs-fold": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "obs-fold-of-the-first-line": (b"GET / HTTP/1.1\r\n Host: hello\r\n\r\n", 400),
    "bare-lf-lines": ((GET + b"\r\n").replace(b"\r\n", b"\n"), 400),
    "one-bare-lf-line": (GET + b"X: y\n\r\n", 400),
    "bare-lf-request-line": (b"GET / HTTP/1.1\nHost: hello\r\n\r\n", 400),
    "large-header": (GET + b"X: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    "large-target": (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: hello\r\n\r\n", 431),
    "many-headers": (GET + b"X: y\r\n" * 1_000 + b"\r\n", 431),
    "alias-of-content-length": (POST + b"Content_Length: 5\r\n\r\nhello", 400),
    "alias-of-transfer-encoding": (POST + b"Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "another-alias-of-content-length": (POST + b"Content.Length: 5\r\n\r\nhello", 400),
    "conflicting-content-lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    "conflicting-content-lengths-in-one": (POST + b"Content-Length: 5, 6\r\n\r\nhello", 400),
    "signed-content-length": (POST + b"Content-Length: +5\r\n\r\nhello", 400),
    "negative-content-length": (POST + b"Content-Length: -5\r\n\r\nhello", 400),
    "hexadecimal-content-length": (POST + b"Content-Length: 0x5\r\n\r\nhello", 400),
    "empty-content-length": (POST + b"Content-Length: \r\n\r\nhello", 400),
    "unknown-transfer-encoding": (POST + b"Transfer-Encoding: gzip\r\n\r\nhello", 501),
    "two-transfer-encodings": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "transfer-encoding-twice": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    "space-before-colon": (GET + b"X : y\r\n\r\n", 400),
    "space-before-colon-of-content-length": (POST + b"Content-Length : 5\r\n\r\nhello", 400),
    "nul-in-a-value": (GET + b"X: a\0b\r\n\r\n", 400),
    "bare-cr-in-a-value": (GET + b"X: a\rb\r\n\r\n", 400),
    "no-name": (GET + b": y\r\n\r\n", 400),
    "no-colon": (GET + b"X\r\n\r\n", 400),
    "two-hosts": (GET + b"Host: other\r\n\r\n", 400),
    "no-host": (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400),
    "another-expectation": (POST + b"Content-Length: 5\r\nExpect: tea\r\n\r\nhello", 417),
    "a-long-method": (b"X" * 100 + GET[3:] + b"\r\n", 501),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "spaces-in-the-target": (b"GET /a b HTTP/1.1\r\nHost: hello\r\n\r\n", 400),
    "control-byte-in-the-target": (b"GET /a\x01b HTTP/1.1\r\nHost: hello\r\n\r\n", 400),
}


@PIECES
@pytest.mark.parametrize("row", IN_DOUBT)
async def test_a_request_in_doubt_is_refused_and_ends_its_connection(
    lab: ModuleType, row: str, pieces: int
) -> None:
    request, status = IN_DOUBT[row]
    async with lab.pair(lab.refusing) as (web, _):
        received = await ask(web, lab, request, pieces)
        assert lab.flag_of(received) == (status, "DPE")
        assert received.count(b"HTTP/1.1 %d " % status) == received.count(b"\r\n\r\n") == 1
        assert b"\r\nConnection: close\r\n" in received
        assert [(each.code, each.flag) for each in web.reports] == [(status, "DPE")]


NOT_FOR_US = {
    "bad-host": (b"GET / HTTP/1.1\r\nHost: a b/c@d\r\n\r\n", (400, "DPE")),
    "host-with-userinfo": (b"GET / HTTP/1.1\r\nHost: user@hello\r\n\r\n", (400, "DPE")),
    "empty-host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", (400, "DPE")),
    "fragment": (b"GET /#x HTTP/1.1\r\nHost: hello\r\n\r\n", (400, "DPE")),
    "fragment-of-an-absolute-target": (b"GET http://hello/#x HTTP/1.1\r\nHost: hello\r\n\r\n", (400, "DPE")),
    "https": (b"GET https://hello/ HTTP/1.1\r\nHost: hello\r\n\r\n", (400, "DPE")),
    "authority-form": (b"GET hello:80 HTTP/1.1\r\nHost: hello\r\n\r\n", (400, "DPE")),
    "asterisk-form": (b"GET * HTTP/1.1\r\nHost: hello\r\n\r\n", (400, "DPE")),
    "trace": (b"TRACE / HTTP/1.1\r\nHost: hello\r\n\r\n", (405, "AZ")),
    "nobody": (b"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n", (404, "NR")),
    "outside": (b"GET http://www.example.com/ HTTP/1.1\r\nHost: hello\r\n\r\n", (403, "NR")),
    "loop": (GET + b"Via: " + b", ".join([b"1.1 web-1"] * 8) + b"\r\n\r\n", (508, "LP")),
}


@PIECES
@pytest.mark.parametrize("row", NOT_FOR_US)
async def test_a_request_that_goes_nowhere_says_why_and_leaves_its_connection_usable(
    lab: ModuleType, row: str, pieces: int
) -> None:
    request, expected = NOT_FOR_US[row]
    seen: list[bytes] = []
    async with lab.pair(lab.answering(OK, seen=seen)) as (web, _):
        received = await ask(web, lab, request, pieces)
        assert lab.flag_of(received) == expected
        assert b'"flag": "%b"' % expected[1].encode() in received
        assert received.endswith(b"\r\n\r\nok")
    assert [each.split()[1] for each in seen] == [b"/next"]


# --- what is changed on the way ------------------------------------------------------------------------------------

PASSED_ON = {
    "the-target-s-authority-wins": (
        b"GET http://hello/x HTTP/1.1\r\nHost: other\r\n\r\n",
        [b"GET /x HTTP/1.1", b"Host: hello", b"X-Forwarded-Host: hello"],
        [b"other"],
    ),
    "hop-by-hop": (
        GET + b"Connection: keep-alive, x-foo, X-Bar\r\nX-Foo: 1\r\nx-bar: 2\r\nKeep-Alive: timeout=5\r\n"
        b"Proxy-Connection: keep-alive\r\nTE: gzip\r\nTrailer: x\r\nProxy-Authenticate: x\r\n"
        b"Proxy-Authorization: Basic x\r\nUpgrade: websocket\r\nX-Baz: 3\r\n\r\n",
        [b"X-Baz: 3"],
        [b"Foo", b"bar", b"Keep-Alive", b"Connection", b"TE", b"Trailer", b"Proxy", b"Upgrade"],
    ),
    "te-trailers": (
        GET + b"Connection: TE\r\nTE: gzip, trailers\r\n\r\n",
        [b"TE: trailers", b"Connection: TE"],
        [b"gzip"],
    ),
    "what-connection-cannot-remove": (
        POST
        + b"Connection: host, content-length, x-forwarded-for, x-forwarded-proto, via, x-gossipmesh-node\r\n"
        b"Content-Length: 5\r\nX-Forwarded-For: 10.0.0.1\r\nVia: 1.1 before\r\n\r\nhello",
        [
            b"Host: hello",
            b"Content-Length: 5",
            b"Via: 1.1 before",
            b"X-Forwarded-For: 10.0.0.1, 127.0.0.1",
            b"X-Forwarded-Proto: http",
            b"Via: 1.1 web-1",
            b"x-gossipmesh-node: web-1",
        ],
        [b"Connection"],
    ),
    "identity": (
        GET + b"x-gossipmesh-source: admin\r\nX-Gossipmesh-Node: admin\r\nx_gossipmesh_source: admin\r\n"
        b"x-gossipmesh-anything: admin\r\n\r\n",
        [b"x-gossipmesh-node: web-1"],
        [b"admin", b"anything"],
    ),
    "forwarded": (
        GET + b"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-Proto: https\r\n"
        b"X-Forwarded-Host: www.example.com\r\n\r\n",
        [
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: www.example.com",
            b"X-Forwarded-For: 10.0.0.1, 10.0.0.2, 127.0.0.1",
        ],
        [],
    ),
    "content-length-0": (POST + b"Content-Length: 0\r\n\r\n", [b"Content-Length: 0"], []),
    "equal-content-lengths": (
        POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        [b"Content-Length: 5"],
        [],
    ),
    "bytes-and-order": (
        GET + b"b: 1\r\nA: \xe4\xff\r\nb: 2\r\nCookie: x\r\ncookie: y\r\n\r\n",
        [b"b: 1", b"A: \xe4\xff", b"b: 2", b"Cookie: x", b"cookie: y"],
        [],
    ),
    "white-space-around-a-value": (GET + b"X: \t y \t\r\nY:z\r\n\r\n", [b"X: y", b"Y: z"], []),
    "an-empty-value": (GET + b"X:\r\n\r\n", [b"X: "], []),
    "expect-in-1.0": (
        b"POST / HTTP/1.0\r\nHost: hello\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        [b"Content-Length: 5", b"Via: 1.0 web-1"],
        [b"xpect"],
    ),
    "options-of-the-whole-service": (
        b"OPTIONS * HTTP/1.1\r\nHost: hello\r\n\r\n",
        [b"OPTIONS * HTTP/1.1"],
        [],
    ),
    "a-method-of-its-own": (b"PROPFIND /x HTTP/1.1\r\nHost: hello\r\n\r\n", [b"PROPFIND /x HTTP/1.1"], []),
}


@PIECES
@pytest.mark.parametrize("row", PASSED_ON)
async def test_a_request_is_passed_on_as_a_proxy_must(lab: ModuleType, row: str, pieces: int) -> None:
    request, there, gone = PASSED_ON[row]
    seen: list[bytes] = []
    async with lab.pair(lab.answering(OK, seen=seen)) as (web, _), await lab.connect(web) as stream:
        await send(stream, request, pieces)
        received = await lab.read_until(stream, b"\r\n\r\nok")
        assert lab.flag_of(received) == (200, "")
        assert received.count(b"HTTP/1.1 ") == 1
    head = seen[0].partition(b"\r\n\r\n")[0]
    lines = head.split(b"\r\n")
    assert [line for line in lines if line in there] == there
    assert [word for word in gone if word in head] == []


@PIECES
async def test_trailers_that_frame_or_route_are_filtered(lab: ModuleType, pieces: int) -> None:
    seen: list[bytes] = []
    trailers = (
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nContent_Length: 4\r\nDigest: x\r\n"
        b"x-gossipmesh-source: admin\r\nAuthorization: x\r\nX-Forwarded-For: 10.0.0.1\r\n"
    )
    async with lab.pair(lab.answering(OK, seen=seen)) as (web, _), await lab.connect(web) as stream:
        await send(stream, CHUNKED + b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n", pieces)
        assert lab.flag_of(await lab.read_until(stream, b"\r\n\r\nok")) == (200, "")
    assert seen[0].endswith(b"\r\n0\r\nDigest: x\r\n\r\n")


# --- bodies --------------------------------------------------------------------------------------------------------

BROKEN_BODIES = {
    "hexadecimal-chunk-size": (b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    "signed-chunk-size": (b"+5\r\nhello\r\n0\r\n\r\n", 400),
    "no-chunk-size": (b"\r\nhello\r\n0\r\n\r\n", 400),
    "chunk-longer-than-it-says": (b"3\r\nhello\r\n0\r\n\r\n", 400),
    "huge-chunk-size": (b"f" * 30 + b"\r\nhello\r\n", 400),
    "many-trailers": (b"0\r\n" + b"X: y\r\n" * 65 + b"\r\n", 431),
    "long-trailers": (b"0\r\n" + (b"X: " + b"x" * 4_000 + b"\r\n") * 5 + b"\r\n", 431),
}


@PIECES
@pytest.mark.parametrize("row", BROKEN_BODIES)
async def test_a_body_that_breaks_http_is_refused_and_ends_its_connection(
    lab: ModuleType, row: str, pieces: int
) -> None:
    body, status = BROKEN_BODIES[row]
    seen: list[bytes] = []
    async with lab.pair(lab.answering(OK, OK, seen=seen)) as (web, _):
        received = await ask(web, lab, CHUNKED + body, pieces)
        assert lab.flag_of(received) == (status, "DPE")
        assert received.count(b"HTTP/1.1 %d " % status) == received.count(b"\r\n\r\n") == 1
        assert web.report.flag == "DPE"
    assert seen == []  # What reached the app was cut, and no next request followed it.


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 10\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
)
async def test_a_body_that_is_cut_is_visibly_cut_for_the_app(lab: ModuleType, framing: bytes) -> None:
    received = b""
    asked, over = trio.Event(), trio.Event()

    async def app(stream: trio.SocketStream) -> None:
        nonlocal received
        try:
            async for data in stream:
                received += data
                asked.set()
        except trio.BrokenResourceError:
            pass
        over.set()

    async with lab.pair(app) as (web, _):
        async with await lab.connect(web) as stream:
            await stream.send_all(POST + framing)
            await asked.wait()
        await over.wait()
    body = received.partition(b"\r\n\r\n")[2]
    assert b"\r\n0\r\n" not in body
    assert len(body) < 10 or b"Transfer-Encoding" in received


# --- timers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "after_s"),
    [
        (GET, 10.0),
        (b"G", 10.0),
        (POST + b"Content-Length: 5\r\n\r\nhe", 30.0),
        (CHUNKED + b"5\r\nhe", 30.0),
        (CHUNKED + b"5\nhello\n0\n\n", 30.0),
    ],
    ids=["head", "one-byte", "counted-body", "chunked-body", "bare-lf-chunk-lines"],
)
async def test_what_does_not_come_to_its_end_is_answered_408_and_closed(
    lab: ModuleType, autojump_clock: MockClock, sent: bytes, after_s: float
) -> None:
    async with lab.pair(lab.silent) as (web, _), await lab.connect(web) as stream:
        await stream.send_all(sent)
        received = await read_all(stream)
        assert after_s <= trio.current_time() < after_s + 5.0
        assert lab.flag_of(received) == (408, "DPE")
        assert b"\r\nConnection: close\r\n" in received
        assert web.report.code == 408


async def test_a_connection_on_which_nothing_comes_is_closed_in_silence(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async with lab.pair(lab.answering(OK)) as (web, _), await lab.connect(web) as stream:
        await stream.send_all(GET + b"\r\n")
        await lab.read_until(stream, b"\r\n\r\nok")
        answered = trio.current_time()
        assert await read_all(stream) == b""
        assert 60.0 <= trio.current_time() - answered < 61.0
        assert len(web.reports) == 1


async def test_a_caller_that_takes_nothing_is_given_up_on(lab: ModuleType, autojump_clock: MockClock) -> None:
    async def endless(stream: trio.SocketStream) -> None:
        await lab.read_request(stream)
        try:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**30)
            while True:
                await stream.send_all(bytes(65_536))
        except trio.BrokenResourceError:
            pass

    async with lab.pair(endless) as (web, hello), await lab.connect(web) as stream:
        await stream.send_all(GET + b"\r\n")
        await trio.sleep(29.0)
        assert web.reports == []
        await trio.sleep(2.0)
        assert (web.report.flag, hello.report.flag) == ("DC", "DC")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_100_goes_to_callers_that_know_what_it_is(lab: ModuleType, version: bytes) -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: </a>\r\n\r\n" + OK
    async with lab.pair(lab.answering(answer)) as (web, _), await lab.connect(web) as stream:
        head = b"POST / HTTP/%b\r\nHost: hello\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n" % version
        await stream.send_all(head)
        if version == b"1.1":
            assert await lab.read_until(stream, b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
        await stream.send_all(b"hello")
        received = await lab.read_until(stream, b"\r\n\r\nok")
    assert b" 100 " not in received
    assert received.count(b"HTTP/1.1 103 ") == (1 if version == b"1.1" else 0)


async def test_an_answer_to_http_1_0_is_not_chunked_and_ends_with_its_connection(lab: ModuleType) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nDigest: x\r\n\r\n"
    async with lab.pair(lab.answering(answer)) as (web, _):
        received = await lab.ask(web, b"GET / HTTP/1.0\r\nHost: hello\r\nConnection: keep-alive\r\n\r\n")
    assert received == b"HTTP/1.1 200 OK\r\nVia: 1.1 web-1\r\nConnection: close\r\n\r\nok"


async def test_above_so_many_in_flight_a_request_is_told_to_come_again(lab: ModuleType) -> None:
    limits = ProxyLimits(requests_in_flight=1)
    async with lab.pair(lab.silent, limits=limits) as (web, _), await lab.connect(web) as stream:
        await stream.send_all(GET + b"\r\n")
        await lab.until(lambda: web.outbound.in_flight)
        assert lab.flag_of(await lab.ask(web, NEXT)) == (503, "UO")
