"""Grants in words, for people who want to know what a token in their hand allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gossipmesh.identity.grants import Capability, Globs, Grants, Restrictions
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
    """Give what one list of globs for each block that restricts something leaves allowed: ``web-* and also *-1``."""
    if not lists:
        return "any"
    return ", and also ".join(" or ".join(globs) or "none" for globs in lists)
