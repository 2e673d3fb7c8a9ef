"""A second attempt beside a slow first one: whichever answers is passed on, and the other is reset."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from types import ModuleType
from typing import Any

import pytest
import trio
from attrs import define, field

from gossipmesh.routing.hedging import LEAST_SAMPLES
from gossipmesh.routing.outcomes import GIVEN_UP, AttemptOutcome, OutcomeKind
from gossipmesh.routing.rates import UNLIMITED, RateSettings
from gossipmesh.routing.traffic import Retries, Sticky, Traffic

HEDGED = Traffic(retries=Retries(hedge=True))
QUICK = b"GET /quick HTTP/1.1\r\nHost: hello\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: hello\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LATE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"


@define
class App:
    """Answers at once; but of what is asked for with /slow only what :attr:`then` says, in the order of asking."""

    lab: ModuleType
    then: list[Callable[[trio.SocketStream], Any]]
    """For each slow request."""
    seen: list[bytes] = field(factory=list)
    """Slow requests."""
    left: int = 0
    """Slow requests whose connection was closed before they were answered."""

    async def __call__(self, stream: trio.SocketStream) -> None:
        while request := await self.lab.read_request(stream):
            if b" /slow " in request:
                self.seen.append(request)
                await self.then.pop(0)(stream)
            else:
                await stream.send_all(OK)

    async def hang(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass
        self.left += 1
        await stream.aclose()

    async def answer(self, stream: trio.SocketStream) -> None:
        await stream.send_all(OK)


async def break_off(stream: trio.SocketStream) -> None:
    """Fail for good: of a connection that is only closed, the node would try a fresh one."""
    await stream.send_all(b"no HTTP\r\n\r\n")
    await stream.aclose()


@asynccontextmanager
async def hedged(
    lab: ModuleType,
    traffic: Traffic = HEDGED,
    *,
    met: bool = True,
    ghost: bool = False,
    rate: RateSettings = UNLIMITED,
) -> AsyncIterator[tuple[Any, Any]]:
    """Give an app behind two nodes, and the daemon of a caller that knows by now how soon it answers.

    Args:
        lab: the fixture.
        traffic: of its requests.
        met: whether it has a channel to the second node, which is asked only where the first is not.
        ghost: whether the second node's daemon does not listen.
        rate: what the second node allows the caller.
    """
    app = App(lab, [])

    async def handle(stream: trio.SocketStream) -> None:
        # Connections are closed by the test's own doing, and reset by the daemon.
        with suppress(trio.ClosedResourceError, trio.BrokenResourceError):
            await app(stream)

    async with lab.mesh() as members:
        if met:
            limited = {"hello": Traffic(rate=rate)}
            await members.daemon("hello-1", {"hello": await members.app(handle)}, traffic=limited)
        web = await members.daemon("web-1", traffic={"hello": traffic})
        stream = await lab.connect(web)
        async with stream:
            if met:
                await stream.send_all(QUICK)
                await lab.read_until(stream, b"ok")
            await members.daemon("hello-0", {"hello": await members.app(handle)})
            for _ in range(LEAST_SAMPLES):
                await stream.send_all(QUICK)
                await lab.read_until(stream, b"ok")
            if ghost:
                await members.ghost("hello-1", "hello")
            elif not met:
                await members.daemon("hello-1", {"hello": await members.app(handle)})
        web.reports.clear()
        web.outcomes.clear()
        yield web, app


@pytest.mark.parametrize("met", [True, False])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_where_the_first_is_slow_a_second_answers_and_the_first_is_reset_at_its_app(
    lab: ModuleType, method: bytes, met: bool
) -> None:
    async with hedged(lab, met=met) as (web, app):
        app.then = [app.hang, app.answer]
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(SLOW.replace(b"GET", method))
            await lab.read_until(stream, b"ok" if method == b"GET" else b"\r\n\r\n")
        await lab.until(lambda: app.left)
        report = web.report
        assert (report.code, report.flag, report.attempts, report.retried) == (200, "", 2, ())
        (slow, given_up), (quick, answered) = web.outcomes
        assert slow != quick
        assert given_up == GIVEN_UP
        assert answered == AttemptOutcome(OutcomeKind.ANSWERED, status=200)
        assert report.endpoint == "hello-1"
    assert len(app.seen) == 2


async def test_where_the_first_answers_after_all_it_is_passed_on_and_the_second_is_reset(
    lab: ModuleType,
) -> None:
    second_asked = trio.Event()

    async def late(stream: trio.SocketStream) -> None:
        await second_asked.wait()
        await stream.send_all(LATE)

    async with hedged(lab) as (web, app):

        async def hang(stream: trio.SocketStream) -> None:
            second_asked.set()
            await app.hang(stream)

        app.then = [late, hang]
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(SLOW)
            await lab.read_until(stream, b"late")
        await lab.until(lambda: app.left)
        assert [outcome for _, outcome in web.outcomes] == [
            GIVEN_UP,
            AttemptOutcome(OutcomeKind.ANSWERED, status=200),
        ]
        assert web.report.attempts == 2


@pytest.mark.parametrize("first", [True, False])
async def test_the_failure_of_one_is_not_the_failure_of_the_request(lab: ModuleType, first: bool) -> None:
    second_asked, failed = trio.Event(), trio.Event()

    async def fails(stream: trio.SocketStream) -> None:
        await second_asked.wait()
        await break_off(stream)

    async def answers(stream: trio.SocketStream) -> None:
        await failed.wait()
        await stream.send_all(OK)

    def then_second(app: Callable[[trio.SocketStream], Any]) -> Callable[[trio.SocketStream], Any]:
        async def asked(stream: trio.SocketStream) -> None:
            second_asked.set()
            await app(stream)

        return asked

    async with hedged(lab) as (web, app):
        app.then = [fails, then_second(answers)] if first else [answers, then_second(fails)]
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(SLOW)
            await lab.until(lambda: web.outcomes)
            failed.set()
            await lab.read_until(stream, b"ok")
        kinds = [(outcome.kind, outcome.flag) for _, outcome in web.outcomes]
        assert kinds == [(OutcomeKind.FAILED, "UPE"), (OutcomeKind.ANSWERED, "")]
        assert (web.report.code, web.report.attempts) == (200, 2)


async def test_a_second_node_that_cannot_be_reached_fails_nothing(lab: ModuleType) -> None:
    async with hedged(lab, ghost=True, met=False) as (web, app):

        async def late(stream: trio.SocketStream) -> None:
            await lab.until(lambda: web.outcomes)
            await stream.send_all(LATE)

        app.then = [late]
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(SLOW)
            await lab.read_until(stream, b"late")
        assert [outcome.flag for _, outcome in web.outcomes] == ["UF", ""]
        assert (web.report.endpoint, web.report.attempts) == ("hello-0", 2)


async def test_a_second_node_that_refuses_is_not_the_one_that_answers(lab: ModuleType) -> None:
    async with hedged(lab, rate=RateSettings(per_s=0.01, burst=1)) as (web, app):

        async def late(stream: trio.SocketStream) -> None:
            await lab.until(lambda: web.outcomes)
            await stream.send_all(LATE)

        app.then = [late]
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(SLOW)
            await lab.read_until(stream, b"late")
        assert [(outcome.status, outcome.flag) for _, outcome in web.outcomes] == [(429, "RL"), (200, "")]
        assert (web.report.code, web.report.flag, web.report.attempts) == (200, "", 2)


async def test_where_both_fail_the_answer_says_so(lab: ModuleType) -> None:
    second_asked = trio.Event()

    async def first(stream: trio.SocketStream) -> None:
        await second_asked.wait()
        await break_off(stream)

    async def second(stream: trio.SocketStream) -> None:
        second_asked.set()
        await break_off(stream)

    async with hedged(lab) as (web, app):
        app.then = [first, second]
        assert lab.flag_of(await lab.ask(web, SLOW.replace(b"hello", b"hello\r\nConnection: close"))) == (
            502,
            "UPE",
        )
        assert (web.report.flag, web.report.attempts) == ("UPE", 2)
        assert len({node for node, _ in web.outcomes}) == 2


async def test_when_the_caller_leaves_both_are_reset(lab: ModuleType) -> None:
    async with hedged(lab) as (web, app):
        app.then = [app.hang, app.hang]
        stream = await lab.connect(web)
        async with stream:
            await stream.send_all(SLOW)
            await lab.until(lambda: len(app.seen) == 2)
        await lab.until(lambda: app.left == 2)
        await lab.until(lambda: web.reports)
        assert (web.report.flag, web.report.attempts) == ("DC", 2)
        assert web.outbound.in_flight == 0


async def test_hedges_are_one_in_twenty_at_most(lab: ModuleType) -> None:
    async with hedged(lab) as (web, app):
        allowed = LEAST_SAMPLES // 20
        app.then = [app.hang] * (2 * LEAST_SAMPLES)
        streams = [await lab.connect(web) for _ in range(2 * allowed)]
        for stream in streams:
            await stream.send_all(SLOW)
        await lab.until(lambda: len(app.seen) == len(streams) + allowed)
        for stream in streams:
            await stream.aclose()
        await lab.until(lambda: len(web.reports) == len(streams))
        assert sum(report.attempts for report in web.reports) == len(streams) + allowed


@pytest.mark.parametrize(
    ("traffic", "request_bytes"),
    [
        (HEDGED, SLOW.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n")),
        (HEDGED, SLOW.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nhi")),
        (HEDGED, SLOW.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")),
        (Traffic(), SLOW),
        (Traffic(sticky=Sticky("source"), retries=Retries(hedge=True)), SLOW),
        (Traffic(retries=Retries(attempts=1, hedge=True)), SLOW),
    ],
    ids=["post", "body", "upgrade", "off", "session", "one attempt"],
)
async def test_what_may_not_be_hedged_waits_for_its_only_attempt(
    lab: ModuleType, traffic: Traffic, request_bytes: bytes
) -> None:
    async with hedged(lab, traffic) as (web, app):
        go_on = trio.Event()

        async def late(stream: trio.SocketStream) -> None:
            await go_on.wait()
            await stream.send_all(LATE)

        app.then = [late, late]
        first, other = await lab.connect(web), await lab.connect(web)
        async with first, other:
            await first.send_all(request_bytes)
            await lab.until(lambda: app.seen)
            if traffic is HEDGED:
                # By the time that a GET which came later is hedged, this would have been.
                app.then = [app.hang, app.answer]
                await other.send_all(SLOW)
                await lab.read_until(other, b"ok")
            go_on.set()
            await lab.read_until(first, b"late")
        assert web.reports[-1].attempts == 1
