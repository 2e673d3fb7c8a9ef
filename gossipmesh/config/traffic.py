"""How the requests to a service are to be spread and tried, from a TOML table to a frozen value and back.

The table is the same in a node's own file (``[traffic.hello]``, and ``[traffic."*"]`` for all services that say nothing
else) and in the mesh's policy (``[service.hello]``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from attrs import evolve

from gossipmesh.config import readers
from gossipmesh.config.durations import format_duration
from gossipmesh.config.hints import nearest
from gossipmesh.config.keys import Key, keys_of
from gossipmesh.config.readers import Reader, wrong
from gossipmesh.errors import ConfigError
from gossipmesh.model import is_name
from gossipmesh.routing.rates import RateSettings
from gossipmesh.routing.traffic import (
    BALANCERS,
    DEFAULT,
    EVERY,
    MAX_KEY_NAME,
    MAX_SPLIT,
    ZONES,
    BreakerLimits,
    Ejection,
    Retries,
    Share,
    Sticky,
    Traffic,
)

MAX_TABLES: Final = 1_024
"""Services that one source says something about."""
MAX_ATTEMPTS: Final = 10
"""Tries that a request may be given."""
MAX_QUEUE: Final = 100_000
"""Requests to one service that may be allowed to wait."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_ONES_OWN: Final = frozenset({"cookie", "host", "connection", "content-length", "transfer-encoding"})
"""Headers that name no session: they say how a message is to be read, or much else besides."""
_SECURE_ONLY: Final = ("__host-", "__secure-")
"""Browsers drop a cookie whose name begins so unless it is ``Secure``, which ours is not (RFC 6265bis, 4.1.3)."""

MAX_RATE: Final = 1_000_000
"""Requests of one source per second, or at once, that may be allowed."""
PartT = TypeVar("PartT", Traffic, Retries, BreakerLimits, Ejection, RateSettings)


def read_sticky(raw: object) -> Sticky | None:
    """Take ``{ cookie = NAME }``, ``{ header = NAME }`` or ``{ source = true }``, exactly one; ``"none"`` for none."""
    if raw == "none":
        return None
    if not isinstance(raw, dict) or not raw:
        raise wrong(raw, 'one of { cookie = "NAME" }, { header = "NAME" }, { source = true }, or "none"')
    for key in raw:
        if key not in ("cookie", "header", "source"):
            hint = nearest(key, ("cookie", "header", "source"))
            raise ConfigError("config.unknown-key", f"there is no such kind of session as {key}; {hint}")
    if len(raw) > 1:
        raise ConfigError(
            "config.value", f"a session is told by one thing, not by {' and '.join(raw)}; keep one"
        )
    if "source" in raw:
        if raw["source"] is not True:
            raise wrong(
                raw["source"], 'true, which source takes alone; write sticky = "none" for no sessions'
            )
        return Sticky("source")
    ((by, name),) = raw.items()
    if not isinstance(name, str) or len(name) > MAX_KEY_NAME or _TOKEN.fullmatch(name) is None:
        raise wrong(name, f"the name of a {by}: 1 to {MAX_KEY_NAME} letters, digits and -_.")
    if by == "cookie":
        if name.lower().startswith(_SECURE_ONLY):
            raise wrong(name, "the name of a cookie that browsers keep without TLS; drop its prefix")
        return Sticky("cookie", name)
    if name.lower() in _ONES_OWN:
        raise wrong(name, 'a header that names a session, such as "x-user"')
    return Sticky("header", name.lower())


def show_sticky(sticky: Sticky | None) -> object:
    """Give it as TOML has it."""
    if sticky is None:
        return "none"
    return {sticky.by: sticky.name or True}


def read_split(raw: object) -> tuple[Share, ...]:
    """Take a table of tags and whole percents that add up to 100; an empty one for no split."""
    if not isinstance(raw, dict) or len(raw) > MAX_SPLIT:
        raise wrong(raw, f"a table of at most {MAX_SPLIT} tags and percents, such as {{ v1 = 90, v2 = 10 }}")
    for tag, percent in raw.items():
        if not is_name(tag):
            raise wrong(tag, "a tag: 1 to 63 of a-z, 0-9 and -")
        if type(percent) is not int or not 0 <= percent <= 100:
            raise ConfigError("config.value", f"{tag}: {wrong(percent, 'a whole number from 0 to 100')}")
    if raw and (whole := sum(raw.values())) != 100:
        parts = " + ".join(str(percent) for percent in raw.values())
        raise ConfigError("config.value", f"{parts} is {whole}; the percents of a split add up to 100")
    return tuple(Share(tag, percent) for tag, percent in raw.items())


