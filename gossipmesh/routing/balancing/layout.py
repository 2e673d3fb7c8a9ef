"""The endpoints of a service in groups, by the split's tags and by zones, with the share of requests of each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final

from attrs import field, frozen

from gossipmesh.model import NodeId
from gossipmesh.routing.balancing.load import EndpointLoad
from gossipmesh.routing.balancing.members import Members, Turns
from gossipmesh.routing.traffic import Share, Traffic
from gossipmesh.routing.zones import zone_shares

TurnsOf = Callable[[str, str], Turns]
"""Tag and zone to the turns of that group."""
HALF: Final = 1 << 32


@frozen
class Tagged:
    """The endpoints that take one part of the split."""

    share: Share
    loads: tuple[EndpointLoad, ...]
    by_id: dict[NodeId, EndpointLoad] = field(init=False, eq=False, repr=False)

    @by_id.default
    def _by_id(self) -> dict[NodeId, EndpointLoad]:
        return {load.endpoint.id: load for load in self.loads}


@frozen
class Layout:
    """All groups of one service; at least one."""

    groups: tuple[Members, ...]
    shares: tuple[float, ...]
    """Of the requests, for each group; adds up to 1."""
    bounds: tuple[float, ...]
    """The sums of the shares up to each group."""
    tagged: tuple[Tagged, ...]
    """Every part of the split, with or without endpoints; a single one without a tag where there is no split."""

    def group_at(self, point: float) -> Members:
        """Give the group of a point from 0 to 1."""
        return self.groups[min(bisect_right(self.bounds, point), len(self.groups) - 1)]

    def tag_of_session(self, digest: int) -> Tagged:
        """Give the part of the split that a session belongs to.

        A part without endpoints leaves its sessions to the others, and moves none of theirs.

        Args:
            digest: 64 bits.
        """
        chosen = _part_at(self.tagged, digest % HALF / HALF)
        if not chosen.loads:
            chosen = _part_at([part for part in self.tagged if part.loads], digest // HALF / HALF)
        return chosen


def _part_at(parts: Sequence[Tagged], point: float) -> Tagged:
    if len(parts) == 1:
        return parts[0]
    bounds = list(accumulate(part.share.percent for part in parts))
    return parts[min(bisect_right(bounds, point * bounds[-1]), len(parts) - 1)]


def lay_out(
    loads: Sequence[EndpointLoad], traffic: Traffic, *, zone: str, callers: Mapping[str, int], turns: TurnsOf
) -> Layout:
    """Give the groups of these endpoints.

    Args:
        loads: at least one.
        traffic: the service's.
        zone: the caller's, or empty.
        callers: how many nodes call, by zone.
        turns: gives the turns of each group.
    """
    tagged = _by_tag(loads, traffic.split)
    whole = sum(part.share.percent for part in tagged if part.loads)
    groups: list[Members] = []
    shares: list[float] = []
    local = zone if traffic.zone == "prefer" else ""
    for part in tagged:
        if not part.loads:
            continue
        tag = part.share.tag
        for name, share, some in _by_zone(part.loads, local, callers):
            groups.append(Members(some, turns(tag, name), tag=tag, zone=name))
            shares.append(share * part.share.percent / whole)
    return Layout(tuple(groups), tuple(shares), tuple(accumulate(shares)), tagged)


def _by_tag(loads: Sequence[EndpointLoad], split: tuple[Share, ...]) -> tuple[Tagged, ...]:
    """Give the parts of the split that take anything; all endpoints as one, where none of those has any."""
    found: dict[str, list[EndpointLoad]] = {share.tag: [] for share in split}
    for load in loads if split else ():
        tags = load.endpoint.service.tags
        tag = next((share.tag for share in split if share.tag in tags), None)
        if tag is not None:
            found[tag].append(load)
    parts = tuple(Tagged(share, tuple(found[share.tag])) for share in split if share.percent > 0)
    if any(part.loads for part in parts):
        return parts
    # An answer of the wrong version is better than none, and who wants none has a policy to say so.
    return (Tagged(Share("", 100), tuple(loads)),)


def _by_zone(
    loads: Sequence[EndpointLoad], local: str, callers: Mapping[str, int]
) -> Iterable[tuple[str, float, Sequence[EndpointLoad]]]:
    """Give zone, share and endpoints of each group; one group of all where zones make no difference."""
    by_zone: dict[str, list[EndpointLoad]] = {}
    for load in loads if local else ():
        by_zone.setdefault(load.endpoint.zone, []).append(load)
    if local not in by_zone or len(by_zone) == 1:
        return [("", 1.0, loads)]
    # Configured weights, not those of slow start: a zone full of new endpoints has no others to lean on.
    capacity = {
        name: float(sum(each.endpoint.service.weight for each in some)) for name, some in by_zone.items()
    }
    if not any(capacity.values()):
        return [("", 1.0, loads)]
    shares = zone_shares(local, capacity=capacity, callers=callers)
    return [(name, shares[name], some) for name, some in by_zone.items() if shares.get(name)]
