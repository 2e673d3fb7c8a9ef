"""What is under way when the policy changes, or what is known of a caller."""

from __future__ import annotations

from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest
import trio

from gossipmesh.policy.rules import Kind, Policy, Rule, Subject
from gossipmesh.proxy.sweep import SLICE

UPGRADE = b"GET /socket HTTP/1.1\r\nHost: hello\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 \r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
STREAM = b"GET /stream HTTP/1.1\r\nHost: hello\r\n\r\n"
WAIT = b"GET /wait HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"
BEGINNING = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"

NO_WEB = Policy((Rule(False, "no-web", (Subject(Kind.SERVICE, "web"),)),), default_allow=True, version=2)
NO_STREAMS = Policy((Rule(False, "no-streams", paths=(b"/stream",)),), default_allow=True, version=3)


def app(lab: ModuleType, told: list[str]) -> Any:
    """Give an app with a WebSocket, a response that does not end and one that does not come; it tells of hang-ups."""

    async def handle(stream: trio.SocketStream) -> None:
        request = await lab.read_request(stream)
        path = request.split()[1].decode()
        if path == "/socket":
            await stream.send_all(SWITCH)
        elif path == "/stream":
            await stream.send_all(BEGINNING)
        else:
            told.append(f"asked for {path}")
        try:
            async for data in stream:
                await stream.send_all(data)
        except trio.BrokenResourceError:
            pass
        told.append(f"left {path}")

    return handle


async def raw_echo(stream: trio.SocketStream) -> None:
    # How it ends is not looked at here: a tunnel that is aborted may be reset.
    with suppress(trio.BrokenResourceError):
        async for data in stream:
            await stream.send_all(data)


async def begin(lab: ModuleType, daemon: Any, request: bytes, until: bytes) -> trio.SocketStream:
    stream: trio.SocketStream = await lab.connect(daemon)
    await stream.send_all(request)
    await lab.read_until(stream, until)
    return stream


async def end_of(stream: trio.SocketStream) -> str:
    """Tell how a connection ends."""
    try:
        async for _ in stream:
            pass
    except trio.BrokenResourceError:
        return "reset"
    return "closed"


async def echoes(lab: ModuleType, stream: trio.SocketStream) -> bool:
    await stream.send_all(b"still here")
    return bool(await lab.read_until(stream, b"still here"))


async def test_a_websocket_of_a_source_that_is_denied_now_ends_and_that_of_another_does_not(
    lab: ModuleType,
) -> None:
    told: list[str] = []
    async with lab.mesh() as members:
        port = await members.app(app(lab, told))
        hello = await members.daemon("hello-1", {"hello": port})
        web = await members.daemon("web-1", {"web": port}, speaks_as="web")
        other = await members.daemon("api-1", {"api": port}, speaks_as="api")
        denied, kept = [await begin(lab, each, UPGRADE, b"\r\n\r\n") for each in (web, other)]
        async with denied, kept:
            assert await echoes(lab, denied)
            hello.enforce(NO_WEB)
            assert await end_of(denied) == "reset"
            assert await echoes(lab, kept)
            await lab.until(lambda: told == ["left /socket"] and len(hello.reports) == 1)
            assert [(each.flag, each.source, each.code) for each in hello.reports] == [("AZ", "web", 101)]
            assert hello.ended == [1]
            assert hello.inbound.tunnels == 1


