"""The data plane's picture of the mesh."""

from __future__ import annotations

import pytest

from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.routing.snapshot import Candidates, Snapshot

LOCAL = NodeId(b"l" * 32)


def endpoint(letter: str, *, eligible: bool = True) -> Endpoint:
    return Endpoint(
        letter, NodeId(letter.encode() * 32), Address("10.0.0.1", 7946), Service("hello", 80), eligible
    )


def test_a_service_whose_endpoints_are_all_down_is_known() -> None:
    snapshot = Snapshot(LOCAL, {"hello": (endpoint("a", eligible=False),)})
    assert snapshot.knows("hello")
    assert not snapshot.knows("world")


def test_a_service_that_nobody_offers_has_no_endpoints() -> None:
    assert Snapshot(LOCAL).endpoints("hello") == ()
    assert not Snapshot(LOCAL, {"hello": ()}).knows("hello")


def test_a_snapshot_does_not_follow_the_mapping_it_was_made_from() -> None:
    services = {"hello": (endpoint("a"),)}
    snapshot = Snapshot(LOCAL, services)
    services["world"] = (endpoint("b"),)
    assert not snapshot.knows("world")
    with pytest.raises(TypeError):
        snapshot.services["world"] = ()  # type: ignore[index]


def test_candidates_are_the_eligible_ones_in_the_order_of_the_snapshot_made_once() -> None:
    a, b, c = endpoint("a"), endpoint("b", eligible=False), endpoint("c")
    snapshot = Snapshot(LOCAL, {"hello": (c, b, a), "world": (a, c)})
    assert snapshot.eligible("hello") == (c, a)
    assert snapshot.eligible("hello") is snapshot.eligible("hello")
    assert snapshot.eligible("nobody") == ()


def test_candidates_know_their_ids_where_these_rise() -> None:
    a, b = endpoint("a"), endpoint("b")
    assert Candidates.of((a, b)).ids == (a.id, b.id)
    assert Candidates.of((b, a)).ids == ()


def test_what_was_asked_for_makes_no_difference_between_snapshots() -> None:
    one, other = Snapshot(LOCAL, {"hello": (endpoint("a"),)}), Snapshot(LOCAL, {"hello": (endpoint("a"),)})
    one.eligible("hello")
    assert one == other
    assert "eligible" not in repr(one).replace("eligible=True", "")


def test_candidates_know_where_the_callers_stand() -> None:
    snapshot = Snapshot(LOCAL, {"hello": (endpoint("a"),)}, "eu-1a", {"eu-1a": 2})
    assert (snapshot.eligible("hello").zone, snapshot.eligible("hello").callers) == ("eu-1a", {"eu-1a": 2})
    assert (Candidates.of(()).zone, Candidates.of(()).callers) == ("", {})
