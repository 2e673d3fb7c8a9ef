"""The quick way from app to app, and every way to leave it: what callers, apps and logs see is the same in both lanes.

The first request of each test makes the channel and the app's connection, so that the ones after it can go quickly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gossipmesh.proxy.limits import ProxyLimits

GET = b"GET /x?y HTTP/1.1\r\nHost: hello\r\nX-Request-Id: r1\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: hello\r\nX-Request-Id: r1\r\nContent-Length: 5\r\n\r\nhello"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ANSWERED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nVia: 1.1 web-1\r\n\r\nok"

Answer = Callable[[trio.SocketStream], Awaitable[None]]


def warmed(
    lab: ModuleType, *then: Answer, seen: list[bytes] | None = None
) -> Callable[[trio.SocketStream], Awaitable[None]]:
    """Give an app that answers a first request with OK, and lets each of ``then`` answer one more."""
    left = [None, *then]

    async def handle(stream: trio.SocketStream) -> None:
        while left and (request := await lab.read_request(stream)):
            if seen is not None:
                seen.append(request)
            answer = left.pop(0)
            if answer is None:
                await stream.send_all(OK)
            else:
                await answer(stream)
            if stream.socket.fileno() < 0:
                return

    return handle


def saying(*pieces: bytes) -> Answer:
    async def answer(stream: trio.SocketStream) -> None:
        for piece in pieces:
            await stream.send_all(piece)
            await wait_all_tasks_blocked()

    return answer


async def silence(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


async def closing(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def warm_up(lab: ModuleType, stream: trio.SocketStream) -> None:
    await stream.send_all(GET)
    assert await lab.read_until(stream, b"ok") == ANSWERED


async def test_plain_requests_are_the_same_to_both_apps_and_both_logs(lab: ModuleType) -> None:
    seen: list[bytes] = []
    async with lab.pair(warmed(lab, saying(OK), saying(OK), seen=seen), speaks_as="web") as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await warm_up(lab, stream)
            for request in (GET, POST):
                await stream.send_all(request)
                assert await lab.read_until(stream, b"ok") == ANSWERED
        assert web.outbound.in_flight == hello.inbound.in_flight == 0
    first, second, third = (request.split(b"\r\n") for request in seen)
    assert [line for line in first if not line.lower().startswith(b"traceparent")] == [
        line for line in second if not line.lower().startswith(b"traceparent")
    ]
    assert third[0] == b"POST /x HTTP/1.1"
    assert third[-1] == b"hello"
    assert b"x-gossipmesh-source: web" in third
    for daemon, endpoint in ((web, "hello-1"), (hello, "web-1")):
        for report, method, size in zip(daemon.reports, ("GET", "GET", "POST"), (0, 0, 5), strict=True):
            texts = [
                text if isinstance(text, str) else text.decode()
                for text in (report.method, report.request_id)
            ]
            assert texts == [method, "r1"]
            assert (report.source, report.service, report.endpoint) == ("web", "hello", endpoint)
            assert (report.code, report.flag, report.attempts) == (200, "", 1)
            assert (report.bytes_in, report.bytes_out) == (size, 2)
            assert len(report.trace_id) == 32
    assert len(web.outcomes) == 3


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"abc", b"ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n", b"a" * 19_998 + b"ok"),
        (b"HTTP/1.1 200 OK\r\nConte", b"nt-Length: 2\r\n\r\nok"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", OK),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK,),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"a" * 99_998 + b"ok",),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",),
    ],
)
async def test_an_answer_that_is_not_plain_and_whole_comes_the_general_way(
    lab: ModuleType, pieces: tuple[bytes, ...]
) -> None:
    async with lab.pair(warmed(lab, saying(*pieces), saying(OK))) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await warm_up(lab, stream)
            await stream.send_all(GET)
            answer = await lab.read_until(stream, b"0\r\n\r\n" if b"chunked" in pieces[0] else b"ok")
            assert answer.startswith(b"HTTP/1.1 103" if b"103" in pieces[0] else b"HTTP/1.1 200 OK\r\n")
            await stream.send_all(GET)
            assert (await lab.read_until(stream, b"ok")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert [report.flag for report in (*web.reports, *hello.reports)] == [""] * 6


@pytest.mark.parametrize("length", [16_384, 16_385, 50_000, 65_536, 65_537])
async def test_bodies_of_many_kilobytes_come_and_go_as_they_are(lab: ModuleType, length: int) -> None:
    body = (bytes(range(1, 251)) * 300)[: length - 2] + b"ok"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % length
    post = b"POST /x HTTP/1.1\r\nHost: hello\r\nContent-Length: %d\r\n\r\n" % length
    seen: list[bytes] = []

    async def echo(stream: trio.SocketStream) -> None:
        while request := await lab.read_request(stream):
            end = request.index(b"\r\n\r\n") + 4
            while len(request) < end + (length if request.startswith(b"POST") else 0):
                request += await stream.receive_some()
            seen.append(request[end:])
            await stream.send_all(head + b"\r\n" + body)

    async with lab.pair(echo) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            for request in (GET, GET, post + body, GET):
                await stream.send_all(request)
                assert await lab.read_until(stream, b"ok") == head + b"Via: 1.1 web-1\r\n\r\n" + body
        assert seen == [b"", b"", body, b""]
        for daemon in (web, hello):
            assert [report.bytes_in for report in daemon.reports] == [0, 0, length, 0]
            assert [report.bytes_out for report in daemon.reports] == [length] * 4


async def test_an_app_that_breaks_off_behind_its_head_has_said_nothing_yet(lab: ModuleType) -> None:
    async def broken(stream: trio.SocketStream) -> None:
        await lab.read_request(stream)
        await stream.send_all(OK)
        await lab.read_request(stream)
        await stream.send_all(OK[:-1])
        await wait_all_tasks_blocked()

    async with lab.caller_and(broken, warmed(lab)) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await warm_up(lab, stream)
            await stream.send_all(GET)
            assert await lab.read_until(stream, b"ok") == ANSWERED
        assert (web.reports[-1].attempts, web.reports[-1].retried) == (2, ("UC",))


async def test_a_caller_that_leaves_while_half_an_answer_is_here_is_let_go(lab: ModuleType) -> None:
    said = trio.Event()

    async def half(stream: trio.SocketStream) -> None:
        await stream.send_all(OK[:-1])
        await wait_all_tasks_blocked()
        said.set()
        await silence(stream)

    async with lab.pair(warmed(lab, half)) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await warm_up(lab, stream)
            await stream.send_all(GET)
            await said.wait()
        await lab.until(lambda: len(hello.reports) == len(web.reports) == 2)
        assert [daemon.reports[-1].flag for daemon in (web, hello)] == ["DC", "DC"]
        assert web.outbound.in_flight == hello.inbound.in_flight == 0


async def test_a_body_that_may_not_be_kept_is_handed_over_all_the_same(lab: ModuleType) -> None:
    in_parts = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok")
    async with lab.pair(warmed(lab, in_parts, in_parts), limits=ProxyLimits(replay_bytes=1)) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await warm_up(lab, stream)
            for _ in range(2):
                await stream.send_all(POST)
                assert await lab.read_until(stream, b"ok") == ANSWERED
        assert [report.bytes_in for report in web.reports] == [0, 5, 5]


async def test_a_connection_that_the_app_closes_under_a_request_is_replaced(lab: ModuleType) -> None:
    async with lab.pair(warmed(lab, closing, saying(OK))) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await warm_up(lab, stream)
            await stream.send_all(GET)
            assert await lab.read_until(stream, b"ok") == ANSWERED
        assert (hello.reports[-1].flag, hello.reports[-1].code) == ("", 200)


async def test_a_post_whose_connection_broke_is_not_sent_again(lab: ModuleType) -> None:
    async with lab.pair(warmed(lab, closing, saying(OK))) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await warm_up(lab, stream)
            await stream.send_all(POST)
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (502, "UC")
        assert hello.reports[-1].flag == web.reports[-1].flag == "UC"


async def test_a_request_that_broke_is_tried_on_another_node(lab: ModuleType) -> None:
    async def broken(stream: trio.SocketStream) -> None:
        await lab.read_request(stream)
        await stream.send_all(OK)
        await lab.read_request(stream)
        await stream.send_all(b"nonsense\r\n\r\n")

    async with lab.caller_and(broken, warmed(lab)) as (web, (first, second)):
        stream = await lab.connect(web)
        async with stream:
            await warm_up(lab, stream)
            await stream.send_all(GET)
            assert await lab.read_until(stream, b"ok") == ANSWERED
        assert [node for node, _ in web.outcomes] == [first, first, second]
        assert (web.reports[-1].attempts, web.reports[-1].retried) == (2, ("UPE",))


@pytest.mark.parametrize("said", [b"", OK[:-1]])
async def test_an_app_that_says_nothing_or_not_all_is_given_up_on_in_time(
    lab: ModuleType, autojump_clock: MockClock, said: bytes
) -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await stream.send_all(said)
        await silence(stream)

    async with lab.pair(warmed(lab, silent), limits=ProxyLimits(response_timeout_s=7.0)) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await warm_up(lab, stream)
            started = trio.current_time()
            await stream.send_all(GET)
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (504, "UT")
            assert 7.0 <= trio.current_time() - started < 8.0
        await lab.until(lambda: len(hello.reports) == 2)


async def test_a_request_without_a_body_is_not_waited_for_to_send_one(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async def slow(stream: trio.SocketStream) -> None:
        await lab.read_request(stream)
        await trio.sleep(40.0)  # Longer than a body may be silent, and less than an app may take.
        await stream.send_all(OK)

    async with lab.pair(slow) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(GET)  # There is no channel yet, so it is handed over at once.
            assert await lab.read_until(stream, b"ok") == ANSWERED


async def test_a_caller_that_leaves_takes_its_request_back(lab: ModuleType) -> None:
    left = trio.Event()

    async def noticing(stream: trio.SocketStream) -> None:
        await silence(stream)
        left.set()

    async with lab.pair(warmed(lab, noticing)) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await warm_up(lab, stream)
            await stream.send_all(GET)
            await lab.until(lambda: hello.inbound.in_flight)
        await left.wait()
        await lab.until(lambda: len(web.reports) == len(hello.reports) == 2)
        assert (web.reports[-1].flag, hello.reports[-1].flag) == ("DC", "DC")
        assert web.outbound.in_flight == hello.inbound.in_flight == web.outbound.connections == 0


async def test_a_next_request_that_comes_early_is_answered_in_its_turn(lab: ModuleType) -> None:
    go_on = trio.Event()

    async def patient(stream: trio.SocketStream) -> None:
        await go_on.wait()
        await stream.send_all(OK)

    second = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend"
    async with lab.pair(warmed(lab, patient, saying(second))) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await warm_up(lab, stream)
            await stream.send_all(GET)
            await lab.until(lambda: hello.inbound.in_flight)
            await stream.send_all(GET)
            await wait_all_tasks_blocked()
            go_on.set()
            answers = await lab.read_until(stream, b"end")
        assert answers == ANSWERED + second.replace(b"\r\n\r\n", b"\r\nVia: 1.1 web-1\r\n\r\n")


async def test_a_denied_request_reaches_no_app(lab: ModuleType) -> None:
    async with lab.pair(lab.refusing, allow=False) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            for _ in range(2):
                await stream.send_all(GET)
                assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (403, "AZ")
        assert [report.flag for report in hello.reports] == ["AZ", "AZ"]


async def test_too_many_requests_are_refused_the_quick_way_too(lab: ModuleType) -> None:
    async with lab.pair(warmed(lab, silence, silence), limits=ProxyLimits(requests_in_flight=1)) as (web, _):
        first, second = await lab.connect(web), await lab.connect(web)
        async with first, second:
            await warm_up(lab, first)
            await first.send_all(GET)
            await lab.until(lambda: web.outbound.in_flight)
            await second.send_all(GET)
            assert lab.flag_of(await lab.read_until(second, b"}\n")) == (503, "UO")


async def test_a_daemon_that_stops_leaves_no_connection_open(lab: ModuleType) -> None:
    async with lab.pair(warmed(lab, silence)) as (web, hello):
        stream = await lab.connect(web)
        await warm_up(lab, stream)
        await stream.send_all(GET)
        await lab.until(lambda: hello.inbound.in_flight)
    async with stream:
        while await stream.receive_some():
            pass
