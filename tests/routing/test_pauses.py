"""How long a service may be silent: what was seen of it decides."""

from __future__ import annotations

import pytest

from gossipmesh.routing.pauses import ENOUGH, REMEMBERED_S, Pauses


def known(answers: int = ENOUGH, took_s: float = 0.0) -> Pauses:
    pauses = Pauses(0.5)
    pauses.handle_timer(now=0.0)
    for _ in range(answers):
        pauses.answered(took_s)
    return pauses


def see(pauses: Pauses, *seconds: float) -> None:
    for each in seconds:
        if pauses.is_long(each):
            pauses.learn(each)


@pytest.mark.parametrize(("answers", "patience_s"), [(4, 12.5), (25, 2.0), (50, 1.0), (100, 0.5)])
def test_who_has_seen_little_has_more_patience(answers: int, patience_s: float) -> None:
    assert known(answers).patience_s == patience_s


def test_the_first_requests_teach_how_long_requests_take() -> None:
    pauses = known(50, took_s=3.0)
    assert pauses.few
    assert pauses.patience_s == 6.0
    for _ in range(50):
        pauses.answered(100.0)
    assert not pauses.few
    assert pauses.patience_s == 0.5


def test_a_pause_that_came_twice_is_usual_and_one_alone_is_not() -> None:
    pauses = known()
    see(pauses, 5.0, 0.1, 0.2)
    assert pauses.patience_s == 0.5
    see(pauses, 2.0, 0.3)
    assert pauses.patience_s == 4.0
    see(pauses, 6.0)
    assert pauses.patience_s == 10.0


def test_pauses_are_remembered_for_a_minute_or_two_and_until_there_were_answers_enough() -> None:
    pauses = known()
    see(pauses, 3.0, 3.0)
    pauses.handle_timer(now=REMEMBERED_S)
    assert pauses.patience_s == 6.0
    pauses.handle_timer(now=10 * REMEMBERED_S)
    assert pauses.patience_s == 6.0
    for _ in range(ENOUGH):
        pauses.answered(0.1)
    pauses.handle_timer(now=10 * REMEMBERED_S)
    assert pauses.patience_s == 0.5
