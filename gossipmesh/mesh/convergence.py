"""How long registries differed before they agreed again, as one node sees it."""

from __future__ import annotations

from typing import Final

AGREED: Final = 3
"""Comparisons in a row that have to agree before a difference counts as over."""


class Convergence:
    """Times spells of disagreement over all peers.

    Every ping and ack brings a root hash to compare, a few in each probe period whatever N is. A spell begins with
    the first comparison that differs and ends with the first of three in a row that agree. Timing each peer by
    itself would measure how seldom one probes it in a large mesh, and not how long the news took.
    """

    def __init__(self) -> None:
        self._differs_since: float | None = None
        self._agrees_since = 0.0
        self._agreed = 0

    def differs(self, *, now: float) -> None:
        """Note that a peer's root hash differs from ours."""
        self._agreed = 0
        if self._differs_since is None:
            self._differs_since = now

    def agrees(self, *, now: float) -> float | None:
        """Note that a peer's root hash equals ours; give how long the spell lasted, in seconds, where this ends one."""
        if self._differs_since is None:
            return None
        if self._agreed == 0:
            self._agrees_since = now
        self._agreed += 1
        if self._agreed < AGREED:
            return None
        lasted_s = self._agrees_since - self._differs_since
        self._differs_since = None
        return lasted_s
