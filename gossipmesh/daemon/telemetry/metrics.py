"""The metrics, in a registry of their own, with label values that nobody outside can multiply.

Law: every label value is one of a known set, or one of at most a fixed number of distinct values; what is past
that counts under ``OTHER``. A path or a name that a stranger chose never becomes a label.

An increment is a dictionary look-up and an addition: the children of each metric are kept by their label values. What
every request counts is counted by :mod:`.counts` and reaches the library only when somebody asks for the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, Generic, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from gossipmesh.daemon.telemetry.counts import Counts, Durations, Total
from gossipmesh.daemon.telemetry.series import Count, Duration
from gossipmesh.model import MemberState
from gossipmesh.routing.health import Result

OTHER: Final = "OTHER"
MAX_SERVICES: Final = 1_024
MAX_CODES: Final = 256
MAX_KINDS: Final = 32
MAX_RULES: Final = 1_024
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
CODES: Final = frozenset(status.value for status in HTTPStatus)
FLAGS: Final = frozenset(
    {"", "NR", "UH", "UF", "UO", "URX", "UC", "UR", "UT", "DC", "RL", "UPE", "DPE", "AZ", "DR", "LP"}
)
DECISIONS: Final = frozenset({"allow", "deny", "audit-deny"})
WAYS: Final = frozenset({"in", "out"})
DIRECTIONS: Final = frozenset({"inbound", "outbound"})
REQUEST_BUCKETS_S: Final[tuple[float, ...]] = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    60.0,
)

PROBE_BUCKETS_S: Final[tuple[float, ...]] = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
)
CONVERGENCE_BUCKETS_S: Final[tuple[float, ...]] = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

# Process-wide in the library, and nothing else in a daemon uses it: a creation time per series doubles the text.
disable_created_metrics()  # type: ignore[no-untyped-call]

MetricT = TypeVar("MetricT", bound=MetricWrapperBase)


class _Children(Generic[MetricT]):
    """The children of one metric, by their label values."""

    def __init__(self, metric: MetricT) -> None:
        self._metric: MetricT = metric
        self._known: dict[tuple[str, ...], MetricT] = {}

    def __call__(self, *values: str) -> MetricT:
        child = self._known.get(values)
        if child is None:
            child = self._known[values] = self._metric.labels(*values)
        return child

    def forget(self, *values: str) -> None:
        """Show no more of what these label values stand for."""
        if self._known.pop(values, None) is not None:
            self._metric.remove(*values)


class Distinct:
    """Lets the first ``most`` different values pass, and calls all others ``OTHER``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        """Give the label value for ``value``."""
        if value in self._seen:
            return value
        if len(self._seen) >= self._most:
            return OTHER
        self._seen.add(value)
        return value


def _among(value: str, known: frozenset[str]) -> str:
    return value if value in known else OTHER


