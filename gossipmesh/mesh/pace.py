"""How fast the records of one member may follow each other and still be gossiped on."""

from __future__ import annotations

from typing import Final

from gossipmesh.model import NodeId

RELAYED_PER_S: Final = 1.0
"""Versions of one member that are gossiped on each second, in the long run."""
BURST: Final = 10
"""... and at once: a node that starts, drains and refutes signs several within a second."""
MAX_PACED: Final = 16_384
"""Members that are paced at once. Past that the longest silent is forgotten, which errs on the side of relaying."""


class Pace:
    """A token bucket for each member that was heard of lately.

    A record that comes too soon is believed all the same: a refutation or a goodbye must not wait for it, and who
    receives it has paid for its signature already. It is only not gossiped on. Else a member could make every other
    one spend its datagrams on its versions, for the price of a signature each. Those whom gossip does not tell learn
    the newest version by anti-entropy, which runs at its own pace however many versions there were.
    """

    def __init__(self) -> None:
        self._full_at: dict[
            NodeId, float
        ] = {}  # when each bucket is full again; in the order of the last record

    def relays(self, node: NodeId, *, now: float) -> bool:
        """Count one more record of ``node``, and tell whether to gossip it on."""
        full_at = max(now, self._full_at.pop(node, now))
        relayed = full_at + 1 / RELAYED_PER_S <= now + BURST / RELAYED_PER_S
        self._full_at[node] = full_at + 1 / RELAYED_PER_S if relayed else full_at
        self._forget_full(now=now)
        return relayed

    @property
    def paced(self) -> int:
        """How many members are kept in mind."""
        return len(self._full_at)

    def _forget_full(self, *, now: float) -> None:
        while self._full_at:
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) <= MAX_PACED:
                return
            del self._full_at[oldest]
