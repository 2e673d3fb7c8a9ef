"""One request from the mesh at its destination: peers that do not behave, and apps that do not either."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock

from gossipmesh import crypto
from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.channel.noise import Role
from gossipmesh.identity.bundle import new_bundle
from gossipmesh.identity.chain import chain_hash, join_chain, verify_chain_untrusted
from gossipmesh.identity.credentials import Peer
from gossipmesh.identity.grants import Caveats
from gossipmesh.identity.record import sign_record
from gossipmesh.identity.token import new_token
from gossipmesh.model import Address, Protocol, Service
from gossipmesh.policy.decision import Decision, Source
from gossipmesh.proxy.access import RequestReport
from gossipmesh.proxy.apps import AppPool
from gossipmesh.proxy.delivery import Delivery, InboundPorts, services_of
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.hop_stream import HopStream, StreamResetError

WALL = 1_800_000_000
ROOT = bytes(range(32))
HOST = (b"Host", b"hello")
GET = RequestHead("hello", b"GET", b"/", (HOST,))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Handler = Callable[[trio.SocketStream], Awaitable[None]]


def peer_of(*services: str, allowed: tuple[str, ...] = ("*",)) -> Peer:
    """Give a proved member called web-1 that declares ``services``; its token allows those that match ``allowed``."""
    bundle = new_bundle([crypto.signing_public(ROOT)], default_allow=True)
    caveats = Caveats(not_before=WALL - 60, expires_at=WALL + 86_400, services=allowed, groups=("ops",))
    token = new_token(bundle, ROOT, caveats, os.urandom)
    seed = os.urandom(32)
    chain = join_chain(token, seed, "web-1")
    record = sign_record(
        seed=seed,
        mesh_id=token.mesh_id,
        boot=1,
        incarnation=1,
        name="web-1",
        addresses=[Address("127.0.0.1", 7946)],
        dh_key=bytes(32),
        dh_generation=0,
        chain_hash=chain_hash(chain),
        issued_at=WALL,
        services=[Service(name, 80) for name in services],
    )
    return Peer(record.id, verify_chain_untrusted(chain, token.trust(), wall=WALL), record, 0)


@define
class Bench:
    """A peer's end of a channel, and what happened at ours."""

    connection: HopConnection
    reports: list[RequestReport] = field(factory=list)
    sources: list[Source] = field(factory=list)

    async def ask(self, head: RequestHead, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request; give status and body of the answer, or status 0 and the flag of a reset."""
        stream = self.connection.open_stream(head)
        try:
            if body:
                await stream.send_data(body)
            stream.send_end(End())
            response = await stream.response_head()
            received = b""
            while data := await stream.receive_data():
                received += data
            return response.status, received
        except StreamResetError as error:
            return 0, error.flag.encode()


@asynccontextmanager
async def bench(
    lab: ModuleType,
    app: Handler,
    *,
    peer: Peer | None = None,
    allow: bool = True,
    limits: ProxyLimits | None = None,
    refuse_with: str | None = None,
) -> AsyncIterator[Bench]:
    """Give a peer's end of a channel to a node whose service hello is ``app``; old is a tcp service."""
    limits = limits or ProxyLimits()
    caller = peer or peer_of()
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, app, [listener])
        port = listener.socket.getsockname()[1]
        services = {"hello": Service("hello", port), "old": Service("old", port, Protocol.TCP)}
        apps = AppPool(limits)
        nursery.start_soon(apps.run)
        theirs, ours = await lab.secure_pair(caller)
        result = Bench(HopConnection(theirs, Role.INITIATOR))

        def decide(source: Source, service: str, method: bytes, target: bytes) -> Decision:
            result.sources.append(source)
            return Decision(allow, "test")

        ports = InboundPorts(services.get, services_of, decide, apps, result.reports.append, limits)

        async def serve(stream: HopStream) -> None:
            await Delivery(ports, stream, lambda: 7).run(refuse_with=refuse_with)

        nursery.start_soon(HopConnection(ours, Role.RESPONDER, serve=serve).run)
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


async def test_the_end_of_a_response_says_how_busy_its_server_is(lab: ModuleType) -> None:
    async with bench(lab, keeping([], OK)) as web:
        stream = web.connection.open_stream(GET)
        stream.send_end(End())
        assert (await stream.response_head()).status == 200
        while await stream.receive_data():
            pass
        assert stream.end == End(in_flight=7)


