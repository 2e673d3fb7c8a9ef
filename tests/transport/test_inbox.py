"""A bounded queue that nobody can take from the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.transport.inbox import FairInbox


def test_everything_comes_out_in_turns_of_the_sources_and_in_order_of_each() -> None:
    inbox: FairInbox[str, int] = FairInbox(10)
    for source, item in (("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("b", 6)):
        assert inbox.put(source, item)
    assert inbox.take_all() == [1, 4, 5, 2, 6, 3]
    assert inbox.take_all() == []


def test_a_full_inbox_drops_what_the_loudest_source_sent_last() -> None:
    inbox: FairInbox[str, int] = FairInbox(4)
    for item in range(4):
        assert inbox.put("loud", item)
    assert not inbox.put("loud", 4)
    assert not inbox.put("quiet", 100)
    assert not inbox.put("quiet", 101)
    assert not inbox.put("quiet", 102)
    assert inbox.take_all() == [0, 100, 1, 101]


def test_an_inbox_that_was_emptied_takes_as_much_again() -> None:
    inbox: FairInbox[str, int] = FairInbox(2)
    for _ in range(3):
        assert inbox.put("a", 1)
        assert inbox.put("b", 2)
        assert not inbox.put("a", 3)
        assert inbox.take_all() == [1, 2]


@given(st.integers(1, 12), st.lists(st.integers(0, 4), max_size=60))
def test_each_source_gets_its_fair_share_and_no_more_than_the_capacity_is_held(
    capacity: int, sources: list[int]
) -> None:
    inbox: FairInbox[int, tuple[int, int]] = FairInbox(capacity)
    for index, source in enumerate(sources):
        inbox.put(source, (source, index))
        assert len(inbox) <= capacity
    taken = inbox.take_all()
    assert len(taken) == min(capacity, len(sources))
    for source in set(sources):
        wanted = min(sources.count(source), capacity // len(set(sources)))
        mine = [item for item in taken if item[0] == source]
        assert len(mine) >= wanted
        assert mine == sorted(mine)
