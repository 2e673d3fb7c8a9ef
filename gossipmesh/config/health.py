"""How the value of ``health`` in a ``[[service]]`` is read: one inline table, or ``"off"``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, Final

from gossipmesh.config.durations import format_duration
from gossipmesh.config.hints import nearest
from gossipmesh.config.readers import Reader, read_duration, wrong
from gossipmesh.errors import ConfigError
from gossipmesh.routing.checks import MAX_ROUNDS, CheckMethod, CommandCheck, HealthCheck, HttpCheck, TcpCheck

OFF: Final = "off"
MIN_INTERVAL_S: Final = 0.1
"""Between two checks: more of them only load the app and the daemon, which see a refused connection at once anyhow."""
MAX_PATH: Final = 1_024
MAX_ARGUMENTS: Final = 64
MAX_ARGUMENT: Final = 4_096
MAX_RANGES: Final = 16
METHODS: Final = ("http", "tcp", "command")
KNOWN: Final = (*METHODS, "expect", "interval", "timeout", "rise", "fall")
_PATH: Final = re.compile(r"/[!-~]*")
_STATUSES: Final = re.compile(r"([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?")
_WANTED: Final = (
    'a health check: { http = "/healthz" }, { tcp = true }, { command = ["/bin/check"] } or "off"'
)


def read_health(raw: object) -> HealthCheck | None:
    """Take a table that says how an app is checked, or ``"off"`` for no check at all."""
    if raw == OFF:
        return None
    if not isinstance(raw, dict):
        raise wrong(raw, _WANTED)
    for name in raw:
        if name not in KNOWN:
            raise ConfigError("config.unknown-key", f"there is no key {name}; {nearest(name, KNOWN)}")
    methods = [name for name in METHODS if name in raw]
    if len(methods) > 1:
        raise ConfigError("config.value", f"{' and '.join(methods)} are both there; keep one of them")
    if not methods:
        raise wrong(raw, _WANTED)
    if "expect" in raw and "http" not in raw:
        raise ConfigError("config.value", f"expect is for http checks, not for {methods[0]}; drop it")
    given: dict[str, Any] = {"method": _method(raw)}
    for key, field, read in (
        ("interval", "interval_s", _interval),
        ("timeout", "timeout_s", read_duration),
        ("rise", "rise", _rounds),
        ("fall", "fall", _rounds),
    ):
        if key in raw:
            given[field] = _at(key, read, raw[key])
    return HealthCheck(**given)


def show_health(check: HealthCheck | None) -> object:
    """Give a check as the file would have it."""
    if check is None:
        return OFF
    match check.method:
        case HttpCheck(path, expect):
            ranges = [low if low == high else f"{low}-{high}" for low, high in expect]
            how: dict[str, object] = {"http": path, "expect": ranges}
        case TcpCheck():
            how = {"tcp": True}
        case CommandCheck(arguments):
            how = {"command": list(arguments)}
    interval, timeout = format_duration(check.interval_s), format_duration(check.timeout_s)
    return how | {"interval": interval, "timeout": timeout, "rise": check.rise, "fall": check.fall}


def _method(raw: dict[str, object]) -> CheckMethod:
    if "http" in raw:
        path = _at("http", _path, raw["http"])
        return HttpCheck(path, _at("expect", _ranges, raw["expect"])) if "expect" in raw else HttpCheck(path)
    if "command" in raw:
        return CommandCheck(_at("command", _arguments, raw["command"]))
    if raw["tcp"] is not True:
        raise ConfigError("config.value", 'tcp: write true; for no check at all, write health = "off"')
    return TcpCheck()


def _at(key: str, read: Callable[[object], Any], raw: object) -> Any:
    """Read one key of the table; its errors begin with the key."""
    try:
        return read(raw)
    except ConfigError as error:
        raise ConfigError(error.code, f"{key}: {error}") from None


def _path(raw: object) -> str:
    if not isinstance(raw, str) or len(raw) > MAX_PATH or _PATH.fullmatch(raw) is None or "#" in raw:
        raise wrong(raw, 'a path such as "/healthz": it begins with / and has no blanks')
    return raw


def _ranges(raw: object) -> tuple[tuple[int, int], ...]:
    listed = raw if isinstance(raw, list) else [raw]
    if not 1 <= len(listed) <= MAX_RANGES:
        raise wrong(raw, f"1 to {MAX_RANGES} statuses")
    return tuple(dict.fromkeys(_range(one) for one in listed))


def _range(raw: object) -> tuple[int, int]:
    found = _STATUSES.fullmatch(str(raw)) if type(raw) in (int, str) else None
    low, high = (0, 0) if found is None else (int(found[1]), int(found[2] or found[1]))
    # An answer of 1xx is never the last one.
    if not 200 <= low <= high:
        raise wrong(raw, 'a status from 200 to 599, or a range such as "200-299"')
    return low, high


def _arguments(raw: object) -> tuple[str, ...]:
    if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_ARGUMENTS:
        raise wrong(raw, f'an array of a program and its arguments, {MAX_ARGUMENTS} at most: ["/bin/check"]')
    for one in raw:
        if not isinstance(one, str) or len(one) > MAX_ARGUMENT or not _can_be_passed(one):
            raise wrong(one, f"a string that a program can be given, of at most {MAX_ARGUMENT} characters")
    if not raw[0]:
        raise wrong(raw, "a program and its arguments: the program is empty")
    return tuple(raw)


def _can_be_passed(argument: str) -> bool:
    """Tell whether a program can be given ``argument``, and a person shown it: JSON may have half a character."""
    try:
        argument.encode()
        return b"\0" not in os.fsencode(argument)
    except UnicodeEncodeError:
        return False


def _interval(raw: object) -> float:
    seconds = read_duration(raw)
    if seconds < MIN_INTERVAL_S:
        raise wrong(raw, f"a duration of {format_duration(MIN_INTERVAL_S)} or more")
    return seconds


def _rounds(raw: object) -> int:
    if type(raw) is not int or not 1 <= raw <= MAX_ROUNDS:
        raise wrong(raw, f"a whole number from 1 to {MAX_ROUNDS}")
    return raw


HEALTH: Final = Reader(read_health, show=show_health)
