"""Consistent hashing with bounded loads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.routing.balancing.load import EndpointLoad
from gossipmesh.routing.balancing.ring import FREE_LOAD, LOAD_BOUND, Ring, for_session, hash_of

SESSIONS = 2_000


def ring_of(loads: Sequence[EndpointLoad], key: bytes = b"key") -> Ring:
    ring = Ring(key)
    ring.fit(loads)
    return ring


def homes(ring: Ring, loads: Sequence[EndpointLoad]) -> list[str]:
    by_id = {load.endpoint.id: load for load in loads}
    found = []
    for number in range(SESSIONS):
        chosen = for_session(ring, by_id, hash_of(b"session-%d" % number, b"key"), tried=())
        assert chosen is not None
        found.append(chosen.endpoint.node)
    return found


def loads_of(lab: ModuleType, *weights: int) -> list[EndpointLoad]:
    return [EndpointLoad(one) for one in lab.endpoints(*weights)]


@pytest.mark.parametrize("count", [2, 3, 5, 10, 50])
def test_an_endpoint_that_goes_moves_its_own_sessions_and_no_others(lab: ModuleType, count: int) -> None:
    loads = loads_of(lab, *[1] * count)
    before = homes(ring_of(loads), loads)
    ring, moved = ring_of(loads), 0
    for lost in loads[:10]:
        left = [load for load in loads if load is not lost]
        ring.fit(left)
        after = homes(ring, left)
        changed = [one for one, other in zip(before, after, strict=True) if one != other]
        assert set(changed) <= {lost.endpoint.node}
        assert len(changed) == before.count(lost.endpoint.node) <= 1.4 * SESSIONS / count
        moved += len(changed)
        ring.fit(loads)
        assert homes(ring, loads) == before
    assert moved <= 1.1 * len(loads[:10]) * SESSIONS / count


def test_sessions_are_spread_by_weight(lab: ModuleType) -> None:
    loads = loads_of(lab, 1, 2, 4)
    found = Counter(homes(ring_of(loads), loads))
    for load in loads:
        assert found[load.endpoint.node] / SESSIONS == pytest.approx(load.weight / 7, abs=0.06)


def test_a_weight_of_nothing_gets_no_session_unless_all_are_so(lab: ModuleType) -> None:
    loads = loads_of(lab, 0, 3)
    assert set(homes(ring_of(loads), loads)) == {"n0001"}
    nothing = loads_of(lab, 0, 0)
    assert set(homes(ring_of(nothing), nothing)) == {"n0000", "n0001"}


def test_a_weight_that_changes_moves_sessions_only_from_or_to_that_endpoint(lab: ModuleType) -> None:
    loads = loads_of(lab, 7, 7, 7)
    before = homes(ring_of(loads), loads)
    changed = [*loads[:2], EndpointLoad(lab.endpoint("n0002", 5))]
    after = homes(ring_of(changed), changed)
    moves = {(one, other) for one, other in zip(before, after, strict=True) if one != other}
    assert moves
    assert {one for one, _ in moves} == {"n0002"}


def test_a_crowded_endpoint_leaves_new_requests_to_the_next_on_the_ring(lab: ModuleType) -> None:
    loads = loads_of(lab, 1, 1, 1)
    ring = ring_of(loads)
    by_id = {load.endpoint.id: load for load in loads}
    for _ in range(300):
        chosen = for_session(ring, by_id, hash_of(b"one for all", b"key"), tried=())
        assert chosen is not None
        chosen.in_flight += 1
    assert max(load.in_flight for load in loads) <= LOAD_BOUND * 301 / 3 + 1
    assert sum(load.in_flight > 0 for load in loads) == 3


def test_a_session_with_few_requests_at_once_stays_where_it_is(lab: ModuleType) -> None:
    loads = loads_of(lab, 1, 1, 1)
    ring = ring_of(loads)
    by_id = {load.endpoint.id: load for load in loads}
    chosen = set()
    for _ in range(FREE_LOAD):
        one = for_session(ring, by_id, hash_of(b"alice", b"key"), tried=())
        assert one is not None
        one.in_flight += 1
        chosen.add(one.endpoint.node)
    assert len(chosen) == 1


def test_a_retry_goes_on_along_the_ring_until_nobody_is_left(lab: ModuleType) -> None:
    loads = loads_of(lab, 1, 1, 1)
    ring, by_id = ring_of(loads), {load.endpoint.id: load for load in loads}
    digest = hash_of(b"alice", b"key")
    tried = []
    for _ in loads:
        chosen = for_session(ring, by_id, digest, tried=tried)
        assert chosen is not None
        tried.append(chosen.endpoint.id)
    assert tried == list(ring.order(digest))
    assert for_session(ring, by_id, digest, tried=tried) is None


def test_who_does_not_know_the_key_cannot_tell_where_a_session_belongs(lab: ModuleType) -> None:
    loads = loads_of(lab, *[1] * 10)
    digest = hash_of(b"alice", b"key")
    assert digest != hash_of(b"alice", b"other")
    assert list(ring_of(loads).order(digest)) != list(ring_of(loads, b"other").order(digest))


@given(
    pictures=st.lists(
        st.dictionaries(st.integers(0, 5), st.integers(0, 9), min_size=1), min_size=1, max_size=4
    )
)
def test_however_a_picture_came_about_its_ring_is_the_same(
    lab: ModuleType, pictures: list[dict[int, int]]
) -> None:
    ring = Ring(b"key")
    for picture in pictures:
        loads = [EndpointLoad(lab.endpoint(f"n{number}", weight)) for number, weight in picture.items()]
        ring.fit(loads)
    for number in range(5):
        digest = hash_of(b"%d" % number, b"key")
        assert list(ring.order(digest)) == list(ring_of(loads).order(digest))
