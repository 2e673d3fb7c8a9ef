"""``Config`` and its parts: one frozen class per table of the configuration file.

Each field's metadata names the reader of its value (and its key, where that is not the field's name), so that a key
is declared in exactly one place. ``[proxy]`` and ``[gossip]`` also take every field of the proxy's limits and of
the membership protocol's parameters: ``connect_timeout_s`` is there as ``connect_timeout = "2s"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from attrs import field, frozen

from gossipmesh.config import dns, gateway, readers
from gossipmesh.config.gateway import TlsFiles
from gossipmesh.config.health import HEALTH
from gossipmesh.config.readers import Reader
from gossipmesh.membership.parameters import LAN, PROFILES, Parameters
from gossipmesh.model import Address, Protocol, Service
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.proxy.routes import Route
from gossipmesh.routing.checks import LISTENS, HealthCheck
from gossipmesh.routing.traffic import Traffic

READER: Final = "gossipmesh.reader"
KEY: Final = "gossipmesh.key"


def _is(reader: Reader, *, key: str | None = None) -> dict[str, Any]:
    return {READER: reader} if key is None else {READER: reader, KEY: key}


def _unchangeable(traffic: Mapping[str, Traffic]) -> Mapping[str, Traffic]:
    return MappingProxyType(dict(traffic))


@frozen
class NodeConfig:
    """``[node]``: who this node is, where it keeps its state, and how others reach it."""

    name: str = field(metadata=_is(readers.NODE_NAME))
    """A label; by default the host's name made to fit."""
    state: Path = field(metadata=_is(readers.PATH))
    """The state directory: key, chain, last members, admin socket."""
    zone: str = field(default="", metadata=_is(readers.ZONE))
    """Where the node stands, for routing that prefers what is near; empty: not said."""
    join: tuple[str, ...] = field(default=(), metadata=_is(readers.SEEDS))
    """Seeds as ``HOST:PORT``; names are resolved again and again, and all of their addresses used."""
    token_file: Path | None = field(default=None, metadata=_is(readers.PATH))
    """Where the join token is read from."""
    bind: Address = field(default=Address("0.0.0.0", readers.MESH_PORT), metadata=_is(readers.BIND))
    """The mesh's one port, UDP and TCP; port 0 takes a free one."""
    advertise: Address | None = field(default=None, metadata=_is(readers.ADVERTISE))
    """What others dial, where that is not what is bound; port 0: the bound port."""
    old_peers: Literal["auto", "always", "never"] = field(
        default="auto", metadata=_is(readers.choice("auto", "always", "never"))
    )
    """Whether members of release 0.1 are spoken with. While they are, strangers who knock are answered, as 0.1 did."""


@frozen
class ServiceConfig:
    """``[[service]]``: an app of this host, and how it is told whether it works."""

    name: str = field(metadata=_is(readers.NODE_NAME))
    port: int = field(metadata=_is(readers.SERVICE_PORT))
    """Where the app listens, on loopback."""
    protocol: Protocol = field(default=Protocol.HTTP, metadata=_is(readers.PROTOCOL))
    weight: int = field(default=1, metadata=_is(readers.WEIGHT))
    tags: tuple[str, ...] = field(default=(), metadata=_is(readers.TAGS))
    health: HealthCheck | None = field(default=LISTENS, metadata=_is(HEALTH))
    """None: it is never checked, and always taken for healthy."""

    def offered(self, *, healthy: bool) -> Service:
        """Give what this node's record says of it."""
        return Service(self.name, self.port, self.protocol, self.weight, self.tags, healthy)


@frozen
class UpstreamConfig:
    """``[[upstream]]``: a port of its own for one service, for apps that cannot name a proxy."""

    service: str = field(metadata=_is(readers.NODE_NAME))
    listen: Address = field(metadata=_is(readers.LOCAL_ADDRESS))


