"""One service's balancer: counted over many requests, and explained."""

from __future__ import annotations

import random
from collections import Counter
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.model import Endpoint
from gossipmesh.routing.balancing.load import Result
from gossipmesh.routing.balancing.service import MAX_GONE
from gossipmesh.routing.traffic import BALANCERS, Share, Sticky, Traffic

MANY = 10_000
SPLIT = (Share("v1", 90), Share("v2", 10))


@pytest.mark.parametrize("name", ["round-robin", "weighted"])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_turns_are_even_within_one_at_every_moment(lab: ModuleType, name: str, count: int) -> None:
    balancer, among = lab.balancer(Traffic(name)), lab.candidates(*lab.endpoints(*[1] * count))
    got = Counter(dict.fromkeys((one.node for one in among), 0))
    for _ in range(3 * count + 1):
        got.update(lab.picks(balancer, among, 1))
        assert max(got.values()) - min(got.values()) <= 1


@pytest.mark.parametrize("name", BALANCERS)
@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3), (5, 1, 1), (0, 2, 2), (100, 50, 10, 1)])
def test_weights_are_kept_within_two_percent_over_ten_thousand(
    lab: ModuleType, name: str, weights: tuple[int, ...]
) -> None:
    balancer, among = lab.balancer(Traffic(name)), lab.candidates(*lab.endpoints(*weights))
    for one in among:  # For ewma: all as quick as each other.
        balancer.began(one)
        balancer.ended(one.id, Result.ANSWERED, latency_s=0.01, now=0.0)
    got = lab.picks(balancer, among, MANY)
    for number, weight in enumerate(weights):
        assert got[f"n{number:04}"] / MANY == pytest.approx(weight / sum(weights), abs=0.02)


def test_an_endpoint_that_comes_or_goes_gets_no_more_and_no_less_than_its_part(lab: ModuleType) -> None:
    balancer, some = lab.balancer(Traffic("weighted")), lab.endpoints(1, 2, 3)
    lab.picks(balancer, lab.candidates(*some[:2]), 1_000)
    assert lab.picks(balancer, lab.candidates(*some), 600)["n0002"] == pytest.approx(300, abs=2)
    assert lab.picks(balancer, lab.candidates(*some[1:]), 500)["n0001"] == pytest.approx(200, abs=2)


@pytest.mark.parametrize("name", BALANCERS)
def test_a_split_is_kept_within_two_percent_of_each_part(lab: ModuleType, name: str) -> None:
    among = lab.candidates(*(lab.endpoint(node, 1, "v2" if node == "d" else "v1") for node in "abcd"))
    got = lab.picks(lab.balancer(Traffic(name, split=SPLIT)), among, MANY)
    assert got["d"] == pytest.approx(MANY / 10, rel=0.02)


def test_zones_are_kept_while_they_have_their_share_and_spill_what_is_too_much(lab: ModuleType) -> None:
    some = [lab.endpoint("a", zone="near"), lab.endpoint("b", zone="far"), lab.endpoint("c", zone="far")]
    balancer = lab.balancer(Traffic())
    alone = lab.candidates(*some, zone="near", callers={"near": 1, "far": 2})
    assert lab.picks(balancer, alone, MANY) == {"a": MANY}
    crowded = lab.candidates(*some, zone="near", callers={"near": 2, "far": 1})
    got = lab.picks(balancer, crowded, MANY)
    assert got["a"] == pytest.approx(MANY / 2, rel=0.02)
    assert got["b"] == pytest.approx(MANY / 4, rel=0.02)


@pytest.mark.parametrize("name", BALANCERS)
def test_a_new_endpoint_gets_a_tenth_of_its_part_at_first_and_all_of_it_in_the_end(
    lab: ModuleType, name: str
) -> None:
    balancer, some = lab.balancer(Traffic(name, slow_start_s=10.0)), lab.endpoints(10, 10, 10)
    assert lab.picks(balancer, lab.candidates(*some[:2]), 100)["n0000"] == pytest.approx(50, abs=20)
    among = lab.candidates(*some)
    lab.picks(balancer, among, 1, now=100.0)
    for one in among:
        balancer.began(one)
        balancer.ended(one.id, Result.ANSWERED, latency_s=0.01, now=100.0)
    parts = [
        lab.picks(balancer, among, 3_000, now=100.0 + after)["n0002"] / 3_000 for after in (0.1, 5.0, 10.0)
    ]
    assert parts == pytest.approx([0.1 / 2.1, 0.5 / 2.5, 1 / 3], abs=0.03)


