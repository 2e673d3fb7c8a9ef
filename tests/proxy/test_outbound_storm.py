"""A storm over whole requests: whatever callers and apps do, every place and every count is given back, once."""

from __future__ import annotations

import contextlib
import socket
import struct
from random import Random
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from gossipmesh.model import Address, NodeId
from gossipmesh.routing.outcomes import Came
from gossipmesh.routing.outliers import Outliers
from gossipmesh.routing.traffic import BreakerLimits, Ejection, Retries, Sticky, Traffic
from gossipmesh.routing.upstreams import Upstream, ejection_settings

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n"
ANSWERS = (
    OK,
    OK,
    OK,
    b"",
    b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000),
    b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
    b"HTTP/1.1 103 Early Hints\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: other=1\r\n\r\n",
    b"nonsense\r\n\r\n",
    SWITCH,
)
GET = b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 5\r\n\r\nhello"
REQUESTS = (
    GET,
    GET,
    GET,
    POST,
    GET * 3,
    GET + POST[:-2],
    POST[:-2],
    b"PUT / HTTP/1.1\r\nHost: hello\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000),
    b"POST / HTTP/1.1\r\nHost: hello\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /chat HTTP/1.1\r\nHost: hello\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: hello\r\nCookie: gm=forged\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n",
    b"CONNECT db:%d HTTP/1.1\r\nHost: db\r\n\r\n",
)
TRAFFIC = (
    Traffic(limits=BreakerLimits(in_flight=2, queue=2, wait_s=0.3), timeout_s=1.0),
    Traffic(
        balancer="least-request",
        limits=BreakerLimits(in_flight=3, queue=4, wait_s=0.5),
        retries=Retries(attempts=4, per_try_timeout_s=0.2),
        ejection=Ejection(failures_in_a_row=1, base_s=0.5),
        timeout_s=0.6,
    ),
    Traffic(
        balancer="ewma",
        sticky=Sticky("cookie", "gm"),
        limits=BreakerLimits(in_flight=8, queue=1, wait_s=5.0, adaptive=True),
        retries=Retries(per_try_timeout_s=0.5),
    ),
)


class Counted(Outliers):
    """Sees to it that each attempt begins once and ends once."""

    __slots__ = ("under_way",)

    def __init__(self, traffic: Traffic) -> None:
        super().__init__(ejection_settings(traffic.ejection))
        self.under_way: dict[NodeId, int] = {}

    def began(self, endpoint: NodeId, *, now: float) -> None:
        self.under_way[endpoint] = self.under_way.get(endpoint, 0) + 1
        super().began(endpoint, now=now)

    def ended(self, endpoint: NodeId, came: Came, *, now: float, took_s: float = 0.0) -> None:
        assert self.under_way[endpoint] > 0, "an attempt ended twice"
        self.under_way[endpoint] -= 1
        super().ended(endpoint, came, now=now, took_s=took_s)


def chaotic(autojump_clock: MockClock, rng: Random) -> Any:
    """Give an app that answers each request with one of the answers, soon or late or never, and may close then."""

    async def handle(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while request := await stream.receive_some():
                if rng.random() < 0.1:
                    await trio.sleep(3.0)
                elif rng.random() < 0.5:
                    await trio.sleep(rng.uniform(0.0, 0.4))
                answer = rng.choice(ANSWERS)
                await stream.send_all(answer)
                if answer == SWITCH:
                    while await stream.receive_some():
                        await stream.send_all(b"echo")
                if rng.random() < 0.3 or answer not in (OK, SWITCH) or not request.startswith(b"GET"):
                    return

    return handle


async def talkative(stream: trio.SocketStream) -> None:
    """Answer everything, as the app of a tcp service."""
    with contextlib.suppress(trio.BrokenResourceError):
        async for data in stream:
            await stream.send_all(data)


async def call(autojump_clock: MockClock, address: Address, request: bytes, rng: Random) -> None:
    """Send a request; read what comes for a while, or leave: at once, soon, in parts, with or without good manners."""
    await trio.sleep(rng.uniform(0.0, 2.0))
    # One that connects at the moment when the daemon stops may find nobody.
    with contextlib.suppress(trio.BrokenResourceError, OSError):
        async with await trio.open_tcp_stream(address.host, address.port) as stream:
            await stream.send_all(request)
            manners = rng.randrange(6)
            if manners == 0:
                return
            if manners == 1:
                await trio.sleep(rng.uniform(0.0, 0.5))
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            if manners == 2:
                await trio.sleep(rng.uniform(0.0, 0.5))
                await stream.send_eof()
            if manners == 3:
                await trio.sleep(rng.uniform(0.0, 0.5))
                await stream.send_all(GET)
            with trio.move_on_after(rng.choice((0.1, 1.0, 8.0))):
                while await stream.receive_some():
                    pass


def owed(upstream: Upstream, nodes: list[NodeId]) -> dict[str, object]:
    """Give what was not given back."""
    breaker, outliers = upstream.breaker, upstream.outliers
    assert isinstance(outliers, Counted)
    counts: dict[str, object] = {
        "places": breaker.in_flight,
        "waiters": breaker.queued,
        "balancer": sum(upstream.balancer.in_flight(node) for node in nodes),
        "attempts": sum(outliers.under_way.values()),
        "outliers": sum(each.waiting for each in outliers._standings.values()),
    }
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("stopped", [False, True], ids=["to-the-end", "stopped"])
@pytest.mark.parametrize("traffic", TRAFFIC, ids=["narrow", "impatient", "sticky"])
async def test_after_a_storm_everything_was_given_back(
    lab: ModuleType, autojump_clock: MockClock, traffic: Traffic, seed: int, stopped: bool
) -> None:
    rng = Random(seed)
    upstreams: list[Upstream] = []
    async with lab.mesh() as members:
        nodes = [await members.ghost("hello-0", "hello")]
        tcp = await members.app(talkative)
        for number in (1, 2, 3):
            port = await members.app(chaotic(autojump_clock, rng))
            nodes.append((await members.daemon(f"hello-{number}", {"hello": port}, tcp={"db": tcp})).id)
        web = await members.daemon("web-1", traffic={"hello": traffic, "db": traffic})
        raw = await members.nursery.start(
            lambda *, task_status: web.outbound.serve(
                Address("127.0.0.1", 0), service="db", task_status=task_status
            )
        )
        for service in ("hello", "db"):
            upstream = web.outbound._ports.upstreams.of(service)
            upstream.outliers = Counted(traffic)
            upstreams.append(upstream)
        async with trio.open_nursery() as callers:
            for _ in range(80):
                request = rng.choice(REQUESTS)
                if b"%d" in request:
                    request = request % tcp
                address = raw if rng.random() < 0.1 else web.proxy
                callers.start_soon(call, autojump_clock, address, request, Random(rng.random()))
            if stopped:
                await trio.sleep(rng.uniform(0.5, 1.5))
                members.nursery.cancel_scope.cancel()
                callers.cancel_scope.cancel()
        if not stopped:
            await trio.sleep(60.0)
            assert (web.outbound.in_flight, web.outbound.tunnels) == (0, 0), f"seed {seed}"
    assert [owed(upstream, nodes) for upstream in upstreams] == [{}, {}], f"seed {seed}"
    assert web.outbound.in_flight == 0
    assert len(web.outcomes) > (0 if stopped else 20)
