from __future__ import annotations

from pathlib import Path

import pytest

from gossipmesh.errors import ConfigError
from gossipmesh.sim.scenarios.catalogue import DEFAULT_NODES, SCENARIOS, plan_of
from gossipmesh.sim.scenarios.plan import Plan

NOTHING = {
    "nodes": None,
    "profile": None,
    "lifeguard": None,
    "loss": None,
    "slow_members": None,
    "duration_s": None,
}


def asked(scenario: str, **numbers: object) -> Plan:
    return plan_of(scenario, **{**NOTHING, **numbers})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_scenario_says_what_happens_what_is_measured_and_what_must_hold(name: str) -> None:
    doc = SCENARIOS[name].play.__doc__ or ""
    assert "Measured" in doc
    assert "Must" in doc
    assert SCENARIOS[name].summary.endswith(".")


def test_what_is_not_said_is_left_to_the_scenario() -> None:
    plan = asked("slow")
    assert (plan.nodes, plan.slow_members, plan.duration_s) == (DEFAULT_NODES, 4, 120.0)
    assert asked("slow", nodes=3).slow_members == 2


def test_a_file_brings_its_own_numbers(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('nodes = 4\nduration = "5s"\nprofile = "local"\nlifeguard = false\n')
    plan = asked(str(file))
    assert (plan.nodes, plan.profile, plan.lifeguard, plan.duration_s) == (4, "local", False, 5.0)
    assert plan.command(seeds=2, first=1) == f"gossipmesh sim --scenario {file} --seeds 2"
    other = asked(str(file), lifeguard=True).command(seeds=2, first=1)
    assert other == f"gossipmesh sim --scenario {file} --seeds 2 --lifeguard on"
    with pytest.raises(ConfigError, match=r"--nodes: .*mine.toml says it itself"):
        asked(str(file), nodes=5)


@pytest.mark.parametrize(
    ("scenario", "numbers", "said"),
    [
        ("crsh", {}, "there is no scenario 'crsh'; did you mean crash\\?"),
        ("no.toml", {}, "no.toml: No such file"),
        ("", {}, "there is no scenario ''; known are asymmetric, "),
        ("crash", {"duration_s": 5.0}, "--duration: crash takes as long as it takes"),
        ("crash", {"slow_members": 2}, "--slow-members: nobody is slow in crash"),
        ("crash", {"nodes": 1}, "--nodes 1: crash takes 2 to 10000"),
        ("slow", {"nodes": 4, "slow_members": 4}, "--slow-members 4: somebody of 4 has to be well"),
        ("idle", {"duration_s": 0.0}, "--duration: more than 0"),
        ("lifeguard", {"duration_s": 59.0}, "--duration: at least 1m in lifeguard"),
    ],
)
def test_numbers_that_do_not_fit_are_named(scenario: str, numbers: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        asked(scenario, **numbers)
