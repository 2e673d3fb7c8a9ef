"""How the values of a ``[[gateway]]`` are read: where it listens, its routes, its certificate."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from gossipmesh.config.hints import nearest
from gossipmesh.config.readers import Reader, read_name, read_path, read_text, wrong
from gossipmesh.errors import ConfigError
from gossipmesh.model import Address, split_host_port
from gossipmesh.proxy.gateway import MAX_TRUSTED_HOPS
from gossipmesh.proxy.kinds import canonical, is_claim
from gossipmesh.proxy.routes import ANY_HOST, MAX_ROUTES, ROOT, Route, is_clear

EVERYWHERE: Final = "0.0.0.0"
_HOST: Final = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?|\[[0-9a-f:.]+\]")
_PATH: Final = re.compile(r"/[!-~]{0,1023}")


@frozen
class TlsFiles:
    """``tls = { cert = FILE, key = FILE }``: PEM, both of them; read again when they change."""

    cert: Path
    key: Path


def read_public_address(raw: object) -> Address:
    """Take ``[HOST:]PORT`` to listen on for strangers: on every address where no host is said."""
    from gossipmesh.config.readers import read_local_address

    text = str(raw) if type(raw) is int else read_text(raw)
    host, port = split_host_port(text, default_host=EVERYWHERE)
    return read_local_address(str(Address(host, port)))


def read_routes(raw: object) -> tuple[Route, ...]:
    """Take an array of ``{ host = NAME, path = PREFIX, service = NAME }``; only the service has to be there."""
    if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_ROUTES:
        raise wrong(raw, f'an array of 1 to {MAX_ROUTES} routes: [{{ path = "/hello", service = "hello" }}]')
    routes = tuple(_at(f"[{index}]", _route, one) for index, one in enumerate(raw))
    seen: set[tuple[str, str]] = set()
    for route in routes:
        if (route.host, route.path) in seen:
            text = f"{route.host} with {route.path} is there twice; keep one of the two routes"
            raise ConfigError("config.value", text)
        seen.add((route.host, route.path))
    return routes


def read_tls(raw: object) -> TlsFiles | None:
    """Take ``{ cert = FILE, key = FILE }``, or ``"off"``."""
    if raw == "off":
        return None
    table = _table(
        raw, ("cert", "key"), 'a certificate and its key: { cert = "FILE", key = "FILE" }, or "off"'
    )
    for name in ("cert", "key"):
        if name not in table:
            raise ConfigError("config.missing-key", f"{name} is missing")
    return TlsFiles(*(_at(name, read_path, table[name]) for name in ("cert", "key")))


def read_trusted_hops(raw: object) -> int:
    """Take a number of proxies."""
    if type(raw) is not int or not 0 <= raw <= MAX_TRUSTED_HOPS:
        raise wrong(raw, f"a whole number from 0 to {MAX_TRUSTED_HOPS}")
    return raw


def read_trusted_headers(raw: object) -> tuple[str, ...]:
    """Take an array of headers that a gateway drops otherwise."""
    wanted = 'an array of header names such as ["x-real-ip", "x-forwarded-host"]'
    if not isinstance(raw, list) or not all(isinstance(name, str) for name in raw):
        raise wrong(raw, wanted)
    names = tuple(dict.fromkeys(name.lower() for name in raw))
    for name in names:
        if canonical(name.encode()) != name.encode() or not is_claim(name.encode()):
            text = f"{name!a} reaches services as it is, or is none that can be believed; leave it out"
            raise ConfigError("config.value", text)
    return names


def gateway_of_text(text: str) -> dict[str, object]:
    """Give no table: a gateway has more to say than goes into one line.

    Raises:
        ConfigError: always.
    """
    raise wrong(text, "a table: a [[gateway]] is set in a file")


def _route(raw: object) -> Route:
    table = _table(raw, ("host", "path", "service"), 'a route: { path = "/hello", service = "hello" }')
    if "service" not in table:
        raise ConfigError("config.missing-key", "service is missing")
    service = _at("service", read_name, table["service"])
    host = _at("host", _host, table.get("host", ANY_HOST))
    return Route(service, host, _at("path", _path, table.get("path", ROOT)))


def _table(raw: object, known: tuple[str, ...], wanted: str) -> dict[str, object]:
    if not isinstance(raw, dict):
        raise wrong(raw, wanted)
    for name in raw:
        if name not in known:
            raise ConfigError("config.unknown-key", f"there is no key {name}; {nearest(name, known)}")
    return raw


def _host(raw: object) -> str:
    host = raw.lower().removesuffix(".") if isinstance(raw, str) else ""
    if host != ANY_HOST and _HOST.fullmatch(host) is None:
        raise wrong(
            raw, 'a host such as "www.example.com" or "*.example.com", without a port, or "*" for all'
        )
    return host


def _path(raw: object) -> str:
    clear = isinstance(raw, str) and _PATH.fullmatch(raw) is not None and is_clear(raw.encode())
    if not isinstance(raw, str) or not clear or "?" in raw or "#" in raw:
        raise wrong(raw, 'a path such as "/" or "/hello", with no query and no dot segments')
    return raw.rstrip("/") or ROOT


def _at(key: str, read: Callable[[object], Any], raw: object) -> Any:
    """Read one key; its errors begin with it."""
    try:
        return read(raw)
    except ConfigError as error:
        raise ConfigError(error.code, f"{key}: {error}") from None


def _show_routes(routes: tuple[Route, ...]) -> list[dict[str, str]]:
    return [{"host": route.host, "path": route.path, "service": route.service} for route in routes]


def _show_tls(tls: TlsFiles | None) -> object:
    return "off" if tls is None else {"cert": str(tls.cert), "key": str(tls.key)}


PUBLIC_ADDRESS: Final = Reader(read_public_address, show=str)
ROUTES: Final = Reader(read_routes, show=_show_routes)
TLS: Final = Reader(read_tls, show=_show_tls)
TRUSTED_HOPS: Final = Reader(read_trusted_hops)
TRUSTED_HEADERS: Final = Reader(read_trusted_headers, show=list)
