"""A running node, as the admin API sees it: answers from memory, in the shapes of :mod:`.view`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import trio
from attrs import frozen

import gossipmesh
from gossipmesh.config.load import Loaded
from gossipmesh.daemon.admin.changes import Picture
from gossipmesh.daemon.admin.check_view import Checked
from gossipmesh.daemon.admin.explained_view import Explained
from gossipmesh.daemon.admin.identities import Identities, Revocations, identity_entry, revocation_entry
from gossipmesh.daemon.admin.news import News
from gossipmesh.daemon.admin.policy_view import Allowed, PolicyEntry, PolicyShown, TrialShown
from gossipmesh.daemon.admin.reachability_view import Reachability
from gossipmesh.daemon.admin.requests_view import Requests, RequestsAsked
from gossipmesh.daemon.admin.services_view import OwnService, ServiceBook
from gossipmesh.daemon.admin.view import (
    EndpointEntry,
    Endpoints,
    Listen,
    MemberCounts,
    MemberEntry,
    Members,
    Readiness,
    RootEntry,
    ServiceEntry,
    Services,
    Status,
)
from gossipmesh.daemon.clock import wall_clock
from gossipmesh.daemon.policy.can import Judge
from gossipmesh.daemon.policy.policies import Policies
from gossipmesh.daemon.policy.trying import Trials
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.daemon.telemetry.recorder import Recorder
from gossipmesh.identity.record import MemberRecord
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Address, Endpoint, MemberState, NodeId, Serving, day
from gossipmesh.policy.rules import Policy


@frozen
class Listening:
    """Where the daemon listens; None for what is not up yet."""

    mesh: Address
    proxy: Address | None = None
    admin: Address | None = None
    dns: Address | None = None
    gateways: tuple[Address, ...] = ()


class NodeReport:
    """Answers for one node; a :class:`~gossipmesh.daemon.admin.view.NodeView`.

    Args:
        loaded: gives the configuration with its origins.
        mesh: the control plane.
        metrics: what is counted.
        listening: gives where the node listens now.
        channels: gives the open hop channels, by state.
        in_flight: gives the requests being answered now.
        ejected: says why this node leaves a service's endpoint out for what its requests came to; empty: it does not.
        drain: takes no more work and returns when what was taken is over.
        leave: tells the mesh goodbye and returns when that is done.
        offer: takes something signed for the whole mesh and says what became of it.
        recorder: keeps what membership was told.
        own_services: gives this node's services and their health.
        explain: gives what a request of a local app would come to.
        explain_past: gives what became of one, by its id or trace.
        requests: gives those that ended lately.
        survey: reaches for all members.
        policies: the mesh's policy at this node.
        trials: tries policies on.
        policy: gives the policy in force.
        check: gives what is right and wrong, told why the node is not ready (empty: it is).
        book: this node's own services.
        rng: dice for waits.
    """

    def __init__(
        self,
        loaded: Callable[[], Loaded],
        mesh: Mesh,
        metrics: Metrics,
        *,
        listening: Callable[[], Listening],
        channels: Callable[[], Mapping[str, int]],
        in_flight: Callable[[], int],
        ejected: Callable[[str, NodeId], str],
        drain: Callable[[], Awaitable[None]],
        leave: Callable[[], Awaitable[None]],
        offer: Callable[[str, bytes], Awaitable[str]],
        recorder: Recorder,
        own_services: Callable[[], list[OwnService]],
        explain: Callable[[str, str, list[tuple[str, str]]], Explained],
        explain_past: Callable[[str], Explained],
        requests: Callable[[RequestsAsked], Requests],
        survey: Callable[[], Awaitable[Reachability]],
        policies: Policies,
        trials: Trials,
        policy: Callable[[], Policy],
        check: Callable[[str], Checked],
        book: ServiceBook,
        rng: random.Random,
    ) -> None:
        self._loaded = loaded
        self._mesh = mesh
        self._metrics = metrics
        metrics.set_info(mesh.own.name, mesh.trust.mesh_id.hex(), gossipmesh.__version__)
        self._listening = listening
        self._channels = channels
        self._in_flight = in_flight
        self._ejected = ejected
        self._drain = drain
        self._leave = leave
        self._offer = offer
        self._recorder = recorder
        self._own_services = own_services
        self._explain = explain
        self._explain_past = explain_past
        self._requests = requests
        self._survey = survey
        self._policies = policies
        self._trials = trials
        self._policy = policy
        self._check = check
        self._judge = Judge(mesh, policy)
        self._started = trio.current_time()
        self._rotations: Counter[str] = Counter()
        self.book: Final = book
        # Milliseconds since 1970: whatever index a client has of an earlier life of this daemon, it is lower.
        self.news: Final = News(self._picture, first=int(wall_clock() * 1_000), rng=rng)

    def rotation_changed(self, service: str) -> None:
        """Take it that this node leaves other endpoints of a service out than before."""
        self._rotations[service] += 1
        self.news.touch()

    def _picture(self) -> Picture:
        mesh, services = self._mesh, self._mesh.snapshot.services
        turns = self._rotations = Counter({n: turn for n, turn in self._rotations.items() if n in services})
        known = {node.hex(): (each.state, each.record) for node, each in mesh.members.items()}
        known[mesh.id.hex()] = MemberState.ALIVE, mesh.own
        return Picture(
            members={node: (*each, mesh.names.get(each[1].id)) for node, each in known.items()},
            services=services
            if not turns
            else {name: (turns[name], each) for name, each in services.items()},
            ready=self.ready(),
            member=self._member,
            service=self._service,
        )

    def _member(self, node: str) -> Mapping[str, object] | None:
        mesh, offset = self._mesh, wall_clock() - trio.current_time()
        if node == mesh.id.hex():
            return self._entry(mesh.own, MemberState.ALIVE, self._started + offset)
        member = mesh.members.get(NodeId(bytes.fromhex(node)))
        return None if member is None else self._entry(member.record, member.state, member.since + offset)

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
                dns=_shown(listening.dns),
                gateways=[str(each) for each in listening.gateways],
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
            policy_version=self._policy().version,
            services=self._own_services(),
            chain_expires_at=mesh.chain.grants.expires_at,
            bundle=mesh.trust.n,
            roots=self._roots(),
            clones=sorted({alarm.id.hex() for alarm in mesh.registry.clones}),
        )

    def _roots(self) -> list[RootEntry]:
        mesh, trust = self._mesh, self._mesh.trust
        # Whoever has left, or is dead, cannot be shut out by dropping a root.
        living = (node for node, member in mesh.members.items() if member.living)
        chains = (mesh.chain_of(node) for node in (mesh.id, *living))
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
            policy_version=record.policy[0],
            enforces=record.enforces,
        )

    def revocations(self) -> Revocations:
        """Give who is revoked, and why."""
        held = self._mesh.charter.revocations
        return Revocations(
            revocations=[revocation_entry(each, voided=held.is_void(each)) for each in held.entries]
        )

    def identities(self) -> Identities:
        """Give what each living member's chain says that a revocation may name."""
        mesh = self._mesh
        records = [mesh.own, *(member.record for member in mesh.members.values())]
        found = [(record, mesh.chain_of(record.id)) for record in records]
        return Identities(
            identities=[
                identity_entry(mesh.names.get(record.id, record.name), chain)
                for record, chain in found
                if chain is not None
            ]
        )

    def services(self) -> Services:
        """Give all services with the number of their endpoints."""
        return Services(services=[self._service(name) for name in sorted(self._mesh.snapshot.services)])

    def _service(self, name: str) -> ServiceEntry:
        found = self._mesh.snapshot.endpoints(name)
        return ServiceEntry(name=name, endpoints=len(found), healthy=sum(e.eligible for e in found))

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

    def can(self, source: str, service: str, method: str, target: str, *, speaks_as: str | None) -> Allowed:
        """Tell whether a request would be let in."""
        return self._judge.can(source, service, method, target, speaks_as=speaks_as)

    def policy(self, version: int | None) -> PolicyShown:
        """Give a policy document, and which one each member has."""
        return self._policies.show(version)

    def policy_history(self) -> list[PolicyEntry]:
        """Give the documents that are remembered."""
        return self._policies.history()

    def explain(self, method: str, url: str, headers: list[tuple[str, str]]) -> Explained:
        """Give what a request of a local app would come to now."""
        return self._explain(method, url, headers)

    def explain_past(self, name: str) -> Explained:
        """Give what became of a request."""
        return self._explain_past(name)

    def requests(self, asked: RequestsAsked) -> Requests:
        """Give what ended lately."""
        return self._requests(asked)

    def check(self) -> Checked:
        """Give what is right and wrong here."""
        return self._check(self.ready().reason)

    def config(self) -> Mapping[str, object]:
        """Give the effective configuration, and what the mesh's policy says in place of some of it."""
        return self._loaded().describe() | self._policies.traffic()

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
        if self._mesh.chain.root not in self._mesh.trust.roots:
            text = "this node's chain hangs on a root that the mesh has dropped: give it a new token, --token-file FILE"
            return Readiness(False, text)
        if (entry := self._mesh.charter.revocations.find(self._mesh.chain)) is not None:
            return Readiness(False, f"this node is revoked ({entry})")
        if not self._mesh.joined:
            seeds = ", ".join(self._loaded().config.node.join)
            return Readiness(False, f"not in step with a seed yet ({seeds})")
        if self._policies.waiting:
            return Readiness(False, f"this node serves nobody: {self._policies.waiting}")
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
        metrics.set_revocations(len(mesh.charter.revocations))
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

    async def reachability(self) -> Reachability:
        """Reach for all members."""
        return await self._survey()

    async def try_policy(self, body: bytes, *, signed: bool) -> TrialShown:
        """Try a policy on."""
        if signed:
            return await self._trials.show_everywhere(body)
        return await self._trials.show_here(body.decode("utf-8", "replace"))

    async def offer(self, kind: str, raw: bytes) -> str:
        """Take something signed for the whole mesh."""
        return await self._offer(kind, raw)


def _shown(address: Address | None) -> str | None:
    return None if address is None else str(address)
