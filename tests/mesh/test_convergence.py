"""Spells of disagreement, timed over all peers."""

from __future__ import annotations

import pytest

from gossipmesh.mesh.convergence import AGREED, Convergence


def test_where_nothing_differed_nothing_converges() -> None:
    spell = Convergence()
    assert [spell.agrees(now=float(now)) for now in range(10)] == [None] * 10


def test_a_spell_lasts_from_the_first_difference_to_the_first_of_three_agreements_in_a_row() -> None:
    spell = Convergence()
    spell.differs(now=10.0)
    spell.differs(now=10.5)
    assert [spell.agrees(now=now) for now in (11.0, 11.4, 11.8)] == [None, None, pytest.approx(1.0)]
    assert spell.agrees(now=12.0) is None


def test_a_difference_in_between_prolongs_the_spell() -> None:
    spell = Convergence()
    spell.differs(now=0.0)
    for now in (1.0, 2.0):
        assert spell.agrees(now=now) is None
    spell.differs(now=3.0)
    lasted = [spell.agrees(now=4.0 + number) for number in range(AGREED)]
    assert lasted == [None] * (AGREED - 1) + [4.0]


def test_the_next_spell_is_timed_by_itself() -> None:
    spell = Convergence()
    for begin in (0.0, 100.0):
        spell.differs(now=begin)
        lasted = [spell.agrees(now=begin + 0.25) for _ in range(AGREED)]
        assert lasted[-1] == 0.25
