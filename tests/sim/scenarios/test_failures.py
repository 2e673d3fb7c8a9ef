from __future__ import annotations

from collections.abc import Callable

import pytest

from gossipmesh.sim.scenarios.plan import Outcome

Play = Callable[..., Outcome]


@pytest.mark.parametrize("nodes", [2, 3, 8])
def test_a_crash_is_suspected_then_detected_then_known_to_all(holds: Play, nodes: int) -> None:
    outcome = holds("crash", nodes=nodes)
    figures = outcome.figures
    assert 0 < figures["first_suspicion_s"] < figures["first_detection_s"]
    assert outcome.curve[0] == 0.0
    assert outcome.curve[-1] == figures["all_know_s"]
    assert len(outcome.curve) == outcome.knowers == nodes - 1


def test_plain_swim_waits_a_fixed_time_and_detects_too(holds: Play) -> None:
    assert holds("crash", nodes=8, lifeguard=False).figures["first_detection_s"] > 4


@pytest.mark.parametrize("seed", [1, 2])
def test_who_was_stopped_blames_nobody(holds: Play, seed: int) -> None:
    outcome = holds("stall", nodes=9, seed=seed)
    assert outcome.coverage["stalled"] == 3 * 13
    assert outcome.counts["blamed_after_stall"] == 0


def test_who_looks_at_the_clock_before_the_inbox_blames_others_for_its_own_sleep(play: Play) -> None:
    outcome = play("stall", nodes=9, input_first=False)
    assert "who slept blames who was awake" in outcome.failure
    assert outcome.failure.startswith("seed 1, t=")


def test_a_mesh_meets_again_after_a_power_cut(holds: Play) -> None:
    assert 0 < holds("power-cut", nodes=8).figures["join_complete_s"] <= 8


def test_a_rolling_restart_loses_nobody(holds: Play) -> None:
    assert holds("rolling-restart", nodes=5).coverage["died"] > 0


def test_churn_ends_in_the_truth(holds: Play) -> None:
    coverage = holds("churn", nodes=6, duration_s=60.0).coverage
    assert {"joined", "left", "died"} <= coverage.keys()
