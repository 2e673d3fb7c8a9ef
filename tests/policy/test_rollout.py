"""Rollouts in stages: dialogues of one node, laws of the votes, and a mesh of a hundred nodes without a network."""

from __future__ import annotations

import math
from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh import wire
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.model import NodeId
from gossipmesh.policy.document import NO_DOCUMENT, PolicyDocument, Stage, new_document
from gossipmesh.policy.rollout import (
    TAG_BYTES,
    Enforce,
    Measured,
    Publish,
    Report,
    Rollout,
    Verdict,
    Voter,
    fails,
    gate_fails,
    most,
    passes,
    report_untrusted,
    takes_part,
)

TEXT = 'default = "allow"'
OLD = new_document(1, TEXT, signed_at=1)
DOCUMENT = new_document(
    2, TEXT, signed_at=2, before=OLD, stages=(Stage(200, 60), Stage(500, 60)), return_to=OLD.hash
)
TAG = DOCUMENT.hash[:TAG_BYTES]
NODES = [NodeId(number.to_bytes(32, "big")) for number in range(400)]
FIRST = [node for node in NODES if takes_part(node, 2, 200)]
SECOND = [node for node in NODES if takes_part(node, 2, 500) and node not in FIRST]
LAST = [node for node in NODES if node not in FIRST and node not in SECOND]
QUIET = Measured()
WELL = Measured(before=1_000, before_failed=10, since=1_000, since_failed=12)
BADLY = Measured(before=1_000, before_failed=10, since=100, since_failed=30)
A, B = b"token-a", b"token-b"


def report(stage: int, verdict: Verdict) -> Report:
    return Report(2, TAG, stage, verdict)


def voter(node: NodeId, token: bytes = A, *, stage: int = 0, verdict: Verdict = Verdict.WATCHING) -> Voter:
    return Voter(node, token, report(stage, verdict))


def rollout(node: NodeId, token: bytes = A, *, document: PolicyDocument = DOCUMENT) -> Rollout:
    return Rollout(document, node, token, now=0.0)


def test_a_document_without_stages_holds_at_once() -> None:
    plain = rollout(NODES[0], document=OLD)
    assert plain.enforced == OLD.hash
    assert plain.report == Report(1, OLD.hash[:TAG_BYTES], 0, Verdict.DONE)
    assert plain.deadline == math.inf
    assert plain.count([], QUIET, now=1.0) == []


def test_a_node_of_the_first_stage_applies_watches_and_tells() -> None:
    node = rollout(FIRST[0])
    waiting = [voter(each) for each in FIRST[1:10]]
    assert node.enforced == DOCUMENT.hash
    assert node.deadline == 60.0
    assert node.count(waiting, WELL, now=59.0) == []
    assert node.count(waiting, WELL, now=60.0) == [Publish(report(0, Verdict.PASSED))]
    assert node.deadline == math.inf
    passed = [voter(each, verdict=Verdict.PASSED) for each in FIRST[1:10]]
    assert node.count(passed, WELL, now=61.0) == [Publish(report(1, Verdict.WATCHING))]
    assert node.deadline == 121.0


def test_a_node_of_a_later_stage_goes_by_the_document_before_until_then() -> None:
    node = rollout(SECOND[0])
    assert node.enforced == OLD.hash
    first = [voter(each, verdict=Verdict.PASSED) for each in FIRST[:9]]
    assert node.count([*first, voter(FIRST[9])], WELL, now=1.0) == [
        Enforce(DOCUMENT.hash),
        Publish(report(1, Verdict.WATCHING)),
    ]
    assert rollout(LAST[0]).count(first, WELL, now=1.0) == [Publish(report(1, Verdict.WATCHING))]


def test_the_end_of_a_hold_is_not_enough_for_the_next_stage() -> None:
    node = rollout(SECOND[0])
    first = [voter(each, verdict=Verdict.PASSED) for each in FIRST[:7]]
    waiting = [voter(each) for each in FIRST[7:10]]
    assert node.count([*first, *waiting], WELL, now=1_000_000.0) == []
    assert node.deadline == math.inf


