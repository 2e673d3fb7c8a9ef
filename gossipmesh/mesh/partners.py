"""With whom a node compares registries as a matter of routine.

Every ack brings the root hash of a random member, so a difference is found without connections. The routine round
is for paths that drop datagrams, and must not cost more than all probes together: a handshake takes a dozen packets,
a comparison over a channel that is open anyhow takes two. So a few partners stay for some rounds each.

Law: at most :data:`PARTNERS`, living ones, and none of them for more than :data:`ROUNDS_EACH` rounds in a row: else two
halves whose partners are all in their own half would never compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from gossipmesh.model import NodeId

if TYPE_CHECKING:
    import random

PARTNERS: Final = 2
"""As many as the transport keeps channels open for between exchanges."""
ROUNDS_EACH: Final = 6


class Partners:
    """Picks a partner for each round, in turn."""

    def __init__(self, *, rng: random.Random) -> None:
        self._rng = rng
        self._rounds_left: dict[NodeId, int] = {}  # the one whose turn it is first

    def next(self, living: Callable[[], Sequence[NodeId]], lives: Callable[[NodeId], bool]) -> NodeId | None:
        """Give the partner of the next round, or None where nobody lives.

        Args:
            living: gives all living others; only asked where a partner has to be found.
            lives: whether a partner still lives.
        """
        for gone in [node for node, left in self._rounds_left.items() if left < 1 or not lives(node)]:
            del self._rounds_left[gone]
        if len(self._rounds_left) < PARTNERS:
            strangers = [node for node in living() if node not in self._rounds_left]
            if strangers:
                found = self._rng.choice(strangers)
                self._rounds_left = {found: ROUNDS_EACH, **self._rounds_left}
        if not self._rounds_left:
            return None
        partner = next(iter(self._rounds_left))
        self._rounds_left[partner] = self._rounds_left.pop(partner) - 1
        return partner
