"""What the two sides of the proxy are connected to: everything that they do not decide themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from gossipmesh.channel.hop_messages import RequestHead
from gossipmesh.identity.credentials import Peer
from gossipmesh.model import NodeId, Service
from gossipmesh.policy.decision import Decision, Source
from gossipmesh.policy.rules import Policy
from gossipmesh.proxy.access import Observer
from gossipmesh.proxy.apps import AppPool
from gossipmesh.proxy.dialling import Dialler
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.outside import REFUSED, External
from gossipmesh.routing.budget import Inbound as RetriesServed
from gossipmesh.routing.ejection import Ejected, Readmitted
from gossipmesh.routing.outcomes import AttemptOutcome
from gossipmesh.routing.rates import RateLimit
from gossipmesh.routing.snapshot import Snapshot
from gossipmesh.routing.upstreams import Upstreams
from gossipmesh.transport.pool import ChannelPool
from gossipmesh.transport.reactor import Reactor

Decided = Callable[[Source, RequestHead, Service, Decision, Policy], None]
"""Who asked for what of which service, what was decided, and by which policy."""


class OutboundPorts:
    """Around requests of local apps. ``source_service`` and ``external`` may change between two requests.

    Args:
        node: this node's name, for Via.
        source_service: the service that local apps speak as, or empty.
        snapshot: gives the newest picture of the mesh.
        reactor: the time, and what calls connections back.
        pool: the channels to peers.
        upstreams: what is known of the services that are called.
        report: learns how each attempt ended, so that membership hears of nodes that cannot be reached.
        observe: learns of each request that is over.
        entropy: gives so many random bytes.
        limits: sizes and times.
        rotated: is told of a service's endpoints that go out of rotation for what their requests came to, and come
            back.
        retries: tells whether a request is a retry of somebody further up; None: there are none.
        fast_lane: whether plain heads may be read without h11.
        external: what becomes of names outside the mesh.
        dialler: makes connections to them; None where they are refused.
        exhausted: is told when the system has no file descriptor left for a connection.
    """

    def __init__(
        self,
        *,
        node: str,
        source_service: str,
        snapshot: Callable[[], Snapshot],
        reactor: Reactor,
        pool: ChannelPool,
        upstreams: Upstreams,
        report: Callable[[NodeId, AttemptOutcome], None],
        observe: Observer,
        entropy: Callable[[int], bytes],
        limits: ProxyLimits,
        rotated: Callable[[str, Ejected | Readmitted], None] = lambda _, __: None,
        retries: RetriesServed | None = None,
        fast_lane: bool = True,
        external: External = REFUSED,
        dialler: Dialler | None = None,
        exhausted: Callable[[], None] = lambda: None,
    ) -> None:
        self.node = node
        self.source_service = source_service
        self.snapshot = snapshot
        self.reactor = reactor
        self.pool = pool
        self.upstreams = upstreams
        self.report = report
        self.observe = observe
        self.entropy = entropy
        self.limits = limits
        self.rotated = rotated
        self.retries = RetriesServed() if retries is None else retries
        self.fast_lane = fast_lane
        self.external = external
        self.dialler = dialler
        self.exhausted = exhausted


class InboundPorts:
    """Around requests from the mesh.

    Args:
        service: gives one of this node's own services by name, or None.
        source: gives who asks when a peer speaks as a service, or as none (empty); None where it may not.
        policy: gives the policy in force: a whole one, whenever it is asked.
        reactor: the time, and what calls connections back.
        apps: the connections to them.
        observe: learns of each request that is over.
        limits: sizes and times.
        fast_lane: whether plain requests and answers may be passed on without h11.
        retries: which requests that are served here are retries.
        decided: is told of each decision, at once; of the policy in force it reads no more than it is given.
        rates: how often each source may ask, by this node's service; one that is not here is not limited.
    """

    def __init__(
        self,
        *,
        service: Callable[[str], Service | None],
        source: Callable[[Peer, str], Source | None],
        policy: Callable[[], Policy],
        reactor: Reactor,
        apps: AppPool,
        observe: Observer,
        limits: ProxyLimits,
        fast_lane: bool = True,
        retries: RetriesServed | None = None,
        decided: Decided = lambda *_: None,
        rates: Mapping[str, RateLimit[str | NodeId]] = MappingProxyType({}),
    ) -> None:
        self.service = service
        self.source = source
        self.policy = policy
        self.reactor = reactor
        self.apps = apps
        self.observe = observe
        self.limits = limits
        self.fast_lane = fast_lane
        self.retries = RetriesServed() if retries is None else retries
        self.decided = decided
        self.rates = rates