def read_slow_start(raw: object) -> float:
    """Take a duration above zero, or ``"none"``: 0."""
    return 0.0 if raw == "none" else readers.read_duration(raw)


def _whole(low: int, high: int) -> Reader:
    """Give the reader of a whole number."""

    def read(raw: object) -> int:
        if type(raw) is not int or not low <= raw <= high:
            raise wrong(raw, f"a whole number from {low} to {high}")
        return raw

    return Reader(read)


def read_per_second(raw: object) -> float:
    """Take a number of requests per second; 0: as many as anybody likes."""
    if (
        isinstance(raw, bool)
        or not isinstance(raw, int | float)
        or not (raw == 0 or 0.001 <= raw <= MAX_RATE)
    ):
        raise wrong(raw, f"a number from 0.001 to {MAX_RATE}, or 0 for no limit")
    return float(raw)


def _show_slow_start(seconds: float) -> str:
    return format_duration(seconds or math.inf)


def _show_timeout(seconds: float | None) -> str | None:
    return None if seconds is None else format_duration(seconds)


PARTS: Final[Mapping[type, tuple[Key, ...]]] = {
    Traffic: (
        Key("balancer", "balancer", readers.choice(*BALANCERS)),
        Key("sticky", "sticky", Reader(read_sticky, show=show_sticky)),
        Key("split", "split", Reader(read_split, show=lambda split: {one.tag: one.percent for one in split})),
        Key("zone", "zone", readers.choice(*ZONES)),
        Key("slow_start", "slow_start_s", Reader(read_slow_start, show=_show_slow_start)),
        Key("timeout", "timeout_s", Reader(readers.read_duration_or_none, show=_show_timeout)),
    ),
    Retries: (Key("attempts", "attempts", _whole(1, MAX_ATTEMPTS)), *keys_of(Retries, without=("attempts",))),
    BreakerLimits: (Key("queue", "queue", _whole(0, MAX_QUEUE)), *keys_of(BreakerLimits, without=("queue",))),
    Ejection: (Key("share", "share", _whole(0, 100)), *keys_of(Ejection, without=("share",))),
    RateSettings: (
        Key("per_second", "per_s", Reader(read_per_second)),
        Key("burst", "burst", _whole(1, MAX_RATE)),
    ),
}
"""The plain keys of each table."""
TABLES: Final = ("retries", "limits", "ejection", "rate")
"""The tables in the table, by the fields of :class:`~gossipmesh.routing.traffic.Traffic` that have them."""


def read_traffic(raw: object, path: str, *, base: Traffic = DEFAULT) -> Traffic:
    """Give what one table says.

    Args:
        raw: the table, as TOML gives it.
        path: where it stands, for errors: ``traffic.hello``.
        base: what holds for the keys that it does not have.

    Raises:
        ConfigError: one line that begins with the path of the key that is wrong.
    """
    rest = dict(raw) if isinstance(raw, dict) else raw
    tables = {name: rest.pop(name) for name in TABLES if name in rest} if isinstance(rest, dict) else {}
    traffic = _read_part(rest, path, base)
    retries = _read_part(tables.get("retries", {}), f"{path}.retries", traffic.retries)
    limits = _read_part(tables.get("limits", {}), f"{path}.limits", traffic.limits)
    ejection = _read_part(tables.get("ejection", {}), f"{path}.ejection", traffic.ejection)
    rate = _read_part(tables.get("rate", {}), f"{path}.rate", traffic.rate)
    _check_times(path, traffic, retries, ejection)
    _check_sense(path, retries, rate)
    return evolve(traffic, retries=retries, limits=limits, ejection=ejection, rate=rate)


