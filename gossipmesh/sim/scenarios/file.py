"""Scenarios that users write: a TOML file with nodes, faults at times, and what is expected.

    nodes = 12
    duration = "90s"

    [[fault]]
    at = "10s"
    do = "partition"
    groups = [["n0-n5"], ["n6-n11"]]

    [expect]
    complete_within = "45s"

Law: a file is read whole before anything runs. What is wrong with it is one :class:`ConfigError` that names file, place
and key, and the nearest known word.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from attrs import field, frozen

from gossipmesh.config.durations import format_duration, parse_duration
from gossipmesh.errors import ConfigError
from gossipmesh.membership.parameters import PROFILES
from gossipmesh.sim.coverage import NAMES
from gossipmesh.sim.faults import SHORTEST_CYCLE_S

MAX_FILE_BYTES: Final = 256 * 1024
MAX_FAULTS: Final = 1_000
MAX_NODES: Final = 10_000
MAX_NAMED: Final = 1_000_000
"""Nodes that all faults together name, each as often as it is named: a range is short in a file, and long in memory."""
MAX_DURATION_S: Final = 86_400.0
MAX_COUNT: Final = 1_000_000
MAX_SHOWN: Final = 10**18
MAX_TOLD: Final = 300
"""Characters of a file's own words in an error."""

Names = tuple[str, ...]


@frozen
class Fault:
    """One thing that happens, ``at_s`` seconds after the mesh has settled. Which fields count depends on ``do``."""

    at_s: float
    do: str
    nodes: Names = ()
    groups: tuple[Names, ...] = ()
    here: Names = ()
    there: Names = ()
    lasting_s: float = 0.0
    blocked_s: float = 0.0
    free_s: float = 0.0
    offset_s: float = 0.0
    share: float = 0.0
    between_s: tuple[float, float] = (0.0, 0.0)
    one_way: bool = False
    silent: bool = False
    lost_state: bool = False
    new_address: bool = False


@frozen
class Expectation:
    """What must hold. None: it is not asked."""

    complete_within_s: float | None = None
    """After ``duration``, every view is equal to the truth within so many seconds."""
    false_positives: int | None = None
    """At most so many."""
    false_positives_healthy: int | None = None
    routability_false_positives: int | None = None
    exercised: Names = ()
    """Coverage counters that must not be 0, so that a run that exercised nothing fails."""


@frozen
class ScenarioFile:
    """A scenario as its file says it."""

    origin: str
    nodes: int
    duration_s: float
    profile: str = "lan"
    lifeguard: bool = True
    loss: float = 0.0
    faults: tuple[Fault, ...] = field(default=(), repr=False)
    expect: Expectation = Expectation()


_FILE: Final = frozenset({"nodes", "duration", "profile", "lifeguard", "loss", "fault", "expect"})
_EXPECT: Final = frozenset(
    {
        "complete_within",
        "false_positives",
        "false_positives_healthy",
        "routability_false_positives",
        "exercised",
    }
)
_Keys = frozenset[str]
FAULTS: Final[Mapping[str, tuple[_Keys, _Keys]]] = {
    "partition": (frozenset({"groups"}), frozenset()),
    "repair": (frozenset(), frozenset()),
    "cut": (frozenset({"from", "to"}), frozenset({"one_way"})),
    "heal": (frozenset(), frozenset()),
    "hold": (frozenset({"nodes"}), frozenset()),
    "release": (frozenset({"nodes"}), frozenset()),
    "slow": (frozenset({"nodes", "blocked", "free", "for"}), frozenset()),
    "stall": (frozenset({"nodes", "for"}), frozenset()),
    "crash": (frozenset({"nodes"}), frozenset({"silent"})),
    "start": (frozenset({"nodes"}), frozenset()),
    "bounce": (frozenset({"nodes", "for"}), frozenset({"lost_state", "new_address"})),
    "leave": (frozenset({"nodes"}), frozenset()),
    "drain": (frozenset({"nodes"}), frozenset()),
    "lose": (frozenset({"share"}), frozenset({"nodes"})),
    "duplicate": (frozenset({"share"}), frozenset()),
    "delay": (frozenset({"between"}), frozenset({"nodes"})),
    "skew": (frozenset({"nodes", "by"}), frozenset()),
}
"""Each fault, the keys that it must have beside ``at`` and ``do``, and those that it may have."""

_NODES: Final = re.compile(r"n([0-9]{1,5})(?:-n([0-9]{1,5}))?")


