"""Requests that cannot be answered by their service, and responses that break off."""

from __future__ import annotations

import contextlib
import os
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock

from gossipmesh.channel import hop_frames as frames
from gossipmesh.channel.hop_messages import End, ResponseHead, encode_end, encode_response_head
from gossipmesh.channel.secure import HOP
from gossipmesh.model import Address, NodeId, Service
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind
from gossipmesh.transport.listener import Listener
from gossipmesh.transport.secure_stream import SecureStream

GET = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("request_head", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n", (404, "NR")),
        (b"GET / HTTP/1.1\r\nHost: sick\r\n\r\n", (503, "UH")),
        (b"GET / HTTP/1.1\r\nHost: ghost\r\n\r\n", (503, "UF")),
        (b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n", (403, "NR")),
        (b"CONNECT sick:1 HTTP/1.1\r\nHost: sick:1\r\n\r\n", (405, "AZ")),
        (b"GET / HTTP/1.1\r\nHost: hello\r\nVia: %s\r\n\r\n" % b", ".join([b"1.1 web-1"] * 8), (508, "LP")),
        (b"GET /#x HTTP/1.1\r\nHost: hello\r\n\r\n", (400, "DPE")),
    ],
)
async def test_what_cannot_be_forwarded_is_answered_with_status_and_flag(
    lab: ModuleType, request_head: bytes, expected: tuple[int, str]
) -> None:
    async with lab.mesh() as members:
        members.offer(
            Service("sick", 1), "n", NodeId(os.urandom(32)), Address("127.0.0.1", 1), eligible=False
        )
        await members.ghost("g", "ghost")
        web = await members.daemon("web-1")
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(request_head)
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == expected
        assert (web.report.code, web.report.flag) == expected


async def test_a_denied_request_reaches_no_app(lab: ModuleType) -> None:
    async with lab.pair(lab.refusing, allow=False) as (web, hello):
        assert lab.flag_of(await lab.ask(web, GET)) == (403, "AZ")
        assert [web.report.flag, hello.report.flag] == ["AZ", "AZ"]
        assert web.outcomes == [(hello.id, AttemptOutcome(OutcomeKind.ANSWERED, "AZ", 403))]


async def test_a_service_name_that_the_record_does_not_declare_is_no_identity(lab: ModuleType) -> None:
    async with lab.pair(lab.refusing, speaks_as="admin") as (web, _):
        assert lab.flag_of(await lab.ask(web, GET)) == (403, "AZ")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", (502, "UC")),
        (b"HTTP/1.1 200 OK\r\nContent-Le", (502, "UC")),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", (502, "UPE")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", (502, "UPE")),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", (502, "UPE")),
        (b"HTTP/1.1 103 \r\n\r\n" * 9 + OK, (502, "UPE")),
    ],
)
async def test_an_app_that_fails_before_it_answers_is_told_from_others(
    lab: ModuleType, answer: bytes, expected: tuple[int, str]
) -> None:
    async with lab.pair(lab.closing(answer)) as (web, hello):
        received = await lab.ask(web, GET)
        final = received[received.rindex(b"HTTP/1.1") :]
        assert lab.flag_of(final) == expected
        assert hello.report.flag == expected[1]


async def test_an_app_that_says_nothing_is_given_up_on(lab: ModuleType, autojump_clock: MockClock) -> None:
    async with lab.pair(lab.silent, limits=ProxyLimits(max_attempts=1)) as (web, _):
        assert lab.flag_of(await lab.ask(web, GET)) == (504, "UT")
        assert 60.0 <= trio.current_time() < 61.0


