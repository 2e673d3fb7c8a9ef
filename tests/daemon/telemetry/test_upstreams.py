"""What the proxies' machines have counted and found, in the metrics and in the log."""

from __future__ import annotations

import io
import json
from random import Random

from prometheus_client import CollectorRegistry, generate_latest

from gossipmesh.config.model import LogConfig
from gossipmesh.daemon.telemetry.logs import event_log
from gossipmesh.daemon.telemetry.metrics import MAX_SERVICES
from gossipmesh.daemon.telemetry.upstreams import UpstreamMetrics, log_rotation
from gossipmesh.model import Address, Endpoint, NodeId, Service, short_id
from gossipmesh.routing.ejection import Ejected, Readmitted
from gossipmesh.routing.outcomes import Came
from gossipmesh.routing.rates import RateLimit, RateSettings
from gossipmesh.routing.snapshot import Candidates
from gossipmesh.routing.traffic import BreakerLimits, Retries, Traffic
from gossipmesh.routing.upstreams import Upstreams

A, B = (NodeId(letter * 32) for letter in (b"a", b"b"))
TIGHT = Traffic(retries=Retries(hedge=True), limits=BreakerLimits(in_flight=1, queue=0))


class Waiter:
    def admitted(self) -> None:
        raise AssertionError("nobody waits here")


def called(*services: str) -> Upstreams:
    upstreams = Upstreams({"hello": TIGHT}, origin=A, key=b"k", rng=Random(1))
    for service in services:
        upstreams.of(service)
    return upstreams


def samples(metrics: UpstreamMetrics) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(metrics)
    lines = [
        line.rsplit(" ", 1) for line in generate_latest(registry).decode().splitlines() if line[0] != "#"
    ]
    return {name.removeprefix("gossipmesh_"): float(value) for name, value in lines}


def test_each_refusal_hedge_and_ejection_is_counted_by_its_service() -> None:
    upstreams = called("hello", "world")
    hello = upstreams.of("hello")
    hello.outliers.fit(
        Candidates.of(Endpoint("n", node, Address("10.0.0.1", 1), Service("hello", 80)) for node in (A, B)),
        now=0.0,
    )
    for _ in range(5):
        hello.outliers.began(A, now=0.0)
        hello.outliers.ended(A, Came.FAILURE, now=0.0)
    for _ in range(3):
        hello.breaker.ask(Waiter(), now=0.0)
    while hello.budget.take(now=0.0):
        pass
    for _ in range(25):
        hello.hedging.request(b"GET")
    assert hello.hedging.take()
    rate = RateLimit[str](RateSettings(per_s=1.0, burst=1))
    for _ in range(4):
        rate.take("web", now=0.0)
    assert samples(UpstreamMetrics(upstreams, {"own": rate})) == {
        'ejections_total{reason="failures",service="hello"}': 1.0,
        'retry_budget_refused_total{service="hello"}': 1.0,
        'retry_budget_refused_total{service="world"}': 0.0,
        'breaker_refused_total{service="hello"}': 2.0,
        'breaker_refused_total{service="world"}': 0.0,
        'hedges_total{service="hello"}': 1.0,
        'rate_limited_total{service="own"}': 3.0,
    }


def test_services_beyond_the_most_are_one() -> None:
    upstreams = called(*(f"s{number}" for number in range(MAX_SERVICES + 2)))
    for upstream in upstreams:
        while upstream.budget.take(now=0.0):
            pass
    refused = {
        name: value
        for name, value in samples(UpstreamMetrics(upstreams, {})).items()
        if name.startswith("retry_budget_refused")
    }
    assert len(refused) == MAX_SERVICES + 1
    assert refused['retry_budget_refused_total{service="s0"}'] == 1.0
    assert refused['retry_budget_refused_total{service="OTHER"}'] == 2.0


def test_who_is_left_out_and_who_is_back_stands_in_the_log() -> None:
    written = io.StringIO()
    log = event_log(LogConfig(), written)
    log_rotation(
        log, {A: "hello-1"}, "hello", Ejected(A, "out of rotation for 5 s after 5 failures in a row")
    )
    log_rotation(log, {}, "hello", Readmitted(B))
    out, back = map(json.loads, written.getvalue().splitlines())
    assert (out["event"], out["service"], out["node"], out["id"]) == (
        "ejected",
        "hello",
        "hello-1",
        short_id(A),
    )
    assert out["why"] == "out of rotation for 5 s after 5 failures in a row"
    assert (back["event"], back["node"], back["id"]) == ("readmitted", "", short_id(B))
