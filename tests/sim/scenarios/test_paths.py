from __future__ import annotations

from collections.abc import Callable

import pytest

from gossipmesh.sim.scenarios.plan import Outcome

Play = Callable[..., Outcome]


def test_lost_datagrams_kill_nobody(holds: Play) -> None:
    outcome = holds("loss", nodes=8, duration_s=60.0)
    assert outcome.coverage["lost"] > 0
    assert outcome.counts["false_positives"] == 0


def test_great_loss_is_counted_and_claims_nothing(holds: Play) -> None:
    assert holds("loss", nodes=5, loss=0.3, duration_s=30.0).coverage["lost"] > 0


def test_two_halves_find_each_other(holds: Play) -> None:
    outcome = holds("partition", nodes=6, duration_s=40.0)
    assert outcome.coverage["died"] > 0
    assert 0 < outcome.figures["healed_s"] < 45
    assert outcome.counts["false_positives"] == 0


@pytest.mark.parametrize(("nodes", "deaths"), [(2, True), (3, False), (8, False)])
def test_a_one_way_cut_is_death_only_where_nobody_else_can_tell(
    holds: Play, nodes: int, deaths: bool
) -> None:
    assert (holds("asymmetric", nodes=nodes).counts["deaths_across_the_cut"] > 0) is deaths


def test_a_flapping_link_harms_nobody_else(holds: Play) -> None:
    outcome = holds("flap", nodes=6, duration_s=40.0)
    assert outcome.counts["cuts"] == 6
    assert outcome.counts["flaps"] > 0
