"""A peer that says nothing while requests wait for it."""

from __future__ import annotations

from gossipmesh.transport.silence import LATE_S, PING_AFTER_S, PONG_WITHIN_S, Silence, Verdict


def begun() -> Silence:
    silence = Silence()
    silence.begin(0.0)
    assert silence.due == PING_AFTER_S
    return silence


def test_a_peer_that_talks_is_not_asked() -> None:
    silence = begun()
    assert silence.look(0.5, quiet_since=0.4, reads=3) is Verdict.WAIT
    assert silence.due == 0.4 + PING_AFTER_S


def test_a_peer_that_says_nothing_to_a_ping_is_given_up() -> None:
    silence = begun()
    assert silence.look(0.5, quiet_since=0.0, reads=0) is Verdict.PING
    assert silence.due == 0.5 + PONG_WITHIN_S
    assert silence.look(1.5, quiet_since=0.0, reads=0) is Verdict.GIVE_UP


def test_a_peer_that_says_anything_is_waited_for_again_even_if_no_time_has_passed() -> None:
    silence = begun()
    assert silence.look(0.5, quiet_since=0.0, reads=0) is Verdict.PING
    assert silence.look(1.5, quiet_since=1.4, reads=1) is Verdict.WAIT
    assert silence.due == 1.4 + PING_AFTER_S
    assert silence.look(1.9, quiet_since=1.4, reads=1) is Verdict.PING
    assert silence.look(2.9, quiet_since=1.9, reads=2) is Verdict.PING


def test_after_a_stall_of_our_own_the_peer_is_asked_once_more() -> None:
    silence = begun()
    assert silence.look(0.5, quiet_since=0.0, reads=0) is Verdict.PING
    stalled = 0.5 + PONG_WITHIN_S + 2 * LATE_S
    assert silence.look(stalled, quiet_since=0.0, reads=0) is Verdict.PING
    assert silence.look(stalled + PONG_WITHIN_S, quiet_since=0.0, reads=0) is Verdict.GIVE_UP
