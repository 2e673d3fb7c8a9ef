"""The picture of endpoints that the data plane reads, made of membership's beliefs and the registry's records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final

from gossipmesh.identity.record import MemberRecord
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.members import Member
from gossipmesh.model import Endpoint, MemberState, NodeId, Service, Serving, short_id
from gossipmesh.registry.names import MARK, display_names
from gossipmesh.registry.store import Registry
from gossipmesh.routing.snapshot import Snapshot

GAP_PER_MEMBER_S: Final = 0.0002
"""Between two rebuilds, for each member that changed."""
EXPIRED: Final = "its record or its chain has expired"
GONE: Final = {MemberState.DEAD: "its node is dead", MemberState.LEFT: "its node has left"}


def why_not(record: MemberRecord, service: Service) -> str:
    """Say what in a node's own record keeps an endpoint out of rotation; empty where nothing does."""
    if record.serving is not Serving.SERVING:
        return f"its node is {record.serving.value}"
    if not service.healthy:
        return "its own health check fails"
    return ""


def why_not_member(member: Member) -> str:
    """Say what in our belief of a member keeps its endpoints out of rotation; empty where nothing does.

    A suspect is left out only on evidence of our own or of enough accusers: one accusation takes nobody out of service.
    """
    return "" if member.routable else (member.reason or member.state.value)


def endpoints_of(
    record: MemberRecord, doubt: str, *, name: str, refused: AbstractSet[str]
) -> list[tuple[str, Endpoint]]:
    """Give service name and endpoint of each service that a record offers.

    Args:
        record: whose.
        doubt: why its endpoints get no requests, whatever the record says; empty where nothing is against it.
        name: what its owner is shown as.
        refused: services that it declares outside its token: no route leads to them.
    """
    found: list[tuple[str, Endpoint]] = []
    for service in record.services:
        if service.name in refused:
            continue
        reason = doubt or why_not(record, service)
        endpoint = Endpoint(
            node=name,
            id=record.id,
            address=record.addresses[0],
            service=service,
            eligible=not reason,
            reason=reason,
            zone=record.zone,
        )
        found.append((service.name, endpoint))
    return found


class _Offers:
    """All endpoints of one service. Those of the gone stand only for what nobody living offers.

    A service that is down is unhealthy, which is another answer than unknown.
    """

    __slots__ = ("gone", "living")

    def __init__(self) -> None:
        self.living: dict[NodeId, Endpoint] = {}
        self.gone: dict[NodeId, Endpoint] = {}

    def ordered(self) -> tuple[Endpoint, ...]:
        """Give them in the order of ids, so that nodes with one picture go round the endpoints alike."""
        found = self.living or self.gone
        return tuple(found[node] for node in sorted(found))


