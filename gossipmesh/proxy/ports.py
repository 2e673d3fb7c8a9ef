"""What the two sides of the proxy are connected to: everything that they do not decide themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import define, field, frozen

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


@define(eq=False)
class OutboundPorts:
    """Around requests of local apps. ``source_service`` and ``external`` may change between two requests."""

    node: str
    """This node's name, for Via."""
    source_service: str
    """The service that local apps speak as, or empty."""
    snapshot: Callable[[], Snapshot]
    """Gives the newest picture of the mesh."""
    reactor: Reactor
    pool: ChannelPool
    upstreams: Upstreams
    """What is known of the services that are called."""
    report: Callable[[NodeId, AttemptOutcome], None]
    """Learns how each attempt ended, so that membership hears of nodes that cannot be reached."""
    observe: Observer
    entropy: Callable[[int], bytes]
    limits: ProxyLimits
    rotated: Callable[[str, Ejected | Readmitted], None] = lambda _, __: None
    """Is told of a service's endpoints that go out of rotation for what their requests came to, and come back."""
    retries: RetriesServed = field(factory=RetriesServed)
    """Tells whether a request is a retry of somebody further up."""
    fast_lane: bool = True
    """Whether plain heads may be read without h11."""
    external: External = REFUSED
    """What becomes of names outside the mesh."""
    dialler: Dialler | None = None
    """Makes connections to them; None where they are refused."""
    exhausted: Callable[[], None] = lambda: None
    """Is told when the system has no file descriptor left for a connection."""


@frozen
class InboundPorts:
    """Around requests from the mesh."""

    service: Callable[[str], Service | None]
    """Gives one of this node's own services by name, or None."""
    source: Callable[[Peer, str], Source | None]
    """Gives who asks when a peer speaks as a service, or as none (empty); None where it may not."""
    policy: Callable[[], Policy]
    """Gives the policy in force: a whole one, whenever it is asked."""
    reactor: Reactor
    apps: AppPool
    observe: Observer
    limits: ProxyLimits
    fast_lane: bool = True
    """Whether plain requests and answers may be passed on without h11."""
    retries: RetriesServed = field(factory=RetriesServed)
    """Which requests that are served here are retries."""
    decided: Decided = lambda *_: None
    """Is told of each decision, at once; of the policy in force it reads no more than it is given."""
    rates: Mapping[str, RateLimit[str | NodeId]] = MappingProxyType({})
    """How often each source may ask, by this node's service; one that is not here is not limited."""