async def test_a_whole_request_can_be_given_a_limit_that_travels_with_it(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async with lab.pair(lab.silent, limits=ProxyLimits(request_timeout_s=5.0)) as (web, hello):
        assert lab.flag_of(await lab.ask(web, GET)) == (504, "UT")
        await lab.until(lambda: hello.reports)
        assert 5.0 <= trio.current_time() < 6.0


async def test_a_head_that_fits_us_but_not_the_hop_is_too_large(lab: ModuleType) -> None:
    async with lab.pair(lab.refusing) as (web, _):
        fields = b"X: " + b"x" * 65_400 + b"\r\n"
        assert lab.flag_of(await lab.ask(web, GET[:-2] + fields + b"\r\n")) == (431, "DPE")


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "then", "flag"),
    [
        (LENGTH + b"hello", b"", "UC"),
        (CHUNKED + b"5\r\nhello\r\n", b"", "UC"),
        (CHUNKED + b"5\r\nhello\r\n", b"5\r\nh", "UC"),
        (CHUNKED + b"5\r\nhello\r\n", b"0\r\n", "UC"),
        (CHUNKED + b"5\r\nhello\r\n", b"nonsense\r\n", "UPE"),
    ],
)
async def test_a_response_that_breaks_off_breaks_off_for_the_caller_too(
    lab: ModuleType, answer: bytes, then: bytes, flag: str
) -> None:
    seen = trio.Event()
    async with lab.pair(lab.breaking_off(answer, then, seen)) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(GET)
            await lab.read_until(stream, answer[answer.index(b"\r\n\r\n") :])
            seen.set()
            rest = b""
            async for data in stream:
                rest += data
        await lab.until(lambda: web.reports and hello.reports)
    assert b"0\r\n" not in rest
    assert (web.report.code, web.report.flag, hello.report.flag) == (200, flag, flag)


async def test_a_response_that_only_closing_ends_is_reset_when_it_breaks_off(lab: ModuleType) -> None:
    seen = trio.Event()
    async with lab.pair(lab.breaking_off(CHUNKED + b"5\r\nhello\r\n", b"", seen)) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(b"GET / HTTP/1.0\r\nHost: hello\r\n\r\n")
            await lab.read_until(stream, b"\r\n\r\nhello")
            seen.set()
            with pytest.raises(trio.BrokenResourceError):
                await lab.silent(stream)


@pytest.mark.parametrize(
    "piece", [b"X-More: of the same\r\n" * 1_000, b"x" * 20_000, b"HTTP/1.1 103 \r\n\r\n" * 1_000]
)
async def test_an_app_whose_head_never_ends_is_cut_off_early(lab: ModuleType, piece: bytes) -> None:
    sent = 0
    cut = trio.Event()

    async def endless(stream: trio.SocketStream) -> None:
        nonlocal sent
        await lab.read_request(stream)
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(b"HTTP/1.1 200 OK\r\n")
            while sent < 100_000_000:
                await stream.send_all(piece)
                sent += len(piece)
        cut.set()

    async with lab.pair(endless, limits=ProxyLimits(max_attempts=1)) as (web, hello):
        assert (
            lab.flag_of((await lab.ask(web, GET)).rpartition(b"HTTP/1.1 ")[2].join([b"HTTP/1.1 ", b""]))[1]
            == "UPE"
        )
        await cut.wait()
        assert hello.report.flag == "UPE"
    assert sent < 20_000_000


@pytest.mark.parametrize("request_bytes", [GET, GET.replace(b"GET", b"POST")])
async def test_an_app_that_speaks_before_it_is_asked_is_not_believed(
    lab: ModuleType, request_bytes: bytes
) -> None:
    async def eager(stream: trio.SocketStream) -> None:
        # Two answers to one request: the second must never become the answer to another one.
        await stream.receive_some()
        await stream.send_all(OK + OK.replace(b"ok", b"no"))
        with contextlib.suppress(trio.BrokenResourceError):
            await lab.silent(stream)

    async with lab.pair(eager) as (web, _):
        for _ in range(3):
            assert (await lab.ask(web, request_bytes)).endswith(b"\r\n\r\nok")


async def test_a_peer_that_resets_what_it_has_answered_harms_nobody(lab: ModuleType) -> None:
    parts = (
        (frames.HEAD, encode_response_head(ResponseHead(200, ((b"Content-Length", b"0"),)))),
        (frames.END, encode_end(End())),
        (frames.RESET, b"UR"),
    )

    async def hostile(stream: SecureStream) -> None:
        await stream.receive_records()
        await stream.send_records(HOP, [b"".join(frames.encode_frame(1, *part) for part in parts)])
        while await stream.receive_records():
            pass

    async with lab.mesh() as members:
        service = Service("hello", 80)
        key, identity = lab.member("hello-1", (service,), members.token)
        listener = Listener(
            Address("127.0.0.1", 0), identity, serve_hop=hostile, serve_sync=lab.no_sync, count=print
        )
        members.offer(service, "hello-1", key.id, await members.nursery.start(listener.run))
        web = await members.daemon("web-1")
        stream = await lab.connect(web)
        async with stream:
            upgrade = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            await stream.send_all(upgrade)
            assert (await lab.read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
            await lab.until(lambda: web.reports)
        assert (web.report.flag, web.report.code, web.outbound.in_flight) == ("", 200, 0)
