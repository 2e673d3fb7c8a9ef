"""How often, when and where a request is tried again, through whole daemons."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gossipmesh.routing.backoff import BackoffSettings
from gossipmesh.routing.budget import Inbound, RetryBudget
from gossipmesh.routing.budget_settings import BudgetSettings
from gossipmesh.routing.traffic import DEFAULT, EVERY, Ejection, Retries, Traffic
from gossipmesh.routing.upstreams import Upstream

GET = b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 5\r\n\r\nhello"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BROKEN = b"nonsense\r\n\r\n"


async def hellos(
    lab: ModuleType, members: Any, *apps: Any, traffic: Traffic = DEFAULT
) -> tuple[Any, Upstream]:
    """Give a caller's daemon, and what it knows of hello, whose daemons have these apps."""
    for number, app in enumerate(apps):
        await members.daemon(f"hello-{number}", {"hello": await members.app(app)})
    web = await members.daemon("web-1", traffic={"hello": traffic} if traffic is not DEFAULT else {})
    return web, web.outbound._ports.upstreams.of("hello")


async def answer_to(lab: ModuleType, web: Any, request: bytes = GET) -> tuple[int, str]:
    async with await lab.connect(web) as stream:
        await stream.send_all(request)
        answer = b""
        while not answer.endswith((b"ok", b"}\n")):
            answer += await stream.receive_some()
    flag: tuple[int, str] = lab.flag_of(answer)
    return flag


def no_more_than(per_s: float) -> RetryBudget:
    return RetryBudget(BudgetSettings(percent=0.0, least_per_s=per_s))


