"""Whether one rule covers another: matches every request to an http service that the other matches."""

from __future__ import annotations

from gossipmesh.policy.paths import BELOW, PathIndex, folded
from gossipmesh.policy.rules import EVERY, Kind, Rule, Subject


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
    if path == BELOW:
        return BELOW in paths
    if not path.endswith(BELOW):
        return PathIndex([(each, 0) for each in paths], folds=True).first(path) == 0
    base = folded(path[: -len(BELOW)])
    above = [each for each in paths if each.endswith(BELOW)]
    # What is below a path is what any rule covers that covers the path itself and all that is beside it.
    return any(
        each == BELOW or (base + b"/").startswith(folded(each[: -len(BELOW)]) + b"/") for each in above
    )


def _covers_services(one: Rule, other: Rule) -> bool:
    return EVERY in one.services or set(other.services) <= set(one.services)


def _covers_subject(mine: Subject, theirs: Subject) -> bool:
    return mine.kind is Kind.EVERY or mine == theirs
