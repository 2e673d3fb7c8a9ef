"""Endpoints out of rotation and back: in dialogues, and by law."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.routing.ejection import Cause, Ejected, EjectionSettings, Readmitted
from gossipmesh.routing.outcomes import Came
from gossipmesh.routing.outliers import MAX_ENDPOINTS, MAX_NEWS, Outliers
from gossipmesh.routing.snapshot import Candidates


def endpoints(count: int) -> Candidates:
    return Candidates.of(
        Endpoint(f"n{each}", NodeId(bytes([each]) * 32), Address("10.0.0.1", 7946), Service("hello", 80))
        for each in range(count)
    )


A, B, C = ABC = endpoints(3)


def watching(candidates: Sequence[Endpoint] = ABC, **settings: float) -> Outliers:
    outliers = Outliers(EjectionSettings(**settings))  # type: ignore[arg-type]
    outliers.fit(candidates, now=0.0)
    return outliers


def ask(outliers: Outliers, whom: Endpoint, came: Came, *, now: float, times: int = 1) -> None:
    for _ in range(times):
        outliers.began(whom.id, now=now)
        outliers.ended(whom.id, came, now=now)


def look(outliers: Outliers, since: float, until: float) -> list[NodeId]:
    """Have ``outliers`` look ten times a second, and give all that was found silent."""
    ticks = range(round(since * 10), round(until * 10) + 1)
    return [each for tick in ticks for each in outliers.handle_timer(now=tick / 10)]


def freeze(outliers: Outliers, since: float) -> None:
    """Send three requests to A, and find it silent half a second later."""
    for _ in range(3):
        outliers.began(A.id, now=since)
    ask(outliers, B, Came.OK, now=since + 0.1, times=3)
    assert look(outliers, since, since + 0.5) == [A.id]


def frozen() -> Outliers:
    outliers = watching()
    ask(outliers, B, Came.OK, now=0.0, times=100)
    freeze(outliers, 0.0)
    return outliers


def test_five_failures_in_a_row_take_an_endpoint_out_for_five_seconds() -> None:
    outliers = watching()
    ask(outliers, A, Came.FAILURE, now=1.0, times=4)
    assert outliers.fit(ABC, now=1.0) is ABC
    ask(outliers, A, Came.FAILURE, now=1.0)
    assert list(outliers.fit(ABC, now=1.0)) == [B, C]
    assert outliers.reason(A.id, now=2.0) == "out of rotation for 5 s after 5 failures in a row; 4.0 s left"
    assert list(outliers.fit(ABC, now=5.9)) == [B, C]


def test_an_answer_in_between_begins_the_row_anew() -> None:
    outliers = watching()
    for _ in range(10):
        ask(outliers, A, Came.FAILURE, now=1.0, times=4)
        ask(outliers, A, Came.OK, now=1.0)
    assert outliers.reason(A.id, now=1.0) == ""


def test_it_takes_ten_errors_of_the_app() -> None:
    outliers = watching()
    ask(outliers, A, Came.ERROR, now=1.0, times=9)
    assert outliers.reason(A.id, now=1.0) == ""
    ask(outliers, A, Came.ERROR, now=1.0)
    assert outliers.reason(A.id, now=1.0).startswith("out of rotation for 5 s after 10 errors in a row")


def test_what_says_nothing_counts_nowhere() -> None:
    outliers = watching()
    ask(outliers, A, Came.FAILURE, now=1.0, times=4)
    ask(outliers, A, Came.NOTHING, now=1.0, times=100)
    assert outliers.reason(A.id, now=1.0) == ""
    ask(outliers, A, Came.FAILURE, now=1.0)
    assert outliers.reason(A.id, now=1.0) != ""


def test_one_request_tries_it_and_brings_it_back() -> None:
    outliers = watching()
    ask(outliers, A, Came.FAILURE, now=0.0, times=5)
    assert A in outliers.fit(ABC, now=5.0)
    assert outliers.reason(A.id, now=5.0).endswith("; the next request may try it")
    outliers.began(A.id, now=5.0)
    assert A not in outliers.fit(ABC, now=5.1)
    assert outliers.reason(A.id, now=5.1).endswith("; one request is trying it")
    outliers.ended(A.id, Came.OK, now=5.2)
    assert outliers.fit(ABC, now=5.2) is ABC


def test_what_cannot_be_sent_once_more_does_not_try_it() -> None:
    outliers = watching()
    ask(outliers, A, Came.FAILURE, now=0.0, times=5)
    outliers.fit(ABC, now=1.0)
    out = outliers.left_out
    assert outliers.fit(ABC, now=2.0) == (B, C)
    assert outliers.left_out is out  # One value for all requests meanwhile.
    assert A not in outliers.fit(ABC, now=5.0, may_try=False)
    assert [each.endpoint for each in outliers.left_out] == [A.id]
    assert A in outliers.fit(ABC, now=5.0, may_try=True)
    assert outliers.left_out == ()


def test_a_trial_that_is_let_go_leaves_it_to_the_next_request() -> None:
    outliers = watching()
    ask(outliers, A, Came.FAILURE, now=0.0, times=5)
    ask(outliers, A, Came.NOTHING, now=5.0)
    assert A in outliers.fit(ABC, now=5.0)


def test_each_failed_trial_doubles_the_time_up_to_the_most() -> None:
    outliers = watching()
    ask(outliers, A, Came.FAILURE, now=0.0, times=5)
    now, times = 5.0, []
    for _ in range(8):
        ask(outliers, A, Came.FAILURE, now=now)
        until = next(after for after in range(1, 400) if A in outliers.fit(ABC, now=now + after))
        times.append(until)
        now += until
    assert times == [10, 20, 40, 80, 160, 300, 300, 300]


def test_failures_of_requests_that_were_there_before_make_it_no_longer() -> None:
    outliers = watching()
    ask(outliers, A, Came.FAILURE, now=0.0, times=50)
    assert A in outliers.fit(ABC, now=5.0)


def test_a_late_answer_does_not_bring_back_who_fails() -> None:
    outliers = watching()
    outliers.began(A.id, now=0.0)
    ask(outliers, A, Came.FAILURE, now=0.0, times=5)
    outliers.ended(A.id, Came.OK, now=1.0)
    assert A not in outliers.fit(ABC, now=1.0)


def test_a_forgotten_endpoint_is_in_rotation_at_once() -> None:
    outliers = watching()
    ask(outliers, A, Came.FAILURE, now=0.0, times=5)
    outliers.forget(A.id)
    assert outliers.fit(ABC, now=0.1) is ABC
    outliers.ended(A.id, Came.FAILURE, now=0.2)
    assert outliers.reason(A.id, now=0.2) == ""


@pytest.mark.parametrize(("count", "out"), [(1, 0), (2, 1), (3, 1), (4, 2), (10, 5)])
def test_how_many_may_be_out_of_so_many(count: int, out: int) -> None:
    candidates = endpoints(count)
    outliers = watching(candidates)
    for each in candidates:
        ask(outliers, each, Came.FAILURE, now=0.0, times=5)
    assert sum(outliers.reason(each.id, now=0.0) != "" for each in candidates) == out
    assert len(outliers.fit(candidates, now=0.0)) == count - out


def test_with_too_few_left_ejections_are_ignored() -> None:
    candidates = endpoints(4)
    outliers = watching(candidates)
    for each in candidates[:2]:
        ask(outliers, each, Came.FAILURE, now=0.0, times=5)
    assert list(outliers.fit(candidates, now=0.0)) == list(candidates[2:])
    fewer = Candidates.of(candidates[:3])
    assert list(outliers.fit(fewer, now=0.0)) == list(fewer)


def test_that_others_were_taken_out_by_the_mesh_sends_nothing_to_who_is_out() -> None:
    outliers = watching()
    ask(outliers, A, Came.FAILURE, now=0.0, times=5)
    assert list(outliers.fit(Candidates.of([A, B]), now=0.0)) == [B]


def test_who_answers_well_less_often_goes_out_at_the_end_of_the_interval() -> None:
    outliers = watching()
    outliers.handle_timer(now=0.0)
    for number in range(100):
        for each in ABC:
            ask(outliers, each, Came.ERROR if each is A and number % 2 else Came.OK, now=1.0)
    outliers.handle_timer(now=9.9)
    assert outliers.reason(A.id, now=9.9) == ""
    outliers.handle_timer(now=10.0)
    assert "after a success rate of 50% where the others have 100%" in outliers.reason(A.id, now=10.0)


def test_an_interval_with_few_requests_says_nothing() -> None:
    outliers = watching()
    outliers.handle_timer(now=0.0)
    for number in range(99):
        for each in ABC:
            ask(outliers, each, Came.ERROR if each is A and number % 2 else Came.OK, now=1.0)
    outliers.handle_timer(now=10.0)
    assert outliers.reason(A.id, now=10.0) == ""


def test_rules_can_be_switched_off() -> None:
    outliers = watching(failures_in_a_row=0, errors_in_a_row=0, rate_requests=0, silence_s=0)
    ask(outliers, A, Came.FAILURE, now=0.0, times=1_000)
    ask(outliers, A, Came.SILENCE, now=0.0, times=1_000)
    ask(outliers, B, Came.OK, now=0.0, times=1_000)
    for _ in range(10):
        outliers.began(A.id, now=1.0)
    assert outliers.handle_timer(now=100.0) == []
    assert outliers.fit(ABC, now=100.0) is ABC


def test_the_memory_of_endpoints_is_bounded() -> None:
    outliers = watching()
    ask(outliers, A, Came.FAILURE, now=0.0, times=5)
    for number in range(MAX_ENDPOINTS):
        outliers.began(NodeId(b"%032d" % number), now=0.0)
    assert outliers.fit(ABC, now=0.0) is ABC


def test_who_fails_fast_attracts_next_to_nothing() -> None:
    """A fails within no time, B and C take ten milliseconds: whoever chooses by load would choose A."""
    outliers = watching()
    asked = {each.id: 0 for each in ABC}
    for tick in range(6_000):
        now = tick * 0.01
        fit = outliers.fit(ABC, now=now)
        chosen = A if A in fit else fit[tick % len(fit)]
        asked[chosen.id] += 1
        ask(outliers, chosen, Came.FAILURE if chosen is A else Came.OK, now=now)
    assert asked[A.id] <= 5 + 4


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["began", "progressed", "timer", *Came]),
        st.integers(0, 5),
        st.sampled_from([0.0, 0.1, 1.0, 20.0]),
        st.booleans(),
    ),
    max_size=200,
)


@given(count=st.integers(1, 6), share=st.integers(0, 100), steps=STEPS)
def test_never_more_than_the_share_is_out_whatever_happens(
    count: int, share: int, steps: list[tuple[str | Came, int, float, bool]]
) -> None:
    candidates = endpoints(count)
    outliers = watching(
        candidates, share=share, failures_in_a_row=2, silent_requests=1, rate_requests=10, panic=0
    )
    now = 0.0
    for what, who, later, may_try in steps:
        now += later
        whom = candidates[who % count].id
        match what:
            case "began":
                outliers.began(whom, now=now)
            case "progressed":
                outliers.progressed(whom, now=now)
            case "timer":
                outliers.handle_timer(now=now)
            case Came():
                for _ in range(10):
                    outliers.ended(whom, what, now=now)
        out = {each.id for each in candidates if outliers.reason(each.id, now=now)}
        fit = outliers.fit(candidates, now=now, may_try=may_try)
        assert len(out) <= (max(1, count * share // 100) if count > 1 else 0)
        assert len(fit) >= 1
        # Whoever is not out is fit, in the order given; whoever is out is so only to be tried.
        assert [each for each in fit if each.id not in out] == [
            each for each in candidates if each.id not in out
        ]
        assert may_try or len(fit) in (count, count - len(out))


@pytest.mark.parametrize(("lately", "silent"), [(3, []), (20, []), (21, [A.id])])
def test_where_most_requests_wait_longer_than_the_pause_lasts_it_is_no_silence(
    lately: int, silent: list[NodeId]
) -> None:
    outliers = watching()
    for _ in range(21):
        outliers.began(A.id, now=0.0)
    ask(outliers, B, Came.OK, now=0.1, times=100)
    outliers.ended(A.id, Came.OK, now=0.1)
    for _ in range(lately):
        outliers.began(A.id, now=0.2)
    ask(outliers, B, Came.OK, now=0.3, times=3)
    assert outliers.handle_timer(now=0.5) == []
    assert outliers.handle_timer(now=0.7) == silent


def test_a_silent_endpoint_is_tried_by_one_request_and_out_again_if_that_is_met_with_silence() -> None:
    outliers = frozen()
    why = "out of rotation for 1 s after silence of 0.5 s with 3 requests waiting; 1.0 s left"
    assert outliers.reason(A.id, now=0.5) == why
    for _ in range(3):
        outliers.ended(A.id, Came.NOTHING, now=0.5)
    assert A in outliers.fit(ABC, now=1.5)
    outliers.began(A.id, now=1.5)
    ask(outliers, B, Came.OK, now=1.6, times=3)
    assert look(outliers, 0.6, 1.9) == []
    assert outliers.handle_timer(now=2.0) == [A.id]
    assert "for 2 s after silence of 0.5 s with 1 request waiting" in outliers.reason(A.id, now=2.0)
    outliers.progressed(A.id, now=2.1)
    assert outliers.fit(ABC, now=2.1) is ABC


def test_ejections_are_counted_by_cause_and_told_once() -> None:
    outliers = watching()
    ask(outliers, A, Came.FAILURE, now=1.0, times=5)
    ask(outliers, A, Came.FAILURE, now=7.0)
    ask(outliers, A, Came.OK, now=20.0)
    assert outliers.ejections == {Cause.FAILURES: 1, Cause.TRIAL: 1}
    first, longer, back = outliers.take_news()
    assert first == Ejected(A.id, "out of rotation for 5 s after 5 failures in a row")
    assert isinstance(longer, Ejected)
    assert back == Readmitted(A.id)
    assert outliers.take_news() == []


def test_who_was_started_again_while_it_was_out_is_told_to_be_back() -> None:
    outliers = watching()
    ask(outliers, A, Came.ERROR, now=1.0, times=10)
    outliers.forget(A.id)
    outliers.forget(B.id)
    assert [type(news) for news in outliers.take_news()] == [Ejected, Readmitted]
    assert outliers.ejections == {Cause.ERRORS: 1}


def test_news_that_nobody_takes_are_bounded() -> None:
    outliers = watching()
    for turn in range(MAX_NEWS):
        ask(outliers, A, Came.ERROR, now=1.0 + turn, times=10)
        outliers.forget(A.id)
    assert len(outliers.take_news()) == MAX_NEWS
    assert outliers.ejections[Cause.ERRORS] == MAX_NEWS


def test_what_waits_at_a_silent_endpoint_is_named_with_each_look_until_there_is_a_sign_of_life() -> None:
    outliers = frozen()
    assert look(outliers, 0.6, 0.9) == [A.id] * 4
    outliers.progressed(A.id, now=0.95)
    assert outliers.handle_timer(now=1.0) == []


def test_five_requests_that_its_channel_lets_go_of_are_a_silence_too() -> None:
    outliers = watching()
    for _ in range(9):
        outliers.began(A.id, now=0.0)
    for number in range(9):
        outliers.ended(A.id, Came.SILENCE, now=0.5)
        assert bool(outliers.reason(A.id, now=0.5)) == (number >= 4)
    assert outliers.reason(A.id, now=0.5).startswith("out of rotation for 1 s after silence of 0.5 s")
    assert A in outliers.fit(ABC, now=1.5)


def test_time_in_which_nobody_looked_is_held_against_nobody() -> None:
    outliers = watching()
    ask(outliers, B, Came.OK, now=0.0, times=100)
    outliers.handle_timer(now=0.0)
    for _ in range(3):
        outliers.began(A.id, now=0.1)
    ask(outliers, B, Came.OK, now=5.0, times=3)
    assert outliers.handle_timer(now=5.0) == []
    assert look(outliers, 5.1, 5.3) == []
    assert look(outliers, 5.4, 5.6)[-1:] == [A.id]


@pytest.mark.parametrize("input_first", [True, False])
def test_a_stall_of_our_own_teaches_no_patience(input_first: bool) -> None:
    outliers = watching()
    ask(outliers, B, Came.OK, now=0.0, times=100)
    outliers.began(A.id, now=0.0)
    outliers.began(C.id, now=0.0)
    outliers.handle_timer(now=0.1)
    if not input_first:
        outliers.handle_timer(now=5.0)
    outliers.ended(A.id, Came.OK, now=5.0)
    outliers.ended(C.id, Came.OK, now=5.0)
    assert outliers.patience_s == 0.5


def test_the_pause_of_who_is_out_teaches_no_patience() -> None:
    outliers = frozen()
    outliers.ended(A.id, Came.OK, now=6.0)
    freeze(outliers, 7.0)
    outliers.ended(A.id, Came.OK, now=13.0)
    assert outliers.patience_s == 0.5
