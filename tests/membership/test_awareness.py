"""How far a node trusts its own judgement."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.membership.awareness import Awareness


def test_a_node_that_finds_no_trouble_of_its_own_waits_as_long_as_everybody() -> None:
    us = Awareness(8)
    us.improve()
    assert (us.score, us.multiplier) == (0, 1)


def test_trouble_adds_up_and_each_answered_probe_takes_one_off() -> None:
    us = Awareness(8)
    us.worsen(3)
    us.worsen()
    assert us.multiplier == 5
    us.improve()
    assert us.multiplier == 4


def test_self_doubt_can_be_switched_off() -> None:
    us = Awareness(0)
    us.worsen(5)
    assert us.multiplier == 1


@given(most=st.integers(0, 8), history=st.lists(st.integers(-1, 6), max_size=40))
def test_the_score_stays_within_its_bounds_whatever_happens(most: int, history: list[int]) -> None:
    us = Awareness(most)
    for by in history:
        if by < 0:
            us.improve()
        else:
            us.worsen(by)
        assert 0 <= us.score <= most
