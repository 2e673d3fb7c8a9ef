"""How the value of one key is read and checked, and how it is shown again.

A reader takes what TOML gave (a string, number, boolean, array or table) and raises ConfigError without saying
where: the loader knows the file or variable and puts it in front.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from gossipmesh.config.durations import format_duration, parse_duration
from gossipmesh.errors import ConfigError
from gossipmesh.model import (
    MAX_TAGS,
    MAX_WEIGHT,
    Address,
    Protocol,
    is_name,
    split_host_port,
)
from gossipmesh.proxy.outside import GLOB

MESH_PORT: Final = 7946
LOOPBACK: Final = "127.0.0.1"
MAX_SEEDS: Final = 64
MAX_GLOBS: Final = 256
MAX_COUNT: Final = 1_000_000
MAX_SIZE: Final = 2**31
SIZES: Final[dict[str, int]] = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE: Final = re.compile(r"([0-9]{1,10})(B|KiB|MiB|GiB)")
_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")


@frozen
class Reader:
    """One kind of value.

    Args:
        read: checks a raw value and gives the one for :class:`~gossipmesh.config.model.Config`.
        show: gives it back as TOML (and JSON) would have it.
        literal: text from a variable is read as the number or boolean that it spells.
        many: text from a variable is a list, split at blanks and commas.
    """

    read: Callable[[object], Any]
    show: Callable[[Any], object] = field(default=lambda value: value)
    literal: bool = False
    many: bool = False


def wrong(what: object, wanted: str) -> ConfigError:
    """Give the error for a value that is not what its key takes."""
    shown = json.dumps(what, default=str)
    return ConfigError("config.value", f"{shown[:80]} is not {wanted}")


def read_text(raw: object) -> str:
    """Take a string of at most 4,096 printable characters, not empty."""
    if not isinstance(raw, str) or not raw or len(raw) > 4_096 or not raw.isprintable():
        raise wrong(raw, "a string of printable characters")
    return raw


def read_name(raw: object) -> str:
    """Take a name: ``[a-z0-9-]{1,63}``."""
    if not isinstance(raw, str) or not is_name(raw):
        raise wrong(raw, "a name: 1 to 63 of a-z, 0-9 and -")
    return raw


def read_zone(raw: object) -> str:
    """Take a name, or the empty string for no zone."""
    return raw if isinstance(raw, str) and not raw else read_name(raw)


def read_tags(raw: object) -> tuple[str, ...]:
    """Take an array of at most eight different names."""
    if not isinstance(raw, list) or len(raw) > MAX_TAGS:
        raise wrong(raw, f"an array of at most {MAX_TAGS} names")
    tags = tuple(read_name(tag) for tag in raw)
    if len(set(tags)) != len(tags):
        raise wrong(raw, "an array of different names")
    return tags


def read_protocol(raw: object) -> Protocol:
    """Take ``"http"``, or ``"tcp"`` for what is reached by CONNECT."""
    for protocol in Protocol:
        if raw == protocol.value:
            return protocol
    raise wrong(raw, "one of " + ", ".join(protocol.value for protocol in Protocol))


def read_service_port(raw: object) -> int:
    """Take the port that an app listens on: 1 to 65,535. A service has to be found, so 0 cannot be."""
    return _integer(raw, 1, 65_535)


def read_weight(raw: object) -> int:
    """Take a weight from 1 to 1,000."""
    return _integer(raw, 1, MAX_WEIGHT)


def read_globs(raw: object) -> tuple[str, ...]:
    """Take an array of host names outside the mesh; ``*.`` in front of one stands for every name below it."""
    if not isinstance(raw, list) or len(raw) > MAX_GLOBS:
        raise wrong(raw, f"an array of at most {MAX_GLOBS} names")
    return tuple(dict.fromkeys(_glob(one) for one in raw))


def _glob(raw: object) -> str:
    if not isinstance(raw, str) or GLOB.fullmatch(raw.lower()) is None:
        raise wrong(raw, 'a name such as "example.com" or "*.example.com"')
    return raw.lower()


def read_path(raw: object) -> Path:
    """Take the path of a file or directory; ``~`` is the home directory."""
    return Path(read_text(raw)).expanduser()


def read_seeds(raw: object) -> tuple[str, ...]:
    """Take an array of ``HOST[:PORT]``; each is given back with its port, 7946 where none was said."""
    if not isinstance(raw, list) or len(raw) > MAX_SEEDS:
        raise wrong(raw, f"an array of at most {MAX_SEEDS} addresses")
    return tuple(dict.fromkeys(_seed(read_text(one)) for one in raw))


def read_bind(raw: object) -> Address:
    """Take ``ADDRESS[:PORT]`` to listen on for the mesh; the port is 7946 where none is said, and may be 0."""
    host, port = split_host_port(_with_port(read_text(raw), MESH_PORT))
    return Address(_ip(host), port)


def read_advertise(raw: object) -> Address:
    """Take ``ADDRESS[:PORT]`` for others to dial; port 0 stands for the one that is bound."""
    host, port = split_host_port(_with_port(read_text(raw), 0))
    if ipaddress.ip_address(_ip(host)).is_unspecified:
        raise wrong(raw, "an address that others can dial")
    return Address(_ip(host), port)


def read_local_address(raw: object) -> Address:
    """Take ``[HOST:]PORT`` to listen on for apps of this host; loopback where no host is said, and port 0 is any."""
    text = str(raw) if type(raw) is int else read_text(raw)
    host, port = split_host_port(text, default_host=LOOPBACK)
    return Address(_ip(host), port)


def read_duration(raw: object) -> float:
    """Take a duration above zero; a bare number is told to have a unit."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise wrong(raw, 'a duration such as "250ms" or "15s"')
    seconds = parse_duration(str(raw))
    if seconds <= 0:
        raise wrong(raw, "a duration above zero")
    return seconds


