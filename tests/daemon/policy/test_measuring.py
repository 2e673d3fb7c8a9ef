"""How requests went before and since the policy changed."""

from __future__ import annotations

from gossipmesh.daemon.policy.measuring import EVERY_S, KEPT, Measuring
from gossipmesh.policy.rollout import Measured


def test_as_long_a_time_before_as_since_is_compared() -> None:
    measuring = Measuring(now=0.0)
    for second in range(0, 100, 5):
        measuring.sample(now=float(second))
        measuring.count(200 if second < 80 else 503, "")
    measuring.policy_changed(now=100.0)
    for _ in range(3):
        measuring.count(403, "AZ")
    measuring.count(200, "")
    assert measuring.measured(now=110.0) == Measured(2, 2, 4, 3)
    assert measuring.measured(now=130.0) == Measured(6, 4, 4, 3)
    assert measuring.measured(now=1_000.0) == Measured(20, 4, 4, 3)


def test_a_caller_that_left_says_nothing_of_a_policy() -> None:
    measuring = Measuring(now=0.0)
    measuring.count(0, "DC")
    measuring.count(404, "")
    assert measuring.failed == 0
    measuring.count(500, "")
    measuring.count(200, "UC")
    assert (measuring.total, measuring.failed) == (4, 2)


def test_an_hour_of_counts_is_kept_whatever_comes() -> None:
    measuring = Measuring(now=0.0)
    for step in range(2 * KEPT):
        measuring.count(200, "")
        measuring.sample(now=step * EVERY_S)
    measuring.policy_changed(now=2 * KEPT * EVERY_S)
    assert measuring.measured(now=10 * KEPT * EVERY_S).before <= KEPT
