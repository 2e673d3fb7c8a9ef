"""Whether one rule covers another: matches every request to an http service that the other matches."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from gossipmesh.policy.paths import BELOW, folded
from gossipmesh.policy.rules import EVERY, Kind, Rule, Subject

MAX_READINGS: Final = 4_096
"""Paths whose reading is remembered: as many rules as there are ask for each of them."""


def covers(one: Rule, other: Rule) -> bool:
    """Tell whether ``one``, a rule that denies, matches whatever ``other`` does.

    Only where a single rule does: what several cover together is not looked for.
    """
    return (
        _covers_services(one, other)
        and all(any(_covers_subject(mine, theirs) for mine in one.sources) for theirs in other.sources)
        and (not one.methods or (bool(other.methods) and set(other.methods) <= set(one.methods)))
        and (
            not one.paths or (bool(other.paths) and all(covers_path(one.paths, path) for path in other.paths))
        )
    )


def covers_path(paths: tuple[bytes, ...], path: bytes) -> bool:
    """Tell whether a rule that denies ``paths`` also denies all that ``path`` (exact, or ending in ``/*``) names."""
    place, below = _reading(path)
    for each in paths:
        mine, all_below = _reading(each)
        # A rule that denies what is below a path denies the path itself, for some routers do not tell them apart.
        if place.startswith(mine) if all_below else (place == mine and not below):
            return True
    return False


@lru_cache(maxsize=MAX_READINGS)
def _reading(path: bytes) -> tuple[bytes, bool]:
    """Give the path as a rule that denies reads it, with a slash at the end, and whether all below it is meant."""
    base = path.removesuffix(BELOW)
    return (folded(base).rstrip(b"/") + b"/" if base else b"/"), base != path


def _covers_services(one: Rule, other: Rule) -> bool:
    return EVERY in one.services or set(other.services) <= set(one.services)


def _covers_subject(mine: Subject, theirs: Subject) -> bool:
    return mine.kind is Kind.EVERY or mine == theirs
