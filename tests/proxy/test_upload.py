"""A request's body on its way: who may be waited for, and for how long."""

from __future__ import annotations

import socket
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock

from gossipmesh.channel.hop_stream import STREAM_WINDOW
from gossipmesh.proxy.limits import CHUNK, ProxyLimits
from gossipmesh.transport.link import RECEIVE_SIZE

POST = b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: %d\r\n\r\n"
PUT = POST.replace(b"POST", b"PUT")
CHUNKED = b"POST / HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def endless(stream: trio.SocketStream) -> None:
    while True:
        await stream.send_all(bytes(CHUNK))


async def deaf(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize("head", [POST % 10, CHUNKED])
async def test_a_caller_that_sends_nothing_more_is_told_so(
    lab: ModuleType, autojump_clock: MockClock, head: bytes
) -> None:
    async with lab.pair(lab.silent) as (web, hello):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(head)
            await trio.sleep(29.0)
            await stream.send_all(b"1\r\nx\r\n")
            began = trio.current_time()
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (408, "DPE")
            assert 30.0 <= trio.current_time() - began < 31.0
        await trio.sleep(1.0)
        assert (web.report.flag, hello.report.flag) == ("DPE", "DC")
        assert web.outcomes == []


async def test_more_trailers_than_a_channel_takes_are_refused(lab: ModuleType) -> None:
    limits = ProxyLimits(trailer_count=1_000, trailer_bytes=100_000)
    trailers = b"".join(b"X-%d: a\r\n" % number for number in range(400))
    async with lab.pair(lab.silent, limits=limits) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(CHUNKED + b"1\r\na\r\n0\r\n" + trailers + b"\r\n")
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (431, "DPE")
        assert web.outbound.in_flight == 0


async def test_a_body_of_unending_crumbs_is_taken_as_long_as_they_come(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async with lab.pair(lab.echo) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(POST % 20)
            for _ in range(20):
                await trio.sleep(20.0)
                await stream.send_all(b"x")
            await lab.read_until(stream, b"x" * 20)


async def test_a_service_that_takes_nothing_is_given_up_on_and_the_caller_waits_in_the_socket(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async with lab.pair(deaf, limits=ProxyLimits(write_idle_timeout_s=30.0)) as (web, hello):
        stream = await lab.connect(web)
        async with stream, trio.open_nursery() as nursery:
            await stream.send_all(POST % 2**30)
            nursery.start_soon(endless, stream)
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (504, "UT")
            assert 30.0 <= trio.current_time() < 35.0
            nursery.cancel_scope.cancel()
        await trio.sleep(1.0)
    assert web.report.flag == "UT"
    assert 0 <= web.report.bytes_in - hello.report.bytes_in <= STREAM_WINDOW + 2 * RECEIVE_SIZE


async def test_a_body_that_is_small_enough_is_tried_elsewhere_where_nobody_answers(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    seen: list[bytes] = []
    limits = ProxyLimits(response_timeout_s=5.0)
    async with lab.caller_and(deaf, lab.answering(OK, seen=seen), limits=limits) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(PUT % 60_000)
            for _ in range(6):
                await stream.send_all(b"0123456789" * 1_000)
                await trio.sleep(1.0)
            assert (await lab.read_until(stream, b"ok")).startswith(b"HTTP/1.1 200 ")
        assert web.report.retried == ("UT",)
    assert seen[0].endswith(b"\r\n\r\n" + b"0123456789" * 6_000)


async def test_a_body_that_came_while_an_endpoint_was_dialled_in_vain_goes_to_the_next(
    lab: ModuleType,
) -> None:
    seen: list[bytes] = []
    async with lab.caller_and(None, lab.answering(OK, seen=seen)) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(POST % 50_000 + bytes(25_000))
            await stream.send_all(bytes(25_000))
            await lab.read_until(stream, b"ok")
        assert web.report.retried == ("UF",)
    assert seen[0].endswith(b"\r\n\r\n" + bytes(50_000))


async def test_while_nobody_is_there_to_take_it_little_of_a_body_is_read(
    lab: ModuleType, hops: ModuleType, autojump_clock: MockClock
) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, lab.mesh() as members:
        await silent_node(lab, members, listener)
        web = await members.daemon("web-1")
        stream = await lab.connect(web)
        async with stream, trio.open_nursery() as nursery:
            await stream.send_all(POST % 2**30)
            nursery.start_soon(endless, stream)
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (503, "UF")
            nursery.cancel_scope.cancel()
        assert web.report.bytes_in <= 3 * RECEIVE_SIZE


async def silent_node(lab: ModuleType, members: object, listener: trio.SocketListener) -> None:
    """Make a node known whose host takes connections and says nothing."""
    node = await members.ghost("hello-1", "hello")
    host, port = listener.socket.getsockname()
    members.addresses[node] = lab.Address(host, port)


async def test_a_caller_that_leaves_while_its_endpoint_is_dialled_is_noticed_at_once(
    lab: ModuleType, hops: ModuleType
) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, lab.mesh() as members:
        await silent_node(lab, members, listener)
        web = await members.daemon("web-1")
        for head in (b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n", POST % 10 + b"x"):
            stream = await lab.connect(web)
            await stream.send_all(head)
            await lab.until(lambda: web.outbound.in_flight)
            await hops.settled()
            await stream.aclose()
            await lab.until(lambda: web.reports)
            assert web.reports.pop().flag == "DC"
            assert (web.outbound.in_flight, web.outbound.connections) == (0, 0)


async def test_a_deadline_for_the_whole_request_holds_while_an_endpoint_is_dialled(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, lab.mesh() as members:
        await silent_node(lab, members, listener)
        limits = ProxyLimits(connect_timeout_s=20.0, request_timeout_s=3.0)
        web = await members.daemon("web-1", limits=limits)
        stream = await lab.connect(web)
        async with stream:
            began = trio.current_time()
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n")
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (504, "UT")
            assert 3.0 <= trio.current_time() - began < 4.0


async def test_a_caller_that_breaks_off_in_the_middle_of_a_body_that_is_not_taken_is_noticed_at_once(
    lab: ModuleType, hops: ModuleType
) -> None:
    gone, left = trio.Event(), trio.Event()

    async def reluctant(stream: trio.SocketStream) -> None:
        await gone.wait()
        while await stream.receive_some():
            pass
        left.set()

    async with lab.pair(reluctant) as (web, hello):
        stream = await lab.connect(web)
        async with trio.open_nursery() as nursery:
            await stream.send_all(POST % 2**30)
            nursery.start_soon(endless, stream)
            await hops.settled()
            nursery.cancel_scope.cancel()
        # Reset: an end behind bytes that nobody takes could not even arrive.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.aclose()
        await lab.until(lambda: web.reports and hello.reports)
        gone.set()
        await left.wait()
        assert (web.report.flag, hello.report.flag) == ("DC", "DC")


@pytest.mark.parametrize("body", [b"", b"he"])
async def test_an_expectation_is_met_once_and_only_where_somebody_takes_the_body(
    lab: ModuleType, body: bytes
) -> None:
    seen: list[bytes] = []
    # The second endpoint has the body as well, and the caller hears nothing of the change.
    async with lab.caller_and(lab.answering(), lab.answering(OK, seen=seen)) as (web, _):
        stream = await lab.connect(web)
        async with stream:
            head = (PUT % 5).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
            await stream.send_all(head + body)
            assert await lab.read_until(stream, b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
            await stream.send_all(b"hello"[len(body) :])
            assert (await lab.read_until(stream, b"ok")).startswith(b"HTTP/1.1 200 ")
    assert seen[0].endswith(b"\r\n\r\nhello")


async def test_an_expectation_of_a_request_that_is_refused_gets_the_answer_in_its_place(
    lab: ModuleType,
) -> None:
    async with lab.mesh() as members:
        web = await members.daemon("web-1")
        stream = await lab.connect(web)
        async with stream:
            head = (POST % 5).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
            await stream.send_all(head.replace(b"hello", b"nobody"))
            answer = await lab.read_until(stream, b"}\n")
            assert lab.flag_of(answer) == (404, "NR")
            assert b"\r\nConnection: close\r\n" in answer
