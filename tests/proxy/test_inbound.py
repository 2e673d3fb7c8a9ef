"""The handler of hop streams: how much it takes, and how it stops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

import trio
from attrs import define
from trio.testing import wait_all_tasks_blocked

from gossipmesh.channel.hop_messages import RequestHead
from gossipmesh.channel.noise import Role
from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.credentials import WHOLE_MESSAGES, Peer
from gossipmesh.identity.grants import Grants
from gossipmesh.model import NodeId, Service
from gossipmesh.policy.decision import Source
from gossipmesh.policy.rules import Policy
from gossipmesh.proxy.apps import AppPool
from gossipmesh.proxy.inbound import Inbound
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.ports import InboundPorts
from gossipmesh.transport.hop import HopConnection

GET = RequestHead("hello", b"GET", b"/", ((b"Host", b"hello"),))
GRANTS = Grants((), (), frozenset(), frozenset(), 0, 1)
CALLER_ID = NodeId(b"w" * 32)
# What it declares is handed in beside it, so it needs no record here.
CALLER = Peer(CALLER_ID, VerifiedChain(b"", b"", CALLER_ID, "web-1", GRANTS, (), ()), None, 0, WHOLE_MESSAGES)  # type: ignore[arg-type]


@define
class Bench:
    """A peer's end of a channel to an inbound side whose app answers when it is told to."""

    hops: ModuleType
    inbound: Inbound
    connection: HopConnection
    answer: trio.Event

    def ask(self) -> object:
        return self.hops.ask(self.connection, GET, b"")


@asynccontextmanager
async def bench(lab: ModuleType, hops: ModuleType, **limits: int) -> AsyncIterator[Bench]:
    answer = trio.Event()

    async def app(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await answer.wait()
        await stream.send_all(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with hops.reactor() as reactor, trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, app, [listener])
        service = Service("hello", listener.socket.getsockname()[1])
        proxy_limits = ProxyLimits(**limits)
        apps = AppPool(reactor, proxy_limits, fast_lane=lab.FAST_LANE)
        nursery.start_soon(apps.run)
        inbound = Inbound(
            InboundPorts(
                service={"hello": service}.get,
                source=lambda peer, service: Source(peer.id),
                policy=lambda: Policy.of_default(True),
                reactor=reactor,
                apps=apps,
                observe=lambda report: None,
                limits=proxy_limits,
                fast_lane=lab.FAST_LANE,
            )
        )
        theirs, ours = await hops.secure_pair(
            hops.identity(b"web", peer=CALLER), hops.identity(b"hello", peer=CALLER)
        )
        connection = HopConnection(reactor, theirs, Role.INITIATOR)
        nursery.start_soon(HopConnection(reactor, ours, Role.RESPONDER, serve=inbound.handle).run)
        await nursery.start(connection.run)
        yield Bench(hops, inbound, connection, answer)
        nursery.cancel_scope.cancel()


async def in_flight(inbound: Inbound, count: int) -> None:
    while inbound.in_flight != count:
        await wait_all_tasks_blocked()


async def test_above_so_many_requests_in_flight_new_ones_are_told_to_go_elsewhere(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with bench(lab, hops, requests_in_flight=2) as hello:
        taken = [hello.ask(), hello.ask()]
        await in_flight(hello.inbound, 2)
        assert await hello.ask().status_or_flag() == "UO"
        hello.answer.set()
        assert [await stream.status_or_flag() for stream in taken] == [204, 204]
        await in_flight(hello.inbound, 0)
        assert await hello.ask().status_or_flag() == 204


async def test_draining_waits_for_what_was_taken_and_for_what_was_on_its_way_when_it_was_said(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with bench(lab, hops) as hello:
        taken = [hello.ask()]
        await in_flight(hello.inbound, 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hello.inbound.drain)
            await wait_all_tasks_blocked()
            taken.append(hello.ask())
            await in_flight(hello.inbound, 2)
            hello.answer.set()
            assert [await each.status_or_flag() for each in taken] == [204, 204]


async def test_draining_waits_for_nothing_where_nothing_is_in_flight(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with bench(lab, hops) as hello:
        await hello.inbound.drain()
        hello.answer.set()
        assert await hello.ask().status_or_flag() == 204
        await hello.inbound.drain()


async def test_a_caller_that_takes_its_request_back_frees_its_place(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with bench(lab, hops) as hello:
        stream = hello.ask()
        await in_flight(hello.inbound, 1)
        stream.stream.reset("unneeded")
        await in_flight(hello.inbound, 0)


async def test_one_peer_cannot_take_all_the_places(lab: ModuleType, hops: ModuleType) -> None:
    async with bench(lab, hops, requests_in_flight=4) as b:
        for _ in range(3):
            b.ask()
        await lab.until(lambda: b.inbound.in_flight == 3)
        assert await b.ask().status_or_flag() == "UO"
        b.answer.set()


async def test_a_request_that_was_taken_back_before_anybody_looked_leaves_nothing_behind(
    lab: ModuleType, hops: ModuleType
) -> None:
    async with bench(lab, hops) as b:
        for _ in range(3):
            # Head, end and reset leave in one record.
            b.ask().stream.reset("gone")
        kept = b.ask()
        b.answer.set()
        assert (await kept.response_head()).status == 204
        await lab.until(lambda: b.inbound.in_flight == 0)