async def test_what_another_daemon_left_in_a_request_is_stripped_here(lab: ModuleType) -> None:
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
    async with bench(lab, keeping(heads, OK), peer=peer_of("web")) as web:
        assert await web.ask(evolve(GET, headers=dirty, source_service="web")) == (200, b"ok")
    assert heads == [
        b"GET / HTTP/1.1\r\nHost: hello\r\nx-gossipmesh-source: web\r\nx-gossipmesh-node: web-1\r\n\r\n"
    ]


@pytest.mark.parametrize(
    "head",
    [
        evolve(GET, target=b"http://169.254.169.254/latest"),
        evolve(GET, target=b"169.254.169.254:80"),
        evolve(GET, target=b"x"),
        evolve(GET, target=b"/#x"),
        evolve(GET, headers=()),
        evolve(GET, headers=(HOST, HOST)),
        evolve(GET, headers=(HOST, (b"Content-Length", b"2"), (b"Transfer-Encoding", b"chunked"))),
        evolve(GET, headers=(HOST, (b"Content_Length", b"2"))),
        evolve(GET, headers=(HOST, (b"Content-Length", b"-2"))),
        evolve(GET, headers=(HOST, (b"Content-Length", b"2"), (b"Content-Length", b"3"))),
    ],
)
async def test_a_request_that_no_honest_daemon_sends_reaches_no_app(
    lab: ModuleType, head: RequestHead
) -> None:
    heads: list[bytes] = []
    async with bench(lab, keeping(heads)) as web:
        status, body = await web.ask(head)
        assert status == 400
        assert b'"flag": "DPE"' in body
    assert heads == []


@pytest.mark.parametrize("head", [evolve(GET, method=b"CONNECT", target=b"/"), evolve(GET, service="old")])
async def test_no_rule_is_walked_around_by_another_protocol(lab: ModuleType, head: RequestHead) -> None:
    async with bench(lab, untouched) as web:
        status, body = await web.ask(head)
        assert status in (403, 405)
        assert b'"flag": "AZ"' in body


async def test_a_service_that_is_not_ours_is_reset_so_that_another_node_is_asked(lab: ModuleType) -> None:
    async with bench(lab, untouched) as web:
        assert await web.ask(evolve(GET, service="nobody")) == (0, b"NR")


@pytest.mark.parametrize("flag", ["DR", "UO"])
async def test_a_request_that_is_refused_unread_reaches_no_app(lab: ModuleType, flag: str) -> None:
    async with bench(lab, untouched, refuse_with=flag) as web:
        assert await web.ask(GET) == (0, flag.encode())
        assert web.reports[0].flag == flag


async def test_policy_learns_who_asks_from_the_chain_and_the_record(lab: ModuleType) -> None:
    caller = peer_of("web", "cron", "evil", allowed=("web", "cron"))
    async with bench(lab, keeping([], OK), peer=caller) as web:
        await web.ask(evolve(GET, source_service="cron"))
        assert web.sources == [Source(caller.id, "cron", frozenset({"web", "cron"}), frozenset({"ops"}))]


@pytest.mark.parametrize("claimed", ["admin", "evil"])
async def test_a_name_outside_record_or_chain_is_no_identity(lab: ModuleType, claimed: str) -> None:
    async with bench(lab, untouched, peer=peer_of("web", "evil", allowed=("web",))) as web:
        status, body = await web.ask(evolve(GET, source_service=claimed))
        assert status == 403
        assert b'"flag": "AZ"' in body
        assert web.sources == []


@pytest.mark.parametrize(("method", "has_body"), [(b"GET", True), (b"HEAD", False)])
async def test_a_denied_request_is_told_so_and_reaches_no_app(
    lab: ModuleType, method: bytes, has_body: bool
) -> None:
    async with bench(lab, untouched, allow=False) as web:
        _, body = await web.ask(evolve(GET, method=method))
        assert (b"rule test" in body) is has_body
        assert (web.reports[0].code, web.reports[0].flag) == (403, "AZ")


async def test_a_denied_request_with_a_body_gets_its_whole_answer(lab: ModuleType) -> None:
    head = evolve(GET, method=b"POST", headers=(HOST, (b"Content-Length", b"1000000")))
    async with bench(lab, untouched, allow=False) as web:
        stream = web.connection.open_stream(head)
        await stream.send_data(bytes(1_000))
        assert (await stream.response_head()).status == 403
        assert b"AZ" in await stream.receive_data()
        assert await stream.receive_data() == b""
        stream.reset("unneeded")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((HOST, (b"Content-Length", b"2")), b"abc"),
        ((HOST, (b"Content-Length", b"4")), b"abc"),
        ((HOST,), b"abc"),
        ((HOST, (b"Content-Length", b"0")), b"abc"),
    ],
)
async def test_a_body_that_does_not_fit_its_length_ends_as_a_cut_request(
    lab: ModuleType, headers: tuple[tuple[bytes, bytes], ...], body: bytes
) -> None:
    received = b""
    closed = trio.Event()

    async def app(stream: trio.SocketStream) -> None:
        nonlocal received
        async for data in stream:
            received += data
        closed.set()

    async with bench(lab, app) as web:
        assert await web.ask(evolve(GET, method=b"PUT", headers=headers), body) == (0, b"DPE")
        await closed.wait()
    assert len(received.partition(b"\r\n\r\n")[2]) <= 3


