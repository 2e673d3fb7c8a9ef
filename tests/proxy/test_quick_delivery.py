"""The quick way to an app, and how its end is told: what a daemon delivers in the same turn in which others leave."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
import trio
from attrs import define
from trio.testing import MockClock, wait_all_tasks_blocked

from gossipmesh.channel.hop_messages import RequestHead
from gossipmesh.channel.noise import Role
from gossipmesh.identity.credentials import WHOLE_MESSAGES
from gossipmesh.model import Service
from gossipmesh.policy.rules import Policy
from gossipmesh.proxy.apps import AppPool
from gossipmesh.proxy.inbound import Inbound
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.ports import InboundPorts
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.reactor import Reactor
from sources import source_of

GET = RequestHead("hello", b"GET", b"/", ((b"Host", b"hello"),))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@define
class Bench:
    """A peer's end of a channel to an inbound side."""

    reactor: Reactor
    inbound: Inbound
    connection: HopConnection
    idle: list[int]
    """How many connections to the app waited for a request as each request was over."""


@asynccontextmanager
async def bench(
    lab: ModuleType,
    hops: ModuleType,
    app: Callable[[trio.SocketStream], Awaitable[None]],
    limits: ProxyLimits | None = None,
) -> AsyncIterator[Bench]:
    limits = limits or ProxyLimits()
    peer = lab.peer_of("web", features=WHOLE_MESSAGES)
    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, app, [listener])
        service = Service("hello", listener.socket.getsockname()[1])
        apps = AppPool(reactor, limits, fast_lane=lab.FAST_LANE)
        nursery.start_soon(apps.run)
        idle: list[int] = []
        inbound = Inbound(
            InboundPorts(
                service={"hello": service}.get,
                source=source_of,
                policy=lambda: Policy.of_default(True),
                reactor=reactor,
                apps=apps,
                observe=lambda report: idle.append(apps.idle),
                limits=limits,
                fast_lane=lab.FAST_LANE,
            )
        )
        theirs, ours = await hops.secure_pair(
            hops.identity(b"web", peer=peer), hops.identity(b"hello", peer=peer)
        )
        connection = HopConnection(reactor, theirs, Role.INITIATOR)
        nursery.start_soon(HopConnection(reactor, ours, Role.RESPONDER, serve=inbound.handle).run)
        await nursery.start(connection.run)
        yield Bench(reactor, inbound, connection, idle)
        nursery.cancel_scope.cancel()


async def test_an_app_and_a_caller_that_leave_in_one_turn_are_both_let_go(
    lab: ModuleType, hops: ModuleType
) -> None:
    apps: list[trio.SocketStream] = []
    asked = trio.Event()

    async def app(stream: trio.SocketStream) -> None:
        apps.append(stream)
        await lab.read_request(stream)
        await stream.send_all(OK)
        await lab.read_request(stream)
        asked.set()
        await trio.sleep_forever()

    async with bench(lab, hops, app) as hello:
        assert await hops.ask(hello.connection, GET, b"").status_or_flag() == 200
        hops.ask(hello.connection, GET, b"")
        await asked.wait()

        def leave() -> None:
            apps[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            apps[0].socket.close()
            hello.connection.close()

        hello.reactor.defer(leave)
        while hello.inbound.in_flight:
            await wait_all_tasks_blocked()


async def test_a_silent_app_has_the_same_time_whichever_way_its_request_went(
    lab: ModuleType, hops: ModuleType, autojump_clock: MockClock
) -> None:
    async def app(stream: trio.SocketStream) -> None:
        await lab.read_request(stream)
        await stream.send_all(OK)
        await lab.silent(stream)

    async with bench(lab, hops, app, ProxyLimits(response_timeout_s=7.0)) as hello:
        for deadline_ms, patience_s in ((0, 7.0), (5_000, 5.0)):
            assert await hops.ask(hello.connection, GET, b"").status_or_flag() == 200
            started = trio.current_time()
            head = RequestHead("hello", b"GET", b"/", ((b"Host", b"hello"),), deadline_ms)
            assert await hops.ask(hello.connection, head, b"").status_or_flag() == "UT"
            assert patience_s <= trio.current_time() - started < patience_s + 0.5


@pytest.mark.parametrize("length", [2, 20_000, 40_000, 65_000])
async def test_an_app_that_says_more_than_it_announced_is_not_asked_there_again(
    lab: ModuleType, hops: ModuleType, length: int
) -> None:
    async def app(stream: trio.SocketStream) -> None:
        await lab.read_request(stream)
        await stream.send_all(OK)
        await lab.read_request(stream)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length
        await stream.send_all(head + bytes(length) + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nodd")
        await lab.silent(stream)

    async with bench(lab, hops, app) as hello:
        for _ in range(2):
            assert await hops.ask(hello.connection, GET, b"").status_or_flag() == 200
        assert hello.idle == [
            1,
            0,
        ]  # Else what is here already could be the answer to somebody else's request.