def read_traffics(tables: Mapping[str, object], path: str) -> dict[str, Traffic]:
    """Give what tables by service say; that of ``"*"`` holds, key by key, for what the others do not say.

    Raises:
        ConfigError: as :func:`read_traffic`; a name that no service has; more than 1,024 tables.
    """
    if len(tables) > MAX_TABLES:
        raise ConfigError("config.value", f"{path}: {len(tables)} services; at most {MAX_TABLES} are allowed")
    base = read_traffic(tables[EVERY], f'{path}."{EVERY}"') if EVERY in tables else DEFAULT
    read = {EVERY: base} if EVERY in tables else {}
    for name, raw in tables.items():
        if name == EVERY:
            continue
        if not is_name(name):
            wanted = f'a service\'s name (1 to 63 of a-z, 0-9 and -), or "{EVERY}" for all'
            raise ConfigError("config.value", f"{path}: {wrong(name, wanted)}")
        if not isinstance(raw, dict):
            hint = f'write [{path}."{EVERY}"] above what holds for all services'
            raise ConfigError("config.value", f"{path}.{name}: {wrong(raw, 'a table')}; {hint}")
        read[name] = read_traffic(raw, f"{path}.{name}", base=base)
    return read


def show_traffic(traffic: Traffic) -> dict[str, object]:
    """Give all keys as TOML has them (and JSON); a value that is the node's own affair is None."""
    shown = _show_part(traffic)
    return shown | {name: _show_part(getattr(traffic, name)) for name in TABLES}


def _show_part(part: Any) -> dict[str, object]:
    return {key.name: key.reader.show(getattr(part, key.attribute)) for key in PARTS[type(part)]}


def _read_part(raw: object, path: str, base: PartT) -> PartT:
    """Give ``base`` with what a table says."""
    if not isinstance(raw, dict):
        raise ConfigError("config.value", f"{path}: {wrong(raw, 'a table of keys and values')}")
    keys: dict[str, Key] = {key.name: key for key in PARTS[type(base)]}
    changed: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in keys:
            known = (*keys, *TABLES) if isinstance(base, Traffic) else (*keys,)
            text = f"{path}.{name}: there is no such key; {_hint(name, known)}"
            raise ConfigError("config.unknown-key", text)
        try:
            changed[keys[name].attribute] = keys[name].reader.read(value)
        except ConfigError as error:
            raise ConfigError(error.code, f"{path}.{name}: {error}") from None
    try:
        return evolve(base, **changed)
    except ConfigError as error:
        attribute, _, text = str(error).partition(": ")
        name = next((name for name, key in keys.items() if key.attribute == attribute), attribute)
        unit = " seconds" if attribute.endswith("_s") else ""
        raise ConfigError(error.code, f"{path}.{name}: {text}{unit}") from None


def _hint(name: str, known: tuple[str, ...]) -> str:
    for table, part in zip(TABLES, (Retries, BreakerLimits, Ejection, RateSettings), strict=True):
        if "retries" in known and name in {key.name for key in PARTS[part]}:
            return f"did you mean {table}.{name}?"
    return nearest(name, known)


def _check_sense(path: str, retries: Retries, rate: RateSettings) -> None:
    """Refuse what would have no effect."""
    if retries.hedge and retries.attempts == 1:
        text = f"needs a second attempt, and {path}.retries.attempts is 1"
        raise ConfigError("config.value", f"{path}.retries.hedge: {text}")
    if not rate.per_s and rate.burst != DEFAULT.rate.burst:
        text = f"{rate.burst} limits nothing without {path}.rate.per_second"
        raise ConfigError("config.value", f"{path}.rate.burst: {text}")


def _check_times(path: str, traffic: Traffic, retries: Retries, ejection: Ejection) -> None:
    """Refuse times that contradict each other."""
    whole, one = traffic.timeout_s, retries.per_try_timeout_s
    if whole is not None and not math.isinf(one) and one > whole:
        text = f"{format_duration(one)} is longer than {path}.timeout ({format_duration(whole)})"
        raise ConfigError("config.value", f"{path}.retries.per_try_timeout: {text}")
    if ejection.base_s > ejection.most_s:
        text = f"{format_duration(ejection.base_s)} is longer than most ({format_duration(ejection.most_s)})"
        raise ConfigError("config.value", f"{path}.ejection.base: {text}")