def read_duration_or_none(raw: object) -> float:
    """Take a duration above zero, or ``"none"`` for no limit: infinity."""
    return math.inf if raw == "none" else read_duration(raw)


def read_size(raw: object) -> int:
    """Take a number of bytes, or text with a unit: ``"64KiB"``."""
    if isinstance(raw, str):
        if (found := _SIZE.fullmatch(raw)) is None:
            raise wrong(raw, 'a size such as 65536 or "64KiB"')
        raw = int(found[1]) * SIZES[found[2]]
    return _integer(raw, 1, MAX_SIZE)


def read_count(raw: object) -> int:
    """Take an integer from 1 to a million: a limit of nothing at all would stop what it limits."""
    return _integer(raw, 1, MAX_COUNT)


def read_factor(raw: object) -> float:
    """Take a number above 0 and at most a thousand."""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw <= 1_000:
        raise wrong(raw, "a number above 0, at most 1000")
    return float(raw)


def read_share(raw: object) -> float:
    """Take a number above 0 and at most 1."""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw <= 1:
        raise wrong(raw, "a share above 0, at most 1")
    return float(raw)


def read_switch(raw: object) -> bool:
    """Take ``true`` or ``false``."""
    if not isinstance(raw, bool):
        raise wrong(raw, "true or false")
    return raw


def choice(*words: str) -> Reader:
    """Give the reader of one of ``words``."""

    def read(raw: object) -> str:
        if not isinstance(raw, str) or raw not in words:
            raise wrong(raw, "one of " + ", ".join(words))
        return raw

    return Reader(read)


def _integer(raw: object, low: int, high: int) -> int:
    if type(raw) is not int or not low <= raw <= high:
        raise wrong(raw, f"a whole number from {low} to {high}")
    return raw


def _ip(host: str) -> str:
    host = LOOPBACK if host == "localhost" else host
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise ConfigError(
            "config.address", f"{host!r} is not an IP address; names are for join only"
        ) from None


def _with_port(text: str, port: int) -> str:
    """Add ``port`` to an address that has none; a bare IPv6 address is taken for what it is."""
    # Without looking at the end, all of "lo]:7946" would be taken for the scope in "[fe80::1%lo]:7946".
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return f"{Address(str(ipaddress.ip_address(bare)), port)}"
    except ValueError:
        return text if ":" in text else f"{text}:{port}"


