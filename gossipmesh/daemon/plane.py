"""The data plane of one node: proxies, hop channels both ways, and what is told about each request."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import trio

from gossipmesh.channel.hop_stream import ReceiveBudget
from gossipmesh.config.model import Config
from gossipmesh.daemon.control import wall_clock
from gossipmesh.daemon.logs import AccessLog
from gossipmesh.daemon.metrics import Metrics
from gossipmesh.daemon.ports import listen
from gossipmesh.identity.credentials import Peer
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Address, NodeId, Service
from gossipmesh.policy.decision import Decision, Source, decide
from gossipmesh.proxy.access import RequestReport
from gossipmesh.proxy.apps import AppPool
from gossipmesh.proxy.delivery import InboundPorts, services_of
from gossipmesh.proxy.exchange import OutboundPorts
from gossipmesh.proxy.inbound import Inbound
from gossipmesh.proxy.outbound import Outbound
from gossipmesh.routing.balancer import RoundRobin
from gossipmesh.routing.plan import AttemptOutcome, OutcomeKind
from gossipmesh.transport.acceptor import HopAcceptor
from gossipmesh.transport.pool import ChannelPool
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
        default_allow: the decision where no policy rule matches.
        resolve: where a node is.
        unreachable: is told of a node to which a connect failed or a channel broke, and why.
    """

    def __init__(
        self,
        config: Config,
        mesh: Mesh,
        identity: ChannelIdentity,
        *,
        metrics: Metrics,
        access: AccessLog,
        default_allow: bool,
        resolve: Callable[[NodeId], tuple[Address, ...] | None],
        unreachable: Callable[[NodeId, str], None],
    ) -> None:
        self._config = config
        self._mesh = mesh
        self._metrics = metrics
        self._access = access
        self._default_allow = default_allow
        self._unreachable = unreachable
        limits = config.proxy.limits
        self._apps = AppPool(limits)
        budget = ReceiveBudget()
        self._pool = ChannelPool(
            identity,
            resolve,
            connect_timeout_s=limits.connect_timeout_s,
            budget=budget,
            count=metrics.gossip_error,
            lost=lambda node, why: unreachable(node, f"our channel to it broke: {why}"),
        )
        self._outbound = Outbound(
            OutboundPorts(
                node=mesh.own.name,
                source_service=config.proxy.as_service or "",
                snapshot=lambda: mesh.snapshot,
                pool=self._pool,
                balancer=RoundRobin(mesh.id),
                report=self._attempted,
                observe=self._observe,
                entropy=os.urandom,
                limits=limits,
            )
        )
        self._inbound = Inbound(
            InboundPorts(
                service=self._own_service,
                speaks_for=self._speaks_for,
                decide=self._decide,
                apps=self._apps,
                observe=self._observe,
                limits=limits,
            )
        )
        self._acceptor = HopAcceptor(self._inbound.handle, budget=budget, count=metrics.gossip_error)

    async def start(self, nursery: trio.Nursery) -> Address:
        """Start proxies and channels; give where the proxy listens.

        Raises:
            ConfigError: an address cannot be bound.
        """
        await nursery.start(self._pool.run)
        nursery.start_soon(self._apps.run)
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
        return bound

    @property
    def in_flight(self) -> int:
        """Requests that are not over, from local apps and for them."""
        return self._outbound.in_flight + self._inbound.in_flight

    async def serve_channel(self, stream: SecureStream) -> None:
        """Serve an accepted hop channel."""
        await self._acceptor.serve_channel(stream)

    async def drain(self) -> None:
        """Take no more requests from the mesh, and return when those in flight, local apps' too, are over."""
        self._acceptor.drain()
        await self._inbound.drain()
        await self._outbound.wait_idle()

    def channels(self) -> Mapping[str, int]:
        """Give how many channels we have open, by state."""
        return {"open": len(self._pool.connected)}

    # --- inbound ---

    def _own_service(self, name: str) -> Service | None:
        return next((service for service in self._config.services if service.name == name), None)

    def _speaks_for(self, peer: Peer) -> frozenset[str]:
        # The record shown in the handshake may be hours old; what it declares now is what counts.
        member = self._mesh.members.get(peer.id)
        record = self._mesh.own if peer.id == self._mesh.id else member.record if member else None
        if record is None or record.version < peer.record.version:
            return services_of(peer)
        return frozenset(s.name for s in record.services if peer.chain.grants.allows_service(s.name))

    def _decide(self, source: Source, service: str, method: bytes, target: bytes) -> Decision:
        decision = decide(source, service, method, target, self._default_allow)
        self._metrics.authorized("allow" if decision.allow else "deny", decision.rule)
        return decision

    # --- what is told about requests ---

    def _attempted(self, node: NodeId, outcome: AttemptOutcome) -> None:
        self._metrics.attempt()
        if outcome.kind is OutcomeKind.CONNECT_FAILED:
            self._unreachable(node, "a connect to it failed")

    def _observe(self, report: RequestReport) -> None:
        direction = report.direction.value
        known = self._mesh.snapshot.knows(report.service)
        self._metrics.request(
            direction=direction,
            service=report.service if known else "",
            method=report.method,
            code=report.code,
            flag=report.flag,
            duration_s=report.duration_s,
        )
        for flag in report.retried:
            self._metrics.retry(flag)
        self._access.add(report, wall=wall_clock())
        self._access.flush()
