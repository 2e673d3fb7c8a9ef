"""The handler of hop streams: how much it takes, and how it stops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
import trio
from attrs import define
from trio.testing import wait_all_tasks_blocked

from gossipmesh.channel.hop_messages import End, RequestHead
from gossipmesh.channel.noise import Role
from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.credentials import Peer
from gossipmesh.identity.grants import Grants
from gossipmesh.model import NodeId, Service
from gossipmesh.policy.decision import Decision
from gossipmesh.proxy.apps import AppPool
from gossipmesh.proxy.delivery import InboundPorts
from gossipmesh.proxy.inbound import Inbound
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.hop_stream import HopStream, StreamResetError

GET = RequestHead("hello", b"GET", b"/", ((b"Host", b"hello"),))
GRANTS = Grants((), (), frozenset(), frozenset(), 0, 1)
CALLER_ID = NodeId(b"w" * 32)
# What it declares is handed in beside it, so it needs no record here.
CALLER = Peer(CALLER_ID, VerifiedChain(b"", b"", CALLER_ID, "web-1", GRANTS, (), ()), None, 0)  # type: ignore[arg-type]


@define
class Bench:
    """A peer's end of a channel to an inbound side whose app answers when it is told to."""

    inbound: Inbound
    connection: HopConnection
    answer: trio.Event

    def ask(self) -> HopStream:
        stream = self.connection.open_stream(GET)
        stream.send_end(End())
        return stream


@asynccontextmanager
async def bench(lab: ModuleType, **limits: int) -> AsyncIterator[Bench]:
    answer = trio.Event()

    async def app(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await answer.wait()
        await stream.send_all(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, app, [listener])
        service = Service("hello", listener.socket.getsockname()[1])
        proxy_limits = ProxyLimits(**limits)
        apps = AppPool(proxy_limits)
        nursery.start_soon(apps.run)
        inbound = Inbound(
            InboundPorts(
                {"hello": service}.get,
                lambda peer: frozenset(),
                lambda source, service, method, target: Decision(True, "test"),
                apps,
                lambda report: None,
                proxy_limits,
            )
        )
        theirs, ours = await lab.secure_pair(CALLER)
        connection = HopConnection(theirs, Role.INITIATOR)
        nursery.start_soon(HopConnection(ours, Role.RESPONDER, serve=inbound.handle).run)
        await nursery.start(connection.run)
        yield Bench(inbound, connection, answer)
        nursery.cancel_scope.cancel()


async def result_of(stream: HopStream) -> int | str:
    """Give the status of the answer, or the flag of the reset."""
    try:
        return (await stream.response_head()).status
    except StreamResetError as error:
        return error.flag


async def in_flight(inbound: Inbound, count: int) -> None:
    while inbound.in_flight != count:
        await wait_all_tasks_blocked()


async def test_above_so_many_requests_in_flight_new_ones_are_told_to_go_elsewhere(lab: ModuleType) -> None:
    async with bench(lab, requests_in_flight=2) as hello:
        taken = [hello.ask(), hello.ask()]
        await in_flight(hello.inbound, 2)
        assert await result_of(hello.ask()) == "UO"
        hello.answer.set()
        assert [await result_of(stream) for stream in taken] == [204, 204]
        await in_flight(hello.inbound, 0)
        assert await result_of(hello.ask()) == 204


async def test_draining_refuses_new_requests_and_waits_for_those_that_were_taken(lab: ModuleType) -> None:
    async with bench(lab) as hello:
        taken = hello.ask()
        await in_flight(hello.inbound, 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hello.inbound.drain)
            await wait_all_tasks_blocked()
            assert await result_of(hello.ask()) == "DR"
            assert hello.inbound.in_flight == 1
            hello.answer.set()
            assert await result_of(taken) == 204


async def test_draining_waits_for_nothing_where_nothing_is_in_flight(lab: ModuleType) -> None:
    async with bench(lab) as hello:
        await hello.inbound.drain()
        assert await result_of(hello.ask()) == "DR"
        await hello.inbound.drain()


async def test_a_caller_that_takes_its_request_back_frees_its_place(lab: ModuleType) -> None:
    async with bench(lab) as hello:
        stream = hello.ask()
        await in_flight(hello.inbound, 1)
        stream.reset("unneeded")
        await in_flight(hello.inbound, 0)


async def test_one_peer_cannot_take_all_the_places(lab: ModuleType) -> None:
    async with bench(lab, requests_in_flight=4) as b:
        for _ in range(3):
            b.ask()
        await lab.until(lambda: b.inbound.in_flight == 3)
        with pytest.raises(StreamResetError) as refused:
            await b.ask().response_head()
        assert refused.value.flag == "UO"
        b.answer.set()


async def test_a_request_that_was_taken_back_before_anybody_looked_leaves_nothing_behind(
    lab: ModuleType,
) -> None:
    async with bench(lab) as b:
        for _ in range(3):
            # Head, end and reset leave in one record.
            b.ask().reset("gone")
        kept = b.ask()
        b.answer.set()
        assert (await kept.response_head()).status == 204
        await lab.until(lambda: b.inbound.in_flight == 0)
