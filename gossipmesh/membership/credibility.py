"""Accusers that were refuted too often about one subject: their word about it counts no more, for a while.

Law: credibility is per pair. A member that cannot reach one other over a cut path stays an honest witness about
all the rest. Whom the others ignore about us, we need not answer either, or not often: see :class:`Answers`.
"""

from __future__ import annotations

from typing import Final

from gossipmesh.model import NodeId

REFUTATIONS: Final = 3
WINDOW_S: Final = 600.0
MAX_PAIRS: Final = 4_096
"""Pairs remembered; the one refuted longest ago goes first."""
SELDOM_S: Final = 120.0
"""How often an accuser of ourselves is answered that was refuted too often. An answer is a newer record, which goes to
everybody: one member that accused each other one to its face would have all of them flood the mesh, at each gap."""


class Credibility:
    """Counts refuted accusations by accuser and subject."""

    def __init__(self) -> None:
        self._refuted: dict[tuple[NodeId, NodeId], tuple[float, ...]] = {}

    def refuted(self, accuser: NodeId, subject: NodeId, *, now: float) -> None:
        """Count one accusation that ``subject`` refuted."""
        times = self._refuted.pop((accuser, subject), ())
        self._refuted[accuser, subject] = (*times, now)[-REFUTATIONS:]
        if len(self._refuted) > MAX_PAIRS:
            del self._refuted[next(iter(self._refuted))]

    def ignored(self, accuser: NodeId, subject: NodeId, *, now: float) -> bool:
        """Tell whether ``accuser`` was refuted three times about ``subject`` within ten minutes."""
        times = self._refuted.get((accuser, subject), ())
        return len(times) >= REFUTATIONS and now - times[0] <= WINDOW_S


class Answers:
    """Which accusations of ourselves are answered by a newer record.

    Not many by one member alone: after three in ten minutes nobody else believes it. What a second member says too is
    answered as ever, as after a link that comes and goes, when each of the others has been refuted often.
    """

    def __init__(self) -> None:
        self._version = (-1, -1)
        self._first: NodeId | None = None  # who accused this version first
        self._answered: dict[NodeId, tuple[tuple[int, int], tuple[float, ...]]] = {}

    def due(self, accuser: NodeId, version: tuple[int, int], *, now: float) -> bool:
        """Tell whether an accusation of our present version is to be answered; each version counts once."""
        if version != self._version:
            self._version, self._first = version, accuser
        latest, times = self._answered.pop(accuser, ((-1, -1), ()))
        often = len(times) >= REFUTATIONS and now - times[0] <= WINDOW_S
        due = version == latest or accuser != self._first or not often or now - times[-1] >= SELDOM_S
        if due and version != latest:
            latest, times = version, (*times, now)[-REFUTATIONS:]
        self._answered[accuser] = latest, times
        if len(self._answered) > MAX_PAIRS:
            del self._answered[next(iter(self._answered))]
        return due
