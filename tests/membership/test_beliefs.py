"""What evidence does to states: records, accusations and our own probes against each other."""

from __future__ import annotations

import pytest
from attrs import evolve

from beliefslab import ALIVE, BOB, CAROL, DAVE, DEAD, LEFT, LIAR, SUSPECT, US, accuse, bench, node, record
from gossipmesh.membership.messages import AccusationNews, RecordNews
from gossipmesh.membership.outputs import Forgotten, RoutabilityChanged, StateChanged
from gossipmesh.membership.parameters import LAN


def test_a_newcomer_is_alive_and_its_record_is_passed_on_only_if_it_is_news() -> None:
    us = bench()
    assert us.beliefs.learn_record(record(BOB), now=1.0, news=True) == [
        StateChanged(BOB, None, ALIVE, "joined")
    ]
    us.beliefs.learn_record(record(CAROL), now=1.0, news=False)
    assert us.news() == {RecordNews(record(BOB).signed.raw)}


def test_a_record_that_is_not_newer_changes_nothing() -> None:
    us = bench()
    us.beliefs.learn_record(record(BOB, 5), now=0.0, news=False)
    for old in (record(BOB, 5, leaving=True), record(BOB, 4), record(BOB, 9, boot=0)):
        assert us.beliefs.learn_record(old, now=1.0, news=True) == []
    assert us.member(BOB).record == record(BOB, 5)
    assert us.news() == set()


def test_our_failed_probe_accuses_suspects_and_takes_out_of_rotation_and_a_later_answer_brings_back() -> None:
    us = bench(BOB, CAROL)
    assert us.beliefs.failed(BOB, "no answer", asked_at=1.0, now=2.0) == [
        StateChanged(BOB, ALIVE, SUSPECT, "no answer"),
        RoutabilityChanged(BOB, False, "no answer"),
    ]
    assert us.news() == {AccusationNews(accuse(US, BOB).signed.raw)}
    assert us.member(BOB).accusers == (US,)
    assert us.beliefs.reached(BOB, asked_at=3.0, udp=True) == [RoutabilityChanged(BOB, True, "we reach it")]
    assert us.state(BOB) is SUSPECT
    assert us.member(BOB).routable


def test_an_accusation_makes_a_suspect_that_stays_in_rotation_and_is_probed_at_once() -> None:
    us = bench(BOB, CAROL, DAVE)
    assert us.beliefs.learn_accusation(accuse(CAROL, BOB), now=1.0) == [
        StateChanged(BOB, ALIVE, SUSPECT, "accused by 03030303")
    ]
    assert us.member(BOB).routable
    assert us.wanted(1.0) == [BOB]
    assert us.news() == {AccusationNews(accuse(CAROL, BOB).signed.raw)}
    assert us.beliefs.learn_accusation(accuse(CAROL, BOB), now=1.5) == []
    assert us.wanted(1.5) == []


def test_two_accusers_take_out_of_rotation_until_we_reach_the_subject_ourselves() -> None:
    us = bench(BOB, CAROL, DAVE, LIAR)
    us.beliefs.learn_accusation(accuse(CAROL, BOB), now=1.0)
    assert us.beliefs.learn_accusation(accuse(DAVE, BOB), now=1.1) == [
        RoutabilityChanged(BOB, False, "2 members accuse it")
    ]
    assert us.beliefs.reached(BOB, asked_at=1.05, udp=True) == []
    assert us.beliefs.reached(BOB, asked_at=1.1, udp=True) == [RoutabilityChanged(BOB, True, "we reach it")]
    assert us.beliefs.learn_accusation(accuse(LIAR, BOB), now=1.2) == []


def test_an_accusation_of_another_version_of_the_gone_of_a_stranger_or_by_the_subject_is_ignored() -> None:
    us = bench(BOB, CAROL)
    us.beliefs.learn_record(record(BOB, 3), now=0.0, news=False)
    us.beliefs.learn_record(record(CAROL, 1, leaving=True), now=0.0, news=False)
    for useless in (
        accuse(DAVE, BOB, 2),
        accuse(DAVE, BOB, 4),
        accuse(DAVE, BOB, 3, boot=2),
        accuse(DAVE, CAROL, 1),
        accuse(CAROL, DAVE),
        accuse(BOB, BOB, 3),
        accuse(US, BOB, 3),
    ):
        assert us.beliefs.learn_accusation(useless, now=1.0) == []
    assert us.state(BOB) is ALIVE


