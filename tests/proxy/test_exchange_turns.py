"""Requests wait for their turn where too many are under way to a service, and go when it comes; or they are refused."""

from __future__ import annotations

import gc
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gossipmesh.proxy.attempts import Attempts
from gossipmesh.proxy.exchange import Exchange
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.routing.backoff import BackoffSettings
from gossipmesh.routing.plan import Plan
from gossipmesh.routing.traffic import BreakerLimits, Traffic
from gossipmesh.routing.upstreams import Upstream

GET = b"GET /%b HTTP/1.1\r\nHost: hello\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ONE = Traffic(limits=BreakerLimits(in_flight=1, queue=1, wait_s=2.0))


class App:
    """Answers each request when it is told to."""

    def __init__(self, lab: ModuleType) -> None:
        self._lab = lab
        self._go_on = trio.Event()
        self.seen: list[bytes] = []

    async def handle(self, stream: trio.SocketStream) -> None:
        try:
            while request := await self._lab.read_request(stream):
                self.seen.append(request.split()[1])
                await self._go_on.wait()
                self._go_on = trio.Event()
                await stream.send_all(OK)
        except trio.BrokenResourceError:
            pass

    def answer(self) -> None:
        self._go_on.set()


def upstream(web: Any) -> Upstream:
    found: Upstream = web.outbound._ports.upstreams.get("hello")
    return found


async def begin(lab: ModuleType, web: Any, path: bytes) -> trio.SocketStream:
    """Send a request and wait until the daemon has it."""
    stream: trio.SocketStream = await lab.connect(web)
    before = web.outbound.in_flight
    await stream.send_all(GET % path)
    await lab.until(lambda: web.outbound.in_flight > before)
    return stream


async def test_the_second_request_waits_and_goes_when_the_first_ends_and_the_third_is_refused(
    lab: ModuleType,
) -> None:
    app = App(lab)
    async with lab.mesh() as members:
        await members.daemon("hello-1", {"hello": await members.app(app.handle)})
        web = await members.daemon("web-1", traffic={"hello": ONE})
        first = await begin(lab, web, b"first")
        await lab.until(lambda: app.seen)
        second = await begin(lab, web, b"second")
        async with first, second:
            assert (upstream(web).breaker.in_flight, upstream(web).breaker.queued) == (1, 1)
            third = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"
            assert lab.flag_of(await lab.ask(web, third)) == (503, "UO")
            await wait_all_tasks_blocked()
            assert app.seen == [b"/first"]
            for stream in (first, second):
                app.answer()
                await lab.read_until(stream, b"ok")
        assert app.seen == [b"/first", b"/second"]
        assert (upstream(web).breaker.in_flight, upstream(web).breaker.queued) == (0, 0)
        assert [(each.flag, each.attempts) for each in web.reports] == [("UO", 0), ("", 1), ("", 1)]