def _seed(text: str) -> str:
    host, port = split_host_port(_with_port(text, MESH_PORT))
    if port == 0:
        raise wrong(text, "an address with a port from 1 to 65535")
    if ":" not in host and _HOST.fullmatch(host) is None:
        raise wrong(text, "HOST:PORT")
    return str(Address(host, port))


def service_of_flag(text: str) -> dict[str, object]:
    """Give the table that ``NAME=[HOST:]PORT[,OPTION]...`` stands for; its values are still unread.

    Options are ``weight=N``, ``tag=T`` (several), ``protocol=tcp`` and ``health=/PATH`` (or ``tcp``, or ``off``).

    The host may only be this one's loopback: the mesh decides who may call a service, and an app that others can
    reach without asking it would stand outside of that decision.

    Raises:
        ConfigError: for anything else; which part is wrong, and what to write.
    """
    head, *options = text.split(",")
    name, equals, address = head.partition("=")
    if not equals:
        raise wrong(text, "NAME=[HOST:]PORT[,weight=N][,tag=T]...[,protocol=tcp][,health=/PATH]")
    host, port = split_host_port(address, default_host=LOOPBACK)
    if host not in (LOOPBACK, "localhost"):
        reason = f"a service is reached on {LOOPBACK} only, so that nobody gets to it around the mesh"
        raise ConfigError("config.service", f"{host!r} in {text!r}: {reason}; run a daemon beside the app")
    table: dict[str, object] = {"name": name, "port": port}
    tags: list[object] = []
    for option in options:
        match option.partition("="):
            case ("weight", "=", count):
                table["weight"] = int(count) if count.isascii() and count.isdigit() else count
            case ("tag", "=", tag):
                tags.append(tag)
            case ("protocol", "=", protocol):
                table["protocol"] = protocol
            case ("health", "=", "tcp"):
                table["health"] = {"tcp": True}
            case ("health", "=", "off"):
                table["health"] = "off"
            case ("health", "=", path):
                if not path.startswith("/"):
                    raise wrong(option, "health=/PATH, health=tcp or health=off")
                table["health"] = {"http": path}
            case _:
                known = "weight=N, tag=T, protocol=tcp and health=/PATH (or tcp, off)"
                raise wrong(option, f"an option of {text!r}; known are {known}")
    return table | {"tags": tags}


def upstream_of_flag(text: str) -> dict[str, object]:
    """Give the table that ``NAME=[HOST:]PORT`` stands for; its values are still unread.

    Raises:
        ConfigError: for anything else.
    """
    name, equals, address = text.partition("=")
    if not equals:
        raise wrong(text, "NAME=[HOST:]PORT")
    return {"service": name, "listen": address}


NODE_NAME: Final = Reader(read_name)
ZONE: Final = Reader(read_zone)
GLOBS: Final = Reader(read_globs, show=list, many=True)
TAGS: Final = Reader(read_tags, show=list, many=True)
PROTOCOL: Final = Reader(read_protocol, show=lambda protocol: protocol.value)
SERVICE_PORT: Final = Reader(read_service_port, literal=True)
WEIGHT: Final = Reader(read_weight, literal=True)
PATH: Final = Reader(read_path, show=lambda path: None if path is None else str(path))
SEEDS: Final = Reader(read_seeds, show=list, many=True)
BIND: Final = Reader(read_bind, show=str)
ADVERTISE: Final = Reader(read_advertise, show=lambda address: None if address is None else str(address))
LOCAL_ADDRESS: Final = Reader(read_local_address, show=str)
DURATION: Final = Reader(read_duration, show=format_duration)
DURATION_OR_NONE: Final = Reader(read_duration_or_none, show=format_duration)
SIZE: Final = Reader(read_size, literal=True)
COUNT: Final = Reader(read_count, literal=True)
FACTOR: Final = Reader(read_factor, literal=True)
SHARE: Final = Reader(read_share, literal=True)
SWITCH: Final = Reader(read_switch, literal=True)
