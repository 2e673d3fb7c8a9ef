"""How two rules relate: whether one matches all that another does, and whether some request can match both.

About http services. Rules that deny read paths in all ways, rules that allow as they are (:mod:`.paths`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from gossipmesh.policy.paths import BELOW, folded
from gossipmesh.policy.rules import EVERY, Kind, Rule, Subject

MAX_READINGS: Final = 4_096
"""Paths whose reading is remembered: as many rules as there are ask for each of them."""


def covers(one: Rule, other: Rule) -> bool:
    """Tell whether ``one`` matches whatever ``other`` does: any rule, if ``one`` denies; one that allows, if it allows.

    Only where a single rule does: what several cover together is not looked for.
    """
    return (
        _covers_services(one, other)
        and all(any(_covers_subject(mine, theirs) for mine in one.sources) for theirs in other.sources)
        and (not one.methods or (bool(other.methods) and set(other.methods) <= set(one.methods)))
        and (not one.paths or (bool(other.paths) and _covers_paths(one, other)))
    )


def overlap(one: Rule, other: Rule) -> bool:
    """Tell whether some request may match both rules: a node may have any services and groups, and one id."""
    services = EVERY in (*one.services, *other.services) or bool({*one.services} & {*other.services})
    methods = not one.methods or not other.methods or bool({*one.methods} & {*other.methods})
    paths = not one.paths or not other.paths or any(_meet(a, b) for a in one.paths for b in other.paths)
    sources = any(_may_be_one(mine, theirs) for mine in one.sources for theirs in other.sources)
    return services and methods and paths and sources


def _covers_paths(one: Rule, other: Rule) -> bool:
    """Tell whether each path of ``other`` is one of ``one``'s, or below one."""
    for path in other.paths:
        place, below = _reading(path, not one.allow)
        for each in one.paths:
            mine, all_below = _reading(each, not one.allow)
            # A rule that denies what is below a path denies the path itself, for some routers do not tell them apart.
            inside = place.startswith(mine) and (
                below or not one.allow or len(place) > len(mine) or mine == b"/"
            )
            if inside if all_below else (place == mine and not below):
                break
        else:
            return False
    return True


def _meet(one: bytes, other: bytes) -> bool:
    (mine, below_mine), (theirs, below_theirs) = _reading(one, True), _reading(other, True)
    if below_mine and below_theirs:
        return mine.startswith(theirs) or theirs.startswith(mine)
    if below_mine or below_theirs:
        return theirs.startswith(mine) if below_mine else mine.startswith(theirs)
    return mine == theirs


@lru_cache(maxsize=MAX_READINGS)
def _reading(path: bytes, folds: bool) -> tuple[bytes, bool]:
    """Give a rule's path, folded or as it is, and whether all below it is meant; it then ends in a slash."""
    base = path.removesuffix(BELOW)
    below = base != path
    if folds:
        return (folded(base).rstrip(b"/") if base else b"") + b"/", below
    return base + b"/" if below else base, below


def _covers_services(one: Rule, other: Rule) -> bool:
    return EVERY in one.services or set(other.services) <= set(one.services)


def _covers_subject(mine: Subject, theirs: Subject) -> bool:
    return mine.kind is Kind.EVERY or mine == theirs


def _may_be_one(mine: Subject, theirs: Subject) -> bool:
    return not mine.kind is theirs.kind is Kind.NODE or mine == theirs
