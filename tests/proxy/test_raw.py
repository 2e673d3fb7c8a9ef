"""Connections to tcp services whose endpoints do not answer, or whose daemon stops; what goes well is beside this."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import ModuleType

import pytest
import trio
from trio.testing import MockClock

from gossipmesh.model import Address, NodeId, Protocol, Service
from gossipmesh.proxy.limits import ProxyLimits


@asynccontextmanager
async def calling(
    lab: ModuleType, members: object, *, silent: int, limits: ProxyLimits | None = None
) -> AsyncIterator[object]:
    """Give a daemon with a port for db, of whose nodes the first ``silent`` take connections and say nothing."""
    (mute,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with mute, trio.open_nursery() as nursery:
        for number in range(silent):
            node = NodeId(bytes([number]) * 32)
            address = Address(*mute.socket.getsockname())
            members.offer(Service("db", 1, Protocol.TCP), f"db-{number}", node, address)
        web = await members.daemon("web-1", limits=limits)
        web.proxy = await nursery.start(partial(web.outbound.serve, service="db"), Address("127.0.0.1", 0))
        yield web
        nursery.cancel_scope.cancel()


async def test_an_endpoint_that_does_not_answer_is_followed_by_the_next(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async with lab.mesh() as members, calling(lab, members, silent=2) as web:
        db = await members.daemon("db-9", tcp={"db": await members.app(lab.silent)})
        async with await lab.connect(web) as stream:
            await stream.send_all(b"hello")
            await trio.sleep(5.0)
            assert db.reports == []
        await trio.sleep(1.0)
        assert (web.report.retried, web.report.endpoint, web.report.code) == (("UF", "UF"), "db-9", 200)


async def test_the_time_of_an_attempt_that_was_refused_does_not_end_the_next_one(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    limits = ProxyLimits(response_timeout_s=1.0, connect_timeout_s=5.0)
    async with lab.mesh() as members, calling(lab, members, silent=1, limits=limits) as web:
        stranger = await members.daemon("a-1")
        members.offer(Service("db", 1, Protocol.TCP), "a-1", stranger.id, stranger.mesh)
        await members.daemon("db-9", tcp={"db": await members.app(lab.silent)})
        async with await lab.connect(web):
            await trio.sleep(6.0)
        await trio.sleep(1.0)
        assert (web.report.retried, web.report.endpoint) == (("NR", "UF"), "db-9")


async def test_where_no_endpoint_answers_the_connection_is_reset(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async with lab.mesh() as members, calling(lab, members, silent=3) as web:
        async with await lab.connect(web) as stream:
            await stream.send_all(b"hello")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
        assert (web.report.flag, web.report.attempts, web.report.code) == ("URX", 3, 0)
        assert web.outbound.connections == 0


async def test_a_daemon_that_stops_while_it_dials_resets_the_connection(lab: ModuleType) -> None:
    async with lab.mesh() as members, calling(lab, members, silent=1) as web:
        stream = await lab.connect(web)
        await lab.until(lambda: web.outbound.connections)
    async with stream:
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
    assert web.report.flag == "DR"


async def test_nothing_is_read_before_an_endpoint_has_taken_the_connection(
    lab: ModuleType, hops: ModuleType
) -> None:
    limits = ProxyLimits(connect_timeout_s=60.0)
    async with lab.mesh() as members, calling(lab, members, silent=1, limits=limits) as web:
        stream = await lab.connect(web)
        async with stream, trio.open_nursery() as nursery:

            async def send() -> None:
                while True:
                    await stream.send_all(bytes(65_536))

            nursery.start_soon(send)
            await hops.settled()
            assert web.outbound.connections == 1
            nursery.cancel_scope.cancel()
    assert web.report.bytes_in == 0
