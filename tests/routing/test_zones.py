"""Which share of the requests stays in the caller's zone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.routing.zones import zone_shares


def test_all_stay_where_the_zone_has_its_part_of_the_endpoints() -> None:
    assert zone_shares("a", capacity={"a": 2, "b": 2}, callers={"a": 5, "b": 5}) == {"a": 1.0}


def test_a_zone_that_lost_endpoints_keeps_what_fits_and_the_rest_goes_where_there_is_room() -> None:
    shares = zone_shares("a", capacity={"a": 1, "b": 3, "c": 2}, callers={"a": 2, "b": 2, "c": 2})
    assert shares == pytest.approx({"a": 0.5, "b": 0.5})


def test_a_node_without_a_zone_or_with_one_that_has_no_endpoint_spreads_over_all() -> None:
    assert zone_shares("", capacity={"a": 1, "b": 3}, callers={"a": 1}) == {"a": 0.25, "b": 0.75}
    assert zone_shares("c", capacity={"a": 1, "b": 3}, callers={"c": 1}) == {"a": 0.25, "b": 0.75}


def test_where_it_is_not_known_who_calls_zones_make_no_difference() -> None:
    assert zone_shares("a", capacity={"a": 1, "b": 3}, callers={}) == {"a": 0.25, "b": 0.75}


ZONES = st.sampled_from("abcd")


@given(
    capacity=st.dictionaries(ZONES, st.floats(0, 100), min_size=1).filter(
        lambda some: sum(some.values()) > 1e-3
    ),
    callers=st.dictionaries(ZONES, st.integers(0, 50)),
    local=st.sampled_from(["", "a", "b"]),
)
def test_shares_add_up_and_go_only_where_there_is_capacity(
    capacity: dict[str, float], callers: dict[str, int], local: str
) -> None:
    shares = zone_shares(local, capacity=capacity, callers=callers)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert all(share >= 0 and capacity[zone] > 0 for zone, share in shares.items())


@given(
    capacity=st.dictionaries(ZONES, st.integers(1, 20), min_size=1),
    callers=st.dictionaries(ZONES, st.integers(1, 20), min_size=1),
)
def test_every_endpoint_gets_as_much_as_if_there_were_no_zones_where_every_zone_has_endpoints(
    capacity: dict[str, int], callers: dict[str, int]
) -> None:
    capacity = {zone: capacity.get(zone, 1) for zone in capacity.keys() | callers.keys()}
    got = dict.fromkeys(capacity, 0.0)
    for local, count in callers.items():
        for zone, share in zone_shares(local, capacity=capacity, callers=callers).items():
            got[zone] += count * share
    each = sum(callers.values()) / sum(capacity.values())
    assert got == pytest.approx({zone: each * weight for zone, weight in capacity.items()})
