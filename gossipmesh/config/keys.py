"""Every key by its path: how it is read, which variable and flag set it, and where its value is in ``Config``.

A variable's name follows from the key: ``[node]`` keys drop their table, and ``listen`` drops itself, so that
``GOSSIPMESH_JOIN``, ``GOSSIPMESH_PROXY`` and ``GOSSIPMESH_LOG_FORMAT`` set ``node.join``, ``proxy.listen`` and
``log.format``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from attrs import Attribute, field, fields, frozen

from gossipmesh.config import readers
from gossipmesh.config.hints import PREFIX
from gossipmesh.config.model import (
    KEY,
    READER,
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
from gossipmesh.config.readers import Reader
from gossipmesh.membership.parameters import Parameters
from gossipmesh.proxy.limits import ProxyLimits

GATEWAY: Final = "gateway"
"""The array of tables that only a file has."""
LISTS: Final = ("service", "upstream", GATEWAY)
"""Arrays of tables in the file; the first two in a variable as well, in blank-separated flag syntax."""


@frozen
class Key:
    """One key of one part of the configuration.

    Args:
        name: the key as the file has it.
        attribute: the part's field that holds its value.
    """

    name: str
    attribute: str
    reader: Reader = field(repr=False)


@frozen
class Placed:
    """A key with its table, and where its value is in a ``Config``."""

    path: str
    reader: Reader = field(repr=False)
    place: tuple[str, ...]

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        words = self.path.split(".")
        if words[0] == "node":
            words = words[1:]
        elif words[-1] == "listen":
            words = words[:-1]
        return PREFIX + "_".join(words).upper()

    def value_in(self, config: Config) -> Any:
        """Give this key's value in ``config``."""
        value: Any = config
        for attribute in self.place:
            value = getattr(value, attribute)
        return value


def _key_of(attribute: Attribute[Any]) -> Key:
    """Give the key of a field: its metadata says, else its name's suffix and its default's type."""
    named: Reader | None = attribute.metadata.get(READER)
    if named is not None:
        return Key(attribute.metadata.get(KEY, attribute.name), attribute.name, named)
    if attribute.name.endswith("_s"):
        # The value carries its unit, so the key needs none.
        limit = readers.DURATION_OR_NONE if attribute.default == math.inf else readers.DURATION
        return Key(attribute.name.removesuffix("_s"), attribute.name, limit)
    if attribute.name.endswith("_share"):
        return Key(attribute.name, attribute.name, readers.SHARE)
    if attribute.name.endswith("_bytes"):
        return Key(attribute.name, attribute.name, readers.SIZE)
    by_type: dict[type, Reader] = {bool: readers.SWITCH, int: readers.COUNT, float: readers.FACTOR}
    return Key(attribute.name, attribute.name, by_type[type(attribute.default)])


def keys_of(part: type, *, without: tuple[str, ...] = ()) -> tuple[Key, ...]:
    """Give the keys of a part, one for each field but some."""
    return tuple(_key_of(attribute) for attribute in fields(part) if attribute.name not in without)


PARTS: Final[dict[type, tuple[Key, ...]]] = {
    NodeConfig: keys_of(NodeConfig),
    ServiceConfig: keys_of(ServiceConfig),
    UpstreamConfig: keys_of(UpstreamConfig),
    GatewayConfig: keys_of(GatewayConfig),
    ProxyConfig: keys_of(ProxyConfig, without=("limits",)),
    ProxyLimits: keys_of(ProxyLimits),
    AdminConfig: keys_of(AdminConfig),
    DnsConfig: keys_of(DnsConfig),
    Parameters: keys_of(Parameters),
    LogConfig: keys_of(LogConfig),
}
"""The keys of each part."""


def _placed(table: str, part: type, *place: str) -> Iterator[Placed]:
    for key in PARTS[part]:
        yield Placed(f"{table}.{key.name}", key.reader, (*place, key.attribute))


KEYS: Final[dict[str, Placed]] = {
    key.path: key
    for key in (
        *_placed("node", NodeConfig, "node"),
        *_placed("proxy", ProxyConfig, "proxy"),
        *_placed("proxy", ProxyLimits, "proxy", "limits"),
        *_placed("admin", AdminConfig, "admin"),
        *_placed("dns", DnsConfig, "dns"),
        Placed("gossip.profile", _key_of(fields(Config).gossip_profile).reader, ("gossip_profile",)),
        *_placed("gossip", Parameters, "gossip"),
        *_placed("log", LogConfig, "log"),
    )
}
"""Every key outside of the lists, by its path."""
TRAFFIC: Final = "traffic"
"""The table of tables by service; only a file has it."""
TABLES: Final = (*dict.fromkeys(path.partition(".")[0] for path in KEYS), *LISTS, TRAFFIC)
VARIABLES: Final[dict[str, str]] = {key.variable: key.path for key in KEYS.values()} | {
    PREFIX + name.upper(): name for name in LISTS if name != GATEWAY
}
"""The path that each variable sets."""
FLAGS: Final[dict[str, str]] = {
    "node.name": "--name",
    "node.zone": "--zone",
    "node.join": "--join",
    "node.token_file": "--token-file",
    "node.state": "--state",
    "node.bind": "--bind",
    "node.advertise": "--advertise",
    "proxy.listen": "--proxy",
    "admin.listen": "--admin",
    "dns.listen": "--dns",
    "service": "--service",
    "upstream": "--upstream",
}
"""The flag of ``gossipmesh up`` that sets each path."""


def keys_of_table(table: str) -> list[str]:
    """Give the keys that a table of the file takes."""
    if table in LISTS:
        parts = dict(zip(LISTS, (ServiceConfig, UpstreamConfig, GatewayConfig), strict=True))
        return [key.name for key in PARTS[parts[table]]]
    return [path.partition(".")[2] for path in KEYS if path.startswith(table + ".")]
