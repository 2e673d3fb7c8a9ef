"""How the values of ``[dns]`` are read."""

from __future__ import annotations

import ipaddress
from typing import Final

from gossipmesh.config.durations import format_duration, parse_duration
from gossipmesh.config.readers import Reader, read_local_address, read_text, wrong
from gossipmesh.model import Address, is_name, split_host_port

MAX_RESOLVERS: Final = 8
MAX_DOMAIN: Final = 100
"""Characters. A name has 253 at most, and names of services, tags and zones come before the domain."""
MAX_TTL_S: Final = 86_400
PORT: Final = 53
OFF: Final = "off"


def read_listen(raw: object) -> Address | None:
    """Take ``[HOST:]PORT``, or ``"off"`` for None."""
    return None if raw == OFF else read_local_address(raw)


def read_domain(raw: object) -> str:
    """Take one or more names with dots between them, in any case."""
    text = read_text(raw).lower().removesuffix(".")
    if len(text) > MAX_DOMAIN or not all(is_name(label) for label in text.split(".")):
        raise wrong(raw, 'a domain such as "mesh" or "mesh.internal"')
    return text


def read_resolvers(raw: object) -> tuple[Address, ...]:
    """Take an array of at most eight ``ADDRESS[:PORT]``; the port is 53 where none is said."""
    if not isinstance(raw, list) or len(raw) > MAX_RESOLVERS:
        raise wrong(raw, f"an array of at most {MAX_RESOLVERS} addresses")
    return tuple(dict.fromkeys(_resolver(one) for one in raw))


def _resolver(raw: object) -> Address:
    text = read_text(raw)
    host, port = text.strip("[]"), PORT
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        host, port = split_host_port(text)
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            raise wrong(raw, "an IP address; a resolver has to be found without one") from None
    if not port or address.is_unspecified or address.is_multicast:
        raise wrong(raw, "an address that can be asked")
    return Address(str(address), port)


def read_ttl(raw: object) -> float:
    """Take whole seconds from none to a day, as a duration: ``"1s"``."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise wrong(raw, 'a duration such as "1s" or "30s"')
    seconds = parse_duration(str(raw))
    if seconds > MAX_TTL_S or seconds % 1:
        raise wrong(raw, "a duration of whole seconds, at most 24h")
    return seconds


LISTEN: Final = Reader(read_listen, show=lambda address: OFF if address is None else str(address))
DOMAIN: Final = Reader(read_domain)
RESOLVERS: Final = Reader(read_resolvers, show=lambda found: [str(each) for each in found], many=True)
TTL: Final = Reader(read_ttl, show=format_duration)