@pytest.mark.parametrize("name", ["least-request", "ewma"])
def test_who_fails_at_once_attracts_nothing(lab: ModuleType, name: str) -> None:
    balancer, among = lab.balancer(Traffic(name)), lab.candidates(*lab.endpoints(1, 1, 1))
    failed, under_way, now = 0, list[Endpoint](), 0.0
    for _ in range(5_000):
        now += 0.001
        chosen = balancer.pick(among, now=now)
        assert chosen is not None
        balancer.began(chosen)
        if chosen.node == "n0000":
            failed += 1
            balancer.ended(chosen.id, Result.FAILED, latency_s=0.0001, now=now)
            continue
        under_way.append(chosen)
        if len(under_way) > 30:
            balancer.ended(under_way.pop(0).id, Result.ANSWERED, latency_s=0.030, now=now)
    assert failed <= 0.01 * 5_000


def test_the_less_busy_of_two_is_taken(lab: ModuleType) -> None:
    balancer, among = lab.balancer(Traffic("least-request")), lab.candidates(*lab.endpoints(1, 1))
    balancer.pick(among, now=0.0)
    balancer.began(among[0])
    assert lab.picks(balancer, among, 50) == {"n0001": 50}
    balancer.ended(among[0].id, Result.ANSWERED, latency_s=0.1, now=0.0)
    balancer.began(among[1])
    balancer.ended(among[1].id, Result.ANSWERED, latency_s=0.1, report=9, now=0.0)
    assert lab.picks(balancer, among, 50) == {"n0000": 50}
    assert set(lab.picks(balancer, among, 50, now=2.0)) == {"n0000", "n0001"}


def test_who_was_tried_is_not_taken_again(lab: ModuleType) -> None:
    for name in BALANCERS:
        balancer, among = lab.balancer(Traffic(name)), lab.candidates(*lab.endpoints(1, 2, 1))
        tried = set()
        for _ in among:
            chosen = balancer.pick(among, now=0.0, tried=tried)
            assert chosen is not None
            tried.add(chosen.id)
        assert len(tried) == 3
        assert balancer.pick(among, now=0.0, tried=tried) is None
    assert lab.balancer(Traffic()).pick(lab.candidates(), now=0.0) is None


def test_a_retry_in_turn_takes_the_next_and_the_turn_goes_on_behind_it(lab: ModuleType) -> None:
    balancer, among = lab.balancer(Traffic()), lab.candidates(*(lab.endpoint(name) for name in "abc"))
    first = balancer.pick(among, now=0.0)
    second = balancer.pick(among, now=0.0, tried={first.id})
    third = balancer.pick(among, now=0.0)
    assert [first.node, second.node, third.node] == ["a", "b", "c"]


# --- sessions ----------------------------------------------------------------------------------------------------


def token(header: bytes) -> bytes:
    return header.partition(b";")[0].partition(b"=")[2]


def test_a_cookie_leads_back_to_its_endpoint_through_every_unrelated_change(lab: ModuleType) -> None:
    balancer = lab.balancer(Traffic(sticky=Sticky("cookie", "gm")))
    some = lab.endpoints(1, 1, 1, 1)
    among = lab.candidates(*some)
    sessions = {}
    for _ in range(8):
        chosen = balancer.pick(among, now=0.0)
        sessions[token(balancer.cookie(chosen, None))] = chosen
    assert len(sessions) == 4
    for picture in (among, lab.candidates(*some, lab.endpoint("new")), lab.candidates(*some[1:]), among):
        for session, endpoint in sessions.items():
            chosen = balancer.pick(picture, now=0.0, session=session)
            if endpoint in picture:
                assert chosen == endpoint
                assert balancer.cookie(chosen, session) is None
            else:
                assert chosen in picture
                assert token(balancer.cookie(chosen, session)) != session