async def test_who_waits_too_long_is_refused_and_the_connection_goes_on(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    app = App(lab)
    async with lab.mesh() as members:
        await members.daemon("hello-1", {"hello": await members.app(app.handle)})
        web = await members.daemon("web-1", traffic={"hello": ONE})
        first = await begin(lab, web, b"first")
        second = await begin(lab, web, b"second")
        async with first, second:
            started = trio.current_time()
            assert lab.flag_of(await lab.read_until(second, b"}\n")) == (503, "UO")
            assert 2.0 <= trio.current_time() - started < 3.0
            assert (upstream(web).breaker.queued, upstream(web).breaker.refused) == (0, 1)
            await lab.until(lambda: app.seen)
            app.answer()
            await lab.read_until(first, b"ok")
            await second.send_all(GET % b"again")
            await lab.until(lambda: len(app.seen) == 2)
            app.answer()
            await lab.read_until(second, b"ok")


async def test_a_request_whose_time_is_over_while_it_waits_is_told_so(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    app = App(lab)
    traffic = Traffic(limits=BreakerLimits(in_flight=1, queue=1, wait_s=60.0), timeout_s=5.0)
    async with lab.mesh() as members:
        await members.daemon("hello-1", {"hello": await members.app(app.handle)})
        web = await members.daemon("web-1", traffic={"hello": traffic})
        first = await begin(lab, web, b"first")
        await trio.sleep(3.0)
        second = await begin(lab, web, b"second")
        async with first, second:
            assert lab.flag_of(await lab.read_until(first, b"}\n")) == (504, "UT")
            # Its turn has come by that, with two seconds less to go.
            assert lab.flag_of(await lab.read_until(second, b"}\n")) == (504, "UT")
            assert 7.9 <= trio.current_time() <= 9.0
        assert [(each.flag, each.attempts) for each in web.reports] == [("UT", 1), ("UT", 1)]
        assert upstream(web).breaker.in_flight == upstream(web).breaker.queued == 0


async def test_a_deadline_that_passes_in_the_queue_is_a_timeout_and_not_an_overflow(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    app = App(lab)
    traffic = Traffic(limits=BreakerLimits(in_flight=1, queue=1, wait_s=60.0))
    limits = ProxyLimits(request_timeout_s=5.0, tunnel_idle_timeout_s=90.0)
    async with lab.mesh() as members:
        await members.daemon("hello-1", {"hello": await members.app(app.handle)})
        web = await members.daemon("web-1", limits=limits, traffic={"hello": traffic})
        upstream_ = web.outbound._ports.upstreams.of("hello")
        upstream_.breaker.admit()  # As a request that never ends.
        async with await begin(lab, web, b"second") as second:
            assert lab.flag_of(await lab.read_until(second, b"}\n")) == (504, "UT")
        assert (web.report.attempts, upstream_.breaker.refused, upstream_.breaker.queued) == (0, 0, 0)


@pytest.mark.parametrize("rudely", [False, True])
async def test_who_leaves_while_it_waits_leaves_its_place_to_the_next(lab: ModuleType, rudely: bool) -> None:
    app = App(lab)
    traffic = Traffic(limits=BreakerLimits(in_flight=1, queue=2, wait_s=60.0))
    async with lab.mesh() as members:
        await members.daemon("hello-1", {"hello": await members.app(app.handle)})
        web = await members.daemon("web-1", traffic={"hello": traffic})
        streams = [await begin(lab, web, path) for path in (b"first", b"second", b"third")]
        await lab.until(lambda: app.seen)
        if rudely:
            # Its turn comes, and in the same turn of the reactor it is gone.
            await streams[1].aclose()
            app.answer()
        else:
            await streams[1].aclose()
            await lab.until(lambda: upstream(web).breaker.queued == 1)
            app.answer()
        await lab.read_until(streams[0], b"ok")
        await lab.until(lambda: len(app.seen) >= 2)
        while app.seen[-1] != b"/third":
            app.answer()
            await wait_all_tasks_blocked()
        app.answer()
        await lab.read_until(streams[2], b"ok")
        for stream in streams:
            await stream.aclose()
        assert (upstream(web).breaker.in_flight, upstream(web).breaker.queued) == (0, 0)
        assert "DC" in [each.flag for each in web.reports]


async def test_the_turn_of_one_that_leaves_at_that_very_moment_is_the_next_ones(lab: ModuleType) -> None:
    app = App(lab)
    traffic = Traffic(limits=BreakerLimits(in_flight=1, queue=2, wait_s=60.0))
    async with lab.mesh() as members:
        await members.daemon("hello-1", {"hello": await members.app(app.handle)})
        web = await members.daemon("web-1", traffic={"hello": traffic})
        streams = [await begin(lab, web, path) for path in (b"first", b"second", b"third")]
        await lab.until(lambda: app.seen)
        breaker = upstream(web).breaker
        second, third = breaker._queue
        assert isinstance(second, Exchange)

        def both() -> None:
            # As when the first ends and the second's caller leaves among the events of one turn.
            (waiter,) = breaker.ended(None, now=members.reactor.now)
            assert waiter is second
            members.reactor.defer(waiter.admitted)
            second.caller_gone()
            breaker.admit()  # The first has its place still.

        members.reactor.defer(both)
        await lab.until(lambda: len(web.reports) == 1)
        assert web.report.flag == "DC"
        assert breaker.queued == 0
        await lab.until(lambda: len(app.seen) == 2)
        assert app.seen == [b"/first", b"/third"]
        assert isinstance(third, Exchange)
        for stream in streams:
            await stream.aclose()
        await lab.until(lambda: len(web.reports) == 3)
        assert (breaker.in_flight, breaker.queued) == (0, 0)


async def test_a_caller_that_is_slow_to_take_its_answer_keeps_nobody_waiting(lab: ModuleType) -> None:
    size = 60_000  # More than the systems between keep, less than a stream's credit.
    large = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)

    async def app(stream: trio.SocketStream) -> None:
        while request := await lab.read_request(stream):
            await stream.send_all(large if b"/large" in request else OK)

    async with lab.mesh() as members:
        await members.daemon("hello-1", {"hello": await members.app(app)})
        web = await members.daemon("web-1", traffic={"hello": ONE})
        sock = trio.socket.socket()
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4_096)
        await sock.connect((web.proxy.host, web.proxy.port))
        async with trio.SocketStream(sock) as slow:
            (connection,) = await accepted(lab, web)
            connection.link._sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, 4_096)
            await slow.send_all(GET % b"large")
            await lab.until(lambda: web.outcomes)
            assert web.reports == []
            assert connection.link.unsent
            assert upstream(web).breaker.in_flight == 0
            async with await lab.connect(web) as other:
                await other.send_all(GET % b"")
                assert (await lab.read_until(other, b"ok")).startswith(b"HTTP/1.1 200 ")


