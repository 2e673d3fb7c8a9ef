"""What one node knows of one endpoint."""

from __future__ import annotations

import math
from types import ModuleType

import pytest

from gossipmesh.routing.balancing.load import (
    FAILURE_LATENCY_S,
    LATENCY_MEMORY_S,
    REPORT_FRESH_S,
    EndpointLoad,
    Result,
)


def measured(lab: ModuleType, *latencies_s: float, now: float = 0.0) -> EndpointLoad:
    load: EndpointLoad = lab.load("a")
    for latency_s in latencies_s:
        load.in_flight += 1
        load.ended(Result.ANSWERED, latency_s=latency_s, report=None, now=now)
    return load


def test_a_peak_counts_at_once_and_what_is_below_only_by_and_by(lab: ModuleType) -> None:
    load = measured(lab, 0.010, 0.500)
    assert load.latency_s(0.0) == 0.5
    load.ended(Result.ANSWERED, latency_s=0.010, report=None, now=0.1)
    latency_s = load.latency_s(0.1)
    assert latency_s is not None
    assert 0.48 < latency_s < 0.5


def test_a_latency_fades_while_nothing_is_measured(lab: ModuleType) -> None:
    assert measured(lab, 0.1).latency_s(LATENCY_MEMORY_S) == pytest.approx(0.1 / math.e)


def test_a_new_endpoint_gets_one_request_at_a_time_until_its_first_answer(lab: ModuleType) -> None:
    new, known = lab.load("new"), measured(lab, 0.010)
    known.in_flight = 50
    assert new.latency_cost(0.0, 1.0) < known.latency_cost(0.0, 1.0)
    new.in_flight = 1
    assert new.latency_cost(0.0, 1.0) > known.latency_cost(0.0, 1.0)
    new.ended(Result.ANSWERED, latency_s=0.010, report=None, now=0.0)
    assert new.latency_cost(0.0, 1.0) == pytest.approx(0.010)


def test_requests_in_flight_make_it_dearer_by_weight(lab: ModuleType) -> None:
    light, heavy = lab.load("light", 1), lab.load("heavy", 3)
    for load in (light, heavy):
        load.in_flight = 4
        load.ended(Result.ANSWERED, latency_s=0.1, report=None, now=0.0)
    assert light.request_cost(0.0) == 3 * heavy.request_cost(0.0) == 3.0
    assert light.latency_cost(0.0, 2.0) == pytest.approx(0.1 * 7)
    assert heavy.latency_cost(0.0, 2.0) == pytest.approx(0.1 * 3)


def test_a_report_counts_what_others_have_there_and_fades_within_a_second(lab: ModuleType) -> None:
    load = lab.load("a")
    load.in_flight = 10
    load.ended(Result.ANSWERED, latency_s=0.1, report=18, now=5.0)
    assert load.load(5.0) == 9 + 8
    assert load.load(5.0 + REPORT_FRESH_S / 2) == 9 + 4
    assert load.load(5.0 + REPORT_FRESH_S) == 9


def test_whatever_is_reported_it_outweighs_our_own_requests_by_one_at_most(lab: ModuleType) -> None:
    load = lab.load("a")
    load.in_flight = 4
    load.ended(Result.ANSWERED, latency_s=0.1, report=1_000_000, now=5.0)
    assert load.load(5.0) == 3 + 4


def test_a_report_below_what_we_have_there_ourselves_is_nothing_about_others(lab: ModuleType) -> None:
    load = lab.load("a")
    load.in_flight = 5
    load.ended(Result.ANSWERED, latency_s=0.1, report=1, now=0.0)
    assert load.load(0.0) == 4


def test_who_fails_at_once_is_dear_however_idle_and_is_forgiven_in_time(lab: ModuleType) -> None:
    busy, failing = measured(lab, 0.050), measured(lab, 0.050)
    busy.in_flight = 40
    for _ in range(50):
        failing.in_flight += 1
        failing.ended(Result.FAILED, latency_s=0.001, report=None, now=1.0)
    assert failing.request_cost(1.0) > busy.request_cost(1.0)
    assert failing.latency_cost(1.0, 1.0) > busy.latency_cost(1.0, 1.0)
    assert failing.failing(1.0) > 0.95
    assert failing.latency_s(1.0) == FAILURE_LATENCY_S
    assert failing.failing(60.0) == failing.request_cost(60.0) == 0.0


def test_a_failure_that_is_old_is_outweighed_by_answers(lab: ModuleType) -> None:
    load = measured(lab, 0.050)
    load.ended(Result.FAILED, latency_s=0.001, report=None, now=0.0)
    assert load.failing(0.0) == 1 / 8
    for _ in range(20):
        load.ended(Result.ANSWERED, latency_s=0.05, report=None, now=0.0)
    assert load.failing(0.0) == 0.0


def test_what_nobody_waited_for_says_only_that_it_took_that_long_at_least(lab: ModuleType) -> None:
    load = measured(lab, 0.050)
    load.ended(Result.UNKNOWN, latency_s=0.001, report=None, now=0.0)
    assert load.latency_s(0.0) == 0.050
    load.ended(Result.UNKNOWN, latency_s=3.0, report=None, now=0.0)
    assert load.latency_s(0.0) == 3.0
    assert load.failing(0.0) == 0.0
    new = lab.load("b")
    new.ended(Result.UNKNOWN, latency_s=3.0, report=None, now=0.0)
    assert new.latency_s(0.0) is None


def test_ends_that_were_never_begun_do_not_make_it_less_than_idle(lab: ModuleType) -> None:
    assert measured(lab, 0.1).in_flight == 0
    load = lab.load("a")
    load.ended(Result.ANSWERED, latency_s=0.1, report=None, now=0.0)
    assert load.in_flight == 0


def test_the_weight_of_a_new_endpoint_rises_from_a_tenth_to_the_whole(lab: ModuleType) -> None:
    load = EndpointLoad(lab.endpoint("a", 10), since=100.0)
    weights = []
    for now in (100.0, 101.0, 105.0, 110.0, 200.0):
        rising = load.ramp(10.0, now)
        weights.append((load.weight, rising))
    assert weights == [(1.0, True), (1.0, True), (5.0, True), (10, False), (10, False)]


def test_an_endpoint_that_is_no_news_has_its_whole_weight(lab: ModuleType) -> None:
    load = lab.load("a", 10)
    assert not load.ramp(10.0, 0.0)
    assert load.weight == 10
