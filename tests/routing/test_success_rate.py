"""Who has fallen behind the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.routing.success_rate import LEAST_DIFFERENCE, fallen_behind


def test_of_two_the_worse_one_has_fallen_behind() -> None:
    assert fallen_behind({"a": (100, 100), "b": (70, 100)}) == [("b", 0.7, 1.0)]


def test_of_three_too_where_a_mean_over_all_would_find_nobody() -> None:
    assert [key for key, _, _ in fallen_behind({"a": (100, 100), "b": (0, 100), "c": (100, 100)})] == ["b"]


def test_who_fails_as_often_as_the_others_has_not() -> None:
    assert fallen_behind({"a": (50, 100), "b": (45, 100), "c": (55, 100)}) == []


def test_where_the_others_differ_much_it_takes_more() -> None:
    """The others of d have 0.75 +- 0.19: 1.9 deviations are 0.36."""
    others = {"a": (100, 100), "b": (50, 100), "c": (75, 100)}
    assert "d" not in [key for key, _, _ in fallen_behind({**others, "d": (40, 100)})]
    assert "d" in [key for key, _, _ in fallen_behind({**others, "d": (30, 100)})]


def test_the_worst_comes_first() -> None:
    counts = {**{number: (100, 100) for number in range(20)}, 20: (60, 100), 21: (50, 100)}
    assert [key for key, _, _ in fallen_behind(counts)] == [21, 20]


def test_alone_nobody_falls_behind() -> None:
    assert fallen_behind({}) == fallen_behind({"a": (0, 100)}) == []


@given(st.lists(st.integers(0, 100), min_size=2, max_size=12))
def test_never_the_best_and_never_by_less_than_the_least_difference(goods: list[int]) -> None:
    behind = fallen_behind({number: (good, 100) for number, good in enumerate(goods)})
    assert all(goods[key] < max(goods) for key, _, _ in behind)
    assert all(rate < usual - LEAST_DIFFERENCE + 1e-9 for _, rate, usual in behind)
