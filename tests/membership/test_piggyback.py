"""News that rides on datagrams."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.membership.messages import NEWS_BYTES, AccusationNews, News, RecordNews
from gossipmesh.membership.piggyback import MAX_LOOKED_AT, MAX_NEWS, NewsKey, Piggyback, transmit_limit
from gossipmesh.model import NodeId


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(32, "big"))


EVE = node(99_999)


def record(number: int, size: int = 150) -> RecordNews:
    return RecordNews(number.to_bytes(4, "big") + bytes(size - 4))


@pytest.mark.parametrize(
    ("size", "limit"), [(1, 4), (9, 4), (10, 8), (99, 8), (100, 12), (999, 12), (1_000, 16), (10**80, 64)]
)
def test_the_transmit_limit_rises_with_each_decade(size: int, limit: int) -> None:
    assert transmit_limit(4, size) == limit


def test_what_was_sent_least_goes_first_and_of_those_the_newest() -> None:
    queue = Piggyback(4)
    queue.put(NewsKey(node(1)), record(1))
    assert queue.take(NEWS_BYTES + 150, EVE) == (record(1),)
    queue.put(NewsKey(node(2)), record(2))
    queue.put(NewsKey(node(3)), record(3))
    assert queue.take(NEWS_BYTES + 150, EVE) == (record(3),)
    assert queue.take(2 * (NEWS_BYTES + 150), EVE) == (record(2), record(3))


def test_each_piece_goes_out_as_often_as_the_limit_says() -> None:
    queue = Piggyback(4)
    queue.put(NewsKey(node(1)), record(1))
    assert [queue.take(1_000, EVE) for _ in range(5)] == [(record(1),)] * 4 + [()]
    assert not queue.pending


def test_a_newer_piece_under_a_key_replaces_the_older_one_and_starts_again() -> None:
    queue = Piggyback(4)
    queue.put(NewsKey(node(1)), record(1))
    queue.take(1_000, EVE)
    queue.put(NewsKey(node(1)), record(2))
    assert [queue.take(1_000, EVE) for _ in range(5)] == [(record(2),)] * 4 + [()]


def test_a_dropped_piece_is_sent_no_more_and_an_unknown_one_may_be_dropped() -> None:
    queue = Piggyback(4)
    key = NewsKey(node(1), node(2))
    queue.put(key, AccusationNews(b"accusation"))
    queue.drop(key)
    queue.drop(key)
    assert queue.take(1_000, EVE) == ()
    assert not queue.pending


def test_when_the_mesh_turns_out_larger_old_news_goes_out_again() -> None:
    queue = Piggyback(4)
    queue.put(NewsKey(node(1)), record(1))
    for _ in range(4):
        queue.take(1_000, EVE)
    queue.note_mesh_size(9)
    assert not queue.pending
    queue.note_mesh_size(10)
    assert queue.pending
    queue.note_mesh_size(3)
    assert [queue.take(1_000, EVE) for _ in range(5)] == [(record(1),)] * 4 + [()]


def test_a_target_is_not_told_its_own_record_nor_what_goes_beside_and_nothing_waits_for_ever() -> None:
    queue = Piggyback(4)
    queue.put(NewsKey(EVE), record(1))
    queue.put(NewsKey(node(2), node(3)), AccusationNews(b"accusation"))
    for _ in range(4):
        assert queue.take(1_000, EVE, beside=(AccusationNews(b"accusation"),)) == ()
    assert not queue.pending


def test_the_queue_is_bounded_and_what_was_sent_most_makes_room() -> None:
    queue = Piggyback(4)
    queue.put(NewsKey(node(0)), record(0))
    queue.take(1_000, EVE)
    for number in range(1, MAX_NEWS + 1):
        queue.put(NewsKey(node(number)), record(number))
    assert len(queue) == MAX_NEWS
    queue.note_mesh_size(10**9)
    sent: set[News] = set()
    for _ in range(MAX_NEWS):
        sent.update(queue.take(NEWS_BYTES + 150, EVE))
    assert sent == {record(number) for number in range(1, MAX_NEWS + 1)}


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(4, 300)), max_size=100), st.integers(0, 1_200))
def test_a_datagram_is_never_overfilled(pieces: list[tuple[int, int]], limit: int) -> None:
    queue = Piggyback(4)
    for number, size in pieces:
        queue.put(NewsKey(node(number)), record(number, size))
    taken = queue.take(limit, EVE)
    assert sum(NEWS_BYTES + len(news.raw) for news in taken) <= limit
    assert len(taken) <= MAX_LOOKED_AT
    assert len(set(taken)) == len(taken)


def test_a_refresh_waits_behind_all_that_is_news() -> None:
    queue = Piggyback(4)
    queue.put(NewsKey(node(1)), record(1), refresh=True)
    queue.put(NewsKey(node(2)), record(2))
    size = NEWS_BYTES + len(record(1).raw)
    limit = transmit_limit(4, 1)
    assert [queue.take(size, node(9)) for _ in range(2 * limit + 1)] == [
        *[(record(2),)] * limit,
        *[(record(1),)] * limit,
        (),
    ]


def test_a_refresh_of_what_was_not_told_yet_is_news_itself() -> None:
    queue = Piggyback(4)
    queue.put(NewsKey(node(1)), record(1))
    queue.put(NewsKey(node(1)), record(3), refresh=True)
    queue.put(NewsKey(node(2)), record(2), refresh=True)
    assert queue.take(NEWS_BYTES + len(record(1).raw), node(9)) == (record(3),)
