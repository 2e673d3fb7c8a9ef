"""Keeps what this node offers: takes changes of it, and has everything that depends on it follow.

A change is checked whole before anything happens. Then health checks begin or end, the mesh is told, and the data plane
follows, each when it is right: what is new is told once it was checked for the first time; what goes is left out of the
record first, and refused only when the others have heard that. Local apps speak as a service only once others
know that it is ours, for they would refuse it before.

The mesh's limits on how often it is told are the control plane's: whatever changes meanwhile is told together.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isinf
from typing import Final

import trio
from attrs import frozen

from gossipmesh.config.model import ServiceConfig
from gossipmesh.config.services import service_of, service_with
from gossipmesh.daemon.admin.services_view import OwnService, OwnServiceEntry, OwnServices
from gossipmesh.daemon.control import Control
from gossipmesh.daemon.ending import NEWS_PERIODS
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.services.health import HealthChecks
from gossipmesh.daemon.services.offering import Offer, Offering
from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.errors import MeshError
from gossipmesh.identity.describe import globs_in_words
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Service
from gossipmesh.transport.parking import Parking


@frozen
class Declared:
    """What the configuration says of this node's services.

    Args:
        services: all of them.
        origin: where it says so.
        speaker: the service that local apps speak as; None: nothing was said, and it has not exactly one.
    """

    services: tuple[ServiceConfig, ...]
    origin: str
    speaker: str | None


class NotAllowedError(MeshError):
    """This node's token does not allow a service; others would route nobody to it."""