def test_a_cookie_says_the_same_at_every_node_of_the_mesh_and_nothing_at_others(lab: ModuleType) -> None:
    traffic = Traffic("random", sticky=Sticky("cookie", "gm"))
    here, there = lab.balancer(traffic, seed=1), lab.balancer(traffic, seed=2)
    elsewhere = lab.balancer(traffic, seed=3, key=b"other")
    among = lab.candidates(*lab.endpoints(1, 1, 1, 1))
    elsewhere.pick(among, now=0.0)
    for _ in range(20):
        chosen = here.pick(among, now=0.0)
        session = token(here.cookie(chosen, None))
        there.pick(among, now=0.0)
        assert there.pick(among, now=0.0, session=session) == chosen
        assert elsewhere.explain(among, now=0.0, session=session).session == ""


@pytest.mark.parametrize("forged", [b"", b"0" * 32, b"\xff" * 4_000])
def test_a_forged_cookie_is_as_good_as_none(lab: ModuleType, forged: bytes) -> None:
    balancer = lab.balancer(Traffic(sticky=Sticky("cookie", "gm")))
    among = lab.candidates(*(lab.endpoint(name) for name in "ab"))
    chosen = [balancer.pick(among, now=0.0, session=forged) for _ in range(4)]
    assert [one.node for one in chosen] == ["a", "b", "a", "b"]
    assert balancer.cookie(chosen[0], forged).startswith(b"gm=")


def test_a_cookie_for_a_part_that_gets_nothing_any_more_is_given_up(lab: ModuleType) -> None:
    among = lab.candidates(lab.endpoint("a", 1, "v1"), lab.endpoint("b", 1, "v2"))
    sticky = Sticky("cookie", "gm")
    before = lab.balancer(Traffic(sticky=sticky, split=(Share("v1", 50), Share("v2", 50))))
    session = token(before.cookie(among[1], None))
    before.pick(among, now=0.0)
    assert before.pick(among, now=0.0, session=session).node == "b"
    after = lab.balancer(Traffic(sticky=sticky, split=(Share("v1", 100), Share("v2", 0))))
    after.pick(among, now=0.0)
    assert after.pick(among, now=0.0, session=session).node == "a"


def test_a_session_whose_endpoint_just_failed_goes_elsewhere(lab: ModuleType) -> None:
    among = lab.candidates(*(lab.endpoint(name) for name in "abc"))
    for sticky in (Sticky("cookie", "gm"), Sticky("header", "x-user"), Sticky("source")):
        balancer = lab.balancer(Traffic(sticky=sticky))
        first = balancer.pick(among, now=0.0)
        session = token(balancer.cookie(first, None)) if sticky.by == "cookie" else b"alice"
        first = balancer.pick(among, now=0.0, session=session)
        second = balancer.pick(among, now=0.0, session=session, tried={first.id})
        assert second not in (None, first)


@pytest.mark.parametrize("sticky", [Sticky("header", "x-user"), Sticky("source")])
def test_header_and_source_lead_every_node_to_the_same_endpoint(lab: ModuleType, sticky: Sticky) -> None:
    traffic = Traffic("random", sticky=sticky, split=SPLIT)
    here, there = lab.balancer(traffic, seed=1), lab.balancer(traffic, seed=2)
    among = lab.candidates(*(lab.endpoint(node, 1, "v2" if node == "d" else "v1") for node in "abcd"))
    found = Counter[str]()
    for number in range(3_000):
        session = b"user-%d" % number
        chosen = here.pick(among, now=0.0, session=session)
        assert there.pick(among, now=0.0, session=session) == chosen
        assert here.cookie(chosen, session) is None
        found[chosen.node] += 1
    assert found["d"] / 3_000 == pytest.approx(0.1, abs=0.02)


