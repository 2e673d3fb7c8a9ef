"""The pool of unverified records: bounded, and fair between those who send."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.model import NodeId
from gossipmesh.registry.pool import MAX_WAITING, Waiting, WaitingPool

ALICE, BOB, MALLORY = (NodeId(bytes([n]) * 32) for n in range(3))


def waiting(source: NodeId, number: int, chain: bytes = b"chain") -> Waiting:
    return Waiting(number.to_bytes(4, "big"), source, chain, expires_at=1_000)


def test_a_record_comes_back_when_its_chain_does() -> None:
    pool = WaitingPool()
    assert pool.add(waiting(ALICE, 1, b"one"))
    assert pool.add(waiting(ALICE, 2, b"two"))
    assert pool.release(b"one") == (waiting(ALICE, 1, b"one"),)
    assert pool.release(b"one") == ()
    assert len(pool) == 1


def test_a_record_that_two_peers_sent_comes_back_once_and_in_order() -> None:
    pool = WaitingPool()
    for item in (waiting(ALICE, 1), waiting(BOB, 1), waiting(BOB, 2)):
        pool.add(item)
    assert [item.raw for item in pool.release(b"chain")] == [waiting(ALICE, n).raw for n in (1, 2)]
    assert len(pool) == 0
    assert pool.waiting_from(ALICE) == pool.waiting_from(BOB) == 0


def test_the_same_record_from_the_same_peer_takes_one_place() -> None:
    pool = WaitingPool()
    assert pool.add(waiting(ALICE, 1))
    assert pool.add(waiting(ALICE, 1))
    assert len(pool) == 1


def test_a_flood_from_one_peer_leaves_what_others_sent() -> None:
    pool = WaitingPool()
    for number in range(10):
        pool.add(waiting(ALICE, number, b"alice"))
    for number in range(10_000):
        pool.add(waiting(MALLORY, number))
    pool.add(waiting(BOB, 1, b"bob"))
    assert len(pool) == MAX_WAITING
    assert len(pool.release(b"alice")) == 10
    assert len(pool.release(b"bob")) == 1


def test_a_flood_that_copies_what_an_honest_peer_sends_does_not_displace_it() -> None:
    pool = WaitingPool(capacity=4)
    pool.add(waiting(MALLORY, 1, b"honest"))
    pool.add(waiting(ALICE, 1, b"honest"))
    for number in range(2, 100):
        pool.add(waiting(MALLORY, number))
    assert [item.source for item in pool.release(b"honest")] == [ALICE]


def test_a_newcomer_does_not_displace_its_equals() -> None:
    pool = WaitingPool(capacity=2)
    assert pool.add(waiting(ALICE, 1))
    assert pool.add(waiting(BOB, 1))
    assert not pool.add(waiting(MALLORY, 1))
    assert pool.waiting_from(MALLORY) == 0


def test_what_has_expired_is_dropped_after_the_allowed_skew() -> None:
    pool = WaitingPool()
    pool.add(waiting(ALICE, 1))
    pool.expire(wall=1_120)
    assert len(pool) == 1
    pool.expire(wall=1_121)
    assert len(pool) == 0
    assert pool.waiting_from(ALICE) == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=120))
def test_nobody_with_at_most_a_fair_share_ever_loses_anything(sent: list[tuple[int, int]]) -> None:
    pool, capacity = WaitingPool(capacity=12), 12
    distinct = set[tuple[int, int]]()
    for source, number in sent:
        pool.add(waiting(NodeId(bytes([source]) * 32), number))
        distinct.add((source, number))
        assert len(pool) <= capacity
    for source in range(6):
        offered = sum(1 for who, _ in distinct if who == source)
        assert pool.waiting_from(NodeId(bytes([source]) * 32)) >= min(offered, capacity // 6)
