"""Answers by TCP have their share of the time, and idle callers make room for new ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.discovery.dns.share import BURST_S, SHARE, Share, longest_idle


def test_what_takes_a_moment_waits_for_nothing() -> None:
    share = Share()
    share.spend(BURST_S / 2, now=10.0)
    assert share.free_at(now=10.0) == 10.0


def test_who_has_worked_for_long_pauses_for_longer() -> None:
    share = Share()
    share.spend(0.1, now=10.0)
    assert share.free_at(now=10.0) == pytest.approx(10.0 + (0.1 - BURST_S) / SHARE)
    assert share.free_at(now=20.0) == 20.0


@given(st.lists(st.floats(0.00001, 0.05), min_size=1, max_size=200))
def test_whatever_the_pieces_are_no_more_than_the_share_is_taken(costs: list[float]) -> None:
    share, now = Share(), 5.0
    for cost in costs:
        now = share.free_at(now=now) + cost
        share.spend(cost, now=now)
    assert sum(costs[:-1]) <= SHARE * (now - 5.0) + BURST_S + 1e-9


def test_the_longest_idle_is_found_and_nobody_who_is_busy() -> None:
    assert longest_idle([3.0, math.inf, 1.0, 2.0]) == 2
    assert longest_idle([math.inf, math.inf]) is None
    assert longest_idle([]) is None
