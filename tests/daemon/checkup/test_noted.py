"""What is remembered for the check, and for how long."""

from __future__ import annotations

import trio.testing

from gossipmesh.daemon.checkup.noted import (
    CLOCK_AGE_S,
    MAX_CLOCKS,
    MAX_TURNED_AWAY,
    MAX_WARNED,
    REFUSED_AGE_S,
    TURNED_AWAY_GAP_S,
    WARNED_AGE_S,
    Noted,
    Warned,
)
from gossipmesh.model import NodeId

BOB, EVE = NodeId(b"b" * 32), NodeId(b"e" * 32)


async def test_the_last_word_of_each_counts_until_it_is_old(mock_clock: trio.testing.MockClock) -> None:
    noted = Noted()
    noted.met(BOB, 5)
    noted.met(BOB, 3)
    noted.warned("state.write", "disk full")
    noted.refused_for_clock("300 s ahead")
    mock_clock.jump(REFUSED_AGE_S - 1)
    noted.warned("policy.fell", "revoked")
    noted.met(EVE, -1)
    assert noted.clocks == {BOB: 3, EVE: -1}
    assert noted.clock_refused == "300 s ahead"
    assert noted.warnings == (
        Warned("state.write", "disk full", REFUSED_AGE_S - 1),
        Warned("policy.fell", "revoked", 0.0),
    )
    mock_clock.jump(1)
    assert noted.clock_refused == ""
    mock_clock.jump(WARNED_AGE_S - REFUSED_AGE_S)
    assert [each.code for each in noted.warnings] == ["policy.fell"]
    mock_clock.jump(CLOCK_AGE_S - WARNED_AGE_S)
    assert noted.clocks == {EVE: -1}


async def test_no_more_is_kept_than_there_is_room_for_and_the_oldest_goes_first() -> None:
    noted = Noted()
    for number in range(2 * MAX_CLOCKS):
        noted.met(NodeId(number.to_bytes(32, "big")), number)
        noted.warned(f"code-{number}", "x")
    assert len(noted.clocks) == MAX_CLOCKS
    assert min(noted.clocks.values()) == MAX_CLOCKS
    assert noted.warnings[0].code == f"code-{2 * MAX_CLOCKS - MAX_WARNED}"


async def test_who_is_turned_away_is_told_of_once_an_hour_and_so_many_in_all(
    mock_clock: trio.testing.MockClock,
) -> None:
    noted = Noted()
    assert noted.turned_away("bob")
    assert not noted.turned_away("bob")
    # A revoked token makes new keys without end, and a log that is full of them hides the rest.
    told = [noted.turned_away(str(number)) for number in range(2 * MAX_TURNED_AWAY)]
    assert sum(told) == MAX_TURNED_AWAY - 1
    assert not noted.turned_away("eve")
    mock_clock.jump(TURNED_AWAY_GAP_S)
    assert noted.turned_away("bob")
    assert noted.turned_away("eve")
