"""The decision on one request, taken by the daemon that is asked to deliver it."""

from __future__ import annotations

from typing import ClassVar, Final

from gossipmesh.model import NodeId
from gossipmesh.unchanging import Unchanging

DEFAULT_RULE: Final = "default"
"""Names the rule that decided where no written rule did: the default that the trust bundle carries."""


class Source(Unchanging):
    """Who asks, as the channel proved it.

    ``service`` is the name under which the caller speaks, already checked against its record and chain, or
    empty: a node with several services and no ``as`` has none, and then no rule that allows by service matches
    it, while a rule that denies by service matches if any of ``services`` does.
    """

    __match_args__: ClassVar = ("node", "service", "services", "groups")
    __slots__ = __match_args__

    def __init__(
        self,
        node: NodeId,
        service: str = "",
        services: frozenset[str] = frozenset(),
        groups: frozenset[str] = frozenset(),
    ) -> None:
        self.node: Final = node
        self.service: Final = service
        self.services: Final = services
        self.groups: Final = groups


class Decision(Unchanging):
    """What was decided, and by which rule."""

    __match_args__: ClassVar = ("allow", "rule")
    __slots__ = __match_args__

    def __init__(self, allow: bool, rule: str) -> None:
        self.allow: Final = allow
        self.rule: Final = rule


def rule_in_words(label: str) -> str:
    """Give a policy's rule for a sentence: one without a name is called ``rule 2`` already."""
    return label if label.startswith("rule ") else f"rule {label}"
