"""The data plane of one node: proxies, hop channels both ways, and what is told about each request."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import trio

from gossipmesh.channel.hop_stream import ReceiveBudget
from gossipmesh.config.model import Config
from gossipmesh.config.policy_text import PolicyText
from gossipmesh.daemon.calling import upstreams_of
from gossipmesh.daemon.explaining import Explainer
from gossipmesh.daemon.gateways import Gateways
from gossipmesh.daemon.observing import Observing
from gossipmesh.daemon.policy.authorization import Authorization
from gossipmesh.daemon.policy.callers import Callers
from gossipmesh.daemon.policy.measuring import Measuring
from gossipmesh.daemon.ports import listen
from gossipmesh.daemon.surroundings import exhaustion_teller
from gossipmesh.daemon.telemetry.logs import AccessLog, Log
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.daemon.telemetry.upstreams import UpstreamMetrics, log_rotation
from gossipmesh.identity.credentials import Peer
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Address, NodeId, Service
from gossipmesh.policy.rules import Policy
from gossipmesh.policy.seen import Seen
from gossipmesh.proxy.admission import rates_of, renew_rates
from gossipmesh.proxy.apps import AppPool
from gossipmesh.proxy.attempts import let_go
from gossipmesh.proxy.dialling import Dialler
from gossipmesh.proxy.history import History
from gossipmesh.proxy.inbound import Inbound
from gossipmesh.proxy.outbound import Outbound
from gossipmesh.proxy.outside import External
from gossipmesh.proxy.ports import InboundPorts, OutboundPorts
from gossipmesh.proxy.sweep import Sweep
from gossipmesh.routing.budget import Inbound as RetriesServed
from gossipmesh.routing.ejection import Ejected, Readmitted
from gossipmesh.routing.snapshot import Candidates
from gossipmesh.routing.traffic import Traffic
from gossipmesh.transport.acceptor import HopAcceptor
from gossipmesh.transport.pool import ChannelPool
from gossipmesh.transport.reactor import Reactor
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream


class DataPlane:
    """Owns the outbound and inbound proxies and their channels.

    It reads the control plane's snapshot and own record, and calls it never; evidence goes out by ``unreachable``.

    Args:
        config: what to listen on, and the proxy's limits.
        mesh: the control plane, to be read only.
        identity: who we are in handshakes.
        metrics: counts.
        access: the access log.
        log: is told which endpoints go out of rotation here, and come back.
        default_allow: the decision as long as no policy is set.
        resolve: where a node is.
        unreachable: is told of a node to which a connect failed or a channel broke, and why.
        doubt: is told the port of an app of ours that may be gone.
        rotation_changed: is told a service of which this node leaves other endpoints out than before.
        serving_changed: is told when requests from the mesh begin to be served, or are not served any more.
    """

    def __init__(
        self,
        config: Config,
        mesh: Mesh,
        identity: ChannelIdentity,
        *,
        metrics: Metrics,
        access: AccessLog,
        log: Log,
        default_allow: bool,
        resolve: Callable[[NodeId], tuple[Address, ...] | None],
        unreachable: Callable[[NodeId, str], None],
        doubt: Callable[[int], None],
        rotation_changed: Callable[[str], None] = lambda _: None,
        serving_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._serving_changed = serving_changed
        self._rotation_changed = rotation_changed
        self._config = config
        self._mesh = mesh
        self._metrics = metrics
        self._log = log
        limits = config.proxy.limits
        fast_lane = config.proxy.fast_lane
        self._reactor = reactor = Reactor()
        self._retries = RetriesServed()
        self._upstreams = upstreams_of(config, mesh)
        self.measuring = Measuring(now=reactor.now)
        """How requests go."""
        self._history = History()
        self._observing = Observing(
            mesh.routes,
            metrics=metrics,
            measuring=self.measuring,
            history=self._history,
            access=access,
            reactor=reactor,
            unreachable=unreachable,
        )
        self._look_due = False
        self._authorization = Authorization(
            Policy.of_default(default_allow), metrics=metrics, log=log, reactor=reactor
        )
        self._services = {each.name: each.offered(healthy=True) for each in config.services}
        self._rates = rates_of(self._services, self._upstreams.traffic_of)
        metrics.add(UpstreamMetrics(self._upstreams, self._rates))
        self._callers = Callers(mesh)
        self._apps = AppPool(reactor, limits, fast_lane=fast_lane, doubt=doubt)
        budget = ReceiveBudget()
        self._pool = ChannelPool(
            reactor,
            identity,
            resolve,
            connect_timeout_s=limits.connect_timeout_s,
            budget=budget,
            count=metrics.gossip_error,
            lost=unreachable,
        )
        self._dialler = Dialler(reactor, limits.connect_timeout_s)
        self._ports = self._outbound_ports(config, mesh)
        self._outbound = Outbound(self._ports)
        self.gateways = Gateways(config.gateways, self._ports, log)
        self.explainer = self._make_explainer(config)
        ports = self._inbound_ports(config)
        self._inbound = Inbound(ports)
        self._acceptor = HopAcceptor(reactor, self._inbound.handle, budget=budget, count=metrics.gossip_error)
        # Nobody is served under a default that this node only guesses to be in force.
        self._inbound.waiting = not mesh.joined or mesh.charter.policy is not None
        self._sweep = Sweep(ports, lambda: self._acceptor.busy, ended=self._authorization.ended)

    def _inbound_ports(self, config: Config) -> InboundPorts:
        authorization = self._authorization
        return InboundPorts(
            service=self._services.get,
            source=self._callers.source,
            policy=authorization.in_force,
            decided=authorization.decided,
            reactor=self._reactor,
            apps=self._apps,
            observe=self._observing.observe,
            limits=config.proxy.limits,
            retries=self._retries,
            rates=self._rates,
            fast_lane=config.proxy.fast_lane,
        )

    def _outbound_ports(self, config: Config, mesh: Mesh) -> OutboundPorts:
        reactor, routes, proxy = self._reactor, mesh.routes, config.proxy
        return OutboundPorts(
            node=mesh.own.name,
            source_service=proxy.as_service or "",
            snapshot=lambda: routes.snapshot,
            reactor=reactor,
            pool=self._pool,
            upstreams=self._upstreams,
            report=self._observing.attempted,
            observe=self._observing.observe,
            entropy=os.urandom,
            limits=proxy.limits,
            rotated=self._rotated,
            retries=self._retries,
            fast_lane=proxy.fast_lane,
            external=External(proxy.external, proxy.allow),
            dialler=self._dialler,
            exhausted=exhaustion_teller(self._metrics.gossip_error, self._log),
        )

    def _make_explainer(self, config: Config) -> Explainer:
        reactor = self._reactor
        return Explainer(
            self._mesh,
            self._outbound,
            self._upstreams,
            self._history,
            source_service=lambda: self._ports.source_service,
            policy=lambda: self._authorization.policy,
            now=lambda: reactor.now,
        )

    async def start(self, nursery: trio.Nursery) -> Address:
        """Start proxies and channels; give where the proxy listens.

        Raises:
            ConfigError: an address cannot be bound.
        """
        await nursery.start(self._reactor.run)
        await nursery.start(self._pool.run)
        nursery.start_soon(self._apps.run)
        await nursery.start(self._dialler.run)
        proxy = self._config.proxy.listen
        bound = await listen(nursery, self._outbound.serve, proxy, "--proxy", proxy)
        for upstream in self._config.upstreams:

            async def serve(
                address: Address,
                service: str,
                *,
                task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
            ) -> None:
                await self._outbound.serve(address, service=service, task_status=task_status)

            flag = f"--upstream {upstream.service}=..."
            await listen(nursery, serve, upstream.listen, flag, upstream.listen, upstream.service)
        await self.gateways.start(nursery)
        return bound

    def set_policy(self, text: PolicyText) -> None:
        """Put a policy in force, all of it in one turn of the reactor: no request sees a part of one.

        Requests that are under way end where it denies them, and else with the settings that they began with.
        """
        self._reactor.defer(partial(self._put_in_force, text))

    def _put_in_force(self, text: PolicyText) -> None:
        self._authorization.policy = text.policy
        self._set_waiting(False)
        let_go(self._reactor, self._upstreams.set_policy(text.traffics))
        renew_rates(self._rates, self._services, self._upstreams.traffic_of)
        self._metrics.set_policy_version(text.policy.version)
        self._sweep.judge_all()

    def wait_for_policy(self) -> None:
        """Take no requests from the mesh, from the next turn on, until a policy is set: it is not known which one."""
        self._reactor.defer(partial(self._set_waiting, True))

    def begin_serving(self) -> None:
        """Serve the mesh from now on: it is known which policy it has."""
        self._set_waiting(False)

    @property
    def waiting(self) -> bool:
        """Whether requests from the mesh are refused, because it is not known yet which policy holds."""
        return self._inbound.waiting

    def _set_waiting(self, waiting: bool) -> None:
        if waiting is not self._inbound.waiting:
            self._inbound.waiting = waiting
            self._serving_changed()

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._authorization.policy

    @property
    def seen(self) -> Seen:
        """What this node's services were asked for."""
        return self._authorization.seen

    def set_services(self, services: Iterable[Service], *, speaker: str) -> None:
        """Take requests for ``services`` from now on, and no others; those that were taken already end as they would.

        Args:
            services: of this node.
            speaker: the service that local apps speak as, or empty.
        """
        former = {each.port for each in self._services.values()}
        # In place: the inbound side looks in this very dictionary.
        kept = {each.name: each for each in services}
        self._services.clear()
        self._services.update(kept)
        for port in former - {each.port for each in self._services.values()}:
            self._apps.forget(port)
        renew_rates(self._rates, self._services, self._upstreams.traffic_of)
        self._ports.source_service = speaker

    def set_external(self, external: External) -> None:
        """Treat requests for names outside the mesh so from now on."""
        self._ports.external = external

    def set_traffic(self, traffic: Mapping[str, Traffic]) -> None:
        """Spread, try and bound requests so from now on; whatever that does not change stays as it is."""
        let_go(self._reactor, self._upstreams.set_traffic(traffic))
        renew_rates(self._rates, self._services, self._upstreams.traffic_of)

    def snapshot_changed(self) -> None:
        """Have the newest picture of the mesh looked at, once for all that changes meanwhile.

        Not here: this is called from within the control task, and what it costs grows with what the data plane does.
        """
        if not self._look_due:
            self._look_due = True
            self._reactor.defer(self._look_at_picture)

    def _look_at_picture(self) -> None:
        """Have requests asked elsewhere, as far as that is possible, that wait at what has become unhealthy."""
        self._look_due = False
        snapshot = self._mesh.snapshot
        self._upstreams.picture_changed(snapshot)
        self._sweep.judge_changed()
        unhealthy: dict[str, set[NodeId]] = {}

        def is_unhealthy(node: NodeId, service: str) -> bool:
            if service not in unhealthy:
                found = snapshot.endpoints(service)
                unhealthy[service] = {each.id for each in found if not each.service.healthy}
            return node in unhealthy[service]

        self._pool.doubt(is_unhealthy)

    def why_ejected(self, service: str, node: NodeId) -> str:
        """Say why this node leaves an endpoint out for what its requests came to; empty if it does not."""
        return self._upstreams.why_ejected(service, node, now=self._reactor.now)

    def called(self, since: float) -> frozenset[str]:
        """Give the services that local apps asked for since ``since``, in unix seconds, as far as it is remembered."""
        return self._history.called(since)

    def in_rotation(self, service: str) -> Candidates:
        """Give the endpoints of a service that the next request could go to."""
        eligible, upstream = self._mesh.snapshot.eligible(service), self._upstreams.get(service)
        return eligible if upstream is None else upstream.outliers.fit(eligible, now=self._reactor.now)

    @property
    def reactor(self) -> Reactor:
        """The event loop of all this."""
        return self._reactor

    @property
    def in_flight(self) -> int:
        """Requests that are not over, from local apps and for them."""
        return self._outbound.in_flight + self.gateways.in_flight + self._inbound.in_flight

    async def serve_channel(self, stream: SecureStream) -> None:
        """Serve an accepted hop channel.

        Raises:
            TrustError: its peer was revoked since its handshake, or its root replaced.
        """
        self._mesh.charter.check_stands(stream.peer.chain)
        await self._acceptor.serve_channel(stream)

    def end_channels(self, hit: Callable[[Peer], bool]) -> None:
        """End the channels from and to the peers that are ``hit``, and the requests on them, in the next turn."""

        def end() -> None:
            self._pool.close_where(hit)
            self._acceptor.close_where(hit)

        self._reactor.defer(end)

    async def drain(self) -> None:
        """Take no more requests from the mesh, and return when those that were taken are over.

        Peers hear it by GOAWAY: what they sent since, whatever its method is, they send elsewhere.
        """
        self._acceptor.drain()
        await self._inbound.drain()

    async def settle(self) -> None:
        """Return when peers have what was answered, and requests that were half here when we drained are served too."""
        await self._acceptor.settle()
        while self._inbound.in_flight:
            await self._inbound.drain()
            await self._acceptor.settle()

    def end_connections(self) -> None:
        """End each connection of a local app with its next answer."""
        self._outbound.end_connections()
        self.gateways.end_connections()

    async def finish(self) -> None:
        """Take no more connections, return when no request is in flight on any, and let go of the channels to peers."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.gateways.finish)
            self._outbound.stop_accepting()
            await self._outbound.wait_idle()
        self._pool.retire_all()

    def end_idle(self) -> None:
        """Take no more connections of apps and strangers, and close those that carry no request."""
        self._outbound.stop_accepting()
        self._outbound.end_idle()
        self.gateways.end_idle()

    def channels(self) -> Mapping[str, int]:
        """Give how many channels we have open, by state."""
        return {"open": len(self._pool.connected)}

    # --- what is told about requests ---

    def _rotated(self, service: str, news: Ejected | Readmitted) -> None:
        log_rotation(self._log, self._mesh.names, service, news)
        self._rotation_changed(service)
