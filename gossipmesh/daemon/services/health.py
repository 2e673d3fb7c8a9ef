"""Checks of this node's own services: run, counted, logged, and told to the mesh.

:class:`~gossipmesh.routing.health.Health` decides; this carries out. Checks go from the daemon straight to the app on
loopback, never through the mesh.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, assert_never

import trio

from gossipmesh.config.model import ServiceConfig
from gossipmesh.daemon.admin.services_view import OwnService
from gossipmesh.daemon.services.checking import Programs, check_app
from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.model import Service
from gossipmesh.routing.checks import HealthCheck
from gossipmesh.routing.health import BeginCheck, Health, HealthChanged, HealthOutput, HealthState, Publish
from gossipmesh.transport.parking import Parking

FIRST_S: Final = 0.25
"""How long the start waits for the first checks to end, so that the first record tells of apps that are there."""


class HealthChecks:
    """Keeps watch over the services of one node.

    Resource handling: :meth:`run` owns the checks and ends them when it is cancelled.
    Error handling: an app's faults are outcomes; nothing raises.

    Args:
        services: as configured.
        metrics: counts checks.
        log: is told of every change, and why.
    """

    def __init__(self, services: Sequence[ServiceConfig], *, metrics: Metrics, log: Log) -> None:
        checks = {each.name: each.health for each in services if each.health is not None}
        rng = random.Random(os.urandom(16))
        self._machine: Final = Health(checks, rng=rng, now=trio.current_time())
        self._services = {each.name: each for each in services}
        self._running: Final[dict[str, trio.CancelScope]] = {}
        self._programs: Final = Programs()
        self._metrics: Final = metrics
        self._log: Final = log
        self._wake: Final = Parking()
        self._looked = trio.Event()
        self._nursery: trio.Nursery | None = None
        self.withheld = False
        """Whether nobody is to be sent to any service yet, however well it is: this node does not serve the mesh."""
        self.publish: Callable[[], Awaitable[None]] | None = None
        """Tells the mesh what :attr:`unhealthy` is; None before there is one, which begins with :meth:`offered`."""
        for each in services:
            metrics.set_service_healthy(each.name, each.health is None)

    @property
    def unhealthy(self) -> frozenset[str]:
        """The services that are out of rotation now, as the mesh is told."""
        return frozenset(self._services) if self.withheld else self._machine.unhealthy

    def offered(self) -> tuple[Service, ...]:
        """Give what this node's record says of its services now."""
        return tuple(
            each.offered(healthy=each.name not in self.unhealthy) for each in self._services.values()
        )

    def set_services(self, services: Sequence[ServiceConfig]) -> None:
        """Keep watch over ``services`` from now on. What is checked as before keeps its state; all else begins anew."""
        before, self._services = self._services, {each.name: each for each in services}
        for name, former in before.items():
            service = self._services.get(name)
            if service is not None and (service.port, service.health) == (former.port, former.health):
                continue
            self._machine.forget(name)
            if name in self._running:
                self._running.pop(name).cancel()
            if service is None:
                self._metrics.forget_own_service(name)
            else:
                self._begin(service)
        for name, service in self._services.items():
            if name not in before:
                self._begin(service)
        self._wake.unpark()

    def _begin(self, service: ServiceConfig) -> None:
        if service.health is not None:
            self._machine.watch(service.name, service.health, now=trio.current_time())
        self._metrics.set_service_healthy(service.name, service.health is None)

    async def first_looks(self) -> None:
        """Return when every service was checked once, or after ``FIRST_S``: so the first word about it is true."""
        with trio.move_on_after(FIRST_S):
            while any(each.state is HealthState.UNKNOWN for each in self._machine.watched.values()):
                await self._looked.wait()

    def report(self) -> list[OwnService]:
        """Give all services of this node and how they are, as ``status`` shows them."""
        return [self._entry(each) for each in self._services.values()]

    def _entry(self, service: ServiceConfig) -> OwnService:
        watched = self._machine.watched.get(service.name)
        state = HealthState.HEALTHY if watched is None else watched.state
        return OwnService(
            name=service.name,
            port=service.port,
            state=state.value,
            reason="" if watched is None else watched.why,
            check="off" if watched is None else str(watched.check.method),
        )

    def look_again(self, port: int) -> None:
        """Take it that the app on ``port`` may be gone: it is checked soon."""
        for service in self._services.values():
            if service.port == port:
                self._machine.look_again(service.name, now=trio.current_time())
        self._wake.unpark()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Check until cancelled; ``started`` comes when every service was checked once, or after ``FIRST_S``."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._perform(self._machine.handle_timer(now=trio.current_time()))
            await self.first_looks()
            task_status.started()
            while True:
                if trio.current_time() < self._machine.deadline:
                    with trio.move_on_at(self._machine.deadline):
                        await self._wake.park()
                else:
                    await trio.lowlevel.checkpoint()
                self._perform(self._machine.handle_timer(now=trio.current_time()))

    async def _check(self, service: ServiceConfig, check: HealthCheck, scope: trio.CancelScope) -> None:
        name = service.name
        with scope:
            outcome = await check_app(name, service.port, check, self._programs)
        # One that ended just when it was called off speaks of what is not offered any more.
        if self._running.get(name) is not scope:
            return
        del self._running[name]
        self._metrics.health_check(name, outcome.result.value)
        self._perform(self._machine.receive(name, outcome, now=trio.current_time()))
        self._looked.set()
        self._looked = trio.Event()
        self._wake.unpark()

    def _perform(self, outputs: list[HealthOutput]) -> None:
        assert self._nursery is not None
        for output in outputs:
            match output:
                case BeginCheck(service, check):
                    scope = self._running[service] = trio.CancelScope()
                    self._nursery.start_soon(self._check, self._services[service], check, scope)
                case HealthChanged(service, was, now, why):
                    self._metrics.set_service_healthy(service, now is HealthState.HEALTHY)
                    self._log.info("health", service=service, was=was.value, now=now.value, why=why)
                case Publish():
                    if self.publish is not None:
                        self._nursery.start_soon(self.publish)
                case _:
                    assert_never(output)
