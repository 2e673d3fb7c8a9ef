from __future__ import annotations

from collections.abc import Callable

from gossipmesh.sim.scenarios.plan import Outcome

Play = Callable[..., Outcome]


def test_a_liar_gets_nobody_out_and_keeps_nobody_in(holds: Play) -> None:
    outcome = holds("liar", nodes=6, duration_s=30.0)
    assert outcome.coverage["suspected"] > 0
    assert outcome.counts["routability_false_positives_healthy"] == 0
    assert outcome.figures["first_detection_s"] > 0


def test_no_forgery_is_accepted(holds: Play) -> None:
    outcome = holds("forge", nodes=5, duration_s=10.0)
    assert outcome.counts["accepted_forgeries"] == 0
    assert outcome.counts["forgeries_sent"] > 100
    assert outcome.counts["forgeries_refused"] > 100
