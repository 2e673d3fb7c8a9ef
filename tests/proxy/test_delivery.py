"""One request from the mesh at its destination: peers that do not behave, and apps that do not either."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from gossipmesh.channel.hop_messages import End, Headers, RequestHead, ResponseHead
from gossipmesh.channel.noise import Role
from gossipmesh.errors import StreamResetError
from gossipmesh.identity.credentials import WHOLE_MESSAGES, Peer
from gossipmesh.model import Protocol, Service
from gossipmesh.policy.rules import Policy, Rule
from gossipmesh.proxy.access import RequestReport
from gossipmesh.proxy.apps import AppPool
from gossipmesh.proxy.inbound import Inbound
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.ports import InboundPorts
from gossipmesh.transport.hop import HopConnection
from sources import source_of

HOST = (b"Host", b"hello")
GET = RequestHead("hello", b"GET", b"/", (HOST,))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Handler = Callable[[trio.SocketStream], Awaitable[None]]


@define
class Bench:
    """A peer's end of a channel, and what happened at ours."""

    hops: ModuleType
    connection: HopConnection
    reports: list[RequestReport] = field(factory=list)

    def open(self, head: RequestHead, body: bytes | None = None) -> object:
        return self.hops.ask(self.connection, head, body)

    async def ask(self, head: RequestHead, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request; give status and body of the answer, or status 0 and the flag of a reset."""
        talk = self.open(head, body)
        try:
            return (await talk.response_head()).status, await talk.body()
        except StreamResetError as error:
            return 0, error.flag.encode()


@asynccontextmanager
async def bench(
    lab: ModuleType,
    hops: ModuleType,
    app: Handler,
    *,
    peer: Peer | None = None,
    allow: bool = True,
    limits: ProxyLimits | None = None,
) -> AsyncIterator[Bench]:
    """Give a peer's end of a channel to a node whose service hello is ``app``; old is a tcp service."""
    limits = limits or ProxyLimits()
    caller = peer or lab.peer_of(features=WHOLE_MESSAGES)
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, app, [listener])
        port = listener.socket.getsockname()[1]
        services = {"hello": Service("hello", port), "old": Service("old", port, Protocol.TCP)}
        apps = AppPool(reactor, limits, fast_lane=lab.FAST_LANE)
        nursery.start_soon(apps.run)
        theirs, ours = await hops.secure_pair(
            hops.identity(b"web", peer=caller), hops.identity(b"hello", peer=caller)
        )
        result = Bench(hops, HopConnection(reactor, theirs, Role.INITIATOR))

        policy = Policy((Rule(allow, "test"),))
        ports = InboundPorts(
            service=services.get,
            source=source_of,
            policy=lambda: policy,
            reactor=reactor,
            apps=apps,
            observe=result.reports.append,
            limits=limits,
            fast_lane=lab.FAST_LANE,
        )

        inbound = Inbound(ports)
        nursery.start_soon(HopConnection(reactor, ours, Role.RESPONDER, serve=inbound.handle).run)
        await nursery.start(result.connection.run)
        yield result
        nursery.cancel_scope.cancel()


async def read_head(stream: trio.SocketStream) -> bytes:
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        data = await stream.receive_some(1)
        if not data:
            break
        received += data
    return received