@frozen
class GatewayConfig:
    """``[[gateway]]``: a public listener, from where a fixed map of hosts and paths leads to services."""

    listen: Address = field(metadata=_is(gateway.PUBLIC_ADDRESS))
    routes: tuple[Route, ...] = field(metadata=_is(gateway.ROUTES))
    tls: TlsFiles | None = field(default=None, metadata=_is(gateway.TLS))
    """None: plain HTTP."""
    trusted_hops: int = field(default=0, metadata=_is(gateway.TRUSTED_HOPS))
    """How many proxies in front of it are believed in what they say of a request's origin; 0: nobody is."""
    trusted_headers: tuple[str, ...] = field(default=(), metadata=_is(gateway.TRUSTED_HEADERS))
    """Which headers the nearest of them always writes itself, so that they are passed on; only with trusted hops."""
    drain_delay_s: float = field(default=3.0, metadata=_is(readers.DURATION, key="drain_delay"))
    """For how long connections are still taken when the node stops: until whoever is in front has noticed."""


@frozen
class ProxyConfig:
    """``[proxy]``: where this node's apps send their requests, as whom, and within which limits."""

    listen: Address = field(default=Address(readers.LOOPBACK, 4140), metadata=_is(readers.LOCAL_ADDRESS))
    as_service: str | None = field(default=None, metadata=_is(readers.NODE_NAME, key="as"))
    """Which of this node's services speaks here; the only one where there is one; else none."""
    fast_lane: bool = field(default=True, metadata=_is(readers.SWITCH))
    """Whether plain messages are parsed line by line from memory; off: all of them by h11. The answers are the same."""
    external: Literal["refuse", "direct"] = field(
        default="refuse", metadata=_is(readers.choice("refuse", "direct"))
    )
    """What becomes of names outside the mesh."""
    allow: tuple[str, ...] = field(default=(), metadata=_is(readers.GLOBS))
    """Which of them are gone to where ``external`` is ``direct``: ``example.com``, ``*.example.com``."""
    limits: ProxyLimits = field(factory=ProxyLimits)


@frozen
class AdminConfig:
    """``[admin]``: the read-only HTTP API; everything else is on the unix socket in the state directory."""

    listen: Address = field(default=Address(readers.LOOPBACK, 4191), metadata=_is(readers.LOCAL_ADDRESS))


@frozen
class DnsConfig:
    """``[dns]``: where this host asks for the names of the mesh."""

    listen: Address | None = field(default=Address(readers.LOOPBACK, 8600), metadata=_is(dns.LISTEN))
    """None: nowhere."""
    domain: str = field(default="mesh", metadata=_is(dns.DOMAIN))
    """Below it all names are ours; in lower case, without dots at its ends."""
    ttl_s: float = field(default=1.0, metadata=_is(dns.TTL, key="ttl"))
    """How long answers, also those of nothing, may be kept: whole seconds, 0 and above."""
    forward: tuple[Address, ...] = field(default=(), metadata=_is(dns.RESOLVERS))
    """Who is asked about all other names, in this order; without them, such questions are refused."""


@frozen
class LogConfig:
    """``[log]``: how events and requests are written."""

    format: Literal["json", "text"] = field(default="json", metadata=_is(readers.choice("json", "text")))
    access: Literal["all", "errors", "off"] = field(
        default="all", metadata=_is(readers.choice("all", "errors", "off"))
    )
    """Which requests get a line: all, those that failed (code 500 and up, or a flag), or none."""


@frozen
class Config:
    """Everything a daemon is told."""

    node: NodeConfig
    services: tuple[ServiceConfig, ...] = ()
    upstreams: tuple[UpstreamConfig, ...] = ()
    gateways: tuple[GatewayConfig, ...] = ()
    proxy: ProxyConfig = ProxyConfig()
    admin: AdminConfig = AdminConfig()
    dns: DnsConfig = DnsConfig()
    gossip_profile: str = field(default="lan", metadata=_is(readers.choice(*PROFILES), key="profile"))
    gossip: Parameters = LAN
    """The profile with single values overridden."""
    log: LogConfig = LogConfig()
    traffic: Mapping[str, Traffic] = field(factory=dict, converter=_unchangeable)
    """``[traffic.NAME]``: how the requests to each service are spread and tried, by its name; ``*`` for all others."""
