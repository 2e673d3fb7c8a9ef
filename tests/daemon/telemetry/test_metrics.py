from __future__ import annotations

from gossipmesh.daemon.telemetry.metrics import MAX_SERVICES, OTHER, Metrics
from gossipmesh.model import MemberState


def lines(metrics: Metrics, name: str) -> list[str]:
    return [line for line in metrics.text().decode().splitlines() if line.startswith(f"gossipmesh_{name}")]


def request(
    metrics: Metrics, service: str = "hello", method: str = "GET", code: int = 200, flag: str = ""
) -> None:
    metrics.request(
        direction="outbound", service=service, method=method, code=code, flag=flag, duration_s=0.002
    )


def test_requests_are_counted_and_timed_by_their_labels() -> None:
    metrics = Metrics()
    request(metrics)
    request(metrics)
    request(metrics, code=503, flag="UF")
    labels = 'direction="outbound",flag="{}",method="GET",service="hello"'
    assert lines(metrics, "requests_total") == [
        'gossipmesh_requests_total{code="200",' + labels.format("") + "} 2.0",
        'gossipmesh_requests_total{code="503",' + labels.format("UF") + "} 1.0",
    ]
    assert lines(metrics, "request_duration_seconds_count")[0].endswith(" 3.0")


def test_a_stranger_cannot_multiply_label_values() -> None:
    metrics = Metrics()
    for n in range(MAX_SERVICES + 500):
        request(metrics, service=f"s{n}")
        request(metrics, method=f"M{n}", code=1_000 + n, flag=f"F{n}")
    for n in range(2_000):
        metrics.gossip_error(f"code.{n}")
        metrics.authorized("allow", f"rule{n}")
        metrics.datagram("in", f"kind{n}", 1)
        metrics.retry(f"why{n}")
    text = metrics.text().decode()
    assert f'service="{OTHER}"' in text
    assert f'method="{OTHER}"' in text
    assert f'code="{OTHER}"' in text
    assert len(lines(metrics, "requests_total")) <= MAX_SERVICES + 2
    assert len(lines(metrics, "gossip_errors_total")) < 300
    assert len(lines(metrics, "gossip_datagrams_total")) < 40
    assert len(lines(metrics, "retries_total")) == 1


def test_two_nodes_in_one_process_count_for_themselves() -> None:
    one, other = Metrics(), Metrics()
    one.attempt()
    assert lines(one, "attempts_total") == ["gossipmesh_attempts_total 1.0"]
    assert lines(other, "attempts_total") == ["gossipmesh_attempts_total 0.0"]


def test_members_in_no_state_are_shown_as_none() -> None:
    metrics = Metrics()
    metrics.set_members({MemberState.ALIVE: 3})
    assert lines(metrics, "members") == [
        'gossipmesh_members{state="alive"} 3.0',
        'gossipmesh_members{state="suspect"} 0.0',
        'gossipmesh_members{state="dead"} 0.0',
        'gossipmesh_members{state="left"} 0.0',
    ]


def test_a_service_that_is_gone_vanishes_from_the_endpoints() -> None:
    metrics = Metrics()
    metrics.set_endpoints({("a", "healthy"): 2, ("b", "healthy"): 1})
    metrics.set_endpoints({("a", "healthy"): 1})
    assert lines(metrics, "endpoints") == ['gossipmesh_endpoints{service="a",state="healthy"} 1.0']


def test_datagrams_bytes_handshakes_and_gauges_are_there() -> None:
    metrics = Metrics()
    metrics.datagram("in", "sealed", 100)
    metrics.datagram("out", "sealed", 50)
    metrics.handshake("ok")
    metrics.set_in_flight(1)
    metrics.set_channels({"open": 2})
    metrics.set_policy_version(0)
    metrics.set_chain_expiry(1_900_000_000)
    metrics.probe(0.003)
    metrics.probe(0.4)
    metrics.converged(0.7)
    metrics.set_awareness(2)
    text = metrics.text().decode()
    for line in (
        'gossipmesh_gossip_bytes_total{direction="in"} 100.0',
        'gossipmesh_gossip_datagrams_total{direction="out",kind="sealed"} 1.0',
        'gossipmesh_handshakes_total{result="ok"} 1.0',
        "gossipmesh_inflight_requests 1.0",
        'gossipmesh_channels{state="open"} 2.0',
        "gossipmesh_policy_version 0.0",
        "gossipmesh_chain_expiry_timestamp_seconds 1.9e+09",
        'gossipmesh_probe_rtt_seconds_bucket{le="0.005"} 1.0',
        "gossipmesh_probe_rtt_seconds_count 2.0",
        'gossipmesh_convergence_seconds_bucket{le="1.0"} 1.0',
        "gossipmesh_convergence_seconds_sum 0.7",
        "gossipmesh_awareness 2.0",
    ):
        assert line in text
    assert "_created" not in text


def test_checks_of_own_services_are_counted_by_their_result() -> None:
    metrics = Metrics()
    metrics.set_service_healthy("hello", False)
    metrics.health_check("hello", "passed")
    metrics.health_check("hello", "refused")
    metrics.set_service_healthy("hello", True)
    assert lines(metrics, "health_checks_total") == [
        'gossipmesh_health_checks_total{result="passed",service="hello"} 1.0',
        'gossipmesh_health_checks_total{result="refused",service="hello"} 1.0',
    ]
    assert lines(metrics, "service_healthy") == ['gossipmesh_service_healthy{service="hello"} 1.0']
