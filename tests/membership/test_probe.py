"""Whom to probe next, and how long an answer may take."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.membership.probe import ProbeSchedule, RoundTrip
from gossipmesh.model import NodeId


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(32, "big"))


def everybody(_: NodeId) -> bool:
    return True


def test_a_peer_that_was_never_heard_gets_the_longest_timeout() -> None:
    assert RoundTrip().timeout_s(least=0.05, most=0.5) == 0.5


def test_the_timeout_is_srtt_and_four_deviations() -> None:
    trips = RoundTrip()
    trips.add(0.08)
    assert trips.timeout_s(least=0.0, most=10.0) == 0.08 + 4 * 0.04
    trips.add(0.16)
    assert abs(trips.timeout_s(least=0.0, most=10.0) - (0.09 + 4 * 0.05)) < 1e-9


def test_a_steady_peer_is_judged_at_the_least_timeout_and_grows_again_with_late_answers() -> None:
    trips = RoundTrip()
    for _ in range(100):
        trips.add(0.001)
    assert trips.timeout_s(least=0.05, most=0.5) == 0.05
    trips.add(0.4)
    assert trips.timeout_s(least=0.05, most=0.5) > 0.4


@given(st.lists(st.floats(0, 100)), st.floats(0.001, 0.1), st.floats(0.1, 5))
def test_the_timeout_stays_inside_its_bounds(samples: list[float], least: float, most: float) -> None:
    trips = RoundTrip()
    for sample in samples:
        trips.add(sample)
    assert least <= trips.timeout_s(least=least, most=most) <= most


@given(st.integers(0, 2**32), st.integers(1, 30))
def test_everybody_is_probed_once_a_round(seed: int, count: int) -> None:
    schedule = ProbeSchedule(rng=random.Random(seed))
    for number in range(count):
        schedule.add(node(number))
    for _ in range(3):
        assert {schedule.next(everybody) for _ in range(count)} == {node(n) for n in range(count)}


@given(st.integers(0, 2**32), st.lists(st.tuples(st.sampled_from("anr"), st.integers(0, 9)), max_size=60))
def test_nobody_waits_longer_than_two_rounds_whoever_comes_and_goes(
    seed: int, steps: list[tuple[str, int]]
) -> None:
    schedule = ProbeSchedule(rng=random.Random(seed))
    known: set[NodeId] = set()
    for step, number in steps:
        if step == "a" and node(number) not in known:
            schedule.add(node(number))
            known.add(node(number))
        elif step == "r":
            schedule.remove(node(number))
            known.discard(node(number))
        else:
            assert (schedule.next(everybody) in known) if known else (schedule.next(everybody) is None)
    assert {schedule.next(everybody) for _ in range(2 * len(known))} == known


def test_who_is_not_wanted_is_skipped_but_not_forgotten() -> None:
    schedule = ProbeSchedule(rng=random.Random(1))
    schedule.add(node(1))
    schedule.add(node(2))
    assert {schedule.next(lambda each: each == node(2)) for _ in range(5)} == {node(2)}
    assert schedule.next(lambda _: False) is None
    assert {schedule.next(everybody) for _ in range(4)} == {node(1), node(2)}
