"""What a policy would have decided about the requests that were seen. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from gossipmesh.policy.decision import Decision
from gossipmesh.policy.seen import Asked

MAX_FINDINGS: Final = 32
"""Different requests of each kind that are named; those asked for most."""


@frozen
class Finding:
    """A kind of request that a policy would decide otherwise than it was decided."""

    asked: Asked
    rule: str
    """Of the policy that is tried on."""
    count: int
    ago_s: float
    """The last of them was not longer ago than this."""
    allow: bool = False
    """What it would decide."""


@frozen
class Tried:
    """What became of a trial: see :class:`Trial`."""

    requests: int
    denied: int
    allowed: int
    unknown: int
    findings: tuple[Finding, ...]
    """Of either kind those with most requests, so many at most."""


@define
class Trial:
    """What a policy would have decided about what was seen."""

    requests: int = 0
    denied: int = 0
    """Requests that were allowed, and would be denied."""
    allowed: int = 0
    """Requests that were denied, and would be allowed."""
    unknown: int = 0
    """Requests of which not enough is kept to tell."""
    _found: dict[tuple[Asked, bool], Finding] = field(factory=dict)

    def add(
        self,
        decide: Callable[[Asked], Decision],
        request: tuple[Asked, bool, int, float],
        *,
        path_matters: Callable[[str], bool],
    ) -> None:
        """Take in one of what :meth:`gossipmesh.policy.seen.Seen.requests` gives.

        Args:
            decide: the policy.
            request: what was asked for.
            path_matters: tells whether paths make a difference to what the policy says of a service.
        """
        asked, was_allowed, count, ago_s = request
        self.requests += count
        if not asked.path and (not asked.method or path_matters(asked.service)):
            self.unknown += count
            return
        decision = decide(asked)
        if decision.allow == was_allowed:
            return
        if decision.allow:
            self.allowed += count
        else:
            self.denied += count
        key = asked, decision.allow
        found = self._found.get(key)
        if found is not None:
            count, ago_s = count + found.count, min(ago_s, found.ago_s)
        self._found[key] = Finding(asked, decision.rule, count, ago_s, decision.allow)

    def tried(self) -> Tried:
        """Give what became of it."""
        some = sorted(self._found.values(), key=lambda found: -found.count)
        denied, allowed = ([each for each in some if each.allow is allow] for allow in (False, True))
        findings = (*denied[:MAX_FINDINGS], *allowed[:MAX_FINDINGS])
        return Tried(self.requests, self.denied, self.allowed, self.unknown, findings)
