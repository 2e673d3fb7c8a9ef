"""A peer that says nothing while requests wait for it."""

from __future__ import annotations

from gossipmesh.transport.silence import DOUBT_AFTER_S, LATE_S, PING_AFTER_S, PONG_WITHIN_S, Silence, Verdict


def begun() -> Silence:
    silence = Silence()
    silence.begin(0.0)
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
