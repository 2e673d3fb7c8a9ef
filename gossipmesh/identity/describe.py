"""Grants in words, for people who want to know what a token in their hand allows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Final

from gossipmesh.identity.grants import Capability, Globs, Grants, Restrictions, matches_all, matches_glob
from gossipmesh.model import day

_CAPABILITIES: Final = {
    Capability.JOIN: "let nodes join",
    Capability.ISSUE: "as a node, renew and issue other nodes' chains (issue)",
    Capability.POLICY: "sign policy (policy)",
    Capability.REVOKE: "revoke nodes, tokens and issuers (revoke)",
}


def describe(grants: Grants, token_ids: Sequence[bytes] = ()) -> list[str]:
    """Give one line for each thing that ``grants`` allow, and one with the ids that a revocation would name."""
    may = [words for capability, words in _CAPABILITIES.items() if grants.allows(capability)]
    lines = [
        f"may: {', '.join(may) or 'nothing beyond being a member'}",
        f"node names: {globs_in_words(grants.names)}",
        f"services: {globs_in_words(grants.services)}",
        f"groups: {', '.join(sorted(grants.groups)) or 'none'}",
        f"valid: {day(grants.not_before)} to {day(grants.expires_at)}",
    ]
    if token_ids:
        lines.append(f"token ids: {', '.join(token_id.hex() for token_id in token_ids)}")
    return lines


def describe_block(restrictions: Restrictions) -> list[str]:
    """Give one line for each thing that one block states, whatever the blocks around it say."""
    lines = []
    if restrictions.caps is not None:
        may = [words for capability, words in _CAPABILITIES.items() if capability in restrictions.caps]
        lines.append(f"may: {', '.join(may) or 'nothing beyond being a member'}")
    if restrictions.names:
        lines.append(f"node names: {globs_in_words(restrictions.names)}")
    if restrictions.services:
        lines.append(f"services: {globs_in_words(restrictions.services)}")
    if restrictions.groups is not None:
        lines.append(f"groups: {', '.join(sorted(restrictions.groups)) or 'none'}")
    if restrictions.quota is not None:
        lines.append(f"quota: at most {restrictions.quota} living nodes, as each member counts them")
    lines.append(f"valid: {day(restrictions.not_before)} to {day(restrictions.expires_at)}")
    lines += [f"token id: {token_id.hex()}" for token_id in restrictions.token_ids]
    return lines


def describe_validity(grants: Grants, wall: float) -> str:
    """Say what the time ``wall`` is to these grants: how long they are good for, or since when they are not."""
    if grants.expired(wall):
        return f"EXPIRED {_span(wall - grants.expires_at)} ago"
    if grants.not_yet_valid(wall):
        return f"not valid yet: it begins in {_span(grants.not_before - wall)}"
    return f"expires in {_span(max(0.0, grants.expires_at - wall))}"


def _span(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def globs_in_words(lists: Sequence[Globs]) -> str:
    """Give what one list of globs for each block that restricts something leaves allowed.

    ``web-* and at the same time *-1``; or, where no name satisfies them all, ``(nothing)``.
    """
    if not lists:
        return "any"
    if not can_meet(lists):
        return "(nothing)"
    if len(lists) == 1:
        return " or ".join(lists[0])
    return " and at the same time ".join(
        f"({' or '.join(globs)})" if len(globs) > 1 else globs[0] for globs in lists
    )


def can_meet(lists: Sequence[Globs]) -> bool:
    """Tell whether some name may match a glob of every list; True also where it is not easily seen that none does.

    Looked at are names without a ``*``, and what globs say of a name's beginning and end.
    """
    if not all(lists):
        return False
    for globs in lists:
        if not any("*" in glob for glob in globs):
            return any(matches_all(name, lists) for name in globs)
    return all(any(_may_meet(*pair) for pair in product(*two)) for two in combinations(lists, 2))


def _may_meet(one: str, other: str) -> bool:
    if "*" not in one:
        return matches_glob(one, other)
    if "*" not in other:
        return matches_glob(other, one)
    (mine, *_), (theirs, *_) = one.split("*"), other.split("*")
    begins = mine.startswith(theirs) or theirs.startswith(mine)
    (*_, mine), (*_, theirs) = one.split("*"), other.split("*")
    return begins and (mine.endswith(theirs) or theirs.endswith(mine))
