"""Everything that one node knows of the services that it calls, and how it treats the requests to each."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from copy import copy
from typing import TYPE_CHECKING, Final, Literal, Protocol

from mypy_extensions import mypyc_attr

from gossipmesh.model import NodeId
from gossipmesh.routing.backoff import BackoffSettings
from gossipmesh.routing.balancing.load import Result
from gossipmesh.routing.balancing.service import ServiceBalancer
from gossipmesh.routing.breakers import Breaker
from gossipmesh.routing.budget import RetryBudget
from gossipmesh.routing.budget_settings import BudgetSettings
from gossipmesh.routing.concurrency import ConcurrencySettings
from gossipmesh.routing.ejection import Ejected, EjectionSettings, Readmitted
from gossipmesh.routing.hedging import HedgeSettings, Hedging
from gossipmesh.routing.outcomes import OK, Attempt, Came, what_it_says
from gossipmesh.routing.outliers import Outliers
from gossipmesh.routing.per_service import PerService
from gossipmesh.routing.snapshot import Candidates, Snapshot
from gossipmesh.routing.traffic import DEFAULT, EVERY, Ejection, Traffic

if TYPE_CHECKING:
    from random import Random

OFF = EjectionSettings(failures_in_a_row=0, errors_in_a_row=0, rate_requests=0, silence_s=0, share=0)


RESULTS: Final = {
    Came.OK: Result.ANSWERED,
    Came.ERROR: Result.FAILED,
    Came.FAILURE: Result.FAILED,
    Came.SILENCE: Result.FAILED,
    Came.NOTHING: Result.UNKNOWN,
}
_WELL: Final = Result.ANSWERED


class Waiter(Hashable, Protocol):
    """A request that waits for its turn."""

    def admitted(self) -> None:
        """Its turn has come."""


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Upstream:
    """One service that is called: a machine for each thing that is decided about its requests.

    Args:
        service: its name.
        traffic: how its requests are spread, tried and bounded.
        origin: this node.
        key: of sessions' hashes; the same on all nodes of the mesh.
        rng: dice.
    """

    __slots__ = (
        "backoff",
        "balancer",
        "breaker",
        "budget",
        "eligible",
        "hedging",
        "outliers",
        "rng",
        "service",
        "traffic",
    )

    def __init__(self, service: str, traffic: Traffic, *, origin: NodeId, key: bytes, rng: Random) -> None:
        self.service = service
        self.traffic = traffic
        self.rng = rng
        self.balancer = ServiceBalancer(service, traffic, origin=origin, key=key, rng=rng)
        self.outliers = Outliers(ejection_settings(traffic.ejection))
        self.budget = RetryBudget(BudgetSettings())
        self.backoff = BackoffSettings()
        self.eligible: Candidates | None = None
        """The eligible endpoints of the newest picture; None until there is one that is newer than this."""
        self.hedging = Hedging(HedgeSettings(enabled=traffic.retries.hedge))
        self.breaker: Breaker[Waiter] = Breaker(
            traffic.limits, ConcurrencySettings(enabled=traffic.limits.adaptive)
        )

    def ended(self, attempt: Attempt, *, now: float, report: int | None = None) -> None:
        """Take in how an attempt ended, and how many requests its endpoint's daemon said it had in flight."""
        came, node, first_byte = what_it_says(attempt.outcome), attempt.endpoint.id, attempt.first_byte
        latency_s = (now if first_byte is None else first_byte) - attempt.started
        self.outliers.ended(node, came, now=now, took_s=now - attempt.started)
        result = _WELL if came is OK else RESULTS[came]
        self.balancer.ended(node, result, latency_s=latency_s, now=now, report=report)

    def successor(self, traffic: Traffic) -> tuple[Upstream, list[Waiter]]:
        """Give the one that treats later requests by other settings, and those who wait and go now for that.

        Both share what was learned and counted: requests in flight, the queue, the retry budget, which endpoints are
        out of rotation, and how each did. A request keeps the one that it began with, so its timeouts, its retries and
        its session stay what they were. What begins anew is what has another meaning now: whose turn it is, where
        sessions belong, and when to hedge.
        """
        former, after = self.traffic, copy(self)
        after.traffic = traffic
        if _spread(former) != _spread(traffic):
            after.balancer = self.balancer.successor(traffic)
        if former.retries.hedge != traffic.retries.hedge:
            after.hedging = Hedging(HedgeSettings(enabled=traffic.retries.hedge))
        self.outliers.judge_by(ejection_settings(traffic.ejection))
        limits = traffic.limits
        return after, self.breaker.bound_by(limits, ConcurrencySettings(enabled=limits.adaptive))

    def twin(self) -> Upstream:
        """Give one that asks whom this one would ask: for a dry run of one attempt, which leaves this one as it is.

        What that only reads (breaker, budget, hedging) is shared.
        """
        twin = copy(self)
        twin.rng = copy(self.rng)
        twin.balancer = self.balancer.twin(twin.rng)
        twin.outliers = self.outliers.twin()
        return twin


def _spread(traffic: Traffic) -> tuple[object, ...]:
    """Give what a balancer reads of it."""
    return traffic.balancer, traffic.sticky, traffic.split, traffic.zone, traffic.slow_start_s


