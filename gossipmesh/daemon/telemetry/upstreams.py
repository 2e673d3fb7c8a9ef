"""What the proxies' machines have counted and found: for the metrics, when prometheus_client collects, and the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.daemon.telemetry.metrics import MAX_SERVICES, Distinct
from gossipmesh.model import NodeId, short_id
from gossipmesh.routing.ejection import Ejected, Readmitted
from gossipmesh.routing.rates import RateLimit
from gossipmesh.routing.upstreams import Upstream

Sample = tuple[str, tuple[str, ...], int]
"""A service, the other label values, and how many."""


class UpstreamMetrics(Collector):
    """Reads the machines of the services that are called, and of those that are offered.

    Of a service that was forgotten (there is a limit) counting begins anew, as after a restart.

    Args:
        upstreams: gives those that were ever called, and are known to exist.
        rates: the limits of this node's own services.
    """

    def __init__(self, upstreams: Iterable[Upstream], rates: Mapping[str, RateLimit[Any]]) -> None:
        self._upstreams: Final = upstreams
        self._rates: Final = rates
        self._service_label: Final = Distinct(MAX_SERVICES)

    def collect(self) -> Iterator[Metric]:
        """Give all of it to the library."""
        called = list(self._upstreams)
        yield self._counter(
            "ejections",
            "Endpoints taken out of rotation for what their requests came to.",
            (
                (one.service, (cause.value,), n)
                for one in called
                for cause, n in one.outliers.ejections.items()
            ),
            "reason",
        )
        yield self._counter(
            "retry_budget_refused",
            "Retries that there was no budget for.",
            ((one.service, (), one.budget.refused) for one in called),
        )
        yield self._counter(
            "breaker_refused",
            "Requests refused because too many were in flight to the service.",
            ((one.service, (), one.breaker.refused) for one in called),
        )
        yield self._counter(
            "hedges",
            "Second requests beside slow first ones.",
            ((one.service, (), one.hedging.sent) for one in called if one.hedging.on),
        )
        yield self._counter(
            "rate_limited",
            "Requests to own services refused because their source asks too often.",
            ((service, (), rate.refused) for service, rate in self._rates.items()),
        )

    def _counter(self, name: str, text: str, samples: Iterable[Sample], *labels: str) -> CounterMetricFamily:
        family = CounterMetricFamily(f"gossipmesh_{name}", text, labels=("service", *labels))
        sums: Counter[tuple[str, ...]] = Counter()
        for service, others, count in samples:
            sums[self._service_label(service), *others] += count
        for values, count in sums.items():
            family.add_metric(values, float(count))
        return family


def log_rotation(log: Log, names: Mapping[NodeId, str], service: str, news: Ejected | Readmitted) -> None:
    """Say in the log that this node leaves an endpoint out, or takes it in again."""
    node = news.endpoint
    named = {"service": service, "node": names.get(node, ""), "id": short_id(node)}
    if isinstance(news, Ejected):
        log.info("ejected", **named, why=news.why)
    else:
        log.info("readmitted", **named)
