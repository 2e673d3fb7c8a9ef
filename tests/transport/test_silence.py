"""A peer that says nothing while requests wait for it."""

from __future__ import annotations

import pytest

from gossipmesh.transport.silence import (
    DOUBT_AFTER_S,
    FAR_S,
    LATE_S,
    PING_AFTER_S,
    PONG_WITHIN_S,
    Silence,
    Verdict,
)


def begun() -> Silence:
    silence = Silence()
    silence.begin(0.0, heard_at=0.0, reads=0)
    assert silence.due == PING_AFTER_S
    return silence


def test_a_peer_that_talks_is_not_asked() -> None:
    silence = begun()
    assert silence.look(0.5, quiet_since=0.4, reads=3) is Verdict.WAIT
    assert silence.due == 0.4 + PING_AFTER_S


def asked() -> tuple[Silence, float]:
    """Give one whose peer was sent a ping, and when."""
    silence = begun()
    assert silence.look(PING_AFTER_S, quiet_since=0.0, reads=0) is Verdict.PING
    assert silence.due == PING_AFTER_S + DOUBT_AFTER_S
    return silence, PING_AFTER_S


def test_a_peer_that_says_nothing_to_a_ping_is_doubted_again_and_again_and_given_up() -> None:
    silence, at = asked()
    verdicts = []
    while not verdicts or verdicts[-1] is Verdict.DOUBT:
        verdicts.append(silence.look(silence.due, quiet_since=0.0, reads=0))
    assert silence.due == at + PONG_WITHIN_S
    assert verdicts[-1] is Verdict.GIVE_UP
    assert len(verdicts) >= PONG_WITHIN_S / DOUBT_AFTER_S


def test_a_doubted_peer_that_says_anything_is_waited_for_again() -> None:
    silence, at = asked()
    assert silence.look(silence.due, quiet_since=0.0, reads=0) is Verdict.DOUBT
    heard = at + 2 * DOUBT_AFTER_S
    assert silence.look(silence.due, quiet_since=heard, reads=1) is Verdict.WAIT
    assert silence.due == heard + PING_AFTER_S
    assert silence.look(silence.due, quiet_since=heard, reads=1) is Verdict.PING
    # Time alone may not have moved since: that anything was read is what counts.
    assert silence.look(silence.due, quiet_since=heard, reads=2) is Verdict.PING


def test_after_a_stall_of_our_own_the_peer_is_asked_once_more() -> None:
    silence, _ = asked()
    stalled = silence.due + 2 * LATE_S
    assert silence.look(stalled, quiet_since=0.0, reads=0) is Verdict.PING
    assert silence.look(stalled + DOUBT_AFTER_S, quiet_since=0.0, reads=0) is Verdict.DOUBT


def doubted() -> tuple[Silence, float]:
    """Give one whose peer was doubted, and when it was asked."""
    silence, at = asked()
    assert silence.look(silence.due, quiet_since=0.0, reads=0) is Verdict.DOUBT
    return silence, at


def waits(silence: Silence, now: float) -> float:
    """Give how long after a ping at ``now`` or later the peer is doubted."""
    assert silence.look(now + PING_AFTER_S, quiet_since=now, reads=1) is Verdict.PING
    return silence.due - now - PING_AFTER_S


def test_a_far_peer_is_doubted_wrongly_once_and_given_the_time_that_it_takes() -> None:
    silence, at = doubted()
    heard = at + 1.1 * DOUBT_AFTER_S
    assert silence.look(silence.due, quiet_since=heard, reads=1) is Verdict.WAIT
    assert waits(silence, heard) == pytest.approx(2.2 * DOUBT_AFTER_S)


def test_that_is_learned_too_where_nothing_waited_any_more_when_it_answered() -> None:
    silence, at = doubted()
    silence.begin(10.0, heard_at=at + 1.1 * DOUBT_AFTER_S, reads=1)
    assert waits(silence, 10.0) == pytest.approx(2.2 * DOUBT_AFTER_S)


def test_a_peer_that_was_frozen_is_doubted_as_soon_as_before() -> None:
    silence, at = doubted()
    silence.begin(10.0, heard_at=at + FAR_S + 0.1, reads=1)
    assert waits(silence, 10.0) == pytest.approx(DOUBT_AFTER_S)


def test_no_peer_is_so_far_that_it_is_given_more_than_half_a_second() -> None:
    silence, at = doubted()
    silence.begin(10.0, heard_at=at + FAR_S, reads=1)
    assert waits(silence, 10.0) == pytest.approx(FAR_S)


def test_a_peer_that_is_silent_stays_so_for_requests_that_begin_afterwards() -> None:
    silence, at = doubted()
    assert silence.is_doubted(0)
    due = silence.due
    silence.begin(at + 1.0, heard_at=0.0, reads=0)
    assert silence.due == due
    assert silence.look(at + PONG_WITHIN_S, quiet_since=0.0, reads=0) is Verdict.PING  # It was not looked at.
    silence.begin(at + 30.0, heard_at=at + 20.0, reads=1)
    assert silence.due == at + 30.0 + PING_AFTER_S
    assert not silence.is_asked(1)
    assert not silence.is_doubted(1)
