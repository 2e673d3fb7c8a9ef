"""Grants in words, for people who want to know what a token in their hand allows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from gossipmesh.identity.grants import Capability, Globs, Grants

_CAPABILITIES: Final = {
    Capability.JOIN: "let nodes join",
    Capability.ISSUE: "as a node, renew and issue other nodes' chains (issue)",
    Capability.POLICY: "sign policy (policy)",
    Capability.REVOKE: "revoke nodes, tokens and issuers (revoke)",
}


def day(wall: float) -> str:
    """Give a unix time for people, in UTC: ``2026-01-01 00:00 UTC``."""
    return datetime.fromtimestamp(wall, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


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


def globs_in_words(lists: Sequence[Globs]) -> str:
    """Give what one list of globs for each block that restricts something leaves allowed: ``web-* and also *-1``."""
    if not lists:
        return "any"
    return ", and also ".join(" or ".join(globs) or "none" for globs in lists)
