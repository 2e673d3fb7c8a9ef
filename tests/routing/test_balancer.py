"""Round robin: fair, and undisturbed by endpoints that come, go or fail."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.routing.balancer import MAX_REMEMBERED, RoundRobin
from gossipmesh.routing.snapshot import Candidates

ORIGIN = NodeId(bytes(32))


def endpoint(letter: str) -> Endpoint:
    return Endpoint(letter, NodeId(letter.encode() * 32), Address("10.0.0.1", 7946), Service("hello", 80))


ABC = [endpoint("a"), endpoint("b"), endpoint("c")]


def test_endpoints_are_taken_in_turn() -> None:
    balancer = RoundRobin(ORIGIN)
    assert [balancer.pick("hello", ABC).node for _ in range(5)] == ["a", "b", "c", "a", "b"]


def test_each_service_has_its_own_turn() -> None:
    balancer = RoundRobin(ORIGIN)
    picked = [(balancer.pick("hello", ABC[:2]).node, balancer.pick("world", ABC[:2]).node) for _ in range(2)]
    assert picked == [("a", "a"), ("b", "b")]


def test_the_first_turn_begins_behind_the_origin() -> None:
    assert RoundRobin(ABC[1].id).pick("hello", ABC).node == "c"


def test_a_retry_among_the_rest_takes_the_next_and_the_turn_goes_on_behind_it() -> None:
    balancer = RoundRobin(ORIGIN)
    assert balancer.pick("hello", ABC).node == "a"
    assert balancer.pick("hello", ABC[1:]).node == "b"
    assert balancer.pick("hello", ABC).node == "c"


def test_an_endpoint_that_went_does_not_make_another_go_twice() -> None:
    balancer = RoundRobin(ORIGIN)
    assert balancer.pick("hello", ABC).node == "a"
    assert [balancer.pick("hello", [ABC[0], ABC[2]]).node for _ in range(2)] == ["c", "a"]


@given(
    ids=st.sets(st.binary(min_size=32, max_size=32), min_size=1, max_size=12),
    rounds=st.integers(1, 4),
    rng=st.randoms(use_true_random=False),
)
def test_over_whole_rounds_every_endpoint_is_taken_equally_often(
    ids: set[bytes], rounds: int, rng: object
) -> None:
    candidates = [Endpoint("n", NodeId(i), Address("10.0.0.1", 1), Service("hello", 80)) for i in ids]
    balancer = RoundRobin(ORIGIN)
    picks = Counter()
    for _ in range(rounds * len(candidates)):
        rng.shuffle(candidates)  # type: ignore[attr-defined]
        picks[balancer.pick("hello", candidates).id] += 1
    assert set(picks.values()) == {rounds}


def test_the_memory_of_last_choices_is_bounded() -> None:
    balancer = RoundRobin(ORIGIN)
    assert balancer.pick("first", ABC).node == "a"
    for number in range(MAX_REMEMBERED):
        balancer.pick(f"service-{number}", ABC)
    assert balancer.pick("first", ABC).node == "a"
    assert balancer.pick(f"service-{MAX_REMEMBERED - 1}", ABC).node == "b"


@given(
    ids=st.sets(st.integers(0, 255), min_size=1, max_size=8),
    picks=st.lists(st.booleans(), max_size=20),
    origin=st.integers(0, 255),
)
def test_candidates_in_order_are_taken_as_any_others_are(
    ids: set[int], picks: list[bool], origin: int
) -> None:
    endpoints = [
        Endpoint("n", NodeId(bytes([i]) * 32), Address("10.0.0.1", 1), Service("hello", 80))
        for i in sorted(ids)
    ]
    ordered = Candidates.of(endpoints)
    quick, plain = RoundRobin(NodeId(bytes([origin]) * 32)), RoundRobin(NodeId(bytes([origin]) * 32))
    for in_order in picks:
        assert quick.pick("hello", ordered if in_order else endpoints) == plain.pick("hello", endpoints)
