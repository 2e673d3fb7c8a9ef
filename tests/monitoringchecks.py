"""What is wrong with files for Prometheus and Grafana, and what a real registry has: for test_monitoring.py."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.daemon.telemetry.upstreams import UpstreamMetrics
from gossipmesh.model import Address, Endpoint, MemberState, NodeId, Service
from gossipmesh.routing.health import Result
from gossipmesh.routing.outcomes import Came
from gossipmesh.routing.rates import RateLimit, RateSettings
from gossipmesh.routing.snapshot import Candidates
from gossipmesh.routing.traffic import Retries, Traffic
from gossipmesh.routing.upstreams import Upstreams
from promql import TARGET, Series, read, unknown

Document = dict[str, Any]

SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS: Final = 24
OLDEST_SCHEMA: Final = 39
PANELS: Final = {"timeseries", "stat", "table"}
_TIMES: Final = {"$__rate_interval": "5m", "$__range": "1h"}


def _upstreams() -> UpstreamMetrics:
    """Give the counts of one service with hedging on, of which an endpoint was ejected."""
    traffic = Traffic(retries=Retries(hedge=True))
    upstreams = Upstreams({"hello": traffic}, origin=NodeId(b"a" * 32), key=b"k", rng=Random(1))
    hello = upstreams.of("hello")
    nodes = [NodeId(letter * 32) for letter in (b"a", b"b")]
    there = (Endpoint("n", node, Address("10.0.0.1", 1), Service("hello", 80)) for node in nodes)
    hello.outliers.fit(Candidates.of(there), now=0.0)
    for _ in range(5):
        hello.outliers.began(nodes[0], now=0.0)
        hello.outliers.ended(nodes[0], Came.FAILURE, now=0.0)
    return UpstreamMetrics(upstreams, {"hello": RateLimit[str](RateSettings(per_s=1.0, burst=1))})


def exposition() -> str:
    """Give the text of a registry in which everything was counted once."""
    metrics = Metrics()
    metrics.add(_upstreams())
    for direction, (code, flag) in itertools.product(("inbound", "outbound"), ((200, ""), (503, "UF"))):
        metrics.request(
            direction=direction, service="hello", method="GET", code=code, flag=flag, duration_s=0.1
        )
    metrics.retry("UF")
    for decision in ("allow", "deny", "audit-deny"):
        metrics.authorized(decision, "default")
    for result in ("ok", "chain.root"):
        metrics.handshake(result)
    for direction in ("in", "out"):
        metrics.datagram(direction, "sealed", 100)
    metrics.gossip_error("record.old")
    for check in Result:
        metrics.health_check("hello", check.value)
    metrics.set_info("web-1", "00ff", "1.0")
    metrics.set_service_healthy("hello", True)
    metrics.set_members(dict.fromkeys(MemberState, 1))
    metrics.set_endpoints({("hello", state): 1 for state in ("healthy", "unhealthy", "ejected")})
    metrics.set_channels(dict.fromkeys(("open", "connecting", "closing"), 1))
    metrics.dns("A", "NOERROR").value += 1
    return metrics.text().decode()


@cache
def scraped() -> Series:
    """Give the labels and values of each metric as Prometheus has them."""
    found: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(exposition()):
        for sample in family.samples:
            labels = found[sample.name]
            for label, value in sample.labels.items():
                labels[label].add(value)
    free = dict.fromkeys(TARGET, frozenset[str]())
    seen = {
        name: {key: frozenset(values) for key, values in labels.items()} | free
        for name, labels in found.items()
    }
    return {"up": free} | seen


def rules_of(document: Document, kind: str) -> list[Document]:
    """Give the rules of a kind: ``alert`` or ``record``."""
    return [rule for group in document["groups"] for rule in group["rules"] if kind in rule]


def with_recorded(rules: Document) -> Series:
    """Give what can be asked for: what is scraped, and what is recorded, by the labels that begin its name."""
    recorded = [rule["record"] for rule in rules_of(rules, "record")]
    free = {name: dict.fromkeys(name.partition(":")[0].split("_"), frozenset[str]()) for name in recorded}
    return {**scraped(), **free}


def problems_of_rules(document: Document) -> Iterator[str]:
    """Give what is wrong with the rules."""
    series = with_recorded(document)
    for rule in rules_of(document, "record"):
        labels, problems = read(rule["expr"], series)
        yield from problems
        if labels != frozenset(series[rule["record"]]):
            yield f"{rule['record']} has the labels {sorted(labels)}"
    names = Counter(rule["alert"] for rule in rules_of(document, "alert"))
    yield from (f"{name} is there {count} times" for name, count in names.items() if count > 1)
    for rule in rules_of(document, "alert"):
        labels, problems = read(rule["expr"], series)
        yield from problems
        if rule.get("labels", {}).get("severity") not in ("warning", "critical"):
            yield f"{rule['alert']} has no severity"
        for key in ("summary", "description"):
            text = rule.get("annotations", {}).get(key, "")
            if not text:
                yield f"{rule['alert']} has no {key}"
            yield from unknown(text, r"\$labels\.(\w+)", labels)


def _expanded(text: str, variables: set[str]) -> tuple[str, list[str]]:
    """Give an expression as Grafana sends it with all chosen, and the variables that it does not know."""
    wrong = []

    def value(match: re.Match[str]) -> str:
        if match[1] not in variables and match[0] not in _TIMES:
            wrong.append(f"there is no variable {match[0]}, in {text}")
        return _TIMES.get(match[0], ".+")

    return re.sub(r"\$(\w+)", value, text), wrong


def _problems_of_queries(panel: Document, variables: set[str], series: Series) -> Iterator[str]:
    for target in panel["targets"]:
        if target.get("datasource") != SOURCE:
            yield f"a query of {panel['title']!r} has a data source of its own"
        text, wrong = _expanded(target["expr"], variables)
        yield from wrong
        labels, problems = read(text, series)
        yield from problems
        yield from unknown(target["legendFormat"], r"{{(\w+)}}", labels)
        for change in panel.get("transformations", []):
            for column in change["options"]["renameByName"]:
                if column not in labels | {"Value"}:
                    yield f"{panel['title']!r} has no column {column}"


def _problems_of_panel(panel: Document) -> Iterator[str]:
    title = panel["title"]
    if panel["type"] not in PANELS:
        yield f"{title!r} is a {panel['type']}"
    if not panel.get("description"):
        yield f"{title!r} has no description"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield f"{title!r} has no unit"
    if panel.get("datasource") != SOURCE:
        yield f"{title!r} has a data source of its own"
    if not panel["targets"]:
        yield f"{title!r} asks for nothing"


def _problems_of_places(panels: list[Document]) -> Iterator[str]:
    ids = Counter(panel["id"] for panel in panels)
    yield from (f"the id {number} is there {count} times" for number, count in ids.items() if count > 1)
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        at = panel["gridPos"]
        if at["x"] + at["w"] > COLUMNS:
            yield f"{panel['title']!r} is wider than the page"
        cells = itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"]))
        covered = {taken.setdefault(cell, panel["title"]) for cell in cells} - {panel["title"]}
        yield from (f"{panel['title']!r} covers {other!r}" for other in sorted(covered))


def problems_of_dashboard(document: Document, rules: Document) -> Iterator[str]:
    """Give what is wrong with the dashboard."""
    if document["schemaVersion"] < OLDEST_SCHEMA:
        yield f"schema {document['schemaVersion']} is old"
    variables = {each["name"] for each in document["templating"]["list"]}
    yield from (
        f"there is no variable {name}" for name in sorted({"datasource", "node", "service"} - variables)
    )
    series = with_recorded(rules)
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            if match is None:
                yield f"{variable['name']} is no label's values"
                continue
            text, wrong = _expanded(match[1], variables)
            labels, problems = read(text, series)
            yield from [*wrong, *problems, *unknown(f"${match[2]}", r"\$(\w+)", labels)]
    yield from _problems_of_places(document["panels"])
    for panel in document["panels"]:
        if panel["type"] != "row":
            yield from _problems_of_panel(panel)
            yield from _problems_of_queries(panel, variables, series)


def problems_of_compose(document: Document, mesh: Document, exists: Callable[[str], bool]) -> Iterator[str]:
    """Give what is wrong with the second file for Compose.

    Args:
        document: that file.
        mesh: the first one, whose folder all paths are seen from.
        exists: tells whether there is such a path.
    """
    daemons = {
        name for name, each in mesh["services"].items() if "GOSSIPMESH_NAME" in each.get("environment", {})
    }
    for name in sorted(daemons):
        if "GOSSIPMESH_ADMIN" not in document["services"].get(name, {}).get("environment", {}):
            yield f"{name} cannot be scraped"
    for name in sorted(set(document["services"]) - daemons):
        service = document["services"][name]
        if not re.search(r":v?\d+\.\d+\.\d+$", service["image"]):
            yield f"{name} is not of one release"
        yield from (
            f"{name} publishes {port}" for port in service["ports"] if not port.startswith("127.0.0.1:")
        )
        for volume in service["volumes"]:
            path, _, mode = volume.partition(":")
            if path not in document["volumes"] and not (exists(path) and mode.endswith(":ro")):
                yield f"{name} mounts {volume}"