def keeping(heads: list[bytes], *answers: bytes) -> Handler:
    """Give an app that keeps the heads it gets and answers them in turn; after the last answer it closes."""
    left = list(answers)

    async def handle(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            heads.append(head)
            if not left:
                return
            await stream.send_all(left.pop(0))

    return handle


async def untouched(stream: trio.SocketStream) -> None:
    raise AssertionError("nothing of this request may reach an app")


async def test_the_end_of_a_response_says_how_busy_its_server_is_and_how_long_its_app_took(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with bench(lab, hops, keeping([], OK)) as web:
        stream = web.open(GET, b"")
        assert (await stream.response_head()).status == 200
        assert await stream.body() == b"ok"
        end = stream.end
        assert end == End(in_flight=1, app_us=end.app_us)
        assert 0 < end.app_us < 60_000_000


async def test_what_another_daemon_left_in_a_request_is_stripped_here(
    lab: ModuleType, hops: ModuleType
) -> None:
    heads: list[bytes] = []
    dirty = (
        HOST,
        (b"Connection", b"close, x-drop"),
        (b"X-Drop", b"1"),
        (b"Upgrade", b"h2c"),
        (b"Expect", b"100-continue"),
        (b"x_gossipmesh_source", b"admin"),
        (b"X-Gossipmesh-Node", b"admin"),
    )
    async with bench(lab, hops, keeping(heads, OK), peer=lab.peer_of("web", features=WHOLE_MESSAGES)) as web:
        assert await web.ask(GET.changed(headers=dirty, source_service="web")) == (200, b"ok")
    assert heads == [
        b"GET / HTTP/1.1\r\nHost: hello\r\nx-gossipmesh-source: web\r\nx-gossipmesh-node: web-1\r\n\r\n"
    ]


@pytest.mark.parametrize(
    "head",
    [
        GET.changed(target=b"http://169.254.169.254/latest"),
        GET.changed(headers=(HOST, (b"Content-Length", b"-2"))),
        GET.changed(headers=(HOST, (b"Content-Length", b"2"), (b"Content-Length", b"3"))),
        GET.changed(headers=(HOST, (b"Content-Length", b"2"), (b"Transfer-Encoding", b"chunked"))),
    ],
)
async def test_a_request_that_no_honest_daemon_sends_reaches_no_app(
    lab: ModuleType, hops: ModuleType, head: RequestHead
) -> None:
    heads: list[bytes] = []
    async with bench(lab, hops, keeping(heads)) as web:
        status, body = await web.ask(head)
        assert status == 400
        assert b'"flag": "DPE"' in body
    assert heads == []


async def test_a_service_that_is_not_ours_is_reset_so_that_another_node_is_asked(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with bench(lab, hops, untouched) as web:
        assert await web.ask(GET.changed(service="nobody")) == (0, b"NR")


@pytest.mark.parametrize(("method", "has_body"), [(b"GET", True), (b"HEAD", False)])
async def test_a_denied_request_is_told_so_and_reaches_no_app(
    lab: ModuleType, hops: ModuleType, method: bytes, has_body: bool
) -> None:
    async with bench(lab, hops, untouched, allow=False) as web:
        _, body = await web.ask(GET.changed(method=method))
        assert (b"rule test" in body) is has_body
        assert (web.reports[0].code, web.reports[0].flag) == (403, "AZ")


async def test_a_denied_request_with_a_body_gets_its_whole_answer(lab: ModuleType, hops: ModuleType) -> None:
    head = GET.changed(method=b"POST", headers=(HOST, (b"Content-Length", b"1000000")))
    async with bench(lab, hops, untouched, allow=False) as web:
        stream = web.open(head)
        await stream.send_data(bytes(1_000))
        assert (await stream.response_head()).status == 403
        assert b"AZ" in await stream.receive_data()
        assert await stream.receive_data() == b""
        stream.stream.reset("unneeded")


MISFITS = [(HOST, (b"Content-Length", length)) for length in (b"2", b"4", b"0")] + [(HOST,)]


@pytest.mark.parametrize("headers", MISFITS)
async def test_a_whole_request_whose_body_does_not_fit_its_length_reaches_no_app(
    lab: ModuleType, hops: ModuleType, headers: Headers
) -> None:
    heads: list[bytes] = []
    async with bench(lab, hops, keeping(heads)) as web:
        status, body = await web.ask(GET.changed(method=b"PUT", headers=headers), b"abc")
        assert (status, b'"flag": "DPE"' in body) == (400, True)
    assert heads == []


@pytest.mark.parametrize("headers", MISFITS)
async def test_a_body_that_does_not_fit_its_length_ends_as_a_cut_request(
    lab: ModuleType, hops: ModuleType, headers: Headers
) -> None:
    received = b""
    asked, closed = trio.Event(), trio.Event()

    async def app(stream: trio.SocketStream) -> None:
        nonlocal received
        async for data in stream:
            received += data
            asked.set()
        closed.set()

    async with bench(lab, hops, app) as web:
        talk = web.open(GET.changed(method=b"PUT", headers=headers))
        await asked.wait()
        await talk.send_data(b"abc")
        talk.send_end()
        assert await talk.status_or_flag() == "DPE"
        await closed.wait()
    assert len(received.partition(b"\r\n\r\n")[2]) <= 3


async def test_an_idempotent_request_on_a_dead_connection_is_sent_once_more_on_a_fresh_one(
    lab: ModuleType,
    hops: ModuleType,
) -> None:
    heads: list[bytes] = []
    connections = 0

    async def one_each(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        await keeping(heads, OK)(stream)

    async with bench(lab, hops, one_each) as web:
        # Asked a second time, the app of the first connection closes it without a word.
        assert [await web.ask(GET), await web.ask(GET)] == [(200, b"ok")] * 2
        assert (len(heads), connections) == (3, 2)


async def test_a_post_on_a_dead_connection_is_not_sent_again(lab: ModuleType, hops: ModuleType) -> None:
    heads: list[bytes] = []
    async with bench(lab, hops, keeping(heads, OK)) as web:
        assert await web.ask(GET) == (200, b"ok")
        assert await web.ask(GET.changed(method=b"POST")) == (0, b"UC")
    assert len(heads) == 2


async def test_a_fresh_connection_that_breaks_is_not_tried_a_second_time_here(
    lab: ModuleType, hops: ModuleType
) -> None:
    heads: list[bytes] = []
    async with bench(lab, hops, keeping(heads)) as web:
        assert await web.ask(GET) == (0, b"UC")
    assert len(heads) == 1


async def test_an_app_has_as_long_as_the_request_has_left(
    lab: ModuleType, hops: ModuleType, autojump_clock: MockClock
) -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with bench(lab, hops, silent) as web:
        started = trio.current_time()
        assert await web.ask(GET.changed(deadline_ms=2_000)) == (0, b"UT")
        assert 2.0 <= trio.current_time() - started < 3.0
        assert await web.ask(GET) == (0, b"UT")
        assert 62.0 <= trio.current_time() - started < 63.0


async def test_a_body_that_never_comes_ends_the_request(
    lab: ModuleType, hops: ModuleType, autojump_clock: MockClock
) -> None:
    async def silent(stream: trio.SocketStream) -> None:
        async for _ in stream:
            pass

    async with bench(lab, hops, silent) as web:
        stream = web.open(GET.changed(headers=(HOST, (b"Content-Length", b"5"))))
        assert await stream.status_or_flag() == "DPE"


async def test_an_app_may_answer_and_close_without_reading_the_request(
    lab: ModuleType, hops: ModuleType
) -> None:
    async def brief(stream: trio.SocketStream) -> None:
        await stream.send_all(OK)
        await stream.send_eof()
        await stream.receive_some()

    async with bench(lab, hops, brief) as web:
        stream = web.open(GET.changed(method=b"POST", headers=(HOST, (b"Content-Length", b"1000000"))))
        assert await stream.response_head() == ResponseHead(200, ((b"Content-Length", b"2"),))
        assert await stream.receive_data() == b"ok"
        assert await stream.receive_data() == b""
        stream.stream.reset("unneeded")


async def test_a_request_that_is_taken_back_ends_at_the_app(lab: ModuleType, hops: ModuleType) -> None:
    asked, closed = trio.Event(), trio.Event()

    async def patient(stream: trio.SocketStream) -> None:
        await read_head(stream)
        asked.set()
        assert await stream.receive_some() == b""
        closed.set()

    async with bench(lab, hops, patient) as web:
        stream = web.open(GET, b"")
        await asked.wait()
        stream.stream.reset("unneeded")
        await closed.wait()
        assert web.reports[0].flag == "DC"


async def test_a_channel_that_breaks_takes_its_requests_with_it(lab: ModuleType, hops: ModuleType) -> None:
    asked, closed = trio.Event(), trio.Event()

    async def patient(stream: trio.SocketStream) -> None:
        await read_head(stream)
        asked.set()
        assert await stream.receive_some() == b""
        closed.set()

    async with bench(lab, hops, patient) as web:
        web.open(GET, b"")
        await asked.wait()
        web.connection.close()
        await closed.wait()