def test_when_the_last_stage_has_passed_the_document_holds_everywhere() -> None:
    node = rollout(LAST[0])
    passed = [voter(each, stage=1, verdict=Verdict.PASSED) for each in (*FIRST[:4], *SECOND[:4])]
    assert node.count(passed, WELL, now=1.0) == [Enforce(DOCUMENT.hash), Publish(report(1, Verdict.DONE))]
    assert node.count(passed, BADLY, now=2.0) == []


def test_who_comes_a_week_later_goes_by_the_document_at_once() -> None:
    done = [voter(each, stage=1, verdict=Verdict.DONE) for each in NODES[:20]]
    assert rollout(NODES[30]).count(done, QUIET, now=0.0)[-1] == Publish(report(0, Verdict.DONE))
    late = rollout(LAST[0])
    late.count(done, QUIET, now=0.0)
    assert late.enforced == DOCUMENT.hash


def test_who_comes_in_the_middle_joins_the_stage_that_the_others_are_in() -> None:
    node = rollout(SECOND[0])
    node.count([voter(each, stage=1) for each in (*FIRST[:5], *SECOND[1:5], *LAST[:5])], QUIET, now=0.0)
    assert node.report == report(1, Verdict.WATCHING)
    assert node.deadline == 60.0


def test_a_stage_in_which_nobody_takes_part_is_waited_out() -> None:
    node = rollout(LAST[0])
    others = [voter(each) for each in LAST[1:4]]
    assert node.deadline == 60.0
    assert node.count(others, QUIET, now=59.0) == []
    assert node.count(others, QUIET, now=60.0) == [Publish(report(1, Verdict.WATCHING))]
    assert node.deadline == 120.0
    assert node.count(others, QUIET, now=120.0) == [Enforce(DOCUMENT.hash), Publish(report(1, Verdict.DONE))]


def test_a_stage_in_which_nobody_takes_part_is_left_with_most_others() -> None:
    node = rollout(LAST[0])
    node.count([voter(LAST[1], stage=1), voter(LAST[2], stage=1), voter(LAST[3])], QUIET, now=1.0)
    assert node.report == report(1, Verdict.WATCHING)


def test_a_node_whose_requests_fail_says_so_and_never_takes_it_back() -> None:
    node = rollout(FIRST[0])
    others = [voter(each, token) for each in FIRST[1:10] for token in (A, B)]
    assert node.count(others, BADLY, now=1.0) == [Publish(report(0, Verdict.FAILED))]
    assert node.count(others, WELL, now=100.0) == []
    assert node.enforced == DOCUMENT.hash


def test_who_takes_no_part_has_no_verdict() -> None:
    node = rollout(SECOND[0])
    assert node.count([voter(each) for each in FIRST[:5]], BADLY, now=100.0) == []


def test_a_fifth_that_fails_returns_every_node() -> None:
    failed = [voter(FIRST[0], A, verdict=Verdict.FAILED), voter(FIRST[1], B, verdict=Verdict.FAILED)]
    others = [*(voter(each) for each in (*FIRST[3:10], *LAST[1:20])), *failed]
    node = rollout(FIRST[2])
    assert node.count(others, WELL, now=1.0) == [Enforce(OLD.hash), Publish(report(0, Verdict.RETURNED))]
    assert node.count(others[:5], WELL, now=1_000.0) == []
    assert rollout(LAST[0]).count(others, WELL, now=1.0) == [Publish(report(0, Verdict.RETURNED))]


def test_less_than_a_fifth_that_fails_returns_nobody() -> None:
    failed = [voter(FIRST[0], A, verdict=Verdict.FAILED), voter(FIRST[1], B, verdict=Verdict.FAILED)]
    others = [*(voter(each) for each in FIRST[2:12]), *(voter(each, B) for each in FIRST[12:21]), *failed]
    assert rollout(LAST[0]).count(others, WELL, now=1.0) == []


