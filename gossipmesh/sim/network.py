"""What is between the nodes: addresses, latency, loss and cuts. It carries nothing itself; ``world`` asks it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from typing import TypeAlias

from gossipmesh.model import Address

Tap: TypeAlias = Callable[[Address, Address, bytes], None]
"""Sees source, target and payload of every datagram that is sent, lost ones too."""


class Network:
    """Who reaches whom, and how fast.

    Args:
        rng: dice.
        latency_s: least and greatest one-way time of a packet.
        loss: the share of datagrams that are lost, 0 to 1.
    """

    def __init__(self, rng: random.Random, *, latency_s: tuple[float, float], loss: float) -> None:
        self.loss = loss
        self.tap: Tap | None = None
        self._rng = rng
        self._latency_s = latency_s
        self._cut: set[tuple[str, str]] = set()

    def cut(self, here: Iterable[str], there: Iterable[str], *, one_way: bool = False) -> None:
        """Drop everything from each of ``here`` to each of ``there``, and back unless ``one_way``.

        TCP needs both ways, so a one-way cut ends exchanges in both directions.
        """
        for a, b in itertools.product(tuple(here), tuple(there)):
            self._cut.add((a, b))
            if not one_way:
                self._cut.add((b, a))

    def heal(self) -> None:
        """Undo every cut."""
        self._cut.clear()

    def travel_s(self) -> float:
        """Give how long one packet takes."""
        return self._rng.uniform(*self._latency_s)

    def delivers(self, sender: str, receiver: str) -> bool:
        """Tell whether one datagram gets through; rolls the dice of loss."""
        return (sender, receiver) not in self._cut and self._rng.random() >= self.loss

    def connects(self, one: str, other: str) -> bool:
        """Tell whether TCP works between two nodes."""
        return (one, other) not in self._cut and (other, one) not in self._cut
