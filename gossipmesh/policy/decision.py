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


_ALLOWED_BY_DEFAULT: Final = Decision(True, DEFAULT_RULE)
_DENIED_BY_DEFAULT: Final = Decision(False, DEFAULT_RULE)


def decide(source: Source, service: str, method: bytes, target: bytes, default_allow: bool) -> Decision:
    """Decide whether ``source`` may send a request to ``service``.

    A mesh without a policy document has one rule, the default of its first trust bundle: the mesh's id commits
    to it, so no node ever serves under a default that it guessed.

    Args:
        source: who asks.
        service: which of this node's services is asked.
        method: the request's method, as received.
        target: the request's target in origin form, as received and as it will be forwarded.
        default_allow: the trust bundle's default.
    """
    return _ALLOWED_BY_DEFAULT if default_allow else _DENIED_BY_DEFAULT