def test_a_mesh_of_one_token_returns_on_its_word_alone() -> None:
    others = [voter(FIRST[0], verdict=Verdict.FAILED), *(voter(each) for each in FIRST[1:5])]
    assert rollout(LAST[0]).count(others, WELL, now=1.0) == [Publish(report(0, Verdict.RETURNED))]


def test_a_failure_of_a_stage_that_is_over_still_returns_who_is_further() -> None:
    """So a node that heard of it late and one that heard of it in time end alike."""
    failed = [voter(FIRST[0], A, verdict=Verdict.FAILED), voter(FIRST[1], B, verdict=Verdict.FAILED)]
    others = [*(voter(each, stage=1) for each in (*FIRST[2:9], *SECOND[1:40])), *failed]
    node = Rollout(DOCUMENT, SECOND[0], A, kept=report(1, Verdict.WATCHING), now=0.0)
    assert node.count(others, WELL, now=1.0) == [Enforce(OLD.hash), Publish(report(1, Verdict.RETURNED))]


def test_many_members_of_one_token_cannot_drown_the_failures_of_two_others() -> None:
    crowd = [voter(each, b"crowd", verdict=Verdict.PASSED) for each in FIRST[10:70]]
    honest = [
        *(voter(each, A, verdict=Verdict.FAILED) for each in FIRST[:3]),
        *(voter(each, B, verdict=Verdict.FAILED) for each in FIRST[3:6]),
    ]
    assert fails(DOCUMENT, [*crowd, *honest])
    assert not passes(DOCUMENT, [*crowd, *honest], 0)


def test_reports_on_another_document_with_the_same_version_do_not_count() -> None:
    other = [Voter(each, A, Report(2, b"otherdoc", 0, Verdict.FAILED)) for each in FIRST[1:10]]
    node = rollout(FIRST[0])
    assert node.count(other, WELL, now=1.0) == []
    older = [Voter(each, A, Report(1, TAG, 0, Verdict.DONE)) for each in FIRST[1:10]]
    assert node.count(older, WELL, now=1.0) == []


@pytest.mark.parametrize(
    ("kept", "said", "enforced"),
    [
        (report(1, Verdict.WATCHING), report(1, Verdict.WATCHING), OLD.hash),
        (report(0, Verdict.PASSED), report(0, Verdict.WATCHING), OLD.hash),
        (report(1, Verdict.RETURNED), report(1, Verdict.RETURNED), OLD.hash),
        (report(1, Verdict.DONE), report(1, Verdict.DONE), DOCUMENT.hash),
        (Report(1, OLD.hash[:TAG_BYTES], 0, Verdict.DONE), report(0, Verdict.WATCHING), OLD.hash),
    ],
)
def test_a_restarted_node_goes_on_where_it_was(kept: Report, said: Report, enforced: bytes) -> None:
    node = Rollout(DOCUMENT, LAST[0], A, kept=kept, now=5.0)
    assert (node.report, node.enforced) == (said, enforced)


def test_the_first_document_of_a_mesh_returns_to_the_default() -> None:
    first = new_document(1, TEXT, signed_at=1, stages=(Stage(1, 60),))
    outside = next(node for node in NODES if not takes_part(node, 1, 1))
    assert rollout(outside, document=first).enforced == NO_DOCUMENT


@pytest.mark.parametrize(
    ("measured", "failing"),
    [
        (Measured(100, 0, 19, 19), False),
        (Measured(100, 0, 20, 1), False),
        (Measured(100, 0, 20, 2), True),
        (Measured(0, 0, 100, 6), True),
        (Measured(100, 50, 100, 55), False),
        (Measured(100, 50, 100, 56), True),
        (Measured(100, 50, 0, 0), False),
    ],
)
def test_the_gate_fails_on_a_rise_and_not_on_a_handful(measured: Measured, failing: bool) -> None:
    assert gate_fails(measured, Stage(100, 60, rise=50, requests=20)) is failing