def test_a_retry_with_an_older_picture_changes_nothing_for_the_sessions_of_others(lab: ModuleType) -> None:
    traffic = Traffic(sticky=Sticky("header", "x-user"), split=(Share("v1", 50), Share("v2", 50)))
    one, *others = [lab.endpoint("a", 1, "v1"), *(lab.endpoint(node, 1, "v2") for node in "bcd")]
    newest, older = lab.candidates(one, *others), lab.candidates(one, others[0])
    shaken, calm = lab.balancer(traffic), lab.balancer(traffic)
    sessions = [b"user-%d" % number for number in range(50)]
    shaken.pick(newest, now=0.0)
    for session in sessions:
        assert shaken.pick(older, now=0.0, session=session, tried={one.id}) == others[0]
    for session in sessions:
        chosen = shaken.pick(newest, now=0.0, session=session)
        assert chosen == calm.pick(newest, now=0.0, session=session)


def test_hashed_sessions_move_only_when_their_own_endpoint_goes(lab: ModuleType) -> None:
    some = lab.endpoints(*[1] * 10)
    balancer, among = lab.balancer(Traffic(sticky=Sticky("header", "x-user"))), lab.candidates(*some)
    sessions = [b"user-%d" % number for number in range(2_000)]
    before = [balancer.pick(among, now=0.0, session=session) for session in sessions]
    fewer = lab.candidates(*some[1:])
    after = [balancer.pick(fewer, now=0.0, session=session) for session in sessions]
    moved = [one for one, other in zip(before, after, strict=True) if one != other]
    assert set(moved) == {some[0]}
    assert len(moved) <= 1.4 * 2_000 / 10
    assert [balancer.pick(among, now=0.0, session=session) for session in sessions] == before


def test_a_request_without_a_session_is_balanced_like_any_other(lab: ModuleType) -> None:
    balancer = lab.balancer(Traffic(sticky=Sticky("header", "x-user")))
    assert lab.picks(balancer, lab.candidates(*lab.endpoints(1, 1)), 10) == {"n0000": 5, "n0001": 5}


# --- statistics --------------------------------------------------------------------------------------------------


def test_statistics_outlive_pictures_and_are_forgotten_with_the_endpoint(lab: ModuleType) -> None:
    balancer, some = lab.balancer(Traffic("ewma")), lab.endpoints(1, 1)
    among = lab.candidates(*some)
    balancer.pick(among, now=0.0)
    for one in some:
        balancer.began(one)
        balancer.ended(one.id, Result.ANSWERED, latency_s=1.0 if one is some[0] else 0.1, now=0.0)
    known = [0.0 < one.score < 2.0 for one in balancer.scores(among, now=0.0)]
    balancer.pick(lab.candidates(some[0], lab.endpoint("n0001", 2)), now=0.0)
    balancer.pick(among, now=0.0)
    assert [0.0 < one.score < 2.0 for one in balancer.scores(among, now=0.0)] == known == [True, True]
    balancer.pick(lab.candidates(some[1]), now=0.0)
    balancer.pick(among, now=0.0)
    assert [one.score > 0.0 for one in balancer.scores(among, now=0.0)] == [False, True]


def test_requests_in_flight_to_one_that_is_gone_are_counted_until_they_end(lab: ModuleType) -> None:
    balancer, some = lab.balancer(Traffic("least-request")), lab.endpoints(1, 1)
    balancer.pick(lab.candidates(*some), now=0.0)
    balancer.began(some[0])
    balancer.pick(lab.candidates(some[1]), now=0.0)
    assert balancer.in_flight(some[0].id) == 1
    balancer.ended(some[0].id, Result.ANSWERED, latency_s=0.1, now=0.0)
    balancer.pick(lab.candidates(some[1], lab.endpoint("new")), now=0.0)
    balancer.ended(some[0].id, Result.ANSWERED, latency_s=0.1, now=0.0)
    assert balancer.in_flight(some[0].id) == 0