def test_a_newer_record_refutes_and_the_accusations_are_passed_on_no_more() -> None:
    us = bench(BOB, CAROL, DAVE)
    us.beliefs.failed(BOB, "no answer", asked_at=1.0, now=2.0)
    us.beliefs.learn_accusation(accuse(CAROL, BOB), now=2.1)
    us.wanted(2.1)
    assert us.beliefs.learn_record(record(BOB, 1), now=2.5, news=True) == [
        StateChanged(BOB, SUSPECT, ALIVE, "refuted by a newer record")
    ]
    assert us.news() == {RecordNews(record(BOB, 1).signed.raw)}
    assert us.member(BOB).accusers == ()
    assert us.beliefs.learn_accusation(accuse(DAVE, BOB), now=2.6) == []
    # That it lives does not mean that we reach it.
    assert not us.member(BOB).routable


def test_a_silent_member_is_dead_when_its_time_has_run_out_and_confirmations_make_that_sooner() -> None:
    us = bench(BOB, CAROL, DAVE)
    us.beliefs.failed(BOB, "no answer", asked_at=1.0, now=2.0)
    alone = us.beliefs.deadline
    assert alone == 2.0 + 24.0
    us.beliefs.learn_accusation(accuse(CAROL, BOB), now=3.0)
    assert us.beliefs.deadline < alone
    us.beliefs.learn_accusation(accuse(DAVE, BOB), now=3.0)
    assert us.beliefs.deadline == 2.0 + 4.0
    assert us.beliefs.handle_timer(now=5.9) == []
    assert us.beliefs.handle_timer(now=6.0) == [
        StateChanged(BOB, SUSPECT, DEAD, "silent for 4.0 s, 3 accusers")
    ]


def test_with_two_members_the_least_time_applies_at_once() -> None:
    us = bench(BOB)
    us.beliefs.failed(BOB, "no answer", asked_at=1.0, now=2.0)
    assert us.beliefs.deadline == 6.0


def test_an_answer_in_between_makes_the_next_failure_another_silence_to_be_waited_out_whole() -> None:
    us = bench(BOB)
    us.beliefs.failed(BOB, "no answer", asked_at=1.0, now=2.0)
    us.beliefs.reached(BOB, asked_at=3.0, udp=True)
    us.beliefs.failed(BOB, "no answer", asked_at=4.0, now=5.0)
    assert us.beliefs.deadline == 9.0
    us.beliefs.failed(BOB, "no answer", asked_at=5.0, now=6.0)
    assert us.beliefs.deadline == 9.0
    us.beliefs.handle_timer(now=9.0)
    assert us.state(BOB) is DEAD


def test_the_dead_are_always_shown_an_accusation_fresh_enough_to_be_accepted() -> None:
    us = bench(BOB)
    us.beliefs.failed(BOB, "no answer", asked_at=1.0, now=2.0)
    us.beliefs.handle_timer(now=6.0)
    us.beliefs.accusation_of(BOB, now=100.0)
    assert len(us.signed) == 1
    us.beliefs.accusation_of(BOB, now=4_000.0)
    us.beliefs.accusation_of(BOB, now=4_001.0)
    assert len(us.signed) == 2
    assert us.beliefs.accusation_of(CAROL, now=4_001.0) is None


def test_nobody_dies_whom_we_reached_after_the_last_accusation_however_many_accuse() -> None:
    us = bench(BOB, CAROL, DAVE, LIAR)
    for accuser in (CAROL, DAVE, LIAR):
        us.beliefs.learn_accusation(accuse(accuser, BOB), now=1.0)
    us.beliefs.reached(BOB, asked_at=1.0, udp=True)
    assert us.beliefs.handle_timer(now=us.beliefs.deadline) == [
        StateChanged(BOB, SUSPECT, ALIVE, "it answers us, whatever others say")
    ]
    # The same words, repeated, open nothing again.
    assert us.beliefs.learn_accusation(accuse(CAROL, BOB), now=30.0) == []
    # Our own failure does.
    us.beliefs.failed(BOB, "no answer", asked_at=30.0, now=31.0)
    assert us.state(BOB) is SUSPECT


