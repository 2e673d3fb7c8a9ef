from __future__ import annotations

import pytest

from gossipmesh.sim.statistics import Statistic, count_for_people, quantile, short, statistic


def test_one_run_is_its_own_median_and_tail() -> None:
    assert statistic([2.5]) == Statistic(2.5, 2.5, 2.5, 1)


def test_the_tail_is_a_value_that_was_seen() -> None:
    assert statistic(list(range(1, 201))) == Statistic(100.5, 198, 200, 200)


def test_no_runs_have_no_statistic() -> None:
    assert statistic([]) is None


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.99, 4), (1.0, 4)])
def test_a_quantile_is_the_least_value_that_the_share_does_not_exceed(share: float, value: int) -> None:
    assert quantile([1, 2, 3, 4], share) == value


def test_nothing_seen_is_shown_with_what_it_bounds() -> None:
    assert count_for_people(0, 100) == "0 (at most 0.03 a run)"
    assert count_for_people(4, 100) == "4"


def test_numbers_are_shown_to_people_without_powers_of_ten() -> None:
    assert [short(value) for value in (0, 0.05592, 2.2, 99.94, 3972.4, 1_230_000)] == [
        "0",
        "0.0559",
        "2.2",
        "99.9",
        "3,972",
        "1,230,000",
    ]