def test_about_as_many_take_part_as_the_share_says_and_others_for_each_version() -> None:
    nodes = [NodeId(number.to_bytes(32, "little")) for number in range(10_000)]
    one = {node for node in nodes if takes_part(node, 7, 100)}
    assert 900 < len(one) < 1_100
    assert one < {node for node in nodes if takes_part(node, 7, 101)} | one
    assert len(one & {node for node in nodes if takes_part(node, 8, 100)}) < 200
    assert all(takes_part(node, 7, 1_000) for node in nodes)


def test_a_report_survives_the_way_through_a_record() -> None:
    for verdict in Verdict:
        packed = wire.pack(report(3, verdict).value)
        fields = wire.Fields(wire.unpack_untrusted(packed, code="record.malformed"), code="record.malformed")
        assert report_untrusted(fields) == report(3, verdict)


@pytest.mark.parametrize(
    "raw", [[0, TAG, 0, 0], [1, b"x", 0, 0], [1, TAG, 9, 0], [1, TAG, 0, 5], [1, TAG, 0], []]
)
def test_what_is_no_report_is_refused(raw: list[wire.Value]) -> None:
    with pytest.raises(RemoteProtocolError):
        report_untrusted(wire.Fields(list(raw), code="record.malformed"))


# --- laws ----------------------------------------------------------------------------------------------------

REPORTS = st.builds(report, st.integers(0, 1), st.sampled_from(Verdict))
VOTERS = st.lists(
    st.builds(Voter, st.sampled_from(NODES[:60]), st.sampled_from([A, B, b"c"]), st.none() | REPORTS),
    max_size=30,
    unique_by=lambda each: each.id,
)


@given(VOTERS, st.randoms(use_true_random=False))
def test_the_same_reports_give_the_same_answer_in_any_order(voters: list[Voter], rng: Random) -> None:
    shuffled = list(voters)
    rng.shuffle(shuffled)
    assert fails(DOCUMENT, voters) == fails(DOCUMENT, shuffled)
    for place in (0, 1):
        assert passes(DOCUMENT, voters, place) == passes(DOCUMENT, shuffled, place)
    for node in (FIRST[-1], SECOND[-1], LAST[-1]):
        ends = []
        for order in (voters, shuffled):
            machine = rollout(node, B)
            machine.count(order, QUIET, now=1.0)
            assert machine.count(order, QUIET, now=1.0) == []
            ends.append((machine.report, machine.enforced))
        assert ends[0] == ends[1]


@given(VOTERS, REPORTS)
def test_one_token_never_returns_a_mesh_of_two(voters: list[Voter], lie: Report) -> None:
    """Token A lies with all its members, any way it likes; those of others have no complaint."""
    said = [
        evolve(each, report=lie)
        if each.token == A
        else evolve(each, report=report(each.report.stage if each.report else 0, Verdict.WATCHING))
        for each in voters
    ]
    for node in (FIRST[-1], SECOND[-1], LAST[-1]):
        machine = rollout(node, B)
        for now in (0.0, 61.0, 122.0):
            machine.count([*said, voter(NODES[61], A)], WELL, now=now)
            assert machine.report.verdict is not Verdict.RETURNED


@given(VOTERS, st.lists(st.floats(0, 1e6), max_size=5))
def test_nothing_is_ever_enforced_but_the_document_and_the_one_before(
    voters: list[Voter], times: list[float]
) -> None:
    machine = rollout(LAST[-1])
    for now in sorted(times):
        for output in machine.count(voters, QUIET, now=now):
            if isinstance(output, Enforce):
                assert output.document in (DOCUMENT.hash, OLD.hash)
        assert machine.deadline > now


def test_most_is_more_than_half_of_the_tokens_by_more_than_half_of_their_own() -> None:
    said = [
        voter(NODES[0], A, verdict=Verdict.DONE),
        voter(NODES[1], A),
        voter(NODES[2], B, verdict=Verdict.DONE),
    ]

    def done(said: Report | None) -> bool:
        return said is not None and said.verdict is Verdict.DONE

    assert not most(said, done, wanted=1)
    assert most([*said, voter(NODES[3], A, verdict=Verdict.DONE)], done, wanted=2)
    assert not most([], done, wanted=1)
