"""What is kept for ``gossipmesh check`` while a daemon runs: clocks that handshakes showed, and what was warned of."""

from __future__ import annotations

from typing import Final

import trio
from attrs import frozen

from gossipmesh.model import NodeId

MAX_CLOCKS: Final = 256
"""Peers whose clock is remembered; whoever was met longest ago goes first."""
CLOCK_AGE_S: Final = 2 * 60 * 60.0
"""A clock is told of for so long: twice as long as a channel takes new streams, so that those in use are among them."""
REFUSED_AGE_S: Final = 10 * 60.0
MAX_WARNED: Final = 64
"""Codes of warnings; of each only the last one is remembered."""
WARNED_AGE_S: Final = 60 * 60.0
MAX_TURNED_AWAY: Final = 64
"""Peers that are told of within an hour for having been turned away: whoever has a revoked token can make no end of
them."""
TURNED_AWAY_GAP_S: Final = 60 * 60.0


@frozen
class Warned:
    """Something that the control plane warned of."""

    code: str
    text: str
    ago_s: float


class Noted:
    """What happened lately, bounded; to be used from within trio, whose clock it reads."""

    def __init__(self) -> None:
        self._clocks: dict[NodeId, tuple[int, float]] = {}  # who was met longest ago first
        self._refused = ("", 0.0)
        self._warned: dict[str, tuple[str, float]] = {}  # what was warned of longest ago first
        self._turned_away: dict[str, float] = {}  # who was told of longest ago first

    def met(self, node: NodeId, ahead_s: int) -> None:
        """Note that a handshake showed a clock that ours is so many seconds ahead of."""
        self._clocks.pop(node, None)
        self._clocks[node] = ahead_s, trio.current_time()
        if len(self._clocks) > MAX_CLOCKS:
            del self._clocks[next(iter(self._clocks))]

    def refused_for_clock(self, why: str) -> None:
        """Note that a handshake failed because two clocks are too far apart."""
        self._refused = why, trio.current_time()

    def warned(self, code: str, text: str) -> None:
        """Note a warning."""
        self._warned.pop(code, None)
        self._warned[code] = text, trio.current_time()
        if len(self._warned) > MAX_WARNED:
            del self._warned[next(iter(self._warned))]

    def turned_away(self, who: str) -> bool:
        """Take that a peer was refused; tell whether a person should be told: once an hour for each ``who``."""
        now = trio.current_time()
        for told in [told for told, at in self._turned_away.items() if now >= at + TURNED_AWAY_GAP_S]:
            del self._turned_away[told]
        if who in self._turned_away or len(self._turned_away) >= MAX_TURNED_AWAY:
            return False
        self._turned_away[who] = now
        return True

    @property
    def clocks(self) -> dict[NodeId, int]:
        """Whose clock was met lately, and how many seconds ours was ahead of it."""
        now = trio.current_time()
        return {node: ahead_s for node, (ahead_s, at) in self._clocks.items() if now < at + CLOCK_AGE_S}

    @property
    def clock_refused(self) -> str:
        """Why a handshake failed lately for the clocks' sake; empty: none did."""
        why, at = self._refused
        return why if trio.current_time() < at + REFUSED_AGE_S else ""

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """What was warned of lately, the oldest first."""
        now = trio.current_time()
        return tuple(
            Warned(code, text, now - at)
            for code, (text, at) in self._warned.items()
            if now < at + WARNED_AGE_S
        )
