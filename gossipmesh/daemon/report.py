"""A running node, as the admin API sees it: answers from memory, in the shapes of :mod:`gossipmesh.daemon.view`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import trio
from attrs import frozen

import gossipmesh
from gossipmesh.config.load import Loaded
from gossipmesh.daemon.control import wall_clock
from gossipmesh.daemon.metrics import Metrics
from gossipmesh.daemon.recorder import Recorder
from gossipmesh.daemon.view import (
    EndpointEntry,
    Endpoints,
    Explained,
    Listen,
    MemberCounts,
    MemberEntry,
    Members,
    OwnService,
    Readiness,
    RootEntry,
    ServiceEntry,
    Services,
    Status,
)
from gossipmesh.identity.record import MemberRecord
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Address, Endpoint, MemberState, NodeId, Serving, day


@frozen
class Listening:
    """Where the daemon listens; None for what is not up yet."""

    mesh: Address
    proxy: Address | None = None
    admin: Address | None = None


class NodeReport:
    """Answers for one node; a :class:`~gossipmesh.daemon.view.NodeView`.

    Args:
        loaded: the configuration with its origins.
        mesh: the control plane.
        metrics: what is counted.
        listening: gives where the node listens now.
        channels: gives the open hop channels, by state.
        in_flight: gives the requests being answered now.
        ejected: says why this node leaves a service's endpoint out for what its requests came to; empty: it does not.
        drain: takes no more work and returns when what was taken is over.
        leave: tells the mesh goodbye and returns when that is done.
        recorder: keeps what membership was told.
        own_services: gives this node's services and their health.
        explain: gives what a request of a local app would come to.
        explain_past: gives what became of one, by its id or trace.
    """

    def __init__(
        self,
        loaded: Loaded,
        mesh: Mesh,
        metrics: Metrics,
        *,
        listening: Callable[[], Listening],
        channels: Callable[[], Mapping[str, int]],
        in_flight: Callable[[], int],
        ejected: Callable[[str, NodeId], str],
        drain: Callable[[], Awaitable[None]],
        leave: Callable[[], Awaitable[None]],
        recorder: Recorder,
        own_services: Callable[[], list[OwnService]],
        explain: Callable[[str, str, list[tuple[str, str]]], Explained],
        explain_past: Callable[[str], Explained],
    ) -> None:
        self._loaded = loaded
        self._mesh = mesh
        self._metrics = metrics
        self._listening = listening
        self._channels = channels
        self._in_flight = in_flight
        self._ejected = ejected
        self._drain = drain
        self._leave = leave
        self._recorder = recorder
        self._own_services = own_services
        self._explain = explain
        self._explain_past = explain_past
        self._started = trio.current_time()

    def _counts(self) -> Counter[MemberState]:
        counts = Counter(member.state for member in self._mesh.members.values())
        counts[MemberState.ALIVE] += 1
        return counts

    def status(self) -> Status:
        """Give the node in short."""
        mesh, listening, counts = self._mesh, self._listening(), self._counts()
        return Status(
            name=mesh.own.name,
            id=mesh.id.hex(),
            mesh=mesh.trust.mesh_id.hex(),
            version=gossipmesh.__version__,
            uptime_s=round(trio.current_time() - self._started, 3),
            listen=Listen(
                mesh=str(listening.mesh),
                proxy=_shown(listening.proxy),
                admin=_shown(listening.admin),
                dns=None,
            ),
            address=str(mesh.own.addresses[0]),
            members=MemberCounts(
                alive=counts[MemberState.ALIVE],
                suspect=counts[MemberState.SUSPECT],
                dead=counts[MemberState.DEAD],
                left=counts[MemberState.LEFT],
            ),
            agreement=round(mesh.agreement, 3),
            awareness=mesh.awareness,
            policy_version=0,
            services=self._own_services(),
            chain_expires_at=mesh.chain.grants.expires_at,
            bundle=mesh.trust.n,
            roots=self._roots(),
            clones=sorted({alarm.id.hex() for alarm in mesh.registry.clones}),
        )

    def _roots(self) -> list[RootEntry]:
        registry, trust = self._mesh.registry, self._mesh.trust
        chains = (registry.chain_of(node) for node in registry.records)
        hanging = Counter(chain.root for chain in chains if chain is not None)
        return [
            RootEntry(root=root.hex(), newest=root == trust.newest_root, members=hanging[root])
            for root in trust.roots
        ]

    def members(self) -> Members:
        """Give all members, this node included."""
        mesh = self._mesh
        # Membership counts in monotonic seconds; people and scripts want to know when.
        offset = wall_clock() - trio.current_time()
        entries = [self._entry(mesh.own, MemberState.ALIVE, self._started + offset)]
        for member in mesh.members.values():
            entries.append(self._entry(member.record, member.state, member.since + offset))
        return Members(members=sorted(entries, key=lambda entry: (entry["name"], entry["id"])))

    def _entry(self, record: MemberRecord, state: MemberState, since: float) -> MemberEntry:
        return MemberEntry(
            name=self._mesh.names.get(record.id, record.name),
            id=record.id.hex(),
            address=str(record.addresses[0]),
            state=state.value,
            serving=record.serving.value,
            incarnation=record.boot << 32 | record.incarnation,
            zone=record.zone,
            services=[service.name for service in record.services],
            since=round(since, 3),
        )

    def services(self) -> Services:
        """Give all services with the number of their endpoints."""
        entries = [
            ServiceEntry(name=name, endpoints=len(found), healthy=sum(e.eligible for e in found))
            for name, found in sorted(self._mesh.snapshot.services.items())
        ]
        return Services(services=entries)

    def endpoints(self, name: str) -> Endpoints | None:
        """Give a service's endpoints, or None for a service that nobody offers."""
        found = self._mesh.snapshot.endpoints(name)
        if not found:
            return None
        return Endpoints(service=name, endpoints=[self._endpoint(name, each) for each in found])

    def _endpoint(self, service: str, endpoint: Endpoint) -> EndpointEntry:
        # What the mesh says goes before what this node alone has seen.
        reason = endpoint.reason or self._ejected(service, endpoint.id)
        return EndpointEntry(
            node=endpoint.node,
            id=endpoint.id.hex(),
            address=str(endpoint.address),
            weight=endpoint.service.weight,
            tags=list(endpoint.service.tags),
            healthy=endpoint.eligible and not reason,
            reason=reason,
        )

    def explain(self, method: str, url: str, headers: list[tuple[str, str]]) -> Explained:
        """Give what a request of a local app would come to now."""
        return self._explain(method, url, headers)

    def explain_past(self, name: str) -> Explained:
        """Give what became of a request."""
        return self._explain_past(name)

    def config(self) -> Mapping[str, object]:
        """Give the effective configuration."""
        return self._loaded.describe()

    def ready(self) -> Readiness:
        """Tell whether the node has joined, is in step, listens, and does not drain."""
        listening = self._listening()
        if (serving := self._mesh.own.serving) is not Serving.SERVING:
            return Readiness(False, f"this node is {serving.value}")
        if self._mesh.chain.grants.expired(wall_clock()):
            when = day(self._mesh.chain.grants.expires_at)
            return Readiness(
                False, f"this node's chain expired on {when}: give it a new token, --token-file FILE"
            )
        if not self._mesh.joined:
            seeds = ", ".join(self._loaded.config.node.join)
            return Readiness(False, f"not in step with a seed yet ({seeds})")
        if listening.proxy is None or listening.admin is None:
            return Readiness(False, "not everything listens yet")
        return Readiness(True)

    def metrics_text(self) -> bytes:
        """Give the metrics; what is a state and not a count is read now."""
        metrics, mesh = self._metrics, self._mesh
        metrics.set_members(self._counts())
        metrics.set_endpoints(
            Counter(
                (name, self._state(name, endpoint))
                for name, found in mesh.snapshot.services.items()
                for endpoint in found
            )
        )
        metrics.set_channels(self._channels())
        metrics.set_in_flight(self._in_flight())
        metrics.set_awareness(mesh.awareness)
        metrics.set_chain_expiry(mesh.chain.grants.expires_at)
        return metrics.text()

    def _state(self, service: str, endpoint: Endpoint) -> str:
        if not endpoint.eligible:
            return "unhealthy"
        return "ejected" if self._ejected(service, endpoint.id) else "healthy"

    def trace(self) -> bytes:
        """Give the flight recorder's file."""
        return self._recorder.trace(now=trio.current_time(), wall=wall_clock())

    async def drain(self) -> None:
        """Take no more work from the mesh."""
        await self._drain()

    async def leave(self) -> None:
        """Leave the mesh."""
        await self._leave()


def _shown(address: Address | None) -> str | None:
    return None if address is None else str(address)