async def test_an_idempotent_request_on_a_dead_connection_is_sent_once_more_on_a_fresh_one(
    lab: ModuleType,
) -> None:
    heads: list[bytes] = []
    connections = 0

    async def one_each(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        await keeping(heads, OK)(stream)

    async with bench(lab, one_each) as web:
        # Asked a second time, the app of the first connection closes it without a word.
        assert [await web.ask(GET), await web.ask(GET)] == [(200, b"ok")] * 2
        assert (len(heads), connections) == (3, 2)


async def test_a_post_on_a_dead_connection_is_not_sent_again(lab: ModuleType) -> None:
    heads: list[bytes] = []
    async with bench(lab, keeping(heads, OK)) as web:
        assert await web.ask(GET) == (200, b"ok")
        assert await web.ask(evolve(GET, method=b"POST")) == (0, b"UC")
    assert len(heads) == 2


async def test_a_fresh_connection_that_breaks_is_not_tried_a_second_time_here(lab: ModuleType) -> None:
    heads: list[bytes] = []
    async with bench(lab, keeping(heads)) as web:
        assert await web.ask(GET) == (0, b"UC")
    assert len(heads) == 1


async def test_an_app_has_as_long_as_the_request_has_left(lab: ModuleType, autojump_clock: MockClock) -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with bench(lab, silent) as web:
        started = trio.current_time()
        assert await web.ask(evolve(GET, deadline_ms=2_000)) == (0, b"UT")
        assert 2.0 <= trio.current_time() - started < 3.0
        assert await web.ask(GET) == (0, b"UT")
        assert 62.0 <= trio.current_time() - started < 63.0


async def test_a_body_that_never_comes_ends_the_request(lab: ModuleType, autojump_clock: MockClock) -> None:
    async def silent(stream: trio.SocketStream) -> None:
        async for _ in stream:
            pass

    async with bench(lab, silent) as web:
        stream = web.connection.open_stream(evolve(GET, headers=(HOST, (b"Content-Length", b"5"))))
        with pytest.raises(StreamResetError) as raised:
            await stream.response_head()
        assert raised.value.flag == "DPE"


async def test_an_app_may_answer_and_close_without_reading_the_request(lab: ModuleType) -> None:
    async def brief(stream: trio.SocketStream) -> None:
        await stream.send_all(OK)
        await stream.send_eof()
        await stream.receive_some()

    async with bench(lab, brief) as web:
        stream = web.connection.open_stream(
            evolve(GET, method=b"POST", headers=(HOST, (b"Content-Length", b"1000000")))
        )
        assert await stream.response_head() == ResponseHead(200, ((b"Content-Length", b"2"),))
        assert await stream.receive_data() == b"ok"
        assert await stream.receive_data() == b""
        stream.reset("unneeded")


async def test_a_request_that_is_taken_back_ends_at_the_app(lab: ModuleType) -> None:
    asked, closed = trio.Event(), trio.Event()

    async def patient(stream: trio.SocketStream) -> None:
        await read_head(stream)
        asked.set()
        assert await stream.receive_some() == b""
        closed.set()

    async with bench(lab, patient) as web:
        stream = web.connection.open_stream(GET)
        stream.send_end(End())
        await asked.wait()
        stream.reset("unneeded")
        await closed.wait()
        assert web.reports[0].flag == "DC"


async def test_a_channel_that_breaks_takes_its_requests_with_it(lab: ModuleType) -> None:
    asked, closed = trio.Event(), trio.Event()

    async def patient(stream: trio.SocketStream) -> None:
        await read_head(stream)
        asked.set()
        assert await stream.receive_some() == b""
        closed.set()

    async with bench(lab, patient) as web:
        web.connection.open_stream(GET).send_end(End())
        await asked.wait()
        web.connection.close()
        await closed.wait()


def test_a_peer_speaks_for_what_its_record_declares_and_its_chain_allows() -> None:
    assert services_of(peer_of("web", "evil", allowed=("w*",))) == frozenset({"web"})
