"""Dialogues with the machine of health checks, and the laws that hold whatever the results are."""

from __future__ import annotations

import random
from math import inf

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.mesh.pace import BURST, RELAYED_PER_S
from gossipmesh.routing.checks import LISTENS, HealthCheck, HttpCheck
from gossipmesh.routing.health import (
    FAST_S,
    GATHER_S,
    JITTER,
    RECOVERIES,
    RECOVERY_S,
    SOON_S,
    BeginCheck,
    Health,
    HealthChanged,
    HealthOutput,
    HealthState,
    Outcome,
    Publish,
    Result,
)

UNKNOWN, HEALTHY, UNHEALTHY = HealthState.UNKNOWN, HealthState.HEALTHY, HealthState.UNHEALTHY
PASSED, FAILED = Outcome(Result.PASSED), Outcome(Result.FAILED, "status 503")
REFUSED, NO_FILES = Outcome(Result.REFUSED, "nobody listens"), Outcome(Result.UNKNOWN, "no file descriptor")
HTTP = HealthCheck(HttpCheck("/healthz"))


class Dice(random.Random):
    """Always the middle, so that times in dialogues are round."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


@define
class Bench:
    """A machine for one service, or several, in virtual time; every check ends at once."""

    machine: Health
    now: float = 0.0
    told: list[tuple[float, frozenset[str]]] = field(factory=list)
    changes: list[HealthChanged] = field(factory=list)

    def state(self, service: str = "web") -> HealthState:
        return self.machine.watched[service].state

    def note(self, outputs: list[HealthOutput]) -> list[str]:
        """Keep what is told and changes; give the services to be checked."""
        self.told += [(self.now, each.unhealthy) for each in outputs if isinstance(each, Publish)]
        self.changes += [each for each in outputs if isinstance(each, HealthChanged)]
        return [each.service for each in outputs if isinstance(each, BeginCheck)]

    def turn(self, outcome: Outcome) -> float:
        """Jump to the next check, let it end with ``outcome``, and give how long after the last one it came."""
        before = self.now
        while True:
            self.now = max(self.now, self.machine.deadline)
            if begun := self.note(self.machine.handle_timer(now=self.now)):
                break
        for service in begun:
            self.note(self.machine.receive(service, outcome, now=self.now))
        return round(self.now - before, 6)


def bench(check: HealthCheck = HTTP, *outcomes: Outcome) -> Bench:
    made = Bench(Health({"web": check}, rng=Dice(), now=0.0))
    for outcome in outcomes:
        made.turn(outcome)
    return made


def test_a_service_is_out_of_rotation_until_a_check_has_passed() -> None:
    machine = Health({"web": HTTP}, rng=Dice(), now=5.0)
    assert machine.unhealthy == {"web"}
    assert machine.deadline == 5.0
    assert machine.handle_timer(now=5.0) == [BeginCheck("web", HTTP)]
    assert machine.receive("web", PASSED, now=5.1) == [
        HealthChanged("web", UNKNOWN, HEALTHY, ""),
        Publish(frozenset()),
    ]
    assert machine.unhealthy == frozenset()
    assert machine.deadline == pytest.approx(5.1 + HTTP.interval_s)


def test_the_very_first_result_counts_at_once_either_way() -> None:
    assert bench(HTTP, PASSED).state() is HEALTHY
    assert bench(HTTP, FAILED).state() is UNHEALTHY


def test_nothing_is_told_of_a_service_that_was_out_and_stays_out() -> None:
    down = bench(HTTP, REFUSED, REFUSED, FAILED)
    assert down.told == []
    assert down.changes == [HealthChanged("web", UNKNOWN, UNHEALTHY, "nobody listens")]


def test_it_takes_as_many_failures_in_a_row_as_fall_says_and_they_come_fast() -> None:
    web = bench(HTTP, PASSED)
    assert [web.turn(FAILED), web.turn(FAILED)] == [HTTP.interval_s, FAST_S]
    assert web.state() is HEALTHY
    assert web.turn(PASSED) == FAST_S  # that one undoes both
    assert [web.turn(FAILED), web.turn(FAILED), web.turn(FAILED)] == [HTTP.interval_s, FAST_S, FAST_S]
    assert web.changes[-1] == HealthChanged("web", HEALTHY, UNHEALTHY, "status 503")


def test_it_takes_as_many_passes_in_a_row_as_rise_says() -> None:
    web = bench(HTTP, FAILED)
    # It is there and says that it cannot work yet: no reason to ask it more often than its owner wants.
    assert [web.turn(FAILED), web.turn(PASSED), web.turn(FAILED)] == [
        HTTP.interval_s,
        HTTP.interval_s,
        FAST_S,
    ]
    assert web.state() is UNHEALTHY
    assert [web.turn(PASSED), web.turn(PASSED)] == [HTTP.interval_s, FAST_S]
    assert web.changes[-1] == HealthChanged("web", UNHEALTHY, HEALTHY, "")


def test_one_refused_connection_is_enough_and_nobody_is_there_to_be_asked_too_often() -> None:
    web = bench(LISTENS, PASSED)
    web.turn(REFUSED)
    assert web.state() is UNHEALTHY
    assert web.told[-1] == (web.now, {"web"})
    assert [web.turn(REFUSED), web.turn(REFUSED), web.turn(PASSED)] == [FAST_S] * 3
    assert web.state() is HEALTHY
    assert web.turn(PASSED) == LISTENS.interval_s


def test_a_check_that_could_not_be_made_says_nothing_of_the_app() -> None:
    web = bench(HTTP, PASSED)
    assert [web.turn(NO_FILES) for _ in range(5)] == [HTTP.interval_s] + [FAST_S] * 4
    assert web.state() is HEALTHY
    assert bench(HTTP, NO_FILES).state() is UNKNOWN


def test_an_interval_that_is_shorter_than_fast_is_kept() -> None:
    web = bench(evolve(LISTENS, interval_s=0.1), REFUSED)
    assert web.turn(REFUSED) == 0.1


def test_a_sign_that_the_app_may_be_gone_has_it_checked_at_once_but_not_more_often_than_fast() -> None:
    web = bench(LISTENS, PASSED)
    web.now = 1.0
    web.machine.look_again("web", now=1.0)
    # Twice: it may have closed that connection first, and its port a moment later.
    assert [web.turn(PASSED), web.turn(PASSED), web.turn(PASSED)] == [0.0, SOON_S, LISTENS.interval_s]
    waited = []
    for _ in range(5):  # a sign after each check, and several
        web.machine.look_again("web", now=web.now)
        web.machine.look_again("web", now=web.now)
        waited.append(web.turn(PASSED))
    assert waited == [FAST_S, SOON_S, FAST_S, SOON_S, FAST_S]
    web.machine.look_again("another", now=web.now)


def test_a_sign_that_comes_while_a_check_runs_is_not_forgotten() -> None:
    machine = Health({"web": LISTENS}, rng=Dice(), now=0.0)
    machine.handle_timer(now=0.0)
    machine.look_again("web", now=0.1)
    assert machine.deadline == inf  # one check of a service at a time
    machine.receive("web", PASSED, now=0.1)
    assert machine.deadline == pytest.approx(0.1 + FAST_S)


def test_what_several_services_do_at_once_is_told_in_two_records() -> None:
    many = Bench(Health({f"web-{n}": LISTENS for n in range(64)}, rng=Dice(), now=0.0))
    many.turn(PASSED)
    many.now = many.machine.deadline
    assert many.now == GATHER_S
    many.note(many.machine.handle_timer(now=many.now))
    assert [len(unhealthy) for _, unhealthy in many.told] == [63, 0]


def test_a_flapping_service_leaves_at_once_and_its_coming_back_is_rationed() -> None:
    web = bench(LISTENS, PASSED)
    for _ in range(RECOVERIES):
        web.turn(REFUSED)
        web.turn(PASSED)
        assert web.state() is HEALTHY
    web.turn(REFUSED)
    web.turn(PASSED)
    assert web.state() is UNHEALTHY
    assert "it came and went 4 times" in web.machine.watched["web"].why
    began = web.now
    while web.state() is UNHEALTHY:
        assert web.turn(PASSED) <= LISTENS.interval_s
    assert web.now - began < RECOVERY_S
    web.now += RECOVERIES * RECOVERY_S
    web.turn(PASSED)
    web.turn(REFUSED)
    web.turn(PASSED)
    assert web.state() is HEALTHY


OUTCOMES = st.lists(st.sampled_from([PASSED, FAILED, REFUSED, NO_FILES]), min_size=1, max_size=300)
CHECKS = st.builds(
    HealthCheck,
    st.just(HttpCheck("/")),
    interval_s=st.floats(0.05, 30),
    rise=st.integers(1, 4),
    fall=st.integers(1, 4),
)


@given(check=CHECKS, outcomes=OUTCOMES, seed=st.integers(0, 2**32))
def test_whatever_the_results_are_the_laws_hold(
    check: HealthCheck, outcomes: list[Outcome], seed: int
) -> None:
    web = Bench(Health({"web": check}, rng=random.Random(seed), now=0.0))
    counted: list[Outcome] = []
    for outcome in outcomes:
        was = web.state()
        waited = web.turn(outcome)
        assert len(counted) == 0 or waited <= check.interval_s * (1 + JITTER) + 1e-6
        if outcome is NO_FILES:
            assert web.state() is was
            continue
        counted.append(outcome)
        if was is UNHEALTHY and web.state() is HEALTHY:
            assert counted[-check.rise :] == [PASSED] * check.rise
        if was is HEALTHY and web.state() is UNHEALTHY:
            in_a_row = all(each is not PASSED for each in counted[-check.fall :])
            assert outcome is REFUSED or (in_a_row and len(counted) >= check.fall)
        if outcome is REFUSED:
            assert web.state() is UNHEALTHY
        assert (web.state() is HEALTHY) is ("web" not in web.machine.unhealthy)


@given(outcomes=OUTCOMES, seed=st.integers(0, 2**32))
def test_no_app_makes_its_node_sign_more_records_than_others_gossip_on(
    outcomes: list[Outcome], seed: int
) -> None:
    web = Bench(Health({"web": LISTENS}, rng=random.Random(seed), now=0.0))
    for outcome in outcomes:
        web.turn(outcome)
    for first, (at, _) in enumerate(web.told):
        for last, (then, _) in enumerate(web.told[first:], first):
            assert last - first + 1 <= BURST + RELAYED_PER_S * (then - at) + 1e-6
    assert all(one != other for (_, one), (_, other) in zip(web.told, web.told[1:], strict=False))
