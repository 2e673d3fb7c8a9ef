"""How long a suspect may stay silent, and when silence is death."""

from __future__ import annotations

import math

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.identity.accusation import Accusation
from gossipmesh.identity.signed import Signed
from gossipmesh.membership.members import Contact
from gossipmesh.membership.parameters import LAN
from gossipmesh.membership.suspicion import (
    Suspicion,
    Verdict,
    suspicion_min_s,
    suspicion_timeout_s,
    wanted_accusers,
)
from gossipmesh.model import NodeId

US, SUBJECT = NodeId(b"u" * 32), NodeId(b"s" * 32)
OTHERS = [NodeId(bytes([number]) * 32) for number in range(5)]


def accusation(accuser: NodeId) -> Accusation:
    return Accusation(accuser, SUBJECT, 1, 0, 0, Signed(accuser, accuser, b""))


def suspicion(mesh_size: int = 8, *accusers: NodeId) -> Suspicion:
    begun = Suspicion((1, 0), mesh_size=mesh_size, parameters=LAN, now=100.0)
    for accuser in accusers:
        begun.add(accusation(accuser), now=100.0)
    return begun


@pytest.mark.parametrize(("size", "seconds"), [(1, 4.0), (2, 4.0), (10, 4.0), (100, 8.0), (1_000, 12.0)])
def test_the_least_time_grows_with_the_logarithm_of_the_mesh(size: int, seconds: float) -> None:
    assert suspicion_min_s(alpha=4.0, mesh_size=size, period_s=1.0) == pytest.approx(seconds)


@pytest.mark.parametrize(("size", "wanted"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3), (1_000, 3)])
def test_small_meshes_want_no_more_accusers_than_they_have(size: int, wanted: int) -> None:
    assert wanted_accusers(most=3, mesh_size=size) == wanted


def test_confirmations_bring_the_time_from_the_most_to_the_least_logarithmically() -> None:
    times = [suspicion_timeout_s(c, wanted=3, min_s=4.0, max_s=24.0) for c in range(5)]
    assert times == pytest.approx([24.0, 14.0, 24 - 20 * math.log(3) / math.log(4), 4.0, 4.0])


def test_where_nobody_else_could_confirm_the_least_time_applies_at_once() -> None:
    assert suspicion_timeout_s(0, wanted=0, min_s=4.0, max_s=24.0) == 4.0


@given(st.integers(0, 20), st.integers(0, 15), st.floats(0.1, 100), st.floats(1, 10))
def test_the_time_never_leaves_its_bounds_and_never_rises_with_confirmations(
    confirmations: int, wanted: int, least: float, factor: float
) -> None:
    most = least * factor
    here = suspicion_timeout_s(confirmations, wanted=wanted, min_s=least, max_s=most)
    assert least <= here <= most
    assert suspicion_timeout_s(confirmations + 1, wanted=wanted, min_s=least, max_s=most) <= here


@pytest.mark.parametrize(
    ("size", "accusers", "expires_at"),
    [(2, 1, 104.0), (3, 1, 124.0), (3, 2, 104.0), (8, 1, 124.0), (8, 2, 114.0), (8, 4, 104.0)],
)
def test_the_first_accuser_begins_it_and_the_others_shorten_it(
    size: int, accusers: int, expires_at: float
) -> None:
    assert suspicion(size, *OTHERS[:accusers]).expires_at == pytest.approx(expires_at)


def test_it_is_full_when_one_more_accuser_would_change_nothing() -> None:
    assert not suspicion(8, *OTHERS[:3]).full
    assert suspicion(8, *OTHERS[:4]).full
    assert suspicion(2, US).full


def test_the_time_that_we_were_not_running_does_not_count() -> None:
    doubted = suspicion(2, US)
    doubted.extend(7.0)
    assert doubted.expires_at == 111.0


def test_a_reopened_suspicion_begins_again_with_the_same_accusers() -> None:
    doubted = suspicion(2, US)
    doubted.extend(5.0)
    doubted.reopen(now=200.0)
    assert doubted.expires_at == 204.0
    assert doubted.accusers == (US,)


SILENT = Contact(alive_at=99.0, silent_at=99.5, failed_at=100.5)


@pytest.mark.parametrize(
    ("accusers", "contact", "verdict"),
    [
        pytest.param([US], SILENT, Verdict.DEAD, id="our own probe failed since it began"),
        pytest.param([US], evolve(SILENT, alive_at=101.0), Verdict.ALIVE, id="it failed, then was answered"),
        pytest.param(OTHERS[:1], Contact(alive_at=100.0), Verdict.ALIVE, id="it answers, whatever one says"),
        pytest.param(OTHERS, Contact(alive_at=100.0), Verdict.ALIVE, id="it answers, whatever all say"),
        pytest.param(OTHERS[:1], Contact(alive_at=99.0), Verdict.UNKNOWN, id="one member's word is no proof"),
        pytest.param(OTHERS[:2], Contact(), Verdict.UNKNOWN, id="fewer than are wanted"),
        pytest.param(OTHERS[:3], Contact(alive_at=99.0), Verdict.UNKNOWN, id="only words, however many"),
        pytest.param(
            OTHERS[:1],
            Contact(silent_at=90.0, failed_at=91.0),
            Verdict.UNKNOWN,
            id="a failure from before it",
        ),
    ],
)
def test_the_verdict(accusers: list[NodeId], contact: Contact, verdict: Verdict) -> None:
    assert suspicion(8, *accusers).judge(contact) is verdict


def test_in_a_mesh_of_three_the_other_member_alone_buries_nobody() -> None:
    assert suspicion(3, OTHERS[0]).judge(Contact()) is Verdict.UNKNOWN


def test_an_answer_older_than_the_last_accusation_does_not_settle_it() -> None:
    doubted = suspicion(8, OTHERS[0])
    doubted.add(accusation(OTHERS[1]), now=103.0)
    assert doubted.judge(Contact(alive_at=102.0)) is Verdict.UNKNOWN
    assert doubted.judge(Contact(alive_at=103.0)) is Verdict.ALIVE


def test_only_the_word_of_others_since_our_last_answer_counts_against_routing() -> None:
    doubted = suspicion(8, US, OTHERS[0])
    doubted.add(accusation(OTHERS[1]), now=103.0)
    assert doubted.foreign_since(50.0, own=US) == 2
    assert doubted.foreign_since(101.0, own=US) == 1


def test_the_latest_accusation_is_the_one_to_show_and_a_fresh_one_replaces_its_accusers_old_one() -> None:
    doubted = suspicion(8, US, OTHERS[0])
    doubted.add(accusation(US), now=300.0)
    assert doubted.latest == accusation(US)
    assert doubted.latest_at == 300.0
    assert doubted.accusers == (US, OTHERS[0])
    assert suspicion(8).latest is None