def test_a_helpers_word_that_it_lives_saves_it_too_without_making_it_routable() -> None:
    us = bench(BOB, CAROL, DAVE)
    us.beliefs.failed(BOB, "no answer", asked_at=1.0, now=2.0)
    us.beliefs.vouched(BOB, asked_at=3.0)
    us.beliefs.handle_timer(now=26.0)
    assert us.state(BOB) is ALIVE
    assert not us.member(BOB).routable


def test_without_evidence_of_our_own_the_verdict_waits_for_a_probe() -> None:
    us = bench(BOB, CAROL)
    us.beliefs.learn_accusation(accuse(CAROL, BOB), now=1.0)
    assert us.wanted(1.0) == [BOB]
    us.prober.rest(BOB)
    assert us.beliefs.handle_timer(now=us.beliefs.deadline) == []
    assert us.state(BOB) is SUSPECT
    assert us.wanted(26.0) == [BOB]
    assert us.beliefs.deadline == 26.0
    us.beliefs.failed(BOB, "no answer", asked_at=25.0, now=26.0)
    us.beliefs.handle_timer(now=us.beliefs.deadline)
    assert us.state(BOB) is DEAD


def test_an_accuser_refuted_three_times_about_one_subject_is_ignored_about_it() -> None:
    us = bench(BOB, CAROL, DAVE, LIAR)
    for incarnation in range(3):
        us.beliefs.learn_accusation(accuse(LIAR, BOB, incarnation), now=10.0 * incarnation)
        assert us.state(BOB) is SUSPECT
        us.beliefs.learn_record(record(BOB, incarnation + 1), now=10.0 * incarnation + 1, news=True)
    assert us.beliefs.learn_accusation(accuse(LIAR, BOB, 3), now=40.0) == []
    assert us.beliefs.learn_accusation(accuse(LIAR, CAROL), now=40.0) != []
    assert us.beliefs.learn_accusation(accuse(DAVE, BOB, 3), now=40.0) != []


def test_who_accused_a_member_that_then_restarted_was_not_refuted() -> None:
    us = bench(BOB, CAROL, DAVE)
    for boot in range(1, 6):
        us.beliefs.learn_accusation(accuse(CAROL, BOB, 0, boot), now=float(boot))
        assert us.state(BOB) is SUSPECT
        us.beliefs.learn_record(record(BOB, boot=boot + 1), now=boot + 0.5, news=True)


def test_more_accusers_than_count_are_neither_kept_nor_passed_on() -> None:
    crowd = [node(number) for number in range(10, 30)]
    us = bench(BOB, *crowd)
    for accuser in crowd:
        us.beliefs.learn_accusation(accuse(accuser, BOB), now=1.0)
    assert len(us.member(BOB).accusers) == 4
    assert len(us.news()) == 4
    us.beliefs.failed(BOB, "no answer", asked_at=1.0, now=2.0)
    assert us.signed == []
    assert us.state(BOB) is SUSPECT


def test_a_leaving_record_is_believed_at_once_and_forgotten_in_time() -> None:
    us = bench(BOB)
    assert us.beliefs.learn_record(record(BOB, 1, leaving=True), now=1.0, news=True) == [
        StateChanged(BOB, ALIVE, LEFT, "its owner says that it leaves")
    ]
    assert us.beliefs.deadline == 1.0 + LAN.keep_left_s
    assert us.beliefs.handle_timer(now=1.0 + LAN.keep_left_s) == [Forgotten(BOB)]
    assert BOB not in us.table.members


def test_the_dead_return_with_a_newer_record_only_and_then_with_a_clean_slate() -> None:
    us = bench(BOB)
    us.beliefs.failed(BOB, "no answer", asked_at=1.0, now=2.0)
    us.beliefs.handle_timer(now=6.0)
    assert us.state(BOB) is DEAD
    assert us.beliefs.reached(BOB, asked_at=7.0, udp=True) == []
    assert us.beliefs.learn_accusation(accuse(CAROL, BOB), now=7.0) == []
    assert us.beliefs.learn_record(record(BOB), now=7.0, news=True) == []
    assert us.beliefs.accusation_of(BOB, now=9.0) == AccusationNews(accuse(US, BOB).signed.raw)
    assert us.beliefs.learn_record(record(BOB, 1), now=8.0, news=True) == [
        StateChanged(BOB, DEAD, ALIVE, "came back with a newer record")
    ]
    assert us.member(BOB).routable
    assert us.beliefs.accusation_of(BOB, now=9.0) is None
    assert us.wanted(8.0) == [BOB]


