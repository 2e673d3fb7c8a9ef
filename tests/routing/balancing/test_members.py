"""Turns and chances by weight in one group."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.routing.balancing.load import EndpointLoad
from gossipmesh.routing.balancing.members import Members, Turns


def loads_of(lab: ModuleType, *weights: int) -> list[EndpointLoad]:
    return [EndpointLoad(one) for one in lab.endpoints(*weights)]


def turns_of(members: Members, count: int) -> list[str]:
    taken = []
    for _ in range(count):
        load = members.next_in_turn()
        members.take(load)
        taken.append(load.endpoint.node)
    return taken


def test_equal_ones_take_turns_by_id(lab: ModuleType) -> None:
    members = Members([lab.load(name, 3) for name in "cab"], Turns(lab.ORIGIN))
    assert turns_of(members, 7) == list("abcabca")


def test_a_heavy_one_takes_its_turns_spread_out(lab: ModuleType) -> None:
    taken = turns_of(Members(loads_of(lab, 1, 1, 5), Turns(lab.ORIGIN)), 70)
    assert Counter(taken) == {"n0000": 10, "n0001": 10, "n0002": 50}
    others = [place for place, node in enumerate(taken) if node != "n0002"]
    assert all(later - earlier > 1 for earlier, later in pairwise(others))


@given(weights=st.lists(st.integers(1, 1_000), min_size=1, max_size=8), rounds=st.integers(1, 3))
def test_after_any_number_of_turns_each_has_its_share_within_one(
    lab: ModuleType, weights: list[int], rounds: int
) -> None:
    members = Members(loads_of(lab, *weights), Turns(lab.ORIGIN))
    got: Counter[str] = Counter()
    whole = sum(weights)
    for count, node in enumerate(turns_of(members, min(rounds * whole, 300)), start=1):
        got[node] += 1
        for number, weight in enumerate(weights):
            # The first turn may be anywhere in the first interval, and the whole is made of all the others' rounding.
            assert abs(got[f"n{number:04}"] - count * weight / whole) <= 2 + len(weights) * weight / whole


def test_a_weight_of_nothing_takes_nothing_unless_all_are_so(lab: ModuleType) -> None:
    assert set(turns_of(Members(loads_of(lab, 0, 2, 1), Turns(lab.ORIGIN)), 10)) == {"n0001", "n0002"}
    assert turns_of(Members(loads_of(lab, 0, 0), Turns(lab.ORIGIN)), 4) == ["n0000", "n0001"] * 2


def test_turns_go_on_where_they_were_when_endpoints_come_and_go(lab: ModuleType) -> None:
    turns, loads = Turns(lab.ORIGIN), loads_of(lab, 1, 2, 3)
    first = Counter(turns_of(Members(loads, turns), 6))
    fewer = Counter(turns_of(Members(loads[:2], turns), 6))
    again = Counter(turns_of(Members(loads, turns), 60))
    assert first == {"n0000": 1, "n0001": 2, "n0002": 3}
    assert fewer == {"n0000": 2, "n0001": 4}
    # What one did not get while it was away it does not catch up on for long.
    assert {node: round(count / 10) for node, count in again.items()} == {"n0000": 1, "n0001": 2, "n0002": 3}


def test_an_endpoint_that_was_away_for_long_does_not_take_all_turns_when_it_returns(lab: ModuleType) -> None:
    turns, loads = Turns(lab.ORIGIN), loads_of(lab, 1, 2, 3)
    Members(loads, turns)
    turns.forget_others(loads[:2])
    turns_of(Members(loads[:2], turns), 3_000)
    assert Counter(turns_of(Members(loads, turns), 60))["n0002"] <= 32


def test_another_group_of_the_same_turns_may_take_some_in_between(lab: ModuleType) -> None:
    turns, loads = Turns(lab.ORIGIN), loads_of(lab, 1, 2, 3)
    all_of_them, taken = Members(loads, turns), Counter[str]()
    for _ in range(30):
        taken.update(turns_of(all_of_them, 1))
        taken.update(turns_of(Members(loads[1:], turns), 1))
    assert taken["n0000"] <= 11
    assert sum(taken.values()) == 60


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3), (0, 1, 3)])
def test_chance_goes_by_weight(lab: ModuleType, weights: tuple[int, ...]) -> None:
    members, rng = Members(loads_of(lab, *weights), Turns(lab.ORIGIN)), random.Random(3)
    got = Counter(members.at_random(rng).endpoint.node for _ in range(10_000))
    for number, weight in enumerate(weights):
        assert got[f"n{number:04}"] / 10_000 == pytest.approx(weight / sum(weights), abs=0.02)


@given(weights=st.lists(st.integers(1, 1_000), min_size=2, max_size=8), seed=st.integers(0, 1_000))
def test_two_by_chance_are_different(lab: ModuleType, weights: list[int], seed: int) -> None:
    members, rng = Members(loads_of(lab, *weights), Turns(lab.ORIGIN)), random.Random(seed)
    for _ in range(20):
        one, other = members.two_at_random(rng)
        assert one is not other


def test_how_far_off_a_turn_is_can_be_told(lab: ModuleType) -> None:
    even = Members(loads_of(lab, 1, 1, 1), Turns(lab.ORIGIN))
    turns_of(even, 1)
    assert [even.turns_until(load) for load in even.loads] == [2.0, 0.0, 1.0]
    uneven = Members(loads_of(lab, 1, 2, 3), Turns(lab.ORIGIN))
    for _ in range(20):
        assert uneven.turns_until(uneven.next_in_turn()) == 0.0
        turns_of(uneven, 1)
