"""Groups by tag and zone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from gossipmesh.routing.balancing.layout import Layout, lay_out
from gossipmesh.routing.balancing.load import EndpointLoad
from gossipmesh.routing.balancing.members import Turns
from gossipmesh.routing.balancing.ring import hash_of
from gossipmesh.routing.traffic import Share, Traffic

SPLIT = (Share("v1", 90), Share("v2", 10))


def layout(
    lab: ModuleType,
    loads: Sequence[EndpointLoad],
    traffic: Traffic,
    zone: str = "",
    callers: Mapping[str, int] | None = None,
) -> Layout:
    return lay_out(loads, traffic, zone=zone, callers=callers or {}, turns=lambda *_: Turns(lab.ORIGIN))


def shares(of: Layout) -> dict[tuple[str, str], float]:
    return {
        (group.tag, group.zone): round(share, 6) for group, share in zip(of.groups, of.shares, strict=True)
    }


def nodes(of: Layout) -> list[list[str]]:
    return [[load.endpoint.node for load in group.loads] for group in of.groups]


def test_without_split_and_zones_all_are_one_group(lab: ModuleType) -> None:
    found = layout(lab, [lab.load("a", 1, "v1"), lab.load("b", zone="z")], Traffic())
    assert (shares(found), nodes(found)) == ({("", ""): 1.0}, [["a", "b"]])


def test_each_tag_of_a_split_is_a_group_and_who_has_none_gets_nothing(lab: ModuleType) -> None:
    loads = [lab.load("a", 1, "v1"), lab.load("b", 1, "v2", "v1"), lab.load("c", 1, "v2"), lab.load("d")]
    found = layout(lab, loads, Traffic(split=SPLIT))
    assert shares(found) == {("v1", ""): 0.9, ("v2", ""): 0.1}
    assert nodes(found) == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    "split", [SPLIT, (Share("v1", 0), Share("v2", 100)), (Share("v2", 50), Share("x", 50))]
)
def test_what_a_tag_without_endpoints_would_get_goes_to_the_others(
    lab: ModuleType, split: tuple[Share, ...]
) -> None:
    found = layout(lab, [lab.load("b", 1, "v2"), lab.load("c")], Traffic(split=split))
    assert (shares(found), nodes(found)) == ({("v2", ""): 1.0}, [["b"]])


@pytest.mark.parametrize("split", [(Share("x", 100),), (Share("v1", 0), Share("x", 100))])
def test_where_no_tag_of_the_split_has_endpoints_all_of_them_answer(
    lab: ModuleType, split: tuple[Share, ...]
) -> None:
    found = layout(lab, [lab.load("a", 1, "v1"), lab.load("b")], Traffic(split=split))
    assert (shares(found), nodes(found)) == ({("", ""): 1.0}, [["a", "b"]])


def test_a_zone_with_endpoints_enough_keeps_all_requests_and_a_short_one_what_fits(lab: ModuleType) -> None:
    loads = [lab.load("a", zone="near"), lab.load("b", zone="far"), lab.load("c", zone="far")]
    assert shares(layout(lab, loads, Traffic(), "near", {"near": 1, "far": 2})) == {("", "near"): 1.0}
    short = layout(lab, loads, Traffic(), "near", {"near": 2, "far": 1})
    assert shares(short) == {("", "near"): 0.5, ("", "far"): 0.5}


@pytest.mark.parametrize("traffic", [Traffic(zone="any"), Traffic()])
def test_zones_make_no_difference_where_they_are_not_wanted_or_not_known(
    lab: ModuleType, traffic: Traffic
) -> None:
    loads = [lab.load("a", zone="near"), lab.load("b", zone="far")]
    zone = "near" if traffic.zone == "any" else ""
    assert shares(layout(lab, loads, traffic, zone, {"near": 1, "far": 1})) == {("", ""): 1.0}


def test_a_split_goes_before_zones(lab: ModuleType) -> None:
    loads = [
        lab.load("a", 1, "v1", zone="near"),
        lab.load("b", 1, "v1", zone="far"),
        lab.load("c", 1, "v2", zone="far"),
    ]
    found = layout(lab, loads, Traffic(split=SPLIT), "near", {"near": 1, "far": 1})
    assert shares(found) == {("v1", "near"): 0.9, ("v2", ""): 0.1}


def test_endpoints_that_weigh_nothing_at_all_are_no_zone_to_prefer(lab: ModuleType) -> None:
    loads = [lab.load("a", 0, zone="near"), lab.load("b", 0, zone="far")]
    assert nodes(layout(lab, loads, Traffic(), "near", {"near": 1, "far": 1})) == [["a", "b"]]
    loads[1] = lab.load("b", 1, zone="far")
    assert nodes(layout(lab, loads, Traffic(), "near", {"near": 1, "far": 1})) == [["b"]]


def test_a_point_falls_into_groups_by_their_shares(lab: ModuleType) -> None:
    found = layout(lab, [lab.load("a", 1, "v1"), lab.load("b", 1, "v2")], Traffic(split=SPLIT))
    assert [found.group_at(point).tag for point in (0.0, 0.89, 0.91, 0.999999, 1.0)] == ["v1"] * 2 + [
        "v2"
    ] * 3


def test_a_session_keeps_its_tag_through_what_does_not_concern_it(lab: ModuleType) -> None:
    split = (Share("v1", 60), Share("v2", 30), Share("v3", 10))
    loads = [lab.load(tag, 1, tag) for tag in ("v1", "v2", "v3")]
    whole, less = layout(lab, loads, Traffic(split=split)), layout(lab, loads[::2], Traffic(split=split))
    digests = [hash_of(b"%d" % number, b"key") for number in range(10_000)]
    before = [whole.tag_of_session(digest).share.tag for digest in digests]
    after = [less.tag_of_session(digest).share.tag for digest in digests]
    for share in split:
        assert before.count(share.tag) / 10_000 == pytest.approx(share.percent / 100, abs=0.02)
    assert all(one == other for one, other in zip(before, after, strict=True) if one != "v2")
    moved = Counter(other for one, other in zip(before, after, strict=True) if one == "v2")
    assert moved["v1"] / moved.total() == pytest.approx(6 / 7, abs=0.04)
