"""``gossipmesh top``: a table for each interval, or a line of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from adminlab import asking
from gossipmesh.cli.main import cli
from gossipmesh.cli.top import COLUMNS
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.model import MemberState


class Node:
    """A node that answers a request between any two readings, and is asked no more often than it says."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.metrics.set_members({MemberState.ALIVE: 2, MemberState.DEAD: 1})
        self.metrics.set_endpoints({("hello", "healthy"): 1, ("hello", "unhealthy"): 1})
        self.readings = 0

    def metrics_text(self) -> bytes:
        self.readings += 1
        self.metrics.request(
            direction="outbound", service="hello", method="GET", code=503, flag="UH", duration_s=0.004
        )
        return self.metrics.text()


async def test_each_interval_is_a_table(tmp_path: Path) -> None:
    async with asking(Node(), tmp_path, "top", "--interval", "200ms", "--count", "2") as ask:
        result = await ask()
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert len(lines) == 6
    assert "members: 2 alive, 1 dead  in flight: 0  retries: 0.0/s" in lines[0]
    assert lines[1].split() == list(COLUMNS)
    cells = lines[2].split()
    assert (cells[:2], cells[3], cells[-2:]) == (["hello", "out"], "100.0%", ["1/2", "-"])


async def test_with_json_each_interval_is_a_document_with_stable_keys(tmp_path: Path) -> None:
    node = Node()
    async with asking(node, tmp_path, "top", "--interval", "200ms", "--count", "2", "--json") as ask:
        result = await ask()
    first, second = map(json.loads, result.stdout.splitlines())
    assert first.keys() == {"time", "interval_s", "members", "in_flight", "retries_per_s", "services"}
    (service,) = second["services"]
    assert service.keys() == {
        *("direction", "service", "per_s", "failed", "p50_ms", "p90_ms", "p99_ms"),
        *("endpoints", "healthy", "ejected"),
    }
    assert (service["service"], service["failed"], service["endpoints"]) == ("hello", 1.0, 2)
    assert service["per_s"] == pytest.approx(1 / second["interval_s"], rel=0.01)
    assert node.readings == 3


@pytest.mark.parametrize("options", [("--interval", "2"), ("--interval", "10ms"), ("--count", "0")])
def test_wrong_usage_is_refused_before_anybody_is_asked(tmp_path: Path, options: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, ["top", *options, "--state", str(tmp_path)])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


class Stranger:
    """A node whose metrics are of some other make."""

    def metrics_text(self) -> bytes:
        return b'gossipmesh_requests_total{direction="x"} 1\n'


async def test_metrics_of_another_make_are_said_to_be_that(tmp_path: Path) -> None:
    async with asking(Stranger(), tmp_path, "top") as ask:
        result = await ask()
    assert result.exit_code == 1
    assert "is it of another release?" in result.stderr


def test_without_a_daemon_it_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["top", "--state", str(tmp_path)])
    assert result.exit_code == 3
