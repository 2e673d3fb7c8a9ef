from __future__ import annotations

import math

import pytest

from gossipmesh.membership.parameters import LAN
from gossipmesh.sim.claims import (
    LIMIT,
    Line,
    expected_periods,
    first_probes,
    fit,
    piggyback_only,
    plain_swim,
    spread,
)


def test_a_crash_is_expected_to_be_probed_within_what_the_paper_gives_for_large_groups() -> None:
    assert expected_periods(100_000) == pytest.approx(LIMIT, abs=1e-4)
    assert [expected_periods(nodes) for nodes in (2, 8, 128)] == sorted(
        expected_periods(nodes) for nodes in (2, 8, 128)
    )
    assert expected_periods(2) == 1.0


def test_points_on_a_line_are_explained_by_it() -> None:
    assert fit([(1.0, 3.0), (2.0, 5.0), (4.0, 9.0)]) == Line(1.0, 2.0, 1.0)
    assert fit([(1.0, 2.0), (3.0, 2.0)]) == Line(2.0, 0.0, 1.0)


def test_a_curve_is_not_explained_whole_by_a_line() -> None:
    assert 0 < fit([(x, x * x) for x in (1.0, 2.0, 3.0, 4.0, 5.0)]).explained < 1


def test_what_is_compared_with_swim_has_nothing_that_swim_has_not() -> None:
    parameters = plain_swim()
    assert (parameters.awareness_max, parameters.buddy, parameters.own_evidence) == (0, False, False)
    assert parameters.sync_period_s > 1e6
    assert parameters.probe_period_s == LAN.probe_period_s
    assert piggyback_only().gossip_targets == 0


def test_every_crash_gives_one_time_until_it_was_probed_and_the_same_seed_the_same_times() -> None:
    found = first_probes(5, nodes=8, crashes=2)
    assert len(found) == 2
    assert all(0 <= periods < 14 for periods in found)
    assert first_probes(5, nodes=8, crashes=2) == found


def test_everybody_but_the_one_that_changed_learns_of_a_change() -> None:
    known_s = spread(5, nodes=8, parameters=piggyback_only())
    assert len(known_s) == 7
    assert known_s == sorted(known_s)
    assert 0 < known_s[-1] < math.inf
