"""Pings beside those of membership, for ``gossipmesh reachability``: to whomever a person asks about, even the dead.

What is found changes no belief: membership has its own pings, by which it judges.

Law: a ping is answered by its target alone, once; those that wait are bounded, and the oldest goes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gossipmesh.membership.messages import MAX_SEQ, Message, Ping
from gossipmesh.mesh.outputs import Output
from gossipmesh.model import NodeId

if TYPE_CHECKING:
    import random

MAX_WAITING: Final = 1_024


class Survey:
    """Pings members by UDP, and keeps how long each took to answer.

    Args:
        root: gives our registry root hash, for pings.
        seal: gives the datagram to a member that carries messages; nothing for who is none.
        rng: dice. The numbers of these pings are drawn, not counted on: those of membership go by a recording.
    """

    def __init__(
        self,
        *,
        root: Callable[[], bytes],
        seal: Callable[[NodeId, tuple[Message, ...]], list[Output]],
        rng: random.Random,
    ) -> None:
        self._root = root
        self._seal = seal
        self._rng = rng
        self._waiting: dict[int, tuple[NodeId, float]] = {}
        self._answered: dict[NodeId, float] = {}

    def ping(self, target: NodeId, *, now: float) -> list[Output]:
        """Ping ``target`` once more, if it is a member."""
        seq = self._rng.randint(0, MAX_SEQ)
        if len(self._waiting) >= MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[seq] = target, now
        return self._seal(target, (Ping(seq, target, self._root()),))

    def heard(self, seq: int, sender: NodeId, *, now: float) -> bool:
        """Take in an ack that came by UDP, and tell whether it was for a ping of ours; most are not."""
        if not self._waiting:
            return False
        target, asked_at = self._waiting.get(seq, (None, 0.0))
        if target != sender:
            return False
        del self._waiting[seq]
        self._answered.setdefault(sender, now - asked_at)
        return True

    def take(self, target: NodeId) -> float | None:
        """Give the round trip of the first ping that ``target`` answered, in seconds, and forget all about it.

        None: there was no answer yet.
        """
        for seq in [seq for seq, (whom, _) in self._waiting.items() if whom == target]:
            del self._waiting[seq]
        return self._answered.pop(target, None)

    def answered(self, target: NodeId) -> bool:
        """Tell whether a ping to ``target`` was answered, since it was taken last."""
        return target in self._answered
