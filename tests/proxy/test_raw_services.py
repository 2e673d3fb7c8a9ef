"""Ports of tcp services: connections without a word of HTTP, through two daemons."""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import trio

from gossipmesh.model import Address, NodeId, Protocol, Service
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind

NO_LINGER = struct.pack("ii", 1, 0)
"""Closing is a reset."""


async def read_all(stream: trio.SocketStream) -> bytes:
    received = b""
    async for data in stream:
        received += data
    return received


async def shouting(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data.upper())
    await stream.send_eof()


@asynccontextmanager
async def serving(web: Any, service: str) -> AsyncIterator[None]:
    """Open a port of web's that is one service's own, in place of the proxy's."""
    async with trio.open_nursery() as nursery:
        web.proxy = await nursery.start(partial(web.outbound.serve, service=service), Address("127.0.0.1", 0))
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def port_of(lab: ModuleType, web: Any, service: str) -> AsyncIterator[trio.SocketStream]:
    """Connect to such a port."""
    async with serving(web, service), await lab.connect(web) as stream:
        yield stream


async def is_reset(lab: ModuleType, web: Any) -> bool:
    """Tell whether a connection is broken off unused; that may be so soon that connecting fails."""
    try:
        async with await lab.connect(web) as stream:
            await stream.receive_some()
    except (trio.BrokenResourceError, OSError):
        return True
    return False


