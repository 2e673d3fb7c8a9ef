"""Runs the seeds of ``regressions.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from gossipmesh.config.durations import parse_duration
from gossipmesh.sim.runner import run_one
from gossipmesh.sim.scenarios.catalogue import plan_of

RUNS: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("regressions.toml").read_text("utf-8"))[
    "run"
]
OPTIONAL = ("profile", "lifeguard", "loss", "slow_members")


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run['scenario']}-{run['nodes']}-seed-{run['seed']}")
def test_what_once_broke_holds(run: dict[str, Any]) -> None:
    assert run.keys() <= {"scenario", "nodes", "seed", "why", "duration", *OPTIONAL}
    assert run["why"]
    plan = plan_of(
        run["scenario"],
        nodes=run["nodes"],
        duration_s=parse_duration(run["duration"]) if "duration" in run else None,
        **{name: run.get(name) for name in OPTIONAL},
    )
    assert run_one(plan, run["seed"]).failure == "", plan.command(seeds=1, first=run["seed"])