class Registrar:
    """A :class:`~gossipmesh.daemon.admin.view.ServiceBook`.

    Resource handling: :meth:`run` ends with its cancellation.
    Error handling: what is refused raises MeshError, and nothing has changed.

    Args:
        declared: what the configuration says.
        mesh: the control plane, to be read only.
        health: keeps watch over the services.
        plane: takes requests for them.
        control: tells the mesh.
        log: of the daemon.
        gossip_period_s: how fast news spreads.
    """

    def __init__(
        self,
        declared: Declared,
        *,
        mesh: Mesh,
        health: HealthChecks,
        plane: DataPlane,
        control: Control,
        log: Log,
        gossip_period_s: float,
    ) -> None:
        self._mesh = mesh
        self._health = health
        self._plane = plane
        self._control = control
        self._log = log
        self._news_s: Final = NEWS_PERIODS * gossip_period_s
        self._declared = declared
        self._offering = Offering.of(declared.services, declared.origin)
        self._leaving: dict[str, tuple[float, Service]] = {}  # until when requests for it are taken
        self._known_at: dict[str, float] = {}  # from when others know that it is ours, where they may not yet
        self._wake = Parking()

    # --- what it is asked ---

    def listing(self) -> OwnServices:
        """Give all services of this node."""
        reports = {each["name"]: each for each in self._health.report()}
        entries = [self._entry(offer, reports[name]) for name, offer in self._offering.offers.items()]
        return OwnServices(services=entries, speaker=self._speaker())

    def _entry(self, offer: Offer, report: OwnService) -> OwnServiceEntry:
        service, forever = offer.service, isinf(offer.ttl_s)
        return OwnServiceEntry(
            **report,
            protocol=service.protocol.value,
            weight=service.weight,
            tags=list(service.tags),
            origin=offer.origin,
            changed=offer.changed,
            ttl_s=None if forever else offer.ttl_s,
            expires_in_s=None if forever else round(max(0.0, offer.expires - trio.current_time()), 3),
        )

    async def add(self, name: str, fields: Mapping[str, object], *, ttl_s: float) -> None:
        """Offer a service."""
        grants = self._mesh.chain.grants
        if not grants.allows_service(name):
            allowed = globs_in_words(grants.services)
            text = f"this node's token does not allow the service {name}; it allows {allowed}"
            raise NotAllowedError("service.not-allowed", text)
        offering = self._offering.added(service_of(name, fields), ttl_s=ttl_s, now=trio.current_time())
        self._check(offering)
        await self._take(offering)

    async def change(self, name: str, fields: Mapping[str, object]) -> None:
        """Change what ``fields`` name."""
        offering = self._offering.changed(service_with(self._offering.of_name(name).service, fields))
        self._check(offering)
        await self._take(offering)

    async def renew(self, name: str) -> None:
        """Begin the time to live of a service again."""
        await self._take(self._offering.renewed(name, now=trio.current_time()))

    async def remove(self, name: str) -> None:
        """Offer a service no more."""
        await self._take(self._offering.removed(name))

    def check(self, declared: Declared) -> None:
        """Check that a new configuration could be taken.

        Raises:
            ConfigError: it cannot.
        """
        self._check(self._offering.reloaded(declared.services, declared.origin))

    async def reload(self, declared: Declared) -> None:
        """Take a new configuration; what was added at run time stays where the two do not meet.

        Raises:
            ConfigError: it cannot be taken; nothing has changed.
        """
        offering = self._offering.reloaded(declared.services, declared.origin)
        self._check(offering)
        self._declared = declared
        await self._take(offering)

    async def run(self) -> None:
        """Let what is over end, until cancelled."""
        while True:
            with trio.move_on_at(self._deadline()):
                await self._wake.park()
            now = trio.current_time()
            self._leaving = {name: each for name, each in self._leaving.items() if each[0] > now}
            self._known_at = {name: at for name, at in self._known_at.items() if at > now}
            unexpired = self._offering.unexpired(now=now)
            if unexpired is self._offering:
                self._serve()
            else:
                await self._take(unexpired, why="its time to live is over")

    def _deadline(self) -> float:
        until = (at for at, _ in self._leaving.values())
        return min(self._offering.deadline, *until, *self._known_at.values(), inf)

    # --- what follows ---

    def _check(self, offering: Offering) -> None:
        self._mesh.check_services([each.offered(healthy=True) for each in offering.services])

    async def _take(self, offering: Offering, *, why: str = "") -> None:
        """Have everything follow ``offering``; return when the mesh is told, or will be at the next moment allowed."""
        before, same = self._offering, offering.services == self._offering.services
        self._offering = offering
        self._wake.unpark()
        if same:
            self._serve()
            return
        now = trio.current_time()
        self._say(before, offering, why)
        for name, offer in before.offers.items():
            if name not in offering.offers:
                self._leaving[name] = now + self._news_s, offer.service.offered(healthy=True)
        for name in offering.offers:
            self._leaving.pop(name, None)
            if name not in before.offers:
                self._known_at[name] = now + self._news_s
        self._health.set_services(offering.services)
        self._serve()
        if any(each.name not in before.offers for each in offering.services):
            await self._health.first_looks()
        # What is offered when the control task comes to it: of two that overtake each other both say the same.
        await self._control.ask(
            lambda now, wall: (b"", self._mesh.set_services(self._health.offered(), now=now, wall=wall))
        )

    def _serve(self) -> None:
        offered = [each.offered(healthy=True) for each in self._offering.services]
        self._plane.set_services(
            [*offered, *(service for _, service in self._leaving.values())], speaker=self._speaker()
        )

    def _speaker(self) -> str:
        """Give the service that local apps speak as, others knowing that it is ours; empty: none.

        What the configuration says; else the only service that there is, however it came.
        """
        offered = self._offering.offers
        only = next(iter(offered), "") if len(offered) == 1 and not self._declared.services else ""
        name = only if self._declared.speaker is None else self._declared.speaker
        return name if name in offered and name not in self._known_at else ""

    def _say(self, before: Offering, now: Offering, why: str) -> None:
        for name, offer in now.offers.items():
            former = before.offers.get(name)
            if former is None or former.service != offer.service:
                event = "service.added" if former is None else "service.changed"
                self._log.info(event, service=name, port=offer.service.port, origin=offer.origin)
        for name in before.offers:
            if name not in now.offers:
                self._log.info("service.removed", service=name, why=why)
