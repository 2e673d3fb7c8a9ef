"""Laws of the digest: equal sets, equal roots, whatever way they came about."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.crypto import blake2b
from gossipmesh.model import NodeId
from gossipmesh.registry.digest import (
    BUCKETS,
    DIGEST_BYTES,
    EMPTY_BUCKET,
    ENTRY_BYTES,
    Digest,
    Entry,
    bucket_of,
    differing_buckets,
)

ids = st.builds(
    lambda first, last: NodeId(bytes([first]) + bytes(30) + bytes([last])),
    st.integers(0, 3),
    st.integers(0, 255),
)
counters = st.integers(0, 2**32 - 1)
entries = st.builds(Entry, ids, counters, counters, st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES))


def entry(number: int, incarnation: int = 0) -> Entry:
    node = NodeId(blake2b(number.to_bytes(4, "big"), 32))
    return Entry(node, 1, incarnation, blake2b(node + bytes([incarnation]), DIGEST_BYTES))


def digest_of(held: list[Entry]) -> Digest:
    digest = Digest()
    for each in held:
        digest.put(each)
    return digest


@given(entries)
def test_an_entry_survives_packing(one: Entry) -> None:
    assert len(one.packed) == ENTRY_BYTES
    assert Entry.from_packed(one.packed) == one


@given(st.lists(entries, unique_by=lambda e: e.id), st.randoms(use_true_random=False))
def test_the_root_does_not_depend_on_the_order(held: list[Entry], rng: object) -> None:
    shuffled = list(held)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert digest_of(held).root == digest_of(shuffled).root


@given(st.lists(entries, unique_by=lambda e: e.id, min_size=1))
def test_removing_what_was_added_gives_the_former_root_again(held: list[Entry]) -> None:
    digest = digest_of(held[1:])
    before = digest.root
    digest.put(held[0])
    assert digest.root != before
    digest.remove(held[0].id)
    assert digest.root == before


def test_an_entry_replaces_the_one_with_its_id() -> None:
    digest = digest_of([entry(1)])
    _ = digest.root
    digest.put(entry(1, incarnation=1))
    assert digest.get(entry(1).id) == entry(1, incarnation=1)
    assert digest.root == digest_of([entry(1, incarnation=1)]).root


def test_removing_what_is_not_there_changes_nothing() -> None:
    digest = digest_of([entry(1)])
    before = digest.root
    digest.remove(entry(2).id)
    assert digest.root == before


def test_only_the_buckets_that_differ_are_named() -> None:
    ours, theirs = digest_of([entry(n) for n in range(50)]), digest_of([entry(n) for n in range(51)])
    assert differing_buckets(ours.buckets, theirs.buckets) == [bucket_of(entry(50).id)]
    assert differing_buckets(ours.buckets, ours.buckets) == []
    assert len(ours.buckets) == BUCKETS * DIGEST_BYTES


def test_an_emptied_bucket_is_as_one_that_never_held_anything() -> None:
    digest = digest_of([entry(1)])
    _ = digest.buckets
    digest.remove(entry(1).id)
    assert digest.buckets == EMPTY_BUCKET * BUCKETS


@given(st.lists(entries, unique_by=lambda e: e.id), st.integers(1, 5), st.sets(st.integers(0, 3), min_size=1))
def test_pages_give_every_entry_of_the_buckets_once_in_ascending_order(
    held: list[Entry], most: int, buckets: set[int]
) -> None:
    digest, after, seen, more = digest_of(held), b"", list[Entry](), True
    while more:
        page, more = digest.page(sorted(buckets), after, most)
        assert len(page) == most if more else len(page) <= most
        seen += page
        after = page[-1].id if page else after
    assert seen == sorted((e for e in held if bucket_of(e.id) in buckets), key=lambda e: e.id)
