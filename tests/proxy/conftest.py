"""A laboratory for whole requests: daemons' proxies with real identities and channels, raw sockets as apps.

Test files cannot import each other here, as the folder is no package; they get this module as the fixture ``lab``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from random import Random
from types import MappingProxyType, ModuleType

import pytest
import trio
from attrs import define, evolve, field

from gossipmesh import crypto
from gossipmesh.identity.bundle import new_bundle
from gossipmesh.identity.chain import chain_hash, join_chain
from gossipmesh.identity.credentials import Peer, encode_credentials, verify_credentials_untrusted
from gossipmesh.identity.grants import Caveats
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import sign_record
from gossipmesh.identity.token import Token, new_token
from gossipmesh.model import Address, Endpoint, NodeId, Protocol, Service
from gossipmesh.policy.decision import Decision, Source
from gossipmesh.policy.rules import Policy
from gossipmesh.proxy.access import RequestReport
from gossipmesh.proxy.admission import rates_of
from gossipmesh.proxy.apps import AppPool
from gossipmesh.proxy.dialling import Dialler
from gossipmesh.proxy.inbound import Inbound
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.outbound import Outbound
from gossipmesh.proxy.outside import REFUSED, External
from gossipmesh.proxy.ports import InboundPorts, OutboundPorts
from gossipmesh.proxy.sweep import Sweep
from gossipmesh.routing.balancing.service import ServiceBalancer
from gossipmesh.routing.ejection import Ejected, Readmitted
from gossipmesh.routing.outcomes import AttemptOutcome
from gossipmesh.routing.rates import RateLimit
from gossipmesh.routing.snapshot import Candidates, Snapshot
from gossipmesh.routing.traffic import DEFAULT, Traffic
from gossipmesh.routing.upstreams import Upstream, Upstreams
from gossipmesh.transport.acceptor import HopAcceptor
from gossipmesh.transport.listener import Listener
from gossipmesh.transport.pool import ChannelPool
from gossipmesh.transport.reactor import Reactor
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream
from sources import source_of
from talk import (  # noqa: F401 - the tests get them by way of the fixture lab
    Handler,
    answering,
    ask,
    breaking_off,
    closing,
    connect,
    echo,
    flag_of,
    read_request,
    read_until,
    refusing,
    silent,
    until,
)

ALL_ALLOWED = Policy.of_default(True)
WALL = 1_800_000_000
ROOT = bytes(range(32))


FAST_LANE = True
"""Whether the daemons of the present test read plain heads without h11."""


@pytest.fixture(params=[True, False], ids=["fast-lane", "h11"])
def lab(request: pytest.FixtureRequest) -> ModuleType:
    global FAST_LANE  # noqa: PLW0603
    FAST_LANE = request.param
    return sys.modules[__name__]


class InOrder(ServiceBalancer):
    """Takes endpoints in the order of their names, so that a test knows who is asked first."""

    def pick(
        self,
        candidates: Candidates,
        *,
        now: float,
        session: bytes | None = None,
        tried: Collection[NodeId] = (),
    ) -> Endpoint | None:
        left = [endpoint for endpoint in candidates if endpoint.id not in tried]
        return min(left, key=lambda endpoint: endpoint.node, default=None)


class Called(Upstreams):
    """Services as a test wants them."""

    def _make(self, service: str) -> Upstream:
        upstream = super()._make(service)
        if (upstream.traffic.balancer, upstream.traffic.sticky, upstream.traffic.split) == (
            DEFAULT.balancer,
            None,
            (),
        ):
            upstream.balancer = InOrder(service, DEFAULT, origin=NodeId(bytes(32)), key=b"", rng=Random(1))
        return upstream


def called(traffic: Mapping[str, Traffic] = MappingProxyType({})) -> Upstreams:
    """Give services of which those with settings of their own are treated accordingly."""
    return Called(traffic, origin=NodeId(bytes(32)), key=b"k", rng=Random(1))


@define
class Daemon:
    """One node's proxy, both sides, and what it told."""

    name: str
    id: NodeId
    services: Mapping[str, Service]
    mesh: Address
    proxy: Address
    reactor: Reactor
    outbound: Outbound | None = None
    inbound: Inbound | None = None
    acceptor: HopAcceptor | None = None
    reports: list[RequestReport] = field(factory=list)
    outcomes: list[tuple[NodeId, AttemptOutcome]] = field(factory=list)
    rotations: list[tuple[str, Ejected | Readmitted]] = field(factory=list)
    policy: Policy = ALL_ALLOWED
    newer: dict[str, Source | None] = field(factory=dict)
    """What is known of callers beside their handshakes, by the service that they speak as."""
    decisions: list[tuple[Source, Decision]] = field(factory=list)
    sweep: Sweep | None = None
    ended: list[int] = field(factory=list)
    """How many requests each slice of a sweep ended."""

    def source(self, peer: Peer, service: str) -> Source | None:
        return self.newer[service] if service in self.newer else source_of(peer, service)

    def enforce(self, policy: Policy) -> None:
        """Put a policy in force, as the daemon does."""
        self.policy = policy
        assert self.sweep is not None
        self.reactor.defer(self.sweep.judge_all)

    @property
    def report(self) -> RequestReport:
        """The only report."""
        (report,) = self.reports
        return report