def test_how_many_of_the_gone_are_remembered_is_bounded(lab: ModuleType) -> None:
    balancer, some = lab.balancer(Traffic()), lab.endpoints(*[1] * (MAX_GONE + 2))
    balancer.pick(lab.candidates(*some), now=0.0)
    for one in some:
        balancer.began(one)
    balancer.pick(lab.candidates(some[0]), now=0.0)
    assert sum(balancer.in_flight(one.id) for one in some) == MAX_GONE + 1
    assert balancer.in_flight(some[1].id) == 0


# --- explaining --------------------------------------------------------------------------------------------------


@given(
    name=st.sampled_from(BALANCERS),
    sticky=st.sampled_from([None, Sticky("cookie", "gm"), Sticky("header", "x"), Sticky("source")]),
    split=st.sampled_from([(), SPLIT, (Share("v1", 100), Share("v3", 0)), (Share("v9", 100),)]),
    weights=st.lists(st.integers(0, 3), min_size=1, max_size=6),
    slow_start_s=st.sampled_from([0.0, 5.0]),
    seed=st.integers(0, 1_000_000),
)
def test_an_explanation_is_the_choice_itself_and_changes_nothing(
    lab: ModuleType,
    name: str,
    sticky: Sticky | None,
    split: tuple[Share, ...],
    weights: list[int],
    slow_start_s: float,
    seed: int,
) -> None:
    dice = random.Random(seed)
    balancer = lab.balancer(Traffic(name, sticky, split, slow_start_s=slow_start_s), seed=seed)
    every = [
        lab.endpoint(f"n{number}", weight, dice.choice(("v1", "v2", "v3")), zone=dice.choice(("", "a", "b")))
        for number, weight in enumerate(weights)
    ]
    now, sessions = 0.0, [None, b"alice", b"bob", b"0" * 32]
    for _ in range(10):
        now += dice.random()
        some = [one for one in every if dice.random() < 0.8] or every
        among = lab.candidates(*some, zone=dice.choice(("", "a")), callers={"a": 2, "b": 1})
        session = dice.choice(sessions)
        tried = {one.id for one in some if dice.random() < 0.2}
        explained = balancer.explain(among, now=now, session=session, tried=tried)
        assert balancer.explain(among, now=now, session=session, tried=tried) == explained
        chosen = balancer.pick(among, now=now, session=session, tried=tried)
        assert (None if explained is None else explained.endpoint) == chosen
        if chosen is None or explained is None:
            assert len(tried) == len(some)
            continue
        assert explained.endpoint.id not in tried
        assert {score.endpoint for score in explained.scores} == {one for one in some if one.id not in tried}
        sessions.append(token(balancer.cookie(chosen, session) or b"gm=none;"))
        balancer.began(chosen)
        balancer.ended(
            chosen.id,
            dice.choice(list(Result)),
            latency_s=dice.random(),
            report=dice.choice((None, 3)),
            now=now,
        )


def test_an_explanation_tells_tag_zone_session_weights_and_scores(lab: ModuleType) -> None:
    among = lab.candidates(
        lab.endpoint("a", 2, "v1", zone="near"),
        lab.endpoint("b", 1, "v1", zone="far"),
        lab.endpoint("c", 1, "v3", zone="near"),
        zone="near",
        callers={"near": 1},
    )
    balancer = lab.balancer(Traffic("least-request", Sticky("cookie", "gm"), SPLIT))
    choice = balancer.explain(among, now=0.0)
    assert (choice.endpoint.node, choice.balancer, choice.tag, choice.zone) == (
        "a",
        "least-request",
        "v1",
        "near",
    )
    balancer.began(among[0])
    scores = [
        (one.endpoint.node, one.weight, round(one.share, 3), one.score)
        for one in balancer.scores(among, now=0.0)
    ]
    assert scores == [("a", 2, 0.667, 0.5), ("b", 1, 0.333, 0.0), ("c", 1, 0.0, float("inf"))]
    session = token(balancer.cookie(among[1], None))
    kept = balancer.explain(among, now=0.0, session=session)
    assert (kept.endpoint.node, kept.session, kept.tag) == ("b", "kept", "")
