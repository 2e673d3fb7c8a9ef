"""Blocking queries, as Consul's: ``?index=N&wait=30s`` answers when the index is not N any more, or after the wait.

Each answer that can be waited for has its index in a header. A client asks again with the index that it was given; a
lower one than before only says that the daemon was started anew, and an answer may come although nothing changed.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from attrs import frozen

from gossipmesh.config.durations import format_duration
from gossipmesh.config.readers import read_duration
from gossipmesh.daemon.admin.changes import FOLLOWED, MEMBERS, READY, SERVICES, Topic
from gossipmesh.errors import ConfigError
from gossipmesh.model import is_name

INDEX_HEADER: Final = "X-Gossipmesh-Index"
DEFAULT_WAIT_S: Final = 300.0
MAX_WAIT_S: Final = 600.0
"""As Consul has them."""
MAX_FIELDS: Final = 16
MAX_DIGITS: Final = 18


@frozen
class Wait:
    """Wait until the index of what is asked is not ``index``, for ``wait_s`` seconds at most."""

    index: int
    wait_s: float


@frozen
class Follow:
    """Stream events of these kinds behind ``index``; None: from now on."""

    kinds: frozenset[str]
    index: int | None


def topic_of(target: str) -> Topic | None:
    """Give what an answer to ``target`` depends on, where that can be waited for."""
    match target.partition("?")[0].split("/")[1:]:
        case ["v1", "members"]:
            return MEMBERS, ""
        case ["v1", "services"]:
            return SERVICES, ""
        case ["v1", "services" | "endpoints", name] if is_name(name):
            return SERVICES, name
        case ["readyz"]:
            return READY, ""
        case _:
            return None


def wait_of(target: str) -> Wait | None:
    """Give how long a question that can be waited for wants to wait; None: not at all.

    Raises:
        ConfigError: what is wrong with ``wait`` or ``index``.
    """
    fields = _fields(target)
    waits = _wait_s(fields["wait"]) if "wait" in fields else DEFAULT_WAIT_S
    return Wait(_index(fields["index"]), min(waits, MAX_WAIT_S)) if "index" in fields else None


def follow_of(target: str, last_event_id: str) -> Follow:
    """Give what a question for events asks for.

    Args:
        target: with ``types`` (all, where it says none) and perhaps ``index``.
        last_event_id: the header of that name, which counts more; empty: there is none. One that we never gave counts
            as too old, for it is a browser that sends it.

    Raises:
        ConfigError: what is wrong with ``types`` or ``index``.
    """
    fields = _fields(target)
    kinds = frozenset(fields.get("types", ",".join(FOLLOWED)).split(","))
    if unknown := kinds - set(FOLLOWED):
        raise ConfigError("config.value", f"types: {min(unknown)!r} is none of {', '.join(FOLLOWED)}")
    index = _index(fields["index"]) if "index" in fields else None
    if last_event_id:
        index = int(last_event_id) if _is_number(last_event_id) else -1
    return Follow(kinds, index)


def _fields(target: str) -> dict[str, str]:
    query = target.partition("?")[2]
    try:
        return dict(parse_qsl(query, keep_blank_values=True, encoding="latin-1", max_num_fields=MAX_FIELDS))
    except ValueError:
        raise ConfigError("config.value", f"a query has at most {MAX_FIELDS} fields here") from None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def _index(text: str) -> int:
    if not _is_number(text):
        text = f"index: {text[:MAX_DIGITS]!r} is no index; give what {INDEX_HEADER} said"
        raise ConfigError("config.value", text)
    return int(text)


def _wait_s(text: str) -> float:
    try:
        return read_duration(text)
    except ConfigError as error:
        most = format_duration(MAX_WAIT_S)
        raise ConfigError("config.value", f"wait: {error} (at most {most})") from None
