"""Accusers that were refuted too often about one subject: their word about it counts no more, for a while.

Law: credibility is per pair. A member that cannot reach one other over a cut path stays an honest witness about
all the rest.
"""

from __future__ import annotations

from typing import Final

from gossipmesh.model import NodeId

REFUTATIONS: Final = 3
WINDOW_S: Final = 600.0
MAX_PAIRS: Final = 4_096
"""Pairs remembered; the one refuted longest ago goes first."""


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
