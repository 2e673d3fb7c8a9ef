"""What two readings of a daemon's metrics say of the time between them: rates, failures, latencies. Pure.

Times are estimated as Prometheus' ``histogram_quantile`` does: evenly spread inside the bucket that a
quantile falls into.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve, field, frozen
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

GONE: Final = "DC"
"""The flag of a request whose caller went away: that says nothing of the service."""
PREFIX: Final = "gossipmesh_"
Side = tuple[str, str]
"""A direction and a service."""


@frozen
class Reading:
    """The metrics of one moment, as far as they are about requests."""

    answered: Counter[Side] = field(factory=Counter)
    failed: Counter[Side] = field(factory=Counter)
    """Those of them that the mesh or the service could not answer."""
    took: dict[Side, Counter[float]] = field(factory=dict)
    """How many took at most so many seconds, by the ends of the buckets."""
    endpoints: Counter[str] = field(factory=Counter)
    healthy: Counter[str] = field(factory=Counter)
    members: Counter[str] = field(factory=Counter)
    """By state."""
    ejections: Counter[str] = field(factory=Counter)
    retries: float = 0.0
    in_flight: float = 0.0


@frozen
class Row:
    """One service in one direction, between two readings. Seconds; None where nothing was answered."""

    direction: str
    service: str
    per_s: float
    failed: float
    """The share of them, 0 to 1."""
    p50_s: float | None
    p90_s: float | None
    p99_s: float | None
    endpoints: int
    healthy: int
    ejected: int
    """How often an endpoint was taken out of rotation meanwhile."""


def reading_of(text: str) -> Reading:
    """Read the Prometheus text format.

    Raises:
        ValueError: it is no such text.
    """
    retries = in_flight = 0.0
    found = Reading()
    for sample in _samples(text):
        labels, value = sample.labels, sample.value
        side = labels.get("direction", ""), labels.get("service", "")
        match sample.name.removeprefix(PREFIX):
            case "requests_total":
                found.answered[side] += int(value)
                if labels["flag"] not in ("", GONE) or labels["code"].startswith("5"):
                    found.failed[side] += int(value)
            case "request_duration_seconds_bucket":
                found.took.setdefault(side, Counter())[float(labels["le"])] += int(value)
            case "endpoints":
                found.endpoints[labels["service"]] += int(value)
                found.healthy[labels["service"]] += int(value) if labels["state"] == "healthy" else 0
            case "members":
                found.members[labels["state"]] += int(value)
            case "ejections_total":
                found.ejections[labels["service"]] += int(value)
            case "retries_total":
                retries += value
            case "inflight_requests":
                in_flight = value
            case _:
                pass  # about something else
    return evolve(found, retries=retries, in_flight=in_flight)


def _samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        yield from family.samples


def rows_between(before: Reading, after: Reading, seconds: float) -> list[Row]:
    """Give what happened in the ``seconds`` between two readings: the busiest first, and those that rest by name."""
    rows = [_row(side, before, after, seconds) for side in after.answered]
    return sorted(rows, key=lambda row: (-row.per_s, row.service, row.direction))


def retries_between(before: Reading, after: Reading, seconds: float) -> float:
    """Give the retries per second."""
    return _grown(before.retries, after.retries) / seconds


def _row(side: Side, before: Reading, after: Reading, seconds: float) -> Row:
    direction, service = side
    if after.answered[side] < before.answered[side]:
        before = Reading()  # The daemon began anew, and with it every counter.
    answered = _grown(before.answered[side], after.answered[side])
    failed = _grown(before.failed[side], after.failed[side])
    earlier = before.took.get(side, Counter())
    took = {end: _grown(earlier[end], count) for end, count in after.took.get(side, Counter()).items()}
    return Row(
        direction=direction,
        service=service,
        per_s=answered / seconds,
        failed=failed / answered if answered else 0.0,
        p50_s=quantile(took, 0.5),
        p90_s=quantile(took, 0.9),
        p99_s=quantile(took, 0.99),
        endpoints=after.endpoints[service],
        healthy=after.healthy[service],
        ejected=round(_grown(before.ejections[service], after.ejections[service])),
    )


def _grown(before: float, after: float) -> float:
    """Give by how much a counter grew; one that fell was started anew meanwhile, at zero."""
    return after - before if after >= before else after


def quantile(took: Mapping[float, float], share: float) -> float | None:
    """Give the time, in seconds, that this share of requests took at most; None: there were none.

    Args:
        took: how many took at most so many seconds, by the ends of the buckets, the last of which is inf. What falls
            into that one took at least as long as the one before says, which is what is given.
        share: 0 to 1.
    """
    ends: Sequence[float] = sorted(took)
    if not ends or not took[ends[-1]]:
        return None
    wanted = share * took[ends[-1]]
    low, under = 0.0, 0.0
    for end in ends:
        if took[end] >= wanted:
            inside = took[end] - under
            if math.isinf(end) or not inside:
                return low
            return low + (end - low) * (wanted - under) / inside
        low, under = end, took[end]
    return low
