"""The decision on one request, taken by the daemon that is asked to deliver it."""

from __future__ import annotations

from typing import Final

from gossipmesh.model import NodeId, value

DEFAULT_RULE: Final = "default"
"""Names the rule that decided where no written rule did: the default that the trust bundle carries."""


@value
class Source:
    """Who asks, as the channel proved it.

    ``service`` is the name under which the caller speaks, already checked against its record and chain, or
    empty: a node with several services and no ``as`` has none, and then no rule that allows by service matches
    it, while a rule that denies by service matches if any of ``services`` does.
    """

    node: NodeId
    service: str = ""
    services: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


@value
class Decision:
    """What was decided, and by which rule."""

    allow: bool
    rule: str


def rule_in_words(label: str) -> str:
    """Give a policy's rule for a sentence: one without a name is called ``rule 2`` already."""
    return label if label.startswith("rule ") else f"rule {label}"
