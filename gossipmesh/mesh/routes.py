"""The picture of endpoints that the data plane reads, made of membership's beliefs and the registry's records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from gossipmesh.identity.record import MemberRecord
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.members import Member
from gossipmesh.model import Endpoint, MemberState, NodeId, Service, Serving, short_id
from gossipmesh.registry.names import display_names, holders_of
from gossipmesh.registry.store import Registry
from gossipmesh.routing.snapshot import Snapshot

GAP_PER_MEMBER_S: Final = 0.0002
"""Between two rebuilds, for each member."""
EXPIRED: Final = "its record or its chain has expired"


GONE: Final = {MemberState.DEAD: "its node is dead", MemberState.LEFT: "its node has left"}


def why_not(record: MemberRecord, service: Service) -> str:
    """Say what in a node's own record keeps an endpoint out of rotation; empty where nothing does."""
    if record.serving is not Serving.SERVING:
        return f"its node is {record.serving.value}"
    if not service.healthy:
        return "its node reports it unhealthy"
    return ""


def why_not_member(member: Member) -> str:
    """Say what in our belief of a member keeps its endpoints out of rotation; empty where nothing does.

    A suspect is left out only on evidence of our own or of enough accusers: one accusation takes nobody out of service.
    """
    return "" if member.routable else (member.reason or member.state.value)


def build_snapshot(
    own: MemberRecord,
    members: Iterable[Member],
    *,
    names: Mapping[NodeId, str],
    refused: Callable[[NodeId], frozenset[str]],
    expired: Callable[[NodeId], bool] = lambda node: False,
) -> Snapshot:
    """Give the snapshot of what is believed now.

    Args:
        own: our record: our services are endpoints like any other.
        members: everybody else. The dead and the departed stand only for services that nobody living offers: a
            service that is down is unhealthy, which is another answer than unknown.
        names: what each id is shown as.
        refused: the services that a node declares outside its token: no route leads to them.
        expired: whether a node's record or chain is valid no more: it is known, and gets no requests.
    """
    services: defaultdict[str, list[Endpoint]] = defaultdict(list)

    def add(record: MemberRecord, doubt: str, *, beside: AbstractSet[str] = frozenset()) -> None:
        outside = refused(record.id) | beside
        for service in record.services:
            if service.name in outside:
                continue
            reason = doubt or why_not(record, service)
            services[service.name].append(
                Endpoint(
                    node=names.get(record.id, record.name),
                    id=record.id,
                    address=record.addresses[0],
                    service=service,
                    eligible=not reason,
                    reason=reason,
                )
            )

    add(own, "")
    gone: list[Member] = []
    for member in members:
        if member.living:
            add(member.record, EXPIRED if expired(member.id) else why_not_member(member))
        else:
            gone.append(member)
    offered = frozenset(services)
    for member in gone:
        add(member.record, GONE[member.state], beside=offered)
    # In the order of ids, so that nodes with one picture go round the endpoints alike.
    ordered = {name: tuple(sorted(found, key=lambda e: e.id)) for name, found in sorted(services.items())}
    return Snapshot(local=own.id, services=ordered)


class Routes:
    """Keeps names and the snapshot, and makes both anew when ``stale`` was set."""

    def __init__(
        self,
        local: NodeId,
        membership: Membership,
        registry: Registry,
        refused: Callable[[NodeId], frozenset[str]],
    ) -> None:
        self._membership = membership
        self._registry = registry
        self._refused = refused
        self._holders: Mapping[str, NodeId] = {}
        self.names: Mapping[NodeId, str] = {}
        """What each id is shown as."""
        self.stale = True
        self.snapshot = Snapshot(local=local)
        self._due = -float("inf")

    def name_of(self, node: NodeId) -> str:
        """Give what an id is shown as, before the next rebuild too."""
        member = self._membership.members.get(node)
        return self.names.get(node) or (member.record.name if member else short_id(node))

    @property
    def due(self) -> float:
        """When a rebuild is due, in monotonic seconds; inf while nothing has changed.

        A rebuild costs some 15 us a member. However fast members sign new records, it takes no more than a tenth of
        a core; a mesh of a handful is never kept waiting.
        """
        return self._due if self.stale else float("inf")

    def rebuild(self, *, now: float) -> Snapshot:
        """Make names and snapshot anew from what is believed now."""
        own, members = self._membership.own, self._membership.members

        def is_live(node: NodeId) -> bool:
            member = members.get(node)
            return node == own.id or (member is not None and member.living)

        records = [own, *(member.record for member in members.values())]
        names = display_names(records, is_live, holders=self._holders)
        self.names, self._holders = names, holders_of(names)
        self.snapshot = build_snapshot(
            own,
            members.values(),
            names=names,
            refused=self._refused,
            expired=lambda node: self._registry.lookup(node) is None,
        )
        self.stale = False
        self._due = now + GAP_PER_MEMBER_S * len(members)
        return self.snapshot
