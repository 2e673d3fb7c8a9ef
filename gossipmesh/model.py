"""Nouns that every layer shares: node ids, addresses, services, and the states of members.

Values only; nothing here decides anything.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from datetime import UTC, datetime
from typing import Final, NewType, TypeVar, dataclass_transform

from attrs import define, field, frozen

from gossipmesh.errors import ConfigError

NodeId = NewType("NodeId", bytes)
"""A node's Ed25519 public key, 32 bytes. Names are labels; the id is the identity."""

ID_BYTES: Final = 32
MAX_NAME: Final = 63
MAX_SERVICES: Final = 64
MAX_TAGS: Final = 8
MAX_WEIGHT: Final = 1000
NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
HOST: Final = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")
MAX_PORT_DIGITS: Final = 5


ClassT = TypeVar("ClassT", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: ClassT) -> ClassT:
    """Make a class of frozen values of which every request makes some.

    That nobody changes one is for mypy to see to: attrs' own freezing makes each three times as dear to make.
    """
    made: ClassT = define(cls, unsafe_hash=True)
    return made


def day(wall: float) -> str:
    """Give a unix time for people, in UTC: ``2026-01-01 00:00 UTC``."""
    return datetime.fromtimestamp(wall, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def is_name(text: str) -> bool:
    """Tell whether ``text`` may name a service, node, zone, tag or group: ``[a-z0-9-]{1,63}``."""
    return NAME.fullmatch(text) is not None


def short_id(node: NodeId) -> str:
    """Give the first eight hex digits of an id, for people."""
    return node[:4].hex()


@frozen(order=True)
class Address:
    """Where a socket is: an IP literal and a port, 0 to 65,535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def packed(self) -> bytes:
        """The IP address in network order: 4 or 16 bytes."""
        return ipaddress.ip_address(self.host).packed

    @classmethod
    def from_packed(cls, packed: bytes, port: int) -> Address:
        """Give the address that ``packed`` (4 or 16 bytes) and ``port`` name.

        Raises:
            ValueError: for any other length.
        """
        return cls(str(ipaddress.ip_address(packed)), port)


def split_host_port(text: str, *, default_host: str | None = None) -> tuple[str, int]:
    """Split ``HOST:PORT``, ``[V6]:PORT`` or, with a default host, a bare ``PORT``.

    Raises:
        ConfigError: ``config.address``, if it is neither.
    """
    host, colon, port = text.rpartition(":")
    if not colon and default_host is not None:
        host = default_host
    elif host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError("config.address", f"{text!r}: write an IPv6 address as [ADDRESS]:PORT")
    digits = port.isascii() and port.isdigit() and len(port) <= MAX_PORT_DIGITS
    if not HOST.fullmatch(host) or not digits or int(port) > 65_535:
        wanted = "HOST:PORT" if default_host is None else "[HOST:]PORT"
        raise ConfigError(
            "config.address", f"{text!r} is not an address; write {wanted} with a port from 0 to 65535"
        )
    return host, int(port)


class Protocol(enum.Enum):
    """What a service speaks. CONNECT and raw upstreams reach ``TCP`` services only."""

    HTTP = "http"
    TCP = "tcp"


class Serving(enum.Enum):
    """What an owner says of itself in its record."""

    SERVING = "serving"
    DRAINING = "draining"
    LEAVING = "leaving"


class MemberState(enum.Enum):
    """What this node believes of a member."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    DEAD = "dead"
    LEFT = "left"


@frozen
class Service:
    """One service that a node offers, as its record says it.

    ``port`` is where the app listens on its node's loopback; only that node's daemon connects to it.
    """

    name: str
    port: int
    protocol: Protocol = Protocol.HTTP
    weight: int = 1
    tags: tuple[str, ...] = ()
    healthy: bool = True


@frozen
class Endpoint:
    """One instance of a service: the node that offers it and how to reach that node's daemon."""

    node: str
    id: NodeId
    address: Address
    service: Service
    eligible: bool = True
    reason: str = ""
    """Why it is not eligible, in words for people; empty where it is."""
    zone: str = ""
    """Where its node says that it stands; empty: not said."""