def read_scenario_untrusted(data: bytes, origin: str) -> ScenarioFile:
    """Give the scenario that a file holds.

    Args:
        data: the file, UTF-8.
        origin: its name, for errors.

    Raises:
        ConfigError: ``scenario.file``: it is no TOML, too long, or says something unknown or impossible.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError("scenario.file", f"{origin} is longer than {MAX_FILE_BYTES // 1024} KiB")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError("scenario.file", f"{origin} is no TOML: {_one_line(str(error))}") from None
    except ValueError:  # tomllib lets int() complain by itself
        raise ConfigError("scenario.file", f"{origin} holds a number of too many digits") from None
    return _Reader(origin).scenario(document)


def nearest(word: str, known: Iterable[str]) -> str:
    """Give a hint for a word that is not known: the nearest known one, or all of them."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(words)}"


def _one_line(text: str) -> str:
    """Make a file's own words fit an error: printable, and not too many."""
    short = text if len(text) <= MAX_TOLD else f"{text[:MAX_TOLD]}..."
    return "".join(letter if letter.isprintable() else "?" for letter in short)


def _shown(value: object) -> str:
    """Give a value as an error shows it; never its whole text, which may be too deep or too long for Python to make."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value) if abs(value) <= MAX_SHOWN else "so long a number"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return repr(value) if isinstance(value, str) else f"{value}"


class _Reader:
    """Turns one file's tables into values; knows where it is, for errors."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._place = ""
        self._nodes = 0
        self._names_left = MAX_NAMED

    def scenario(self, document: Mapping[str, Any]) -> ScenarioFile:
        self._check_keys(document, _FILE, required=frozenset({"nodes", "duration"}))
        self._nodes = self._whole("nodes", document["nodes"], least=1, most=MAX_NODES)
        duration_s = self._seconds("duration", document["duration"])
        profile = document.get("profile", "lan")
        if not isinstance(profile, str):
            raise self._wrong("profile", f"{_shown(profile)} is not a string")
        if profile not in PROFILES:
            raise self._unknown("profile", f"there is no {profile!r}", profile, PROFILES)
        faults = self._tables("fault", document.get("fault", []))
        return ScenarioFile(
            origin=self._origin,
            nodes=self._nodes,
            duration_s=duration_s,
            profile=profile,
            lifeguard=self._truth("lifeguard", document.get("lifeguard", True)),
            loss=self._share("loss", document.get("loss", 0.0)),
            # At one moment they happen in the order of the file: sorting is stable.
            faults=tuple(
                sorted(
                    (self._fault(i, each, duration_s) for i, each in enumerate(faults, 1)),
                    key=lambda each: each.at_s,
                )
            ),
            expect=self._expectation(document.get("expect", {})),
        )

    def _fault(self, number: int, table: Mapping[str, Any], duration_s: float) -> Fault:
        self._place = f", [[fault]] {number}"
        do = table.get("do")
        if do is None:
            raise self._wrong("do", "it is missing")
        if not isinstance(do, str) or do not in FAULTS:
            raise self._unknown("do", f"{_shown(do)} is no fault", _shown(do), FAULTS)
        required, optional = FAULTS[do]
        required |= {"at", "do"}
        self._check_keys(table, required | optional, required=required)
        at_s = self._seconds("at", table["at"])
        if at_s > duration_s:
            raise self._wrong("at", f"it is after the end, duration = {format_duration(duration_s)!r}")
        values = {name: read(self, key, table[key]) for key, (name, read) in _KEYS.items() if key in table}
        fault = Fault(at_s=at_s, do=do, **values)
        if do == "slow" and fault.blocked_s + fault.free_s < SHORTEST_CYCLE_S:
            raise self._wrong("blocked", f"with free it is less than {format_duration(SHORTEST_CYCLE_S)}")
        return fault

    def _expectation(self, table: Any) -> Expectation:
        self._place = ", [expect]"
        if not isinstance(table, Mapping):
            raise self._wrong("expect", "it is not a table")
        self._check_keys(table, _EXPECT, required=frozenset())
        within = table.get("complete_within")
        counts = {
            key: self._whole(key, table[key], least=0, most=MAX_COUNT)
            for key in ("false_positives", "false_positives_healthy", "routability_false_positives")
            if key in table
        }
        return Expectation(
            complete_within_s=None if within is None else self._seconds("complete_within", within),
            exercised=self._exercised("exercised", table.get("exercised", [])),
            **counts,
        )

    def _check_keys(self, table: Mapping[str, Any], known: Collection[str], *, required: _Keys) -> None:
        for key in table:
            if key not in known:
                raise self._unknown(key, "it is unknown here", key, known)
        for key in sorted(required):
            if key not in table:
                raise self._wrong(key, "it is missing")

    def _tables(self, key: str, value: Any) -> list[Mapping[str, Any]]:
        if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
            raise self._wrong(key, f"write each one as a table of its own, [[{key}]]")
        if len(value) > MAX_FAULTS:
            raise self._wrong(key, f"there are more than {MAX_FAULTS}")
        return value

    def _seconds(self, key: str, value: Any) -> float:
        # TOML has negative numbers and numbers without a unit; both come here as they are written.
        text = value if isinstance(value, str) else _shown(value)
        if text.startswith("-"):
            raise self._wrong(key, f'{text} is negative; a time is 0 or more, such as "10s"')
        try:
            seconds = parse_duration(text)
        except ConfigError as error:
            raise self._wrong(key, str(error)) from None
        if seconds > MAX_DURATION_S:
            raise self._wrong(key, f"{text} is longer than {format_duration(MAX_DURATION_S)}")
        return seconds

    def _offset(self, key: str, value: Any) -> float:
        """Read the one time that may be negative: a clock may be wrong both ways."""
        if isinstance(value, str) and value.startswith("-"):
            return -self._seconds(key, value[1:])
        return self._seconds(key, value)

    def _between(self, key: str, value: Any) -> tuple[float, float]:
        if not isinstance(value, list) or len(value) != 2:
            raise self._wrong(key, 'write the least and the greatest time, ["1ms", "50ms"]')
        low, high = (self._seconds(key, each) for each in value)
        if low > high:
            raise self._wrong(key, f"{value[0]} is more than {value[1]}")
        return low, high

    def _whole(self, key: str, value: Any, *, least: int, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self._wrong(key, f"{_shown(value)} is not a whole number from {least} to {most}")
        return value

    def _share(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise self._wrong(key, f"{_shown(value)} is not a share from 0 to 1")
        return float(value)

    def _truth(self, key: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self._wrong(key, f"{_shown(value)} is neither true nor false")
        return value

    def _words(self, key: str, value: Any) -> Names:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self._wrong(key, "it is not a list of strings")
        return tuple(value)

    def _exercised(self, key: str, value: Any) -> Names:
        words = self._words(key, value)
        for word in words:
            if word not in NAMES:
                raise self._unknown(key, f"nothing is counted as {word[:40]!r}", word, NAMES)
        return words

    def _names(self, key: str, value: Any) -> Names:
        """Read nodes: ``"n3"``, or ``"n0-n5"`` for six of them."""
        names: dict[str, None] = {}
        for word in self._words(key, value):
            found = _NODES.fullmatch(word)
            first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
            if not first <= last < self._nodes:
                raise self._wrong(key, f"{word[:40]!r} is no node; they are n0 to n{self._nodes - 1}")
            self._names_left -= last - first + 1
            if self._names_left < 0:
                raise self._wrong(key, f"with it the faults name more than {MAX_NAMED:,} nodes")
            names |= {f"n{number}": None for number in range(first, last + 1)}
        if not names:
            raise self._wrong(key, "it names no node")
        return tuple(names)

    def _groups(self, key: str, value: Any) -> tuple[Names, ...]:
        if not isinstance(value, list) or not value:
            raise self._wrong(key, 'write lists of nodes, [["n0-n5"], ["n6-n11"]]')
        groups = tuple(self._names(key, group) for group in value)
        seen: set[str] = set()
        for name in (name for group in groups for name in group):
            if name in seen:
                raise self._wrong(key, f"{name} is in it twice")
            seen.add(name)
        return groups

    def _unknown(self, key: str, what: str, word: str, known: Iterable[str]) -> ConfigError:
        return self._wrong(key, f"{what}; {nearest(word, known)}")

    def _wrong(self, key: str, what: str) -> ConfigError:
        return ConfigError("scenario.file", f"{self._origin}{self._place}: {_one_line(f'{key}: {what}')}")


_KEYS: Final[Mapping[str, tuple[str, Callable[[_Reader, str, Any], Any]]]] = {
    "nodes": ("nodes", _Reader._names),
    "groups": ("groups", _Reader._groups),
    "from": ("here", _Reader._names),
    "to": ("there", _Reader._names),
    "for": ("lasting_s", _Reader._seconds),
    "blocked": ("blocked_s", _Reader._seconds),
    "free": ("free_s", _Reader._seconds),
    "by": ("offset_s", _Reader._offset),
    "share": ("share", _Reader._share),
    "between": ("between_s", _Reader._between),
    "one_way": ("one_way", _Reader._truth),
    "silent": ("silent", _Reader._truth),
    "lost_state": ("lost_state", _Reader._truth),
    "new_address": ("new_address", _Reader._truth),
}
"""Each key of a fault: the field that it fills, and how it is read."""