async def test_a_response_that_goes_on_is_visibly_broken_off(lab: ModuleType) -> None:
    told: list[str] = []
    async with lab.pair(app(lab, told)) as (web, hello):
        async with await begin(lab, web, STREAM, b"first\r\n") as stream:
            hello.enforce(NO_STREAMS)
            # No last chunk, whether the end is a reset or not: the caller knows that this is not all.
            rest = b""
            try:
                async for data in stream:
                    rest += data
            except trio.BrokenResourceError:
                pass
            assert b"0\r\n\r\n" not in rest
        await lab.until(lambda: web.reports and hello.reports and told == ["left /stream"])
        assert [(each.report.code, each.report.flag) for each in (web, hello)] == [(200, "AZ")] * 2
        assert hello.inbound.in_flight == 0


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_a_request_that_waits_for_its_answer_is_refused_like_one_that_comes_now(
    lab: ModuleType, method: bytes
) -> None:
    told: list[str] = []
    async with lab.mesh() as members:
        port = await members.app(app(lab, told))
        hello = await members.daemon("hello-0", {"hello": port})
        await members.daemon("hello-1", {"hello": await members.app(lab.refusing)})
        web = await members.daemon("web-1", {"web": port}, speaks_as="web")
        request = WAIT.replace(b"GET", method).replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n")
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(request)
            await lab.until(lambda: told)
            hello.enforce(NO_WEB)
            answer = b"".join([data async for data in stream])
        assert lab.flag_of(answer) == (403, "AZ")
        await lab.until(lambda: told[1:] == ["left /wait"])
        # Nobody else was asked: a denied source would only find the member that hears of the policy last.
        assert web.report.attempts == 1
        assert hello.inbound.in_flight == 0


async def test_a_tunnel_to_a_tcp_service_ends_where_a_rule_denies_it(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        port = await members.app(raw_echo)
        db = await members.daemon("db-0", tcp={"db": port})
        web = await members.daemon("web-1", {"web": port}, speaks_as="web")
        connect = b"CONNECT db:%d HTTP/1.1\r\nHost: db:%d\r\n\r\n" % (port, port)
        async with await begin(lab, web, connect, b"\r\n\r\n") as stream:
            assert await echoes(lab, stream)
            db.enforce(NO_WEB)
            assert await end_of(stream) == "reset"


async def test_whoever_may_not_speak_as_before_loses_what_it_had_under_way(lab: ModuleType) -> None:
    told: list[str] = []
    async with lab.mesh() as members:
        port = await members.app(app(lab, told))
        hello = await members.daemon("hello-1", {"hello": port})
        web = await members.daemon("web-1", {"web": port}, speaks_as="web")
        async with await begin(lab, web, UPGRADE, b"\r\n\r\n") as stream:
            sweep = hello.sweep
            for _ in range(2):
                hello.reactor.defer(sweep.judge_changed)
                assert await echoes(lab, stream)
            hello.newer |= {"": None, "web": None}
            hello.reactor.defer(sweep.judge_changed)
            assert await end_of(stream) == "reset"
            assert hello.ended == [1]


async def test_a_change_before_the_first_look_is_found(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        port = await members.app(app(lab, []))
        hello = await members.daemon("hello-1", {"hello": port})
        web = await members.daemon("web-1", {"web": port}, speaks_as="web")
        async with await begin(lab, web, UPGRADE, b"\r\n\r\n") as stream:
            hello.newer["web"] = None
            hello.reactor.defer(hello.sweep.judge_changed)
            assert await end_of(stream) == "reset"


async def test_audit_mode_ends_nothing(lab: ModuleType) -> None:
    async with (
        lab.pair(app(lab, []), speaks_as="web") as (web, hello),
        await begin(lab, web, UPGRADE, b"\r\n\r\n") as stream,
    ):
        hello.enforce(Policy(NO_WEB.rules, mode="audit"))
        hello.reactor.defer(hello.sweep.judge_all)
        assert await echoes(lab, stream)
        assert hello.ended == []


async def test_many_are_judged_in_slices_and_the_last_policy_counts(lab: ModuleType) -> None:
    many = 2 * SLICE + 5
    async with lab.pair(app(lab, []), speaks_as="web") as (web, hello):
        streams = [await begin(lab, web, UPGRADE, b"\r\n\r\n") for _ in range(many)]
        hello.enforce(NO_STREAMS)
        hello.enforce(NO_WEB)
        assert [await end_of(stream) for stream in streams] == ["reset"] * many
        await lab.until(lambda: sum(hello.ended) == many)
        assert max(hello.ended) == SLICE
        assert hello.inbound.tunnels == 0
        for stream in streams:
            await stream.aclose()


async def test_an_answered_request_that_lingers_is_left_alone(lab: ModuleType) -> None:
    async def early(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with lab.pair(early) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 9\r\n\r\nhalf")
            assert await lab.read_until(stream, b"ok")
            hello.enforce(Policy.of_default(False))
        await lab.until(lambda: hello.reports)
        assert (hello.report.code, hello.report.flag) == (200, "")
