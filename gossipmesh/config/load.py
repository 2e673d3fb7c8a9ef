"""From a file, the environment and flags to one ``Config``, and where each of its values came from.

The stronger source covers the weaker, value by value; a list is one value, so that ``--service`` replaces the
file's services. Only then is anything bound, so that a value is checked by the same reader wherever it came from
and blamed on where it did.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from gossipmesh.config import readers
from gossipmesh.config.bind import bind, bind_list, read
from gossipmesh.config.gateway import gateway_of_text
from gossipmesh.config.keys import GATEWAY, KEYS, LISTS, PARTS, TRAFFIC
from gossipmesh.config.model import (
    AdminConfig,
    Config,
    DnsConfig,
    GatewayConfig,
    LogConfig,
    NodeConfig,
    ProxyConfig,
    ServiceConfig,
    UpstreamConfig,
)
from gossipmesh.config.places import default_state
from gossipmesh.config.sources import Given, from_environ, from_file, from_flags
from gossipmesh.config.traffic import read_traffics, show_traffic
from gossipmesh.errors import ConfigError
from gossipmesh.membership.parameters import PROFILES, Parameters
from gossipmesh.model import MAX_NAME, MAX_SERVICES
from gossipmesh.proxy.limits import ProxyLimits
from gossipmesh.routing.traffic import Traffic

MAX_UPSTREAMS: Final = 64
MAX_GATEWAYS: Final = 8
DEFAULT: Final = "default"
HOST_NAME: Final = "host name"
"""The origin of a node's name that nobody chose."""


@frozen
class Loaded:
    """A configuration, and the flag, variable or file that each path in it came from, or ``default``."""

    config: Config
    origins: Mapping[str, str]

    def describe(self) -> dict[str, dict[str, object]]:
        """Give every path with its ``value`` (as JSON would have it) and ``origin``; there is no secret in it."""
        shown = {path: key.reader.show(key.value_in(self.config)) for path, key in KEYS.items()}
        shown["service"] = [_shown(service) for service in self.config.services]
        shown["upstream"] = [_shown(upstream) for upstream in self.config.upstreams]
        shown["gateway"] = [_shown(gateway) for gateway in self.config.gateways]
        shown[TRAFFIC] = {name: show_traffic(traffic) for name, traffic in self.config.traffic.items()}
        return {path: {"value": value, "origin": self.origins[path]} for path, value in shown.items()}


def load(
    file: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, object],
    *,
    host_name: str | None = None,
    root: bool | None = None,
) -> Loaded:
    """Give the configuration that a file, ``GOSSIPMESH_*`` variables and flags make together.

    Args:
        file: a TOML file, or None.
        environ: the process's environment.
        flags: path to value as the command line had it (``{"node.name": "web-1", "service": ["hello=8080"]}``);
            None and empty lists count as not given.
        host_name: what the node is called where nothing says so; by default this host's name.
        root: whether the process is root, for the default state directory; by default as it is.

    Raises:
        ConfigError: one line with the source, the key and what to write instead.
    """
    name = label_of(socket.gethostname() if host_name is None else host_name)
    state = default_state(environ, root=os.geteuid() == 0 if root is None else root)
    given = {"node.name": Given(name, HOST_NAME), "node.state": Given(str(state), DEFAULT)}
    given |= from_file(file) if file is not None else {}
    given |= from_environ(environ)
    given |= from_flags(flags)
    return _bound(given)


def label_of(host_name: str) -> str:
    """Give the name that a host's name makes: its first label in lower case, ``-`` for what no name may have."""
    first = host_name.partition(".")[0].lower()
    return re.sub(r"[^a-z0-9-]", "-", first)[:MAX_NAME] or "node"


def _bound(given: Mapping[str, Given]) -> Loaded:
    """Bind what the sources gave, and check what must fit together."""
    tables: dict[str, dict[str, Given]] = {path.partition(".")[0]: {} for path in KEYS}
    for path, value in given.items():
        if path not in (*LISTS, TRAFFIC):
            table, _, key = path.partition(".")
            tables[table][key] = value
    limits = _taken(tables["proxy"], ProxyLimits)
    profile = tables["gossip"].pop("profile", Given("lan", DEFAULT))
    gossip_profile: str = read(profile, "gossip.profile", KEYS["gossip.profile"].reader)
    config = Config(
        node=bind(NodeConfig, "node", tables["node"]),
        services=bind_list(
            ServiceConfig,
            "service",
            given.get("service"),
            most=MAX_SERVICES,
            from_flag=readers.service_of_flag,
        ),
        upstreams=bind_list(
            UpstreamConfig,
            "upstream",
            given.get("upstream"),
            most=MAX_UPSTREAMS,
            from_flag=readers.upstream_of_flag,
        ),
        gateways=bind_list(
            GatewayConfig, GATEWAY, given.get(GATEWAY), most=MAX_GATEWAYS, from_flag=gateway_of_text
        ),
        proxy=evolve(bind(ProxyConfig, "proxy", tables["proxy"]), limits=bind(ProxyLimits, "proxy", limits)),
        admin=bind(AdminConfig, "admin", tables["admin"]),
        dns=bind(DnsConfig, "dns", tables["dns"]),
        gossip_profile=gossip_profile,
        gossip=_overridden(PROFILES[gossip_profile], tables["gossip"]),
        log=bind(LogConfig, "log", tables["log"]),
        traffic=_traffic(given.get(TRAFFIC)),
    )
    origins = {path: given[path].origin if path in given else DEFAULT for path in (*KEYS, *LISTS, TRAFFIC)}
    config = _with_the_only_service(config, origins)
    _check_services(config, origins)
    _check_external(config, origins)
    _check_dns(config, origins)
    _check_gossip(config, origins)
    return Loaded(config, origins)