async def test_bytes_of_any_kind_go_both_ways_and_each_way_ends_by_itself(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        db = await members.daemon("db-1", tcp={"db": await members.app(shouting)})
        web = await members.daemon("web-1", {"web": 1}, speaks_as="web")
        async with port_of(lab, web, "db") as stream:
            for word in (b"GET / HTTP/1.1\r\n\r\n", b"\0\xff", b"select 1;"):
                await stream.send_all(word)
                await lab.read_until(stream, word.upper())
            await stream.send_eof()
            assert await read_all(stream) == b""
        await lab.until(lambda: web.reports and db.reports)
    for report, endpoint in ((web.report, "db-1"), (db.report, "web-1")):
        assert (report.source, report.service, report.method, report.path) == ("web", "db", "CONNECT", "")
        assert (report.code, report.flag, report.endpoint) == (200, "", endpoint)
        assert (report.bytes_in, report.bytes_out) == (29, 29)
    assert web.report.request_id == db.report.request_id != ""


async def test_the_service_may_speak_first_and_end_first(lab: ModuleType) -> None:
    async def greeting(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 ready\r\n")
        await stream.send_eof()
        assert await read_all(stream) == b"quit"

    async with lab.mesh() as members:
        db = await members.daemon("db-1", tcp={"db": await members.app(greeting)})
        web = await members.daemon("web-1")
        async with port_of(lab, web, "db") as stream:
            assert await read_all(stream) == b"220 ready\r\n"
            await stream.send_all(b"quit")
            await stream.send_eof()
            await lab.until(lambda: web.reports and db.reports)
    assert (web.report.flag, db.report.flag) == ("", "")


async def test_an_app_that_sent_and_closed_before_anybody_answered_is_heard(lab: ModuleType) -> None:
    heard = trio.Event()

    async def listening(stream: trio.SocketStream) -> None:
        assert await read_all(stream) == b"one datagram, as it were"
        heard.set()

    async with lab.mesh() as members:
        await members.daemon("db-1", tcp={"db": await members.app(listening)})
        web = await members.daemon("web-1")
        async with port_of(lab, web, "db") as stream:
            await stream.send_all(b"one datagram, as it were")
            await stream.aclose()
            await heard.wait()


async def test_much_goes_both_ways_at_once(lab: ModuleType) -> None:
    sent = os.urandom(3_000_000)

    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)
        await stream.send_eof()

    async def send(stream: trio.SocketStream) -> None:
        await stream.send_all(sent)
        await stream.send_eof()

    async with lab.mesh() as members:
        await members.daemon("db-1", tcp={"db": await members.app(echo)})
        web = await members.daemon("web-1")
        async with port_of(lab, web, "db") as stream, trio.open_nursery() as nursery:
            nursery.start_soon(send, stream)
            assert await read_all(stream) == sent


async def test_until_an_endpoint_has_taken_it_a_connection_is_tried_elsewhere(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        ghost = NodeId(os.urandom(32))
        members.offer(
            Service("db", 1, Protocol.TCP), "db-0", ghost, Address("127.0.0.1", await lab.unused_port())
        )
        second = await members.daemon("db-1", tcp={"db": await lab.unused_port()})
        third = await members.daemon("db-2", tcp={"db": await members.app(shouting)})
        web = await members.daemon("web-1")
        async with port_of(lab, web, "db") as stream:
            await stream.send_all(b"hello")
            await lab.read_until(stream, b"HELLO")
        await lab.until(lambda: web.reports)
        assert (web.report.attempts, web.report.retried, web.report.endpoint) == (3, ("UF", "UF"), "db-2")
        assert web.outcomes == [
            (ghost, AttemptOutcome(OutcomeKind.CONNECT_FAILED, "UF")),
            (second.id, AttemptOutcome(OutcomeKind.REFUSED, "UF")),
            (third.id, AttemptOutcome(OutcomeKind.ANSWERED, status=200)),
        ]


@pytest.mark.parametrize(("eligible", "flag"), [(True, "UF"), (False, "UH")])
async def test_what_cannot_be_served_is_reset_and_the_log_says_why(
    lab: ModuleType, eligible: bool, flag: str
) -> None:
    async with lab.mesh() as members:
        address = Address("127.0.0.1", await lab.unused_port())
        ghost = NodeId(os.urandom(32))
        members.offer(Service("db", 1, Protocol.TCP), "db-0", ghost, address, eligible=eligible)
        web = await members.daemon("web-1")
        async with serving(web, "db"):
            assert await is_reset(lab, web)
        assert (web.report.code, web.report.flag, web.report.service) == (0, flag, "db")


@pytest.mark.parametrize("allow", [True, False])
async def test_what_the_far_daemon_does_not_allow_is_reset(lab: ModuleType, allow: bool) -> None:
    async with lab.mesh() as members:
        # One denies it; to the other, db speaks http.
        port = await members.app(lab.refusing)
        own = {"db": port}
        far = await members.daemon("db-1", own if allow else None, tcp=None if allow else own, allow=allow)
        members.endpoints.clear()
        members.offer(Service("db", port, Protocol.TCP), "db-1", far.id, far.mesh)
        web = await members.daemon("web-1")
        async with serving(web, "db"):
            assert await is_reset(lab, web)
        assert (web.report.code, web.report.flag) == ((405, "AZ") if allow else (403, "AZ"))
        assert far.report.flag == "AZ"


async def test_a_port_of_an_http_service_speaks_http(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        await members.daemon("hello-1", {"hello": await members.app(lab.echo)})
        web = await members.daemon("web-1")
        async with port_of(lab, web, "hello") as stream:
            await stream.send_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n")
            assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (400, "DPE")


async def test_above_so_many_tunnels_the_next_connection_is_reset(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        await members.daemon("db-1", tcp={"db": await members.app(shouting)})
        web = await members.daemon("web-1", limits=ProxyLimits(tunnels=1))
        async with port_of(lab, web, "db") as stream:
            await stream.send_all(b"hello")
            await lab.read_until(stream, b"HELLO")
            assert await is_reset(lab, web)
            assert web.report.flag == "UO"


async def test_what_breaks_one_end_resets_the_other(lab: ModuleType) -> None:
    async def reset(stream: trio.SocketStream) -> None:
        await lab.read_until(stream, b"one")
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, NO_LINGER)

    async with lab.mesh() as members:
        db = await members.daemon("db-1", tcp={"db": await members.app(reset)})
        web = await members.daemon("web-1")
        async with port_of(lab, web, "db") as stream:
            await stream.send_all(b"one")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
        await lab.until(lambda: web.reports and db.reports)
    assert (web.report.flag, db.report.flag) == ("UC", "UC")


async def test_a_caller_that_resets_its_connection_resets_the_app_s(lab: ModuleType) -> None:
    left = trio.Event()

    async def patient(stream: trio.SocketStream) -> None:
        await stream.send_all(b"hello")
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        left.set()

    async with lab.mesh() as members:
        db = await members.daemon("db-1", tcp={"db": await members.app(patient)})
        web = await members.daemon("web-1")
        async with port_of(lab, web, "db") as stream:
            await lab.read_until(stream, b"hello")
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, NO_LINGER)
            await stream.aclose()
            await left.wait()
        await lab.until(lambda: web.reports and db.reports)
    assert (web.report.flag, db.report.flag) == ("DC", "DC")