@define
class Mesh:
    """Daemons that know each other, in one nursery."""

    nursery: trio.Nursery
    reactor: Reactor
    token: Token
    endpoints: dict[str, tuple[Endpoint, ...]] = field(factory=dict)
    addresses: dict[NodeId, Address] = field(factory=dict)

    def offer(
        self, service: Service, node: str, node_id: NodeId, address: Address, *, eligible: bool = True
    ) -> None:
        endpoint = Endpoint(node, node_id, address, service, eligible)
        self.endpoints[service.name] = (*self.endpoints.get(service.name, ()), endpoint)
        self.addresses[node_id] = address

    async def ghost(self, name: str, service: str) -> NodeId:
        """Make a node known whose daemon does not listen."""
        node_id = NodeId(os.urandom(32))
        self.offer(Service(service, 1), name, node_id, Address("127.0.0.1", await unused_port()))
        return node_id

    async def daemon(
        self,
        name: str,
        services: Mapping[str, int] | None = None,
        *,
        tcp: Mapping[str, int] | None = None,
        speaks_as: str = "",
        allow: bool = True,
        limits: ProxyLimits | None = None,
        external: External = REFUSED,
        traffic: Mapping[str, Traffic] = MappingProxyType({}),
    ) -> Daemon:
        """Start one node's proxy; ``services`` and ``tcp`` are the ports of its apps by name.

        What a name outside the mesh leads to may be anything here but link-local.
        """
        limits = limits or ProxyLimits()
        own = {service: Service(service, port) for service, port in (services or {}).items()}
        own |= {service: Service(service, port, Protocol.TCP) for service, port in (tcp or {}).items()}
        key, identity = member(name, tuple(own.values()), self.token)
        daemon = Daemon(name, key.id, own, *[Address("127.0.0.1", 0)] * 2, self.reactor)
        daemon.policy = Policy.of_default(allow)
        apps = AppPool(self.reactor, limits, fast_lane=FAST_LANE)
        upstreams = called(traffic)
        rates = rates_of(own, upstreams.traffic_of)
        ports = self.inbound_ports(daemon, own, apps, limits, rates=rates)
        daemon.inbound = Inbound(ports)
        acceptor = daemon.acceptor = HopAcceptor(self.reactor, daemon.inbound.handle)
        daemon.sweep = Sweep(ports, lambda: acceptor.busy, ended=daemon.ended.append)
        listener = Listener(
            Address("127.0.0.1", 0),
            identity,
            serve_hop=acceptor.serve_channel,
            serve_sync=no_sync,
            count=print,
        )
        daemon.mesh = await self.nursery.start(listener.run)
        for service in own.values():
            self.offer(service, name, key.id, daemon.mesh)
        pool = ChannelPool(self.reactor, identity, self.resolve, connect_timeout_s=limits.connect_timeout_s)
        await self.nursery.start(pool.run)
        self.nursery.start_soon(apps.run)
        dialler = Dialler(
            self.reactor, limits.connect_timeout_s, judge=lambda address: not address.is_link_local
        )
        await self.nursery.start(dialler.run)
        daemon.outbound = Outbound(
            OutboundPorts(
                node=name,
                source_service=speaks_as,
                snapshot=lambda: Snapshot(key.id, self.endpoints),
                reactor=self.reactor,
                pool=pool,
                upstreams=upstreams,
                rotated=lambda service, news: daemon.rotations.append((service, news)),
                report=lambda node, outcome: daemon.outcomes.append((node, outcome)),
                observe=daemon.reports.append,
                entropy=os.urandom,
                limits=limits,
                fast_lane=FAST_LANE,
                external=external,
                dialler=dialler,
            )
        )
        daemon.proxy = await self.nursery.start(daemon.outbound.serve, Address("127.0.0.1", 0))
        return daemon

    def inbound_ports(
        self,
        daemon: Daemon,
        own: Mapping[str, Service],
        apps: AppPool,
        limits: ProxyLimits,
        *,
        rates: Mapping[str, RateLimit[str | NodeId]],
    ) -> InboundPorts:
        return InboundPorts(
            service=own.get,
            source=daemon.source,
            policy=lambda: daemon.policy,
            reactor=self.reactor,
            apps=apps,
            observe=daemon.reports.append,
            limits=limits,
            fast_lane=FAST_LANE,
            decided=lambda source, request, service, decision, policy: daemon.decisions.append(
                (source, decision)
            ),
            rates=rates,
        )

    def resolve(self, node: NodeId) -> tuple[Address, ...] | None:
        address = self.addresses.get(node)
        return None if address is None else (address,)

    async def app(self, handler: Handler) -> int:
        """Start an app and give its port."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.nursery.start_soon(trio.serve_listeners, handler, [listener])
        return int(listener.socket.getsockname()[1])


async def no_sync(stream: SecureStream) -> None:
    raise AssertionError("nobody syncs in these tests")


def member(name: str, services: tuple[Service, ...], token: Token) -> tuple[NodeKey, ChannelIdentity]:
    """Give a node's key and its channel identity."""
    key = NodeKey.generate(os.urandom)
    static = os.urandom(32)
    chain = join_chain(token, key.seed, name)
    record = sign_record(
        seed=key.seed,
        mesh_id=token.mesh_id,
        boot=1,
        incarnation=1,
        name=name,
        addresses=[Address("127.0.0.1", 7946)],
        dh_key=crypto.dh_public(static),
        dh_generation=0,
        chain_hash=chain_hash(chain),
        issued_at=WALL,
        services=services,
    )
    trust = token.trust()

    def authenticate(credentials: bytes, remote_static: bytes, expected: NodeId | None) -> Peer:
        return verify_credentials_untrusted(credentials, remote_static, trust, wall=WALL)

    identity = ChannelIdentity(
        mesh_id=token.mesh_id,
        credentials=lambda _: encode_credentials(0, chain, record.signed.raw, wall=WALL),
        authenticate=authenticate,
        static_private=lambda: static,
        entropy=os.urandom,
    )
    return key, identity