async def test_without_a_budget_the_answer_says_how_the_last_attempt_failed(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        broken = lab.closing(BROKEN)
        web, hello = await hellos(lab, members, broken, broken, lab.closing(OK))
        hello.budget = no_more_than(1.0)
        assert await answer_to(lab, web) == (502, "UPE")
        assert (web.report.attempts, web.report.retried) == (2, ("UPE",))
        assert hello.budget.refused == 1


async def test_what_no_app_has_seen_is_tried_again_without_a_budget(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        await members.ghost("hello-0", "hello")
        await members.daemon("hello-1", {"hello": await lab.unused_port()})
        web, hello = await hellos(lab, members)
        await members.daemon("hello-2", {"hello": await members.app(lab.closing(OK))})
        hello.budget = no_more_than(0.0)
        assert await answer_to(lab, web, POST) == (200, "")
        assert web.report.retried == ("UF", "UF")


async def test_between_two_attempts_there_is_a_wait_and_none_where_nobody_is_left(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async with lab.mesh() as members:
        broken = lab.closing(BROKEN)
        web, hello = await hellos(lab, members, broken, broken)
        hello.backoff = BackoffSettings(base_s=50.0, most_s=50.0)
        started = trio.current_time()
        assert await answer_to(lab, web) == (502, "UPE")
        # The dice are seeded: one wait, and not a second one of up to 100 s when nobody is left.
        assert 0.5 < trio.current_time() - started < 50.5
        assert web.report.attempts == 2


async def test_a_deadline_that_passes_in_the_wait_is_a_timeout(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    async with lab.mesh() as members:
        broken = lab.closing(BROKEN)
        web, hello = await hellos(lab, members, broken, broken, traffic=Traffic(timeout_s=0.2))
        hello.backoff = BackoffSettings(base_s=60.0, most_s=60.0)
        started = trio.current_time()
        assert await answer_to(lab, web) == (504, "UT")
        assert trio.current_time() - started < 1.0
        assert web.report.attempts == 1


@pytest.mark.parametrize("request_bytes", [GET, POST], ids=["GET", "POST"])
async def test_a_try_that_takes_too_long_is_given_up_for_another_where_that_is_safe(
    lab: ModuleType, autojump_clock: MockClock, request_bytes: bytes
) -> None:
    traffic = Traffic(retries=Retries(attempts=2, per_try_timeout_s=0.5), ejection=Ejection(enabled=False))
    async with lab.mesh() as members:
        web, _ = await hellos(lab, members, lab.silent, lab.silent, traffic=traffic)
        for warm in range(2):  # The second time there are channels, so that it begins the quick way.
            started = trio.current_time()
            expected = (503, "URX") if request_bytes is GET else (504, "UT")
            assert await answer_to(lab, web, request_bytes) == expected
            tries = 2 if request_bytes is GET else 1
            assert 0.5 * tries <= trio.current_time() - started < 0.5 * tries + 0.3
            assert web.reports[warm].attempts == tries


async def test_the_whole_time_bounds_all_tries_together(lab: ModuleType, autojump_clock: MockClock) -> None:
    traffic = Traffic(timeout_s=0.8, retries=Retries(per_try_timeout_s=0.5), ejection=Ejection(enabled=False))
    async with lab.mesh() as members:
        web, _ = await hellos(lab, members, lab.silent, lab.silent, lab.silent, traffic=traffic)
        for _ in range(2):
            started = trio.current_time()
            assert await answer_to(lab, web) == (504, "UT")
            assert 0.8 <= trio.current_time() - started < 1.0
        assert [each.attempts for each in web.reports] == [2, 2]


async def test_the_attempt_says_on_the_wire_which_it_is(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        web, _ = await hellos(lab, members, lab.closing(BROKEN), lab.closing(OK), lab.closing(OK))
        second = await members.daemon("hello-00", {"hello": await members.app(lab.closing(BROKEN))})
        noted = Noted()
        object.__setattr__(second.inbound._ports, "retries", noted)
        # hello-0 is first, then hello-00; a retry of somebody further up counts as one more.
        assert await answer_to(lab, web) == (200, "")
        object.__setattr__(web.outbound._ports, "retries", AllOfThem())
        assert await answer_to(lab, web) == (200, "")
        assert noted.attempts == [2, 3]


class AllOfThem(Inbound):
    """Takes each request for a retry of somebody further up."""

    def is_retry(self, request_id: bytes, *, now: float) -> bool:
        return True


class Noted(Inbound):
    """What a daemon knows of the retries that it serves, and what their heads said."""

    __slots__ = ("attempts",)

    def __init__(self) -> None:
        super().__init__()
        self.attempts: list[int] = []

    def began(self, request_id: bytes, attempt: int, *, now: float) -> None:
        self.attempts.append(attempt)
        super().began(request_id, attempt, now=now)


async def test_five_failures_in_a_row_take_an_endpoint_out_and_one_request_tries_it_again(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    well = False

    async def recovering(stream: trio.SocketStream) -> None:
        await lab.read_request(stream)
        await stream.send_all(OK if well else BROKEN)

    traffic = Traffic(balancer="random", ejection=Ejection(base_s=30.0))
    async with lab.mesh() as members:
        web, hello = await hellos(lab, members, recovering, lab.closing(OK), traffic=traffic)
        bad = members.endpoints["hello"][0].id

        async def failures(requests: int) -> int:
            before = len(web.outcomes)
            for _ in range(requests):
                assert await answer_to(lab, web) == (200, "")
            return [node for node, _ in web.outcomes[before:]].count(bad)

        assert await failures(60) == 5
        assert hello.outliers.reason(bad, now=members.reactor.now).startswith("out of rotation for 30 s")
        # Somebody else's news of the mesh makes no difference to that.
        snapshot = web.outbound._ports.snapshot
        for _ in range(2):
            web.outbound._ports.upstreams.picture_changed(snapshot())
        assert await failures(10) == 0
        well = True
        await trio.sleep(31.0)
        assert await failures(40) > 5
        assert hello.outliers.reason(bad, now=members.reactor.now) == ""


async def test_answers_that_break_off_in_the_middle_are_failures_of_their_endpoint(lab: ModuleType) -> None:
    cut = lab.closing(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(50_000))
    traffic = Traffic(balancer="random", ejection=Ejection(base_s=300.0))
    async with lab.mesh() as members:
        web, hello = await hellos(lab, members, cut, lab.closing(OK), traffic=traffic)
        bad = members.endpoints["hello"][0].id
        for _ in range(60):
            await lab.ask(web, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert [node for node, _ in web.outcomes].count(bad) == 5
        assert "5 failures in a row" in hello.outliers.reason(bad, now=members.reactor.now)


async def test_what_waits_at_an_endpoint_that_fell_silent_is_asked_elsewhere(
    lab: ModuleType, autojump_clock: MockClock
) -> None:
    frozen = False

    async def freezing(stream: trio.SocketStream) -> None:
        while await lab.read_request(stream):
            if frozen:
                await trio.sleep(3_600.0)
            await stream.send_all(OK)

    async def well(stream: trio.SocketStream) -> None:
        while await lab.read_request(stream):
            await stream.send_all(OK)

    async with lab.mesh() as members:
        web, hello = await hellos(lab, members, freezing, well, traffic=Traffic(balancer="random"))
        silent = members.endpoints["hello"][0].id
        for _ in range(110):  # Before there were 100 answers nobody knows what silence would be.
            assert await answer_to(lab, web) == (200, "")
        frozen = True
        hello.budget = no_more_than(5.0)  # Not enough for all at once: they move as it grows.
        before = len(web.reports)
        started = trio.current_time()
        async with trio.open_nursery() as callers:
            for _ in range(20):
                callers.start_soon(answer_to, lab, web)
                await trio.sleep(0.01)
        assert trio.current_time() - started < 6.0
        assert {(each.code, each.flag) for each in web.reports[before:]} == {(200, "")}
        moved = [each for each in web.reports[before:] if each.retried]
        assert {each.retried for each in moved} == {("UT",)}
        assert "silence" in hello.outliers.reason(silent, now=members.reactor.now)


async def test_more_waits_at_a_silent_endpoint_than_the_budget_pays_for_and_the_rest_waits_on(
    lab: ModuleType,
) -> None:
    async with lab.mesh() as members:
        answer = trio.Event()

        async def patient(stream: trio.SocketStream) -> None:
            if await lab.read_request(stream):
                await answer.wait()
                await stream.send_all(OK)

        web, hello = await hellos(lab, members, patient, lab.closing(OK))
        hello.budget = no_more_than(3.0)
        first = members.endpoints["hello"][0]
        async with trio.open_nursery() as callers:
            for _ in range(8):
                callers.start_soon(answer_to, lab, web)
            await lab.until(lambda: hello.balancer.in_flight(first.id) == 8)
            await wait_all_tasks_blocked()
            pool = web.outbound._ports.pool
            members.reactor.defer(lambda: pool.doubt(lambda node, service: node == first.id))
            await lab.until(lambda: len(web.reports) == 3)
            await wait_all_tasks_blocked()
            assert hello.balancer.in_flight(first.id) == 5
            answer.set()
        assert [(each.code, each.flag) for each in web.reports] == [(200, "")] * 8
        assert sum(bool(each.retried) for each in web.reports) == 3


async def test_reports_of_load_reach_the_balancer(lab: ModuleType) -> None:
    async with lab.mesh() as members:
        traffic = Traffic(balancer="least-request")

        def other_score(web: Any, members: Any) -> list[float]:
            upstream = web.outbound._ports.upstreams.get("other")
            now = members.reactor.now
            return [each.score for each in upstream.balancer.scores(members.endpoints["other"], now=now)]

        web, busy = await members.daemon("web-1", traffic={EVERY: traffic}), await members.daemon("web-2")
        gate = trio.Event()

        async def held(stream: trio.SocketStream) -> None:
            request = await lab.read_request(stream)
            if b"/held" in request:
                await gate.wait()
            await stream.send_all(OK)

        other = await members.daemon("other-1", {"other": await members.app(held)})
        assert other.inbound is not None
        async with trio.open_nursery() as callers:
            held_request = b"GET /held HTTP/1.1\r\nHost: other\r\n\r\n"
            for _ in range(4):
                callers.start_soon(answer_to, lab, busy, held_request)
            await lab.until(lambda: other.inbound.in_flight == 4)
            assert await answer_to(lab, web, GET.replace(b"hello", b"other")) == (200, "")
            (score,) = other_score(web, members)
            gate.set()
        assert score > 0.0
