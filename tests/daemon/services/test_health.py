"""The shell around health checks: real connections, what is logged, counted and told to the mesh."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import define, field

from gossipmesh.config.model import LogConfig, ServiceConfig
from gossipmesh.daemon.services.health import HealthChecks
from gossipmesh.daemon.telemetry.logs import event_log
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.model import Service
from gossipmesh.routing.checks import CommandCheck, HealthCheck


@define
class App:
    """An app that can be started, and stopped, at one port."""

    port: int = 0
    listener: trio.SocketListener | None = None

    async def start(self) -> None:
        (self.listener,) = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = self.listener.socket.getsockname()[1]

    async def stop(self) -> None:
        assert self.listener is not None
        await self.listener.aclose()


@define
class Bench:
    """Running checks, and what they told."""

    checks: HealthChecks
    metrics: Metrics
    written: io.StringIO
    told: list[frozenset[str]] = field(factory=list)
    news: trio.Event = field(factory=trio.Event)

    async def publish(self) -> None:
        self.told.append(self.checks.unhealthy)
        self.news.set()
        self.news = trio.Event()

    async def until(self, unhealthy: set[str]) -> None:
        while not self.told or self.told[-1] != unhealthy:
            await self.news.wait()

    @property
    def logged(self) -> list[dict[str, Any]]:
        lines = map(json.loads, self.written.getvalue().splitlines())
        return [{key: line[key] for key in ("event", "service", "was", "now", "why")} for line in lines]

    def sample(self, name: str) -> list[str]:
        lines = self.metrics.text().decode().splitlines()
        return [line.removeprefix(name) for line in lines if line.startswith(name)]


@asynccontextmanager
async def running(*services: ServiceConfig) -> AsyncIterator[Bench]:
    metrics, written = Metrics(), io.StringIO()
    log = event_log(LogConfig(), written)
    bench = Bench(HealthChecks(services, metrics=metrics, log=log), metrics, written)
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.checks.run)
        bench.checks.publish = bench.publish
        yield bench
        nursery.cancel_scope.cancel()


@pytest.fixture
async def app() -> App:
    app = App()
    await app.start()
    return app


async def test_an_app_that_is_there_is_in_the_first_record_and_one_that_is_not_is_out(app: App) -> None:
    gone = App()
    await gone.start()
    await gone.stop()
    services = ServiceConfig("hello", app.port), ServiceConfig("world", gone.port)
    async with running(*services) as bench:
        assert bench.checks.offered() == (
            Service("hello", app.port),
            Service("world", gone.port, healthy=False),
        )
        why = f"nobody listens on port {gone.port}"
        assert {"event": "health", "service": "world", "was": "unknown", "now": "unhealthy", "why": why} in (
            bench.logged
        )
        assert bench.checks.report() == [
            {"name": "hello", "port": app.port, "state": "healthy", "reason": "", "check": "tcp"},
            {"name": "world", "port": gone.port, "state": "unhealthy", "reason": why, "check": "tcp"},
        ]
        assert bench.sample("gossipmesh_service_healthy") == [
            '{service="hello"} 1.0',
            '{service="world"} 0.0',
        ]
        assert '{result="passed",service="hello"} 1.0' in bench.sample("gossipmesh_health_checks_total")
    await app.stop()


async def test_an_app_that_ends_is_out_and_back_when_it_listens_again(app: App) -> None:
    async with running(ServiceConfig("hello", app.port)) as bench:
        await app.stop()
        bench.checks.look_again(app.port)
        await bench.until({"hello"})
        await app.start()
        await bench.until(set())
        assert [(line["was"], line["now"]) for line in bench.logged] == [
            ("unknown", "healthy"),
            ("healthy", "unhealthy"),
            ("unhealthy", "healthy"),
        ]
        await app.stop()


async def test_an_app_that_ends_is_found_without_any_sign_of_it(app: App) -> None:
    async with running(ServiceConfig("hello", app.port)) as bench:
        await app.stop()
        await bench.until({"hello"})


async def test_the_start_does_not_wait_for_a_slow_check() -> None:
    slow = HealthCheck(CommandCheck(("/bin/sleep", "1000")), timeout_s=1_000)
    async with running(ServiceConfig("hello", 1, health=slow)) as bench:
        assert bench.checks.report()[0]["state"] == "unknown"
        assert bench.checks.offered() == (Service("hello", 1, healthy=False),)


async def test_while_a_node_does_not_serve_the_mesh_nobody_is_told_that_its_services_are_well(
    app: App,
) -> None:
    async with running(ServiceConfig("hello", app.port), ServiceConfig("world", 1, health=None)) as bench:
        bench.checks.withheld = True
        assert bench.checks.unhealthy == {"hello", "world"}
        assert not any(each.healthy for each in bench.checks.offered())
        assert bench.checks.report()[0]["state"] == "healthy"
        bench.checks.withheld = False
        assert bench.checks.unhealthy == frozenset()
    await app.stop()


async def test_a_service_that_is_never_checked_is_always_in_rotation() -> None:
    async with running(ServiceConfig("hello", 1, health=None)) as bench:
        bench.checks.look_again(1)
        assert bench.checks.offered() == (Service("hello", 1),)
        assert (bench.checks.report()[0]["state"], bench.checks.report()[0]["check"]) == ("healthy", "off")
        assert bench.sample("gossipmesh_service_healthy") == ['{service="hello"} 1.0']
        assert bench.logged == []
