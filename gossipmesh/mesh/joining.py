"""Which seed to ask next, and when. Seeds are tried for ever: a mesh that was cut in two finds itself again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final

from gossipmesh.model import Address

if TYPE_CHECKING:
    import random

MAX_SEEDS: Final = 64
FIRST_RETRY_S: Final = 0.25
RETRY_MAX_S: Final = 5.0
OURSELVES: Final = 3
"""Meetings with ourselves after which a seed counts as our own address, not as one that many nodes share."""


class Joining:
    """Picks seeds: in turn and with backoff until one has answered, and when nobody else is left; else at random.

    Args:
        reconnect_min_s: after joining, the least time between two tries.
        reconnect_max_s: after joining, the most.
    """

    def __init__(self, *, reconnect_min_s: float, reconnect_max_s: float, rng: random.Random) -> None:
        self._least = reconnect_min_s
        self._most = reconnect_max_s
        self._rng = rng
        self._seeds: tuple[Address, ...] = ()
        self._ourselves: Counter[Address] = Counter()  # seeds where we met ourselves, and how often
        self._outcomes: dict[Address, str] = {}
        self._refusals: dict[Address, str] = {}
        self._turn = 0
        self._retry_s = FIRST_RETRY_S
        self.joined = False
        """True once a seed answered, or from the start where no seeds are configured."""
        self.wanted = False
        """True where seeds are configured, resolvable or not."""
        self.deadline = float("inf")

    @property
    def seeds(self) -> tuple[Address, ...]:
        """The seeds' addresses as last resolved."""
        return self._seeds

    @property
    def outcomes(self) -> Mapping[Address, str]:
        """How asking each seed ended last: why there was no answer, or empty where there was one.

        Those that were never asked are missing: where members are reached already, seeds are asked seldom.
        """
        return self._outcomes

    @property
    def refusals(self) -> Mapping[Address, str]:
        """The seeds that were there, and said no when they were asked last, and with which code."""
        return self._refusals

    def note_outcome(self, addresses: Iterable[Address], why: str, *, code: str = "") -> None:
        """Note how asking a seed ended; what is no seed's address is not kept. ``code`` is a refusal's."""
        for seed in set(addresses) & set(self._seeds):
            self._outcomes[seed] = why
            self._refusals.pop(seed, None)
            if code:
                self._refusals[seed] = code

    def set_seeds(self, seeds: tuple[Address, ...], *, now: float) -> None:
        """Take the addresses that the seeds' names resolve to now; at most ``MAX_SEEDS`` are kept."""
        fresh = seeds[:MAX_SEEDS]
        news = bool(set(fresh) - set(self._seeds))
        if (news and not self.joined) or (fresh and self.deadline == float("inf")):
            self.deadline = now
        self._seeds = fresh
        self._ourselves = Counter({seed: n for seed, n in self._ourselves.items() if seed in fresh})
        self._outcomes = {seed: why for seed, why in self._outcomes.items() if seed in fresh}
        self._refusals = {seed: code for seed, code in self._refusals.items() if seed in fresh}

    def succeeded(self, *, now: float) -> None:
        """Note that a seed, or any member, answered an exchange."""
        self.joined = True
        self._retry_s = FIRST_RETRY_S
        if self._seeds:
            self.deadline = now + self._rng.uniform(self._least, self._most)

    def met_ourselves(self, addresses: tuple[Address, ...]) -> None:
        """Note that we answered ourselves at a seed's address; it may be shared, so once is not enough."""
        self._ourselves.update(set(addresses) & set(self._seeds))

    def handle_timer(
        self, own: AbstractSet[Address], reached: AbstractSet[Address], *, now: float
    ) -> Address | None:
        """Give the seed to ask now, if one is due.

        Args:
            own: addresses of this node itself.
            reached: addresses of members believed alive: once we have joined, asking them would tell nothing.
                Before, they may be known from the last run only. Where there are none, we are alone.
            now: monotonic seconds.
        """
        if now < self.deadline:
            return None
        if not self._seeds:
            self.deadline = float("inf")
            return None
        others = [seed for seed in self._seeds if seed not in own and self._ourselves[seed] < OURSELVES]
        if not others:
            # Every seed is this node itself: there is nobody to wait for.
            self.joined = True
        if not others or (self.joined and reached):
            self.deadline = now + self._rng.uniform(self._least, self._most)
            # Who answers at an address may change, so we do not stay away for ever from where we met ourselves.
            self._ourselves.clear()
            strangers = [seed for seed in others if seed not in reached]
            return self._rng.choice(strangers) if strangers else None
        self.deadline = now + self._retry_s * self._rng.uniform(0.8, 1.2)
        self._turn += 1
        if self._turn % len(others) == 0:
            self._retry_s = min(RETRY_MAX_S, self._retry_s * 2)
        return others[self._turn % len(others)]
