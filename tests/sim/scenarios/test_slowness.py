from __future__ import annotations

from collections.abc import Callable

from gossipmesh.sim.scenarios.plan import Outcome

Play = Callable[..., Outcome]


def test_slow_members_are_given_up_and_nobody_else_is_by_healthy_ones(holds: Play) -> None:
    outcome = holds("slow", nodes=8, slow_members=2, duration_s=40.0)
    assert outcome.counts["slow_declared_dead"] > 0
    assert outcome.counts["false_positives_healthy"] == 0
    assert outcome.coverage["held"] > 0


def test_without_slow_members_nothing_happens(holds: Play) -> None:
    outcome = holds("slow", nodes=4, slow_members=0, duration_s=20.0)
    assert outcome.counts["slow_declared_dead"] == outcome.counts["false_positives"] == 0


def test_plain_swim_gives_up_healthy_members_more_often(play: Play) -> None:
    counts = [
        play("slow", nodes=8, slow_members=3, duration_s=60.0, lifeguard=on).counts["false_positives"]
        for on in (True, False)
    ]
    assert counts[0] < counts[1]


def test_a_real_crash_is_found_beside_slow_members_and_what_that_takes_is_counted(holds: Play) -> None:
    outcome = holds("lifeguard", nodes=8, slow_members=2, duration_s=60.0)
    assert outcome.counts["slow_declared_dead"] > 0
    assert outcome.counts["false_positives_healthy"] == 0
    assert 4.0 < outcome.figures["first_detection_s"] < 25.0
    assert outcome.figures["load_packets_per_s"] > 2.0
    assert outcome.figures["load_bytes_per_s"] > 100.0


def test_a_healthy_member_is_left_to_vanish_however_many_are_slow(holds: Play) -> None:
    assert holds("lifeguard", nodes=4, slow_members=3, duration_s=60.0).figures["first_detection_s"] > 0
