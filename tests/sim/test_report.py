from __future__ import annotations

import json
from collections.abc import Callable

from gossipmesh.sim.report import counts, document, failure_lines, line, report, rows
from gossipmesh.sim.scenarios.plan import Outcome, Plan

STABLE = {
    "scenario",
    "nodes",
    "profile",
    "seeds",
    "first_detection_s",
    "all_know_s",
    "update_all_s",
    "join_complete_s",
    "healed_s",
    "false_positives",
    "idle",
    "accepted_forgeries",
    "wall_s",
}


def test_the_document_has_every_stable_key_and_null_for_what_was_not_measured(
    plan: Callable[..., Plan], outcome: Callable[..., Outcome]
) -> None:
    runs = [
        outcome(seed, figures={"first_detection_s": 4.0 + seed}, counts={"false_positives": 1})
        for seed in (2, 1)
    ]
    made = json.loads(json.dumps(document(report(plan("crash", nodes=8), range(1, 3), runs, wall_s=1.5))))
    assert made.keys() >= STABLE
    assert made["first_detection_s"] == {"median": 5.5, "p99": 6.0, "max": 6.0, "runs": 2}
    assert (made["healed_s"], made["idle"], made["accepted_forgeries"]) == (None, None, None)
    assert made["false_positives"] == {"all": 2, "healthy": 0}
    assert (made["scenario"], made["nodes"], made["profile"], made["seeds"], made["wall_s"]) == (
        "crash",
        8,
        "lan",
        2,
        1.5,
    )
    assert made["command"] == "gossipmesh sim --scenario crash --nodes 8 --seeds 2"


def test_idle_and_forgeries_are_numbers_where_they_were_measured(
    plan: Callable[..., Plan], outcome: Callable[..., Outcome]
) -> None:
    runs = [
        outcome(1, figures={"packets_per_s": 2.0, "bytes_per_s": 140.0}, counts={"accepted_forgeries": 0})
    ]
    made = document(report(plan("idle"), range(1, 2), runs, wall_s=0.0))
    assert made["idle"] == {"packets_per_s": 2.0, "bytes_per_s": 140.0}
    assert made["accepted_forgeries"] == 0


def test_what_members_send_under_trouble_is_shown_beside_what_they_send_idle(
    plan: Callable[..., Plan], outcome: Callable[..., Outcome]
) -> None:
    runs = [outcome(1, figures={"load_packets_per_s": 16.0, "packets_per_s": 2.0})]
    shown = rows(report(plan("lifeguard"), range(1, 2), runs, wall_s=0.0))
    assert [row[:2] for row in shown] == [
        ("idle, a node, UDP and TCP", "2 packets/s"),
        ("under the trouble, a node, UDP and TCP", "16 packets/s"),
    ]


def test_a_failed_run_says_its_seed_its_text_and_how_to_run_it_alone(
    plan: Callable[..., Plan], outcome: Callable[..., Outcome]
) -> None:
    runs = [
        outcome(seed, failure=f"seed {seed}, t=3.000 s: a law" if seed > 11 else "") for seed in range(10, 17)
    ]
    made = report(plan("slow", nodes=8, slow_members=2), range(10, 17), runs, wall_s=0.0)
    command = "gossipmesh sim --scenario slow --nodes 8 --seeds 1 --seed 12 --slow-members 2 --duration 2m"
    assert document(made)["failures"][0] == {
        "seed": 12,
        "text": "seed 12, t=3.000 s: a law",
        "command": command,
    }
    lines = failure_lines(made)
    assert lines[:2] == ["seed 12, t=3.000 s: a law", f"run it alone: {command}"]
    assert lines[-1] == "and 2 more, with the seeds 15, 16"


def test_people_see_what_was_measured_and_no_more(
    plan: Callable[..., Plan], outcome: Callable[..., Outcome]
) -> None:
    runs = [outcome(1, figures={"update_all_s": 0.456}, counts={"suspected_while_well": 3})]
    made = report(plan("update", nodes=8), range(1, 2), runs, wall_s=0.0)
    assert rows(made) == [("a change to everybody", "0.46 s", "0.46 s", "0.46 s", "1")]
    assert line(made) == [
        (
            "update",
            "8",
            "",
            "1",
            "0",
            "a change to everybody",
            "0.46 s",
            "0.46 s",
            "0.46 s",
            "0, 0 by healthy",
        )
    ]
    assert ("declared dead while well, by anybody", "0 (at most 3 a run)") in counts(made)
    assert ("suspected while well", "3") in counts(made)
