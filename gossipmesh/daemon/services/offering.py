"""Which services this node offers: those of its configuration, and those that were added while it runs.

Law: a value. Each change gives another one, so that it can be looked at, and refused, before anything has changed.
Time comes as ``now``, in monotonic seconds.

What was added at run time lives in memory only. Whoever added it is asked to add it again after a restart, for only he
knows whether his app is still there; what should always be there belongs into the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Final

from attrs import evolve, frozen

from gossipmesh.config.durations import format_duration
from gossipmesh.config.model import ServiceConfig
from gossipmesh.errors import ConfigError, MeshError
from gossipmesh.model import MAX_SERVICES

RUN_TIME: Final = "run time"
"""The origin of what was added while the daemon runs."""
MIN_TTL_S: Final = 1.0
"""Shorter, and a moment's pause of whoever renews would take a working app out of the mesh."""
MAX_TTL_S: Final = 24 * 3600.0


class NoSuchServiceError(MeshError):
    """This node offers no service of that name."""


class ConfiguredError(MeshError):
    """The configuration has the last word about this service."""


@frozen
class Offer:
    """One service that this node offers.

    Args:
        service: as it is offered now.
        origin: where it comes from: a file, variable or flag, or :data:`RUN_TIME`.
        declared: what the configuration says of it; None for what was added at run time.
        ttl_s: how long it stays without being renewed; infinity: until it is removed.
        expires: when it goes, in monotonic seconds.
    """

    service: ServiceConfig
    origin: str
    declared: ServiceConfig | None = None
    ttl_s: float = inf
    expires: float = inf

    @property
    def changed(self) -> bool:
        """Whether it was changed at run time, so that a reload or a restart would change it back."""
        return self.declared is not None and self.declared != self.service


@frozen
class Offering:
    """All services that this node offers, by name, the configuration's first."""

    offers: Mapping[str, Offer]

    @classmethod
    def of(cls, configured: Sequence[ServiceConfig], origin: str) -> Offering:
        """Give what a configuration says; ``origin`` is where it says it."""
        return cls({each.name: Offer(each, origin, each) for each in configured})

    @property
    def services(self) -> tuple[ServiceConfig, ...]:
        """What is offered."""
        return tuple(offer.service for offer in self.offers.values())

    @property
    def deadline(self) -> float:
        """When the next one has not been renewed for too long, in monotonic seconds; infinity: never."""
        return min((offer.expires for offer in self.offers.values()), default=inf)

    def of_name(self, name: str) -> Offer:
        """Give one of them.

        Raises:
            NoSuchServiceError: it is not there.
        """
        offer = self.offers.get(name)
        if offer is None:
            known = ", ".join(self.offers) or "none"
            text = f"this node offers no service {name} (it offers: {known}); add it with `gossipmesh service add`"
            raise NoSuchServiceError("service.unknown", text)
        return offer

    def added(self, service: ServiceConfig, *, ttl_s: float, now: float) -> Offering:
        """Give this with ``service`` in it, added anew or in the place of what was added before.

        Raises:
            ConfigError: ``service.too-many``, or ``config.value`` for a time to live that is too short or long.
            ConfiguredError: ``service.configured``: the configuration has one of that name.
        """
        before = self.offers.get(service.name)
        if before is not None and before.declared is not None:
            text = f"{service.name} is declared by {before.origin}; change it there, or until the next reload or start"
            raise ConfiguredError("service.configured", f"{text} with `gossipmesh service set`")
        if before is None and len(self.offers) >= MAX_SERVICES:
            raise ConfigError(
                "service.too-many",
                f"this node offers {MAX_SERVICES} services, and that is the most; remove one first",
            )
        if ttl_s != inf and not MIN_TTL_S <= ttl_s <= MAX_TTL_S:
            least, most = format_duration(MIN_TTL_S), format_duration(MAX_TTL_S)
            raise ConfigError("config.value", f"ttl: a time to live is from {least} to {most}")
        offer = Offer(service, RUN_TIME, ttl_s=ttl_s, expires=now + ttl_s)
        return Offering({**self.offers, service.name: offer})

    def changed(self, service: ServiceConfig) -> Offering:
        """Give this with ``service`` in the place of the one of its name, which keeps its time to live.

        Raises:
            NoSuchServiceError: there is none.
        """
        return Offering({**self.offers, service.name: evolve(self.of_name(service.name), service=service)})

    def removed(self, name: str) -> Offering:
        """Give this without one service.

        Raises:
            NoSuchServiceError: it is not there.
        """
        self.of_name(name)
        return Offering({each: offer for each, offer in self.offers.items() if each != name})

    def renewed(self, name: str, *, now: float) -> Offering:
        """Give this with the time to live of one service begun again.

        Raises:
            NoSuchServiceError: it is not there (any more): it has to be added again.
        """
        offer = self.of_name(name)
        return Offering({**self.offers, name: evolve(offer, expires=now + offer.ttl_s)})

    def unexpired(self, *, now: float) -> Offering:
        """Give this without what was not renewed in time; the same where there is no such thing."""
        if now < self.deadline:
            return self
        return Offering({name: offer for name, offer in self.offers.items() if offer.expires > now})

    def reloaded(self, configured: Sequence[ServiceConfig], origin: str) -> Offering:
        """Give what a new configuration makes of this.

        Its own services are as it says, whatever was changed about them; what was added at run time stays, except
        where the configuration now has a service of that name.

        Raises:
            ConfigError: ``service.too-many``.
        """
        fresh = dict(Offering.of(configured, origin).offers)
        kept = {name: offer for name, offer in self.offers.items() if offer.declared is None}
        fresh |= {name: offer for name, offer in kept.items() if name not in fresh}
        if len(fresh) > MAX_SERVICES:
            text = f"{len(fresh)} services with those added at run time; at most {MAX_SERVICES} are allowed"
            raise ConfigError("service.too-many", text)
        return Offering(fresh)