async def accepted(lab: ModuleType, web: Any) -> set[Any]:
    await lab.until(lambda: web.outbound.connections)
    connections: set[Any] = web.outbound._connections
    return connections


async def test_what_is_over_is_freed_without_the_collector_of_cycles(lab: ModuleType) -> None:
    def alive() -> list[object]:
        return [each for each in gc.get_objects() if isinstance(each, Exchange | Attempts | Plan)]

    gate = trio.Event()

    async def broken(stream: trio.SocketStream) -> None:
        if await lab.read_request(stream):
            await gate.wait()
            await stream.send_all(b"nonsense\r\n\r\n")

    async with lab.mesh() as members:
        port = await members.app(broken)
        for number in range(3):
            await members.daemon(f"hello-{number}", {"hello": port})
        web = await members.daemon("web-1", traffic={"hello": ONE})
        gc.collect()
        gc.disable()
        try:
            async with await begin(lab, web, b"first") as first, await begin(lab, web, b"second") as second:
                gone = await lab.connect(web)
                await gone.send_all(GET % b"refused")
                assert lab.flag_of(await lab.read_until(gone, b"}\n")) == (503, "UO")
                await gone.aclose()
                gate.set()
                for stream in (first, second):
                    assert lab.flag_of(await lab.read_until(stream, b"}\n")) == (503, "URX")
                assert [each.attempts for each in web.reports] == [0, 3, 3]
            # Left in the pause between two attempts, which is long enough to see it.
            upstream(web).backoff = BackoffSettings(base_s=60.0, most_s=60.0)
            async with await begin(lab, web, b"first"):
                await lab.until(lambda: len(web.outcomes) == 7)
            # Left at the app, and in the queue.
            gate = trio.Event()
            async with await begin(lab, web, b"first"), await begin(lab, web, b"second"):
                assert upstream(web).breaker.queued == 1
            await lab.until(lambda: not web.outbound.connections)
            assert [each.flag for each in web.reports[3:]] == ["DC"] * 3
            assert alive() == []
        finally:
            gc.enable()
