"""The files for Prometheus and Grafana ask for what a daemon gives and say what to do; the checks see what is wrong."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from monitoringchecks import (
    Document,
    exposition,
    problems_of_compose,
    problems_of_dashboard,
    problems_of_rules,
    rules_of,
    scraped,
)

EXAMPLES: Final = Path(__file__).parents[1] / "examples"
FOLDER: Final = EXAMPLES / "monitoring"
COMPOSE: Final = EXAMPLES / "compose"
YAML_FILES: Final = sorted([*FOLDER.rglob("*.yml"), *FOLDER.rglob("*.yaml")])

Change = Callable[[Any], object]


def loaded(path: Path) -> Document:
    document: Document = yaml.safe_load(path.read_text("utf-8"))
    return document


def rules() -> Document:
    return loaded(FOLDER / "rules.yml")


def dashboard() -> Document:
    document: Document = json.loads(
        (FOLDER / "grafana" / "dashboards" / "gossipmesh.json").read_text("utf-8")
    )
    return document


def compose() -> Document:
    return loaded(FOLDER / "compose.yaml")


def problems_of_second_file(document: Document) -> list[str]:
    mesh = loaded(COMPOSE / "compose.yaml")
    return list(problems_of_compose(document, mesh, lambda path: (COMPOSE / path).exists()))


def panel_of(document: Document, kind: str) -> Document:
    found: Document = next(panel for panel in document["panels"] if panel["type"] == kind)
    return found


def alert_of(document: Document, name: str) -> Document:
    return next(rule for rule in rules_of(document, "alert") if rule["alert"] == name)


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_every_yaml_file_parses_and_says_what_it_is(path: Path) -> None:
    assert isinstance(loaded(path), dict)
    assert path.read_text("utf-8").startswith("# ")


def test_the_registry_that_all_is_held_against_has_a_sample_of_everything() -> None:
    text = exposition()
    declared = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    with_samples = {re.sub(r"_(bucket|count|sum)$", "", name) for name in scraped()}
    assert declared - with_samples == set()


def test_the_rules_ask_for_what_there_is_and_say_what_to_do() -> None:
    assert list(problems_of_rules(rules())) == []


def test_the_dashboard_asks_for_what_there_is_and_explains_it() -> None:
    assert list(problems_of_dashboard(dashboard(), rules())) == []


def test_prometheus_and_grafana_are_pinned_closed_and_given_files_that_there_are() -> None:
    assert problems_of_second_file(compose()) == []


def test_prometheus_asks_each_daemon_of_the_compose_example_by_its_address() -> None:
    (job,) = loaded(FOLDER / "prometheus.yml")["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    services = loaded(COMPOSE / "compose.yaml")["services"]
    daemons = [each for each in services.values() if "GOSSIPMESH_NAME" in each.get("environment", {})]
    spaces = {each.get("network_mode", "service:gateway").removeprefix("service:") for each in daemons}
    assert set(found["names"]) == spaces
    assert (found["type"], found["port"]) == ("A", 4191)
    (renamed,) = job["relabel_configs"]
    names = {re.fullmatch(renamed["regex"], name)[1] for name in found["names"]}  # type: ignore[index]
    assert names == {each["environment"]["GOSSIPMESH_NAME"] for each in daemons}


def test_every_way_to_scrape_loads_the_rules_and_is_called_as_they_want() -> None:
    for name in ("prometheus.yml", "kubernetes.yml"):
        document = loaded(FOLDER / name)
        assert document["rule_files"] == ["rules.yml"]
        assert all(each["job_name"].startswith("gossipmesh") for each in document["scrape_configs"])


def test_grafana_is_given_the_source_and_the_folder_that_compose_mounts() -> None:
    provisioning = FOLDER / "grafana" / "provisioning"
    (source,) = loaded(provisioning / "datasources" / "prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert (
        source["jsonData"]["timeInterval"] == loaded(FOLDER / "prometheus.yml")["global"]["scrape_interval"]
    )
    (provider,) = loaded(provisioning / "dashboards" / "gossipmesh.yml")["providers"]
    mounts = compose()["services"]["grafana"]["volumes"]
    assert f"../monitoring/grafana/dashboards:{provider['options']['path']}:ro" in mounts


def test_the_readme_explains_every_alarm_and_no_other() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    explained = re.findall(r"^\| `(Gossipmesh\w+)` \|", readme, re.MULTILINE)
    assert explained == [rule["alert"] for rule in rules_of(rules(), "alert")]


def test_the_cases_for_promtool_have_alarms_that_fire_and_that_are_quiet() -> None:
    known = {rule["alert"] for rule in rules_of(rules(), "alert")}
    played: dict[bool, set[str]] = {True: set(), False: set()}
    for case in loaded(FOLDER / "rules_test.yml")["tests"]:
        for asked in case["alert_rule_test"]:
            played[bool(asked.get("exp_alerts"))].add(asked["alertname"])
    assert played[True] | played[False] <= known
    assert played[True] == played[False]
    assert len(played[True]) >= 6


BROKEN_RULES: Final[dict[str, tuple[Change, str]]] = {
    "a metric that is not there": (
        lambda d: alert_of(d, "GossipmeshOwnServiceUnhealthy").update(expr="gossipmesh_service_ok == 0"),
        "there is no metric gossipmesh_service_ok",
    ),
    "a label that is not there": (
        lambda d: alert_of(d, "GossipmeshMemberSuspected").update(
            expr='gossipmesh_members{status="dead"} > 0'
        ),
        "gossipmesh_members has no label status",
    ),
    "a value that never comes": (
        lambda d: alert_of(d, "GossipmeshMemberSuspected").update(
            expr='gossipmesh_members{state="lost"} > 0'
        ),
        'gossipmesh_members is never state="lost"',
    ),
    "a sum by what is not in it": (
        lambda d: alert_of(d, "GossipmeshAwarenessHigh").update(expr="sum by (zone) (gossipmesh_awareness)"),
        "sum by zone",
    ),
    "two sides that never match": (
        lambda d: alert_of(d, "GossipmeshAwarenessHigh").update(
            expr="gossipmesh_awareness > gossipmesh_members"
        ),
        "nothing on both sides of >",
    ),
    "quantiles of what has no buckets": (
        lambda d: alert_of(d, "GossipmeshConvergenceSlow").update(
            expr="histogram_quantile(0.9, sum by (job) (rate(gossipmesh_convergence_seconds_bucket[5m])))"
        ),
        "histogram_quantile of what has no label le",
    ),
    "what is no PromQL": (
        lambda d: alert_of(d, "GossipmeshNodeDown").update(expr="up{ == 0"),
        "does not parse",
    ),
    "a recorded name with other labels": (
        lambda d: rules_of(d, "record")[0].update(expr="max by (job) (gossipmesh_members)"),
        "job_state:gossipmesh_members:median has the labels ['job']",
    ),
    "no description": (
        lambda d: alert_of(d, "GossipmeshNodeDown")["annotations"].pop("description"),
        "GossipmeshNodeDown has no description",
    ),
    "no summary": (
        lambda d: alert_of(d, "GossipmeshNodeDown")["annotations"].pop("summary"),
        "GossipmeshNodeDown has no summary",
    ),
    "no severity": (lambda d: alert_of(d, "GossipmeshNodeDown").pop("labels"), "has no severity"),
    "a text about a label that is lost": (
        lambda d: alert_of(d, "GossipmeshMemberDead")["annotations"].update(summary="{{ $labels.instance }}"),
        "there is no label instance",
    ),
    "a name twice": (
        lambda d: alert_of(d, "GossipmeshNodeDown").update(alert="GossipmeshMemberDead"),
        "GossipmeshMemberDead is there 2 times",
    ),
}


@pytest.mark.parametrize("name", BROKEN_RULES)
def test_rules_are_refused_for(name: str) -> None:
    change, told = BROKEN_RULES[name]
    document = rules()
    change(document)
    assert any(told in problem for problem in problems_of_rules(document))


def _query(document: Document, **said: str) -> None:
    panel_of(document, "timeseries")["targets"][0].update(said)


BROKEN_DASHBOARDS: Final[dict[str, tuple[Change, str]]] = {
    "a metric that is not there": (lambda d: _query(d, expr="gossipmesh_peers"), "there is no metric"),
    "what is no PromQL": (lambda d: _query(d, expr="sum(("), "does not parse"),
    "a variable that is not there": (lambda d: _query(d, expr='up{job="$cluster"}'), "no variable $cluster"),
    "a legend of what is not there": (lambda d: _query(d, legendFormat="{{zone}}"), "there is no label zone"),
    "a column that is not there": (
        lambda d: panel_of(d, "table")["transformations"][0]["options"]["renameByName"].update(zone="Zone"),
        "has no column zone",
    ),
    "no unit": (
        lambda d: panel_of(d, "stat")["fieldConfig"]["defaults"].pop("unit"),
        "'Members alive' has no unit",
    ),
    "no description": (
        lambda d: panel_of(d, "stat").pop("description"),
        "'Members alive' has no description",
    ),
    "a fixed data source": (
        lambda d: panel_of(d, "stat").update(datasource={"type": "prometheus", "uid": "prometheus"}),
        "'Members alive' has a data source of its own",
    ),
    "a query's fixed data source": (
        lambda d: panel_of(d, "stat")["targets"][0].pop("datasource"),
        "a query of 'Members alive' has a data source of its own",
    ),
    "a panel without queries": (lambda d: panel_of(d, "stat").update(targets=[]), "asks for nothing"),
    "an old kind of panel": (lambda d: panel_of(d, "stat").update(type="graph"), "is a graph"),
    "an id twice": (lambda d: panel_of(d, "stat").update(id=1), "the id 1 is there 2 times"),
    "a panel over another": (
        lambda d: panel_of(d, "stat")["gridPos"].update(w=6),
        "'Suspected' covers 'Members alive'",
    ),
    "a panel beside the page": (lambda d: panel_of(d, "stat")["gridPos"].update(w=25), "wider than the page"),
    "an old schema": (lambda d: d.update(schemaVersion=16), "schema 16 is old"),
    "no choice of a node": (lambda d: d["templating"]["list"].pop(2), "there is no variable node"),
    "a choice of nothing": (
        lambda d: d["templating"]["list"][3]["query"].update(query="label_values(gossipmesh_endpoints, app)"),
        "there is no label app",
    ),
}


@pytest.mark.parametrize("name", BROKEN_DASHBOARDS)
def test_a_dashboard_is_refused_for(name: str) -> None:
    change, told = BROKEN_DASHBOARDS[name]
    document = dashboard()
    change(document)
    assert any(told in problem for problem in problems_of_dashboard(document, rules()))


BROKEN_COMPOSE: Final[dict[str, tuple[Change, str]]] = {
    "a port for all": (lambda s: s["grafana"].update(ports=["3000:3000"]), "grafana publishes 3000:3000"),
    "any release": (lambda s: s["grafana"].update(image="grafana/grafana"), "grafana is not of one release"),
    "a daemon that is not scraped": (lambda s: s.pop("gateway"), "gateway cannot be scraped"),
    "a file that is not there": (
        lambda s: s["grafana"].update(volumes=["../nowhere:/dashboards:ro"]),
        "grafana mounts ../nowhere",
    ),
    "a folder that it may write": (
        lambda s: s["grafana"].update(volumes=["../monitoring/grafana/dashboards:/dashboards"]),
        "grafana mounts ../monitoring",
    ),
}


@pytest.mark.parametrize("name", BROKEN_COMPOSE)
def test_the_second_file_for_compose_is_refused_for(name: str) -> None:
    change, told = BROKEN_COMPOSE[name]
    document = copy.deepcopy(compose())
    change(document["services"])
    assert any(told in problem for problem in problems_of_second_file(document))