def _traffic(given: Given | None) -> dict[str, Traffic]:
    if given is None or not isinstance(given.raw, dict):
        return {}
    try:
        return read_traffics(given.raw, TRAFFIC)
    except ConfigError as error:
        raise ConfigError(error.code, f"{given.origin}: {error}") from None


def _taken(table: dict[str, Given], part: type) -> dict[str, Given]:
    """Take the keys of ``part`` out of a table that holds those of two parts."""
    return {key.name: table.pop(key.name) for key in PARTS[part] if key.name in table}


def _overridden(base: Parameters, table: Mapping[str, Given]) -> Parameters:
    """Give ``base`` with the values that ``table`` has; all others stay the profile's."""
    values = bind(Parameters, "gossip", table)
    changed = {
        key.attribute: getattr(values, key.attribute) for key in PARTS[Parameters] if key.name in table
    }
    return evolve(base, **changed)


def _shown(part: ServiceConfig | UpstreamConfig | GatewayConfig) -> dict[str, object]:
    return {key.name: key.reader.show(getattr(part, key.attribute)) for key in PARTS[type(part)]}


def _with_the_only_service(config: Config, origins: dict[str, str]) -> Config:
    """Let the node's apps speak as its only service, where it has exactly one and nothing else is said."""
    if config.proxy.as_service is not None or len(config.services) != 1:
        return config
    origins["proxy.as"] = "the only service"
    return evolve(config, proxy=evolve(config.proxy, as_service=config.services[0].name))


def _twice(items: Iterable[object]) -> object | None:
    seen: set[object] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None


def _check_services(config: Config, origins: Mapping[str, str]) -> None:
    """Refuse services and listeners that exclude each other, and a speaker that is not ours."""
    names = [service.name for service in config.services]
    if (name := _twice(names)) is not None:
        raise ConfigError("config.service", f"{origins['service']}: service {name} is there twice; keep one")
    listens = [config.proxy.listen, config.admin.listen, *(upstream.listen for upstream in config.upstreams)]
    listens += [config.dns.listen] if config.dns.listen is not None else []
    listens += [gateway.listen for gateway in config.gateways]
    if (listen := _twice(address for address in listens if address.port)) is not None:
        where = "proxy, admin, dns, upstreams, gateways"
        text = f"{listen} is to be listened on twice ({where}); give each a port of its own"
        raise ConfigError("config.address", text)
    speaker = config.proxy.as_service
    if speaker is not None and speaker not in names:
        known = ", ".join(names) or "none"
        text = f"{origins['proxy.as']}: proxy.as: {speaker} is not a service of this node (it has: {known})"
        raise ConfigError("config.service", text)


def _check_external(config: Config, origins: Mapping[str, str]) -> None:
    """Refuse a list of names that nothing asks, and a question that no list answers."""
    proxy = config.proxy
    if proxy.allow and proxy.external == "refuse":
        text = (
            'proxy.allow has no effect while proxy.external is "refuse"; set it to "direct", or drop the list'
        )
        raise ConfigError("config.value", f"{origins['proxy.allow']}: {text}")
    if proxy.external == "direct" and not proxy.allow:
        text = 'proxy.external is "direct", but proxy.allow names nothing; list what may be gone to'
        raise ConfigError("config.value", f"{origins['proxy.external']}: {text}")


def _check_dns(config: Config, origins: Mapping[str, str]) -> None:
    """Refuse to ask ourselves about what we do not know."""
    listen = config.dns.listen
    for resolver in config.dns.forward:
        if (
            listen is not None
            and resolver.port == listen.port
            and resolver.host in (listen.host, readers.LOOPBACK)
        ):
            text = f"dns.forward: {resolver} is where this node listens itself; name another resolver"
            raise ConfigError("config.value", f"{origins['dns.forward']}: {text}")


def _check_gossip(config: Config, origins: Mapping[str, str]) -> None:
    """Refuse times that contradict each other."""
    gossip = config.gossip
    for less, more in (
        ("probe_timeout_min", "probe_timeout_max"),
        ("probe_timeout_max", "probe_period"),
        ("reconnect_min", "reconnect_max"),
    ):
        low, high = getattr(gossip, f"{less}_s"), getattr(gossip, f"{more}_s")
        if low > high:
            origin = next(
                (origins[f"gossip.{key}"] for key in (less, more) if origins[f"gossip.{key}"] != DEFAULT),
                DEFAULT,
            )
            raise ConfigError(
                "config.value", f"{origin}: gossip.{less} ({low:g}s) is above gossip.{more} ({high:g}s)"
            )
