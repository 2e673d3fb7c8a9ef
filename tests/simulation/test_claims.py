"""What the papers of SWIM and of Lifeguard claim, in small: fixed seeds, and bounds wide enough for their dice.

The real numbers come from ``tests/bench/swim_claims.py`` and ``tests/bench/lifeguard.py``; see ``docs/membership.md``.
"""

from __future__ import annotations

import math
import statistics

from attrs import evolve

from gossipmesh.membership.parameters import LAN, without_lifeguard
from gossipmesh.sim.claims import (
    expected_periods,
    first_probes,
    fit,
    piggyback_only,
    spread,
)
from gossipmesh.sim.runner import run_one
from gossipmesh.sim.scenarios.plan import Outcome, Plan

FIRST_SEED = 101


def test_a_crash_is_first_probed_after_as_many_periods_as_swim_expects_whatever_the_size() -> None:
    for nodes, worlds, crashes in ((8, 40, 1), (32, 2, 8)):
        found = [
            periods
            for seed in range(FIRST_SEED, FIRST_SEED + worlds)
            for periods in first_probes(seed, nodes=nodes, crashes=crashes)
        ]
        whole = statistics.mean(math.ceil(periods) for periods in found)
        # One standard deviation of a geometric variable of this mean is just under 1: three of the mean of these.
        allowed = 3 / math.sqrt(len(found))
        assert abs(whole - expected_periods(nodes)) < allowed, f"{nodes} nodes: {whole}"


def test_what_an_idle_member_sends_does_not_grow_with_the_mesh() -> None:
    sent = {
        nodes: run_one(
            Plan("idle", nodes, lifeguard=False, duration_s=20.0, numbers=without_lifeguard(LAN)), FIRST_SEED
        ).figures["udp_packets_per_s"]
        for nodes in (4, 16, 64)
    }
    # One ping and one ack a period.
    assert all(1.9 < each < 2.1 for each in sent.values()), sent


def test_a_change_is_known_to_all_in_a_time_logarithmic_in_their_number() -> None:
    mean_s = {
        nodes: statistics.mean(
            spread(seed, nodes=nodes, parameters=piggyback_only())[-1] for seed in range(FIRST_SEED, last)
        )
        for nodes, last in ((4, 111), (8, 111), (16, 106), (32, 104), (64, 102))
    }
    line = fit([(math.log2(nodes), each_s) for nodes, each_s in mean_s.items()])
    assert line.explained > 0.8, (line, mean_s)
    assert 0 < line.slope < 1.5 * LAN.probe_period_s, (line, mean_s)


def slow_members(**numbers: object) -> Outcome:
    parameters = evolve(LAN, **numbers) if numbers else without_lifeguard(LAN)
    plan = Plan("lifeguard", 16, lifeguard=False, slow_members=4, duration_s=60.0, numbers=parameters)
    outcome = run_one(plan, FIRST_SEED)
    assert outcome.failure == ""
    return outcome


def test_slow_members_bury_healthy_ones_in_plain_swim_and_hardly_any_with_lifeguard() -> None:
    swim, ours = slow_members(), slow_members(awareness_max=LAN.awareness_max)
    assert swim.counts["false_positives"] > 20
    assert ours.counts["false_positives"] * 10 < swim.counts["false_positives"]
    assert ours.counts["false_positives_healthy"] == 0
    # A true crash is found as soon, but for the chance of a few periods.
    for outcome in (swim, ours):
        assert outcome.figures["first_detection_s"] < 4 * LAN.suspicion_alpha * LAN.probe_period_s
