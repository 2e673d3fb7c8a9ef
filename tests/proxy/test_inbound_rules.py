"""What a proxy owes its callers where the app that answers breaks HTTP: each rule as a row, through both lanes."""

from __future__ import annotations

from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

GET = b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\nok"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

PIECES = pytest.mark.parametrize("pieces", [1, 2], ids=["at-once", "in-two-pieces"])


def app_of(lab: ModuleType, answer: bytes, pieces: int, heads: list[tuple[int, bytes]]) -> Any:
    """Give an app that answers its first request with ``answer``, in so many pieces, and all others with OK.

    It notes on which connection each request came.
    """
    connections = 0

    async def handle(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        mine = connections
        # The first piece may be enough to be refused, and what is unread then makes a reset of the close.
        with suppress(trio.BrokenResourceError):
            while request := await lab.read_request(stream):
                heads.append((mine, request))
                if len(heads) > 1:
                    await stream.send_all(OK)
                    continue
                middle = len(answer) // 2 if pieces == 2 else len(answer)
                await stream.send_all(answer[:middle])
                if middle < len(answer):
                    await wait_all_tasks_blocked()
                    await stream.send_all(answer[middle:])

    return handle


async def read_all(stream: trio.SocketStream) -> bytes:
    received = b""
    async for data in stream:
        received += data
    return received


BROKEN = {
    "content-length-and-transfer-encoding": HEAD
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "transfer-encoding-in-1.0": CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n",
    "http-2.0": OK.replace(b"1.1", b"2.0"),
    "http-1.2": OK.replace(b"1.1", b"1.2"),
    "obs-fold": HEAD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "bare-lf-lines": OK.replace(b"\r\n", b"\n"),
    "one-bare-lf-line": HEAD + b"X: y\nContent-Length: 2\r\n\r\nok",
    "large-header": HEAD + b"X: " + b"x" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "many-headers": HEAD + b"X: y\r\n" * 1_000 + b"Content-Length: 2\r\n\r\nok",
    "alias-of-content-length": HEAD + b"Content_Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "conflicting-content-lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "signed-content-length": HEAD + b"Content-Length: +2\r\n\r\nok",
    "unknown-transfer-encoding": HEAD + b"Transfer-Encoding: gzip\r\n\r\nok",
    "transfer-encoding-twice": HEAD + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "space-before-colon": HEAD + b"X : y\r\nContent-Length: 2\r\n\r\nok",
    "nul-in-a-value": HEAD + b"X: a\0b\r\nContent-Length: 2\r\n\r\nok",
    "bare-cr-in-a-value": HEAD + b"X: a\rb\r\nContent-Length: 2\r\n\r\nok",
    "no-status": b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok",
    "status-99": OK.replace(b"200", b"099"),
    "status-600": OK.replace(b"200", b"600"),
    "status-of-two-digits": OK.replace(b"200", b"20"),
    "no-http": b"220 mail.example.com ESMTP\r\n\r\n",
    "switch-that-nobody-asked-for": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    "too-many-interim-responses": b"HTTP/1.1 103 \r\n\r\n" * 9 + OK,
}


@PIECES
@pytest.mark.parametrize("row", BROKEN)
async def test_an_answer_in_doubt_is_an_error_and_its_connection_is_not_used_again(
    lab: ModuleType, row: str, pieces: int
) -> None:
    heads: list[tuple[int, bytes]] = []
    app = app_of(lab, BROKEN[row], pieces, heads)
    async with lab.pair(app) as (web, hello), await lab.connect(web) as stream:
        await stream.send_all(GET)
        received = await lab.read_until(stream, b"}\n")
        final = received[received.rindex(b"HTTP/1.1") :]
        assert lab.flag_of(final) == (502, "UPE")
        assert (web.report.flag, hello.report.flag) == ("UPE", "UPE")
        # The caller broke nothing: its connection goes on, with another one to the app.
        await stream.send_all(NEXT)
        assert (await read_all(stream)).endswith(b"\r\n\r\nok")
    assert [number for number, _ in heads] == [1, 2]


GOES_ON = {
    "204-with-a-body": (b"GET", b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 204),
    "204-with-a-length-and-a-body": (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nno", 204),
    "304-with-a-body": (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nno", 304),
    "head-with-a-body": (b"HEAD", OK, 200),
    "bytes-behind-a-counted-answer": (b"GET", OK + b"HTTP/1.1 500 Evil\r\nContent-Length: 0\r\n\r\n", 200),
    "bytes-behind-a-chunked-answer": (
        b"GET",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\nHTTP/1.1 500 Evil\r\nContent-Length: 0\r\n\r\n",
        200,
    ),
    "one-byte-behind-an-answer": (b"GET", OK + b"\n", 200),
    "connection-close": (b"GET", HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", 200),
    "http-1.0": (b"GET", OK.replace(b"1.1", b"1.0"), 200),
}


@PIECES
@pytest.mark.parametrize("row", GOES_ON)
async def test_behind_an_answer_with_more_than_it_should_have_its_connection_is_not_used_again(
    lab: ModuleType, row: str, pieces: int
) -> None:
    method, answer, status = GOES_ON[row]
    heads: list[tuple[int, bytes]] = []
    app = app_of(lab, answer, pieces, heads)
    async with lab.pair(app) as (web, hello), await lab.connect(web) as stream:
        await stream.send_all(method + GET[3:])
        await lab.until(lambda: len(web.reports) == 1 and len(hello.reports) == 1)
        # What comes behind it late closes a connection that is idle already.
        await wait_all_tasks_blocked()
        await stream.send_all(NEXT)
        received = await read_all(stream)
    assert b"500 Evil" not in received
    answers = received.split(b"HTTP/1.1 ")[1:]
    assert [int(each[:3]) for each in answers] == [status, 200]
    bodies = [each.partition(b"\r\n\r\n")[2] for each in answers]
    chunked = b"Transfer-Encoding: chunked" in answers[0]
    with_body = b"" if status != 200 or method == b"HEAD" else b"2\r\nok\r\n0\r\n\r\n" if chunked else b"ok"
    assert bodies == [with_body, b"ok"]
    assert [number for number, _ in heads] == [1, 2]


USED_AGAIN = {
    "counted": (b"GET", OK),
    "counted-0": (b"GET", HEAD + b"Content-Length: 0\r\n\r\n"),
    "chunked": (b"GET", CHUNKED + b"2\r\nok\r\n0\r\n\r\n"),
    "204": (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "204-with-length-0": (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
    "304": (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n"),
    "head": (b"HEAD", HEAD + b"Content-Length: 2\r\n\r\n"),
    "interim": (b"GET", b"HTTP/1.1 103 \r\n\r\n" + OK),
    "404": (b"GET", OK.replace(b"200 OK", b"404 Not Found")),
    "no-reason": (b"GET", OK.replace(b" OK", b" ")),
}


@PIECES
@pytest.mark.parametrize("row", USED_AGAIN)
async def test_behind_an_answer_in_good_order_its_connection_is_used_again(
    lab: ModuleType, row: str, pieces: int
) -> None:
    method, answer = USED_AGAIN[row]
    heads: list[tuple[int, bytes]] = []
    app = app_of(lab, answer, pieces, heads)
    async with lab.pair(app) as (web, hello), await lab.connect(web) as stream:
        await stream.send_all(method + GET[3:])
        await lab.until(lambda: len(web.reports) == 1 and len(hello.reports) == 1)
        await stream.send_all(NEXT)
        assert (await read_all(stream)).endswith(b"\r\n\r\nok")
    assert [number for number, _ in heads] == [1, 1]


BROKEN_OFF = {
    "hexadecimal-chunk-size": (b"0x5\r\nhello\r\n0\r\n\r\n", "UPE"),
    "chunk-longer-than-it-says": (b"3\r\nhello\r\n0\r\n\r\n", "UPE"),
    "many-trailers": (b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 65 + b"\r\n", "UPE"),
    "long-trailers": (b"5\r\nhello\r\n0\r\n" + (b"X: " + b"x" * 4_000 + b"\r\n") * 5 + b"\r\n", "UPE"),
    "cut": (b"5\r\nhel", "UC"),
    "cut-before-the-last-chunk": (b"5\r\nhello\r\n", "UC"),
    "cut-in-the-trailers": (b"5\r\nhello\r\n0\r\nX: y\r\n", "UC"),
}


@PIECES
@pytest.mark.parametrize("row", BROKEN_OFF)
async def test_a_chunked_answer_that_breaks_is_never_ended_cleanly(
    lab: ModuleType, row: str, pieces: int
) -> None:
    body, flag = BROKEN_OFF[row]
    began = trio.Event()

    async def app(stream: trio.SocketStream) -> None:
        await lab.read_request(stream)
        await stream.send_all(CHUNKED + b"1\r\na\r\n")
        await began.wait()
        middle = len(body) // pieces
        await stream.send_all(body[:middle])
        await wait_all_tasks_blocked()
        await stream.send_all(body[middle:])

    async with lab.pair(app) as (web, hello), await lab.connect(web) as stream:
        await stream.send_all(GET)
        await lab.read_until(stream, b"1\r\na\r\n")
        began.set()
        rest = await read_all(stream)
        await lab.until(lambda: web.reports and hello.reports)
        assert (web.report.flag, hello.report.flag) == (flag, flag)
    assert b"0\r\n" not in rest


@PIECES
async def test_headers_of_an_answer_are_passed_on_as_a_proxy_must(lab: ModuleType, pieces: int) -> None:
    answer = (
        HEAD
        + b"b: 1\r\nSet-Cookie: \xe4\r\nConnection: keep-alive, x-foo, content-length, via\r\nX-Foo: 1\r\n"
        b"Keep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\nTrailer: x\r\nx-gossipmesh-error: UH\r\n"
        b"X-Gossipmesh-Anything: x\r\nx_gossipmesh_error: UH\r\nVia: 1.1 before\r\nset-cookie: b\r\n"
        b"Content-Length: 2\r\n\r\nok"
    )
    async with lab.pair(app_of(lab, answer, pieces, [])) as (web, _), await lab.connect(web) as stream:
        await stream.send_all(GET)
        received = await lab.read_until(stream, b"\r\n\r\nok")
    assert received == (
        HEAD + b"b: 1\r\nSet-Cookie: \xe4\r\nVia: 1.1 before\r\nset-cookie: b\r\nContent-Length: 2\r\n"
        b"Via: 1.1 web-1\r\n\r\nok"
    )


@PIECES
async def test_trailers_of_an_answer_are_filtered(lab: ModuleType, pieces: int) -> None:
    answer = (
        CHUNKED
        + b"2\r\nok\r\n0\r\nContent-Length: 3\r\nDigest: x\r\nx-gossipmesh-error: UH\r\nContent_Length: 3\r\n"
        b"Set-Cookie: x\r\n\r\n"
    )
    async with lab.pair(app_of(lab, answer, pieces, [])) as (web, _), await lab.connect(web) as stream:
        await stream.send_all(GET)
        received = await lab.read_until(stream, b"x\r\n\r\n")
    assert received.endswith(b"\r\n\r\n2\r\nok\r\n0\r\nDigest: x\r\n\r\n")


@pytest.mark.parametrize("framing", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
async def test_an_answer_before_the_end_of_its_request_is_passed_on_at_once_and_closes(
    lab: ModuleType, framing: bytes
) -> None:
    async def impatient(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await lab.silent(stream)

    async with lab.pair(impatient) as (web, hello), await lab.connect(web) as stream:
        await stream.send_all(
            b"POST / HTTP/1.1\r\nHost: hello\r\n" + framing + b"\r\n\r\n3e8\r\n" + bytes(1_000)
        )
        received = await read_all(stream)
        await lab.until(lambda: web.reports and hello.reports)
        assert [(each.report.code, each.report.flag) for each in (web, hello)] == [(413, "")] * 2
    assert b"\r\nConnection: close\r\n" in received
    assert received.endswith(b"\r\n\r\nbig")
