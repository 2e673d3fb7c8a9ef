"""How many records of one member are gossiped on, at once and in the long run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.mesh.pace import BURST, MAX_PACED, RELAYED_PER_S, Pace
from gossipmesh.model import NodeId

BOB, EVE = NodeId(b"b" * 32), NodeId(b"e" * 32)


def test_a_burst_is_relayed_and_what_follows_at_once_is_not() -> None:
    pace = Pace()
    assert [pace.relays(EVE, now=5.0) for _ in range(2 * BURST)] == [True] * BURST + [False] * BURST


def test_one_member_that_talks_too_much_silences_nobody_else() -> None:
    pace = Pace()
    for _ in range(100):
        pace.relays(EVE, now=0.0)
    assert pace.relays(BOB, now=0.0)


def test_what_was_refused_costs_nothing_so_that_silence_is_not_needed_to_be_heard_again() -> None:
    pace = Pace()
    for _ in range(1_000):
        pace.relays(EVE, now=0.0)
    assert not pace.relays(EVE, now=0.9)
    assert pace.relays(EVE, now=1.0)
    assert not pace.relays(EVE, now=1.0)


@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=200))
def test_no_rhythm_gets_more_relayed_than_the_rate_and_one_burst(gaps: list[float]) -> None:
    pace, now, relayed = Pace(), 0.0, 0
    for gap in gaps:
        now += gap
        relayed += pace.relays(EVE, now=now)
    assert relayed <= BURST + RELAYED_PER_S * now + 1e-6


@given(st.lists(st.floats(1 / RELAYED_PER_S, 100.0), max_size=50))
def test_whoever_keeps_to_the_rate_is_always_relayed(gaps: list[float]) -> None:
    pace, now = Pace(), 0.0
    for gap in gaps:
        now += gap * 1.001
        assert pace.relays(BOB, now=now)


def test_those_that_were_silent_are_forgotten_and_never_more_than_the_bound_are_kept() -> None:
    pace = Pace()
    for number in range(MAX_PACED + 100):
        assert pace.relays(NodeId(number.to_bytes(32, "big")), now=0.0)
    assert pace.paced == MAX_PACED
    pace.relays(BOB, now=10.0)
    assert pace.paced == 1
