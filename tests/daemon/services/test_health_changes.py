"""Health checks that begin and end with the services of a running node."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing
from attrs import evolve

from gossipmesh.config.model import LogConfig, ServiceConfig
from gossipmesh.daemon.services.health import FIRST_S, HealthChecks
from gossipmesh.daemon.telemetry.logs import event_log
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.routing.checks import CommandCheck, HealthCheck


@asynccontextmanager
async def running(metrics: Metrics) -> AsyncIterator[HealthChecks]:
    checks = HealthChecks((), metrics=metrics, log=event_log(LogConfig(), io.StringIO()))
    async with trio.open_nursery() as nursery:
        await nursery.start(checks.run)
        yield checks
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def app() -> AsyncIterator[ServiceConfig]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        yield ServiceConfig("web", listener.socket.getsockname()[1])


def healthy(checks: HealthChecks) -> dict[str, bool]:
    return {each.name: each.healthy for each in checks.offered()}


async def test_a_service_that_comes_is_checked_and_one_that_goes_is_not_told_of_any_more() -> None:
    metrics = Metrics()
    async with running(metrics) as checks, app() as web:
        checks.set_services([web])
        assert healthy(checks) == {"web": False}
        await checks.first_looks()
        assert healthy(checks) == {"web": True}
        assert b'service_healthy{service="web"} 1.0' in metrics.text()
        checks.set_services([evolve(web, weight=7)])
        assert healthy(checks) == {"web": True}
        checks.set_services([])
        assert (checks.offered(), checks.report(), checks.unhealthy) == ((), [], frozenset())
        assert b'service="web"' not in metrics.text()


async def test_what_is_checked_otherwise_now_begins_anew() -> None:
    async with running(Metrics()) as checks, app() as web:
        checks.set_services([web])
        await checks.first_looks()
        async with app() as other:
            checks.set_services([other])
            assert healthy(checks) == {"web": False}
            await checks.first_looks()
            assert healthy(checks) == {"web": True}
        checks.set_services([evolve(other, health=None)])
        assert healthy(checks) == {"web": True}


async def test_a_check_of_what_is_gone_is_called_off_and_its_outcome_counts_for_nobody() -> None:
    slow = ServiceConfig("web", 80, health=HealthCheck(CommandCheck(("/bin/sleep", "3600")), timeout_s=3_600))
    async with running(Metrics()) as checks, app() as web:
        checks.set_services([slow])
        await trio.lowlevel.checkpoint()
        checks.set_services([web])
        await checks.first_looks()
        assert healthy(checks) == {"web": True}


async def test_an_app_that_does_not_answer_holds_nobody_up(autojump_clock: trio.testing.MockClock) -> None:
    slow = ServiceConfig("web", 80, health=HealthCheck(CommandCheck(("/bin/sleep", "3600")), timeout_s=3_600))
    async with running(Metrics()) as checks:
        checks.set_services([slow])
        began = trio.current_time()
        await checks.first_looks()
        assert trio.current_time() - began == FIRST_S
        assert healthy(checks) == {"web": False}