def peer_of(*services: str, allowed: tuple[str, ...] = ("*",), features: int = 0) -> Peer:
    """Give a proved member called web-1 that declares ``services``; its token allows those that match ``allowed``."""
    bundle = new_bundle([crypto.signing_public(ROOT)], default_allow=True)
    caveats = Caveats(not_before=WALL - 60, expires_at=WALL + 86_400, services=allowed, groups=("ops",))
    token = new_token(bundle, ROOT, caveats, os.urandom)
    _, identity = member("web-1", tuple(Service(name, 80) for name in services), token)
    key = crypto.dh_public(identity.static_private())
    peer = verify_credentials_untrusted(identity.credentials(None), key, token.trust(), wall=WALL)
    return evolve(peer, features=features)


@asynccontextmanager
async def mesh() -> AsyncIterator[Mesh]:
    bundle = new_bundle([crypto.signing_public(ROOT)], default_allow=True)
    token = new_token(bundle, ROOT, Caveats(not_before=WALL - 60, expires_at=WALL + 86_400), os.urandom)
    async with trio.open_nursery() as nursery:
        reactor = Reactor()
        await nursery.start(reactor.run)
        yield Mesh(nursery, reactor, token)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def pair(
    handler: Handler, *, limits: ProxyLimits | None = None, allow: bool = True, speaks_as: str = ""
) -> AsyncIterator[tuple[Daemon, Daemon]]:
    """Give the daemon of a caller and that of a service called hello, whose app is ``handler``."""
    async with mesh() as members:
        port = await members.app(handler)
        hello = await members.daemon("hello-1", {"hello": port}, limits=limits, allow=allow)
        web = await members.daemon("web-1", {"web": port}, limits=limits, speaks_as=speaks_as)
        yield web, hello


@asynccontextmanager
async def caller_and(
    *handlers: Handler | None, limits: ProxyLimits | None = None
) -> AsyncIterator[tuple[Daemon, list[NodeId]]]:
    """Give a caller's daemon and the ids of hello's nodes, asked in this order. None: its daemon does not listen."""
    async with mesh() as members:
        ids = []
        for number, handler in enumerate(handlers):
            if handler is None:
                ids.append(await members.ghost(f"hello-{number}", "hello"))
            else:
                port = await members.app(handler)
                ids.append((await members.daemon(f"hello-{number}", {"hello": port})).id)
        yield await members.daemon("web-1", limits=limits), ids


async def unused_port() -> int:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        return int(listener.socket.getsockname()[1])