@pytest.mark.parametrize(
    ("boot", "after_s", "counts"),
    [
        pytest.param(1, LAN.reconnect_max_s - 0.1, False, id="behind a cut"),
        pytest.param(1, LAN.reconnect_max_s, True, id="a while after that"),
        pytest.param(2, 1.0, True, id="restarted"),
    ],
)
def test_what_was_said_behind_a_cut_takes_nobody_out_of_rotation(
    boot: int, after_s: float, counts: bool
) -> None:
    us = bench(BOB, CAROL, DAVE, LIAR)
    us.beliefs.failed(CAROL, "no answer", asked_at=1.0, now=2.0)
    us.beliefs.handle_timer(now=us.beliefs.deadline)
    assert us.state(CAROL) is DEAD
    us.beliefs.learn_record(record(CAROL, 1, boot=boot), now=100.0, news=True)
    us.beliefs.learn_accusation(accuse(CAROL, BOB), now=100.0 + after_s)
    assert us.state(BOB) is SUSPECT
    assert us.wanted(100.0 + after_s) != []
    us.beliefs.learn_accusation(accuse(DAVE, BOB), now=100.0 + after_s)
    assert us.member(BOB).routable is not counts


def test_the_dead_are_capped_and_the_oldest_go_first() -> None:
    others = [node(number) for number in range(10, 15)]
    us = bench(*others, parameters=evolve(LAN, max_dead=3))
    gone = []
    for now, other in enumerate(others):
        gone += us.beliefs.learn_record(record(other, 1, leaving=True), now=float(now), news=False)
    assert [each for each in gone if isinstance(each, Forgotten)] == [
        Forgotten(others[0]),
        Forgotten(others[1]),
    ]


def test_a_failed_connection_counts_until_a_probe_begun_afterwards_is_answered() -> None:
    us = bench(BOB)
    assert us.beliefs.doubt(BOB, "connection refused", at=5.0) == [
        RoutabilityChanged(BOB, False, "connection refused")
    ]
    assert us.state(BOB) is ALIVE
    assert us.beliefs.doubt(BOB, "connection refused", at=5.1) == []
    assert us.beliefs.reached(BOB, asked_at=5.05, udp=True) == []
    assert us.beliefs.reached(BOB, asked_at=5.1, udp=True) == [RoutabilityChanged(BOB, True, "we reach it")]
    assert us.beliefs.doubt(CAROL, "connection refused", at=5.0) == []


def test_udp_counts_as_blocked_after_three_answers_over_tcp_only_and_no_longer_after_one_over_udp() -> None:
    us = bench(BOB)
    for asked_at in (1.0, 2.0):
        us.beliefs.reached(BOB, asked_at=asked_at, udp=False)
    assert not us.member(BOB).udp_blocked
    us.beliefs.reached(BOB, asked_at=3.0, udp=False)
    assert us.member(BOB).udp_blocked
    us.beliefs.reached(BOB, asked_at=4.0, udp=True)
    assert not us.member(BOB).udp_blocked


def test_a_forgotten_member_leaves_nothing_behind() -> None:
    us = bench(BOB, CAROL)
    us.beliefs.learn_record(record(BOB, 1), now=1.0, news=True)
    us.beliefs.failed(BOB, "no answer", asked_at=1.0, now=2.0)
    us.beliefs.forget(BOB)
    us.beliefs.forget(BOB)
    assert us.news() == set()
    assert us.beliefs.deadline == float("inf")
    assert us.beliefs.failed(BOB, "no answer", asked_at=3.0, now=4.0) == []


def test_the_time_that_we_were_not_running_is_given_to_every_suspect() -> None:
    us = bench(BOB)
    us.beliefs.failed(BOB, "no answer", asked_at=1.0, now=2.0)
    us.beliefs.extend(9.0)
    assert us.beliefs.deadline == 15.0