class Routes:
    """Keeps names and the snapshot, and mends what :meth:`touch` named; or makes all anew when ``stale`` was set.

    What changes is mended rather than made anew, because a mass join brings a thousand records one after the other,
    and each would cost a pass over all members.
    """

    def __init__(
        self,
        local: NodeId,
        membership: Membership,
        registry: Registry,
        refused: Callable[[NodeId], frozenset[str]],
    ) -> None:
        self._local = local
        self._membership = membership
        self._registry = registry
        self._refused = refused
        self._touched: dict[NodeId, None] = {}
        self._claimants: dict[str, tuple[NodeId, ...]] = {}  # by the name in their records
        self._shown: dict[NodeId, str] = {}
        self._offers: dict[str, _Offers] = {}
        self._offered: dict[NodeId, tuple[str, ...]] = {}
        self._zone_of: dict[NodeId, str] = {}  # of the living, ourselves included
        self._zones: Counter[str] = Counter()
        self.names: Mapping[NodeId, str] = MappingProxyType(self._shown)
        """What each id is shown as."""
        self.stale = True
        self.snapshot = Snapshot(local=local)
        self._due = -float("inf")

    def touch(self, node: NodeId) -> None:
        """Note that one member's record, state or rotation changed, or that it was forgotten."""
        self._touched[node] = None

    def name_of(self, node: NodeId) -> str:
        """Give what an id is shown as, before the next rebuild too."""
        shown = self._shown.get(node)
        if shown is not None:
            return shown
        member = self._membership.members.get(node)
        return member.record.name if member else short_id(node)

    @property
    def due(self) -> float:
        """When a rebuild is due, in monotonic seconds; inf while nothing has changed.

        A rebuild costs some 15 us for each member that changed. However fast members sign new records, it takes no
        more than a tenth of a core; a mesh of a handful is never kept waiting.
        """
        return self._due if self._touched or self.stale else float("inf")

    def rebuild(self, *, now: float) -> Snapshot:
        """Bring names and snapshot up to what is believed now."""
        if self.stale:
            everybody = (self._local, *self._membership.members)
            self._touched.update(dict.fromkeys((*self._shown, *everybody)))
        touched, self._touched = self._touched, {}
        self.stale = False
        self._due = now + GAP_PER_MEMBER_S * len(touched)
        renamed = self._mend_names(touched)
        changed: dict[str, None] = {}
        for node in {**touched, **renamed}:
            changed.update(dict.fromkeys(self._mend_offers(node)))
        zone = self._membership.own.zone
        for node in touched:
            self._mend_zone(node)
        # A node that has no zone itself has no use for where the others are.
        zones = self._zones if zone else Counter[str]()
        if changed or zone != self.snapshot.zone or zones != self.snapshot.zones:
            services = {**self.snapshot.services, **{name: self._ordered(name) for name in changed}}
            ordered = {name: found for name, found in sorted(services.items()) if found}
            self.snapshot = Snapshot(self._local, ordered, zone, MappingProxyType(dict(zones)))
        return self.snapshot

    def _mend_zone(self, node: NodeId) -> None:
        """Count a node in the zone where it stands now."""
        before = self._zone_of.pop(node, None)
        if before is not None:
            self._zones[before] -= 1
            if not self._zones[before]:
                del self._zones[before]
        record, member = self._record_of(node), self._membership.members.get(node)
        if record is not None and (member is None or member.living):
            self._zone_of[node] = record.zone
            self._zones[record.zone] += 1

    def _record_of(self, node: NodeId) -> MemberRecord | None:
        if node == self._local:
            return self._membership.own
        member = self._membership.members.get(node)
        return None if member is None else member.record

    def _is_live(self, node: NodeId) -> bool:
        member = self._membership.members.get(node)
        return node == self._local or (member is not None and member.living and not member.unanswered)

    def _mend_names(self, touched: Iterable[NodeId]) -> dict[NodeId, None]:
        """Settle who shows under each name that somebody touched claims or claimed; give whose label changed."""
        unsettled: dict[str, None] = {}
        for node in touched:
            record, label = self._record_of(node), self._shown.get(node)
            before = None if label is None else label.partition(MARK)[0]
            name = None if record is None else record.name
            if before is not None:
                unsettled[before] = None
            if name is not None:
                unsettled[name] = None
            if before is not None and name != before:
                del self._shown[node]
                self._claimants[before] = tuple(each for each in self._claimants[before] if each != node)
            if name is not None and name != before:
                self._claimants[name] = (*self._claimants.get(name, ()), node)
        return self._settle(unsettled)

    def _settle(self, names: Iterable[str]) -> dict[NodeId, None]:
        renamed: dict[NodeId, None] = {}
        for name in names:
            claimants = self._claimants[name]
            if not claimants:
                del self._claimants[name]
                continue
            holder = next((node for node in claimants if self._shown.get(node) == name), None)
            holders = {} if holder is None else {name: holder}
            records = [record for record in map(self._record_of, claimants) if record is not None]
            alone = len(records) == 1
            labels = (
                {records[0].id: name} if alone else display_names(records, self._is_live, holders=holders)
            )
            for node, label in labels.items():
                if self._shown.get(node) != label:
                    self._shown[node] = label
                    renamed[node] = None
        return renamed

    def _mend_offers(self, node: NodeId) -> tuple[str, ...]:
        """Offer what a node offers now; give the services whose endpoints changed."""
        before = self._offered.pop(node, ())
        for name in before:
            self._offers[name].living.pop(node, None)
            self._offers[name].gone.pop(node, None)
        record = self._record_of(node)
        if record is None or not record.services:
            return before
        doubt, gone = self._doubt(node)
        found = endpoints_of(record, doubt, name=self._shown[node], refused=self._refused(node))
        for name, endpoint in found:
            offers = self._offers.setdefault(name, _Offers())
            (offers.gone if gone else offers.living)[node] = endpoint
        self._offered[node] = tuple(name for name, _ in found)
        return (*before, *self._offered[node])

    def _doubt(self, node: NodeId) -> tuple[str, bool]:
        """Give what is against a node's endpoints in our belief of it, and whether it is gone."""
        member = self._membership.members.get(node)
        if member is None:
            return "", False
        if not member.living:
            return GONE[member.state], True
        return EXPIRED if self._registry.lookup(node) is None else why_not_member(member), False

    def _ordered(self, name: str) -> tuple[Endpoint, ...]:
        found = self._offers[name].ordered()
        if not found:
            del self._offers[name]
        return found
