"""Counting right and wrong views: whatever happens, the counters agree with a walk over all views."""

from __future__ import annotations

import random

import pytest

from gossipmesh.model import MemberState, NodeId
from gossipmesh.sim.truth import Truth, View

ALIVE, SUSPECT, DEAD, LEFT = MemberState.ALIVE, MemberState.SUSPECT, MemberState.DEAD, MemberState.LEFT


def node(number: int) -> NodeId:
    return NodeId(bytes([number]) * 32)


def pair() -> tuple[Truth, View, View]:
    truth = Truth()
    return truth, truth.rise(node(1)), truth.rise(node(2))


def test_two_that_do_not_know_each_other_are_two_wrong_views() -> None:
    truth, one, two = pair()
    assert (truth.missing, truth.wrong) == (2, 2)
    truth.believe(one, node(2), ALIVE)
    truth.believe(two, node(1), SUSPECT)
    assert (truth.missing, truth.wrong) == (1, 1)
    assert list(truth.wrong_views()) == [(node(2), node(1), SUSPECT)]
    truth.believe(two, node(1), ALIVE)
    assert (truth.missing, truth.wrong) == (0, 0)


def test_who_is_down_should_be_believed_neither_alive_nor_suspect() -> None:
    truth, one, two = pair()
    truth.believe(one, node(2), ALIVE)
    truth.believe(two, node(1), ALIVE)
    truth.fall(two)
    truth.fall(two)
    assert (truth.missing, truth.wrong) == (0, 1)
    for state, wrong in ((SUSPECT, 1), (DEAD, 0), (LEFT, 0), (ALIVE, 1), (None, 0)):
        truth.believe(one, node(2), state)
        assert (truth.wrong, truth.state(one, node(2))) == (wrong, state)


def test_a_start_begins_with_an_empty_view() -> None:
    truth, one, two = pair()
    truth.believe(one, node(2), ALIVE)
    truth.believe(two, node(1), ALIVE)
    truth.fall(two)
    again = truth.rise(node(2))
    assert truth.wrong == 1
    truth.believe(again, node(1), ALIVE)
    assert truth.wrong == 0


def test_everyones_belief_of_one_is_known_without_a_walk() -> None:
    truth, one, two = pair()
    three = truth.rise(node(3))
    assert truth.holding(node(1), None)
    truth.believe(two, node(1), ALIVE)
    assert not truth.holding(node(1), None)
    assert not truth.holding(node(1), ALIVE)
    truth.believe(three, node(1), ALIVE)
    assert truth.holding(node(1), ALIVE)
    truth.fall(one)
    truth.believe(two, node(1), DEAD)
    truth.believe(three, node(1), DEAD)
    assert truth.holding(node(1), DEAD)


@pytest.mark.parametrize("seed", range(10))
def test_the_counters_agree_with_a_walk_over_all_views(seed: int) -> None:
    rng = random.Random(seed)
    truth = Truth()
    views: list[View] = []
    for _ in range(400):
        action = rng.random()
        if action < 0.15 or not views:
            views.append(truth.rise(node(rng.randrange(6))))  # at times a clone
        elif action < 0.25:
            truth.fall(views.pop(rng.randrange(len(views))))
        else:
            state = rng.choice([None, ALIVE, SUSPECT, DEAD, LEFT])
            truth.believe(rng.choice(views), node(rng.randrange(8)), state)
        wrong = list(truth.wrong_views())
        assert truth.wrong == len(wrong)
        up = {view.key for view in views}
        missing = [subject for _, subject, _ in wrong if truth.number(subject) in up]
        assert truth.missing == len(missing)
