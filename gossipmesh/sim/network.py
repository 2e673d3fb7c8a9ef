"""What is between the nodes: latency, loss, copies, cuts and partitions. It carries nothing; ``shell`` asks it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from typing import TypeAlias

from gossipmesh.model import Address

Tap: TypeAlias = Callable[[Address, Address, bytes], None]
"""Sees source, target and payload of every datagram that is sent, lost ones too."""
Range: TypeAlias = tuple[float, float]


class Network:
    """Who reaches whom, and how fast.

    Args:
        rng: dice.
        latency_s: least and greatest one-way time of a packet.
        loss: the share of datagrams that are lost, 0 to 1.
    """

    def __init__(self, rng: random.Random, *, latency_s: Range, loss: float) -> None:
        self.loss = loss
        self.tap: Tap | None = None
        self._rng = rng
        self._latency_s = latency_s
        self._cut: set[tuple[str, str]] = set()
        self._cut_udp: set[tuple[str, str]] = set()
        self._group: dict[str, int] = {}
        self._loss_at: dict[str, float] = {}
        self._copies = 0.0
        self._delay_s: Range | None = None
        self._delay_at: dict[str, Range] = {}
        self._plain = True

    # --- faults ---

    def cut(
        self, here: Iterable[str], there: Iterable[str], *, one_way: bool = False, udp_only: bool = False
    ) -> None:
        """Drop everything from each of ``here`` to each of ``there``, and back unless ``one_way``.

        TCP needs both ways, so a one-way cut ends exchanges in both directions; ``udp_only`` leaves TCP alone.
        """
        cut = self._cut_udp if udp_only else self._cut
        for a, b in itertools.product(tuple(here), tuple(there)):
            cut.add((a, b))
            if not one_way:
                cut.add((b, a))
        self._note()

    def heal(self) -> None:
        """Undo every cut."""
        self._cut.clear()
        self._cut_udp.clear()
        self._note()

    def partition(self, *groups: Iterable[str]) -> None:
        """Let nothing pass between different groups. Who is in none belongs to one more group, of the rest."""
        self._group = {name: number for number, group in enumerate(groups) for name in group}
        self._note()

    def repair(self) -> None:
        """Undo every partition and every cut."""
        self._group = {}
        self.heal()

    def lose(self, share: float, names: Iterable[str] | None = None) -> None:
        """Lose this share of all datagrams, or of those to and from ``names``; 0 for all resets both."""
        if names is None:
            self.loss = share
            if not share:
                self._loss_at.clear()
        else:
            self._loss_at.update(dict.fromkeys(names, share))
        self._note()

    def duplicate(self, share: float) -> None:
        """Deliver this share of the datagrams twice."""
        self._copies = share
        self._note()

    def delay(self, extra_s: Range, names: Iterable[str] | None = None) -> None:
        """Let all datagrams, or those to and from ``names``, take so much longer; (0, 0) for all resets both."""
        if names is None:
            self._delay_s = extra_s if any(extra_s) else None
            if not any(extra_s):
                self._delay_at.clear()
        else:
            self._delay_at.update(dict.fromkeys(names, extra_s))
        self._note()

    def _note(self) -> None:
        # A datagram of a healthy network is judged by one look; this is on the path of every one of them.
        self._plain = not (
            self._cut or self._cut_udp or self._group or self._loss_at or self._copies
        ) and not (self._delay_s or self._delay_at)

    # --- answers ---

    def travel_s(self) -> float:
        """Give how long one packet of TCP takes."""
        low, high = self._latency_s
        return low + (high - low) * self._rng.random()

    def travels(self, sender: str, receiver: str) -> tuple[float, ...]:
        """Give the travelling time of each copy of one datagram that arrives; none if it is lost."""
        if self._plain:
            return () if self.loss and self._rng.random() < self.loss else (self.travel_s(),)
        if not self.delivers(sender, receiver):
            return ()
        copies = 2 if self._copies and self._rng.random() < self._copies else 1
        return tuple(self.travel_s() + self._extra_s(sender, receiver) for _ in range(copies))

    def delivers(self, sender: str, receiver: str) -> bool:
        """Tell whether one datagram gets through; rolls the dice of loss."""
        if not self._passes(sender, receiver) or (sender, receiver) in self._cut_udp:
            return False
        loss = max(self.loss, self._loss_at.get(sender, 0.0), self._loss_at.get(receiver, 0.0))
        return not loss or self._rng.random() >= loss

    def connects(self, one: str, other: str) -> bool:
        """Tell whether TCP works between two nodes."""
        return self._passes(one, other) and (other, one) not in self._cut

    def _passes(self, sender: str, receiver: str) -> bool:
        return (sender, receiver) not in self._cut and self._group.get(sender) == self._group.get(receiver)

    def _extra_s(self, sender: str, receiver: str) -> float:
        ranges = (self._delay_s, self._delay_at.get(sender), self._delay_at.get(receiver))
        return sum(self._rng.uniform(*each) for each in ranges if each is not None)
