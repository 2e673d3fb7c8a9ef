"""What a node's own services were asked for in the last hour, kept small: for trying a policy on before it is applied.

Each request is counted, none is kept: by source, service, method and path without its query, in slots of five minutes.
Where too many different paths were asked for, the rest of a slot is counted without them, and whoever tries a policy on
is told how many requests it can say nothing about. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from gossipmesh.model import NodeId, value
from gossipmesh.policy.decision import Decision, Source

SLOT_S: Final = 300.0
SLOTS: Final = 13
"""Twelve whole ones and the present one: an hour at least, and five minutes more at most."""
MAX_RECENT: Final = 1_024
"""Different requests that are counted before they are put into their slot."""
MAX_KEPT: Final = 1_024
"""Different requests of one slot; twice as many with those whose path is not kept."""
MAX_PATH: Final = 256
"""Bytes; a longer path is not kept, as a rule may be about its end."""
MAX_TARGET: Final = 1_024
"""Bytes of a target that is counted as it came; of a longer one only the path is."""
MAX_FINDINGS: Final = 32
"""Different requests of each kind that are named; those asked for most."""

TCP: Final = b"CONNECT"
"""The method of what goes to tcp services, and of nothing else."""


@value
class Asked:
    """One kind of request."""

    source: Source
    service: str
    method: bytes
    path: bytes
    """Without its query; empty: not kept."""


_REST: Final = Asked(Source(NodeId(b"")), "", b"", b"")
"""Stands for requests of which nothing is kept."""


class Seen:
    """Counts the requests to one node's services."""

    __slots__ = ("_ends", "_recent", "_slots")

    def __init__(self) -> None:
        self._recent: dict[tuple[int, str, bytes, bytes, bool], list[int]] = {}
        """By the source's ``id()``, which is cheap to hash."""
        self._slots: deque[_Slot] = deque(maxlen=SLOTS)
        self._ends = 0.0

    def note(
        self, source: Source, service: str, method: bytes, target: bytes, *, allowed: bool, now: float
    ) -> None:
        """Count a request that was decided.

        Args:
            source: who asked; the same object as often as possible.
            service: which service was asked.
            method: as received.
            target: in origin form.
            allowed: what was decided.
            now: monotonic seconds.
        """
        if now >= self._ends:
            self._turn(now)
        if len(target) > MAX_TARGET:
            # A thousand of 64 KiB would be held until they are put into their slot, which drops queries and long paths.
            target = target.partition(b"?")[0][: MAX_PATH + 1]
        key = id(source), service, method, target, allowed
        count = self._recent.get(key)
        if count is None:
            if len(self._recent) >= MAX_RECENT:
                self._fold()
            self._slots[-1].sources[id(source)] = source
            count = self._recent[key] = [0]
        count[0] += 1

    def _turn(self, now: float) -> None:
        """Begin a slot."""
        self._fold()
        self._ends = now + SLOT_S
        self._slots.append(_Slot(now))

    def _fold(self) -> None:
        """Put what was counted into the present slot."""
        recent, self._recent = self._recent, {}
        if recent:
            slot = self._slots[-1]
            for (source, service, method, target, allowed), (count,) in recent.items():
                slot.add(Asked(slot.sources[source], service, method, target), allowed, count)
            slot.sources.clear()

    def requests(self, *, now: float) -> list[tuple[Asked, bool, int, float]]:
        """Give what was asked for in the last hour: what, whether it was allowed, how often, and seconds ago at most.

        The same request is there once for each slot.
        """
        if now >= self._ends:
            self._turn(now)
        self._fold()
        since = now - (SLOTS - 1) * SLOT_S - SLOT_S
        return [
            (asked, allowed, count, max(0.0, now - slot.began))
            for slot in self._slots
            if slot.began > since
            for (asked, allowed), count in slot.counts.items()
        ]


class _Slot:
    """Five minutes."""

    __slots__ = ("began", "counts", "sources")

    def __init__(self, began: float) -> None:
        self.began = began
        self.counts: dict[tuple[Asked, bool], int] = {}
        self.sources: dict[int, Source] = {}
        """Of what was not folded yet; it keeps them alive, so that no other gets the ``id()`` of one."""

    def add(self, asked: Asked, allowed: bool, count: int) -> None:
        """Count a kind of request, whose path may still have its query."""
        method, target = asked.method, asked.path
        path = b"/" if method == TCP else target.partition(b"?")[0]
        source, service = asked.source, asked.service
        key = Asked(source, service, method, path if len(path) <= MAX_PATH else b""), allowed
        counts = self.counts
        if key not in counts and len(counts) >= MAX_KEPT:
            key = Asked(source, service, b"", b""), allowed
            if key not in counts and len(counts) >= 2 * MAX_KEPT:
                key = _REST, allowed
        counts[key] = counts.get(key, 0) + count


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
        """Take in one of what :meth:`Seen.requests` gives.

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