class Metrics:
    """Everything that one node counts."""

    def __init__(self) -> None:
        registry: Final = CollectorRegistry()
        self._registry = registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, namespace="gossipmesh", registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, namespace="gossipmesh", registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, text, labels, namespace="gossipmesh", registry=registry, buckets=buckets)

        request = ("direction", "service", "method")
        self._requests = Counts("gossipmesh_requests", "Requests answered.", (*request, "code", "flag"))
        self._durations = Durations(
            "gossipmesh_request_duration_seconds", "From head to last byte.", REQUEST_BUCKETS_S, request
        )
        self._attempts = Total("gossipmesh_attempts", "Tries to answer requests, the first ones included.")
        self._authz = Counts("gossipmesh_authz", "Authorization decisions.", ("decision", "rule"))
        for counts in (self._requests, self._durations, self._attempts):
            registry.register(counts)
        self._retries = _Children(counter("retries", "Tries after a failed one.", "reason"))
        self._endpoints = gauge("endpoints", "Endpoints known, by service.", "service", "state")
        self._inflight = gauge("inflight_requests", "Requests being answered now, both directions.")
        self._channels = _Children(gauge("channels", "Channels to peers.", "state"))
        self._handshakes = _Children(counter("handshakes", "Handshakes ended, by result.", "result"))
        registry.register(self._authz)
        self._checks = _Children(counter("health_checks", "Checks of own services.", "service", "result"))
        self._healthy = _Children(gauge("service_healthy", "Own services in rotation: 1, else 0.", "service"))
        self._members = _Children(gauge("members", "Members, this node included.", "state"))
        self._datagrams = _Children(counter("gossip_datagrams", "Gossip datagrams.", "direction", "kind"))
        self._bytes = _Children(counter("gossip_bytes", "Bytes of gossip datagrams.", "direction"))
        self.dns = Counts("gossipmesh_dns_answers", "Questions answered in DNS.", ("type", "rcode"))
        """By type and response code; the server takes both from small sets."""
        registry.register(self.dns)
        self._errors = _Children(counter("gossip_errors", "Gossip refused, by error code.", "code"))
        self._probe_rtt = histogram(
            "probe_rtt_seconds", "From a ping to its answer, by the target itself.", PROBE_BUCKETS_S
        )
        self._awareness = gauge("awareness", "How much this node doubts itself; 0: all is well.")
        self._convergence = histogram(
            "convergence_seconds",
            "From the first peer whose registry differed until all that were compared agreed again.",
            CONVERGENCE_BUCKETS_S,
        )
        self._revocations = gauge("revocations", "Revocations that this node holds.")
        self._policy_version = gauge("policy_version", "The policy in force; 0 is none.")
        self._chain_expiry = gauge("chain_expiry_timestamp_seconds", "When this node's chain expires.")
        self._info = gauge(
            "info", "Who this node is, and of which release: always 1.", "name", "mesh", "version"
        )
        self._service_label = Distinct(MAX_SERVICES)
        self._code_label = Distinct(MAX_CODES)
        self._kind_label = Distinct(MAX_KINDS)
        self._channel_label = Distinct(MAX_KINDS)
        self._rule_label = Distinct(MAX_RULES)
        self._shown_endpoints: set[tuple[str, str]] = set()
        # By what was passed, where that is what is counted: so there are no more of them than label values.
        self._known_requests: dict[tuple[str, str, str | bytes, int, str], tuple[Count, Duration]] = {}
        self._known_decisions: dict[tuple[str, str], Count] = {}

    def request(
        self, *, direction: str, service: str, method: str | bytes, code: int, flag: str, duration_s: float
    ) -> None:
        """Count one answered request.

        Args:
            direction: ``inbound`` or ``outbound``.
            service: its name; where the mesh knows none of that name, pass the empty string.
            method: as the caller wrote it; whatever is not standard counts as ``OTHER``.
            code: the HTTP status; 0 where the caller went away before there was one.
            flag: the value of ``x-gossipmesh-error``, or empty.
            duration_s: from the request's head to the answer's last byte.
        """
        key = (direction, service, method, code, flag)
        known = self._known_requests.get(key)
        count, duration = known if known is not None else self._counted_as(*key)
        count.value += 1
        duration.observe(duration_s)

    def _counted_as(
        self, direction: str, service: str, method: str | bytes, code: int, flag: str
    ) -> tuple[Count, Duration]:
        name = method if isinstance(method, str) else method.decode("ascii", "replace")
        labels = (_among(direction, DIRECTIONS), self._service_label(service), _among(name, METHODS))
        result = (str(code) if code in CODES else OTHER, _among(flag, FLAGS))
        found = self._requests(*labels, *result), self._durations(*labels)
        if OTHER not in labels and OTHER not in result:
            self._known_requests[direction, service, method, code, flag] = found
        return found

    def set_info(self, name: str, mesh: str, version: str) -> None:
        """Say who this node is; none of it changes while a daemon runs."""
        self._info.labels(name, mesh, version).set(1)

    def set_in_flight(self, count: int) -> None:
        """Say how many requests are being answered now, in both directions."""
        self._inflight.set(count)

    def attempt(self) -> None:
        """Count one try to answer a request."""
        self._attempts.value += 1

    def retry(self, reason: str) -> None:
        """Count one more try after a failed one; ``reason`` is the flag of the failure."""
        self._retries(_among(reason, FLAGS)).inc()

    def authorized(self, decision: str, rule: str) -> None:
        """Count a decision (``allow``, ``deny``, or ``audit-deny``: let through), and the rule that made it."""
        count = self._known_decisions.get((decision, rule))
        if count is None:
            labels = _among(decision, DECISIONS), self._rule_label(rule)
            count = self._authz(*labels)
            if labels == (decision, rule):
                self._known_decisions[labels] = count
        count.value += 1

    def handshake(self, result: str) -> None:
        """Count a handshake that ended: ``ok``, or the code of the error that ended it."""
        self._handshakes(self._code_label(result)).inc()

    def datagram(self, direction: str, kind: str, size: int) -> None:
        """Count a datagram, ``in`` or ``out``, of ``size`` bytes; ``kind`` as ``sealed``, ``hint`` or ``junk``."""
        direction = _among(direction, WAYS)
        self._datagrams(direction, self._kind_label(kind)).inc()
        self._bytes(direction).inc(size)

    def gossip_error(self, code: str) -> None:
        """Count gossip that was refused, by the stable code of its error."""
        self._errors(self._code_label(code)).inc()

    def probe(self, rtt_s: float) -> None:
        """Count a probe that was answered after ``rtt_s`` seconds."""
        self._probe_rtt.observe(rtt_s)

    def converged(self, lasted_s: float) -> None:
        """Count that registries agree again, which had differed for ``lasted_s`` seconds."""
        self._convergence.observe(lasted_s)

    def health_check(self, service: str, result: str) -> None:
        """Count a check of one of this node's own services: ``passed``, ``failed``, ``refused`` or ``unknown``."""
        self._checks(service, result).inc()

    def set_service_healthy(self, service: str, healthy: bool) -> None:
        """Say whether one of this node's own services is in rotation."""
        self._healthy(service).set(healthy)

    def forget_own_service(self, service: str) -> None:
        """Say nothing more of a service that this node no longer offers."""
        self._healthy.forget(service)
        for result in Result:
            self._checks.forget(service, result.value)

    def set_awareness(self, score: int) -> None:
        """Say how much this node doubts itself."""
        self._awareness.set(score)

    def set_revocations(self, count: int) -> None:
        """Say how many revocations this node holds."""
        self._revocations.set(count)

    def set_members(self, counts: Mapping[MemberState, int]) -> None:
        """Say how many members are in each state; a state that is missing has none."""
        for state in MemberState:
            self._members(state.value).set(counts.get(state, 0))

    def set_endpoints(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Say how many endpoints each ``(service, state)`` has (``healthy``, ``unhealthy``, ``ejected``)."""
        # All others vanish.
        shown: set[tuple[str, str]] = set()
        for (service, state), count in counts.items():
            labels = (self._service_label(service), state)
            if labels in shown:
                self._endpoints.labels(*labels).inc(count)
            else:
                self._endpoints.labels(*labels).set(count)
            shown.add(labels)
        for labels in self._shown_endpoints - shown:
            self._endpoints.remove(*labels)
        self._shown_endpoints = shown

    def set_channels(self, counts: Mapping[str, int]) -> None:
        """Say how many channels are in each state (``open``, ``connecting``, ``closing``)."""
        for state, count in counts.items():
            self._channels(self._channel_label(state)).set(count)

    def set_policy_version(self, version: int) -> None:
        """Say which policy is in force."""
        self._policy_version.set(version)

    def set_chain_expiry(self, wall: float) -> None:
        """Say when this node's chain expires, in unix seconds."""
        self._chain_expiry.set(wall)

    def add(self, collector: Collector) -> None:
        """Give what ``collector`` has counted as well."""
        self._registry.register(collector)

    def text(self) -> bytes:
        """Give everything in the Prometheus text format 0.0.4."""
        return generate_latest(self._registry)