def ejection_settings(ejection: Ejection) -> EjectionSettings:
    """Give when endpoints are outliers."""
    if not ejection.enabled or not ejection.share:
        return OFF
    return EjectionSettings(
        failures_in_a_row=ejection.failures_in_a_row,
        base_s=ejection.base_s,
        most_s=ejection.most_s,
        share=ejection.share,
    )


@mypyc_attr(allow_interpreted_subclasses=True)
class Upstreams:
    """All services that one node calls, each made when it is first called and known to be there.

    Two sources say how requests are treated, by a service's name or :data:`~gossipmesh.routing.traffic.EVERY`. What the
    mesh's policy says goes before what this node's own file says: a policy is for all, and a file that could overrule
    it would leave nobody knowing what holds. Of each source the table of the service goes before that of all services,
    and a table counts as a whole: keys of two sources are never mixed.

    Args:
        traffic: what this node's own file says.
        origin: this node.
        key: of sessions' hashes, at most 64 bytes; the same on all nodes of the mesh.
        rng: dice.
    """

    __slots__ = ("_key", "_origin", "_policy", "_rng", "_traffic", "_upstreams")

    def __init__(self, traffic: Mapping[str, Traffic], *, origin: NodeId, key: bytes, rng: Random) -> None:
        self._traffic = traffic
        self._policy: Mapping[str, Traffic] = {}
        self._origin = origin
        self._key = key
        self._rng = rng
        self._upstreams: PerService[Upstream] = PerService(self._make)

    def __len__(self) -> int:
        return len(self._upstreams)

    def __iter__(self) -> Iterator[Upstream]:
        return iter(self._upstreams)

    def _make(self, service: str) -> Upstream:
        return Upstream(service, self.traffic_of(service), origin=self._origin, key=self._key, rng=self._rng)

    def of(self, service: str, *, keep: bool = True) -> Upstream:
        """Give what is known of ``service``.

        Args:
            service: its name.
            keep: say no for a service that nobody offers: what apps make up must not push out what is there.
        """
        return self._upstreams.of(service) if keep else self._upstreams.get(service) or self._make(service)

    def get(self, service: str) -> Upstream | None:
        """Give what is known of ``service``, if it was ever called: for reports."""
        return self._upstreams.get(service)

    def twin(self, service: str) -> Upstream:
        """Give what would decide on the next request to ``service``, for a dry run; also of one never called."""
        known = self._upstreams.get(service)
        if known is not None:
            return known.twin()
        rng = copy(self._rng)
        return Upstream(service, self.traffic_of(service), origin=self._origin, key=self._key, rng=rng)

    def traffic_of(self, service: str) -> Traffic:
        """Give what holds for ``service``."""
        for source in (self._policy, self._traffic):
            if found := source.get(service) or source.get(EVERY):
                return found
        return DEFAULT

    def source_of(self, service: str) -> Literal["policy", "file", "default"]:
        """Give where that was said."""
        if service in self._policy or EVERY in self._policy:
            return "policy"
        return "file" if service in self._traffic or EVERY in self._traffic else "default"

    def set_policy(self, traffic: Mapping[str, Traffic]) -> list[Waiter]:
        """Take what the mesh's policy says in place of what it said before; requests end as they began.

        Returns:
            Who waits for its turn, and goes now.
        """
        self._policy = traffic
        return self._renew()

    def set_traffic(self, traffic: Mapping[str, Traffic]) -> list[Waiter]:
        """Take what this node's own file says now, likewise."""
        self._traffic = traffic
        return self._renew()

    def _renew(self) -> list[Waiter]:
        go: list[Waiter] = []
        for upstream in self._upstreams:
            settings = self.traffic_of(upstream.service)
            if settings != upstream.traffic:
                after, admitted = upstream.successor(settings)
                self._upstreams.replace(upstream.service, after)
                go += admitted
        return go

    def handle_timer(self, *, now: float) -> set[tuple[NodeId, str]]:
        """Look at all services with requests in flight; to be called every 0.1 s or so.

        Returns:
            Nodes, each with one of its services, that are silent: what waits there and may be sent twice should go
            elsewhere.
        """
        return {
            (node, upstream.service)
            for upstream in self._upstreams
            if upstream.breaker.in_flight
            for node in upstream.outliers.handle_timer(now=now)
        }

    def take_news(self) -> list[tuple[str, Ejected | Readmitted]]:
        """Give which endpoints of which service went out of rotation, and which are back, since the last call."""
        return [(upstream.service, news) for upstream in self for news in upstream.outliers.take_news()]

    def why_ejected(self, service: str, node: NodeId, *, now: float) -> str:
        """Say why an endpoint is out of rotation here because of what its requests came to; empty if it is not."""
        upstream = self.get(service)
        return "" if upstream is None else upstream.outliers.reason(node, now=now)

    def picture_changed(self, snapshot: Snapshot) -> None:
        """Hold nothing against endpoints that are eligible again: they were started anew, or say that they are well."""
        for upstream in self._upstreams:
            former, eligible = upstream.eligible, snapshot.eligible(upstream.service)
            if former is not None and eligible is not former:
                before = {endpoint.id for endpoint in former}
                for endpoint in eligible:
                    if endpoint.id not in before:
                        upstream.outliers.forget(endpoint.id)
            upstream.eligible = eligible
