"""How long a service may be silent before that is remarkable. Pure.

A pause between two bytes, while requests waited, that came twice is what a service does by nature; silence is twice
that. One alone may have been a freeze, and would teach patience with the next. It looks at pauses between bytes, as the
phi accrual detector does (Hayashibara and others, 2004), and not at how long requests take: a service that takes 30 s
by nature has long pauses everywhere, and those are learned.
"""

from __future__ import annotations

import math
from typing import Final

REMEMBERED_S: Final = 60.0
"""The longest pauses are remembered for one to two times this ..."""
ENOUGH: Final = 100
"""... and for so many answers at least. Who has seen only half of them has twice the patience, and so on, and twice
that of the longest request: bytes from here and there say little as long as there were few."""


class Pauses:
    """Learns how long one service pauses.

    Args:
        least_s: the shortest pause, in seconds, that could be remarkable.
    """

    __slots__ = (
        "_before",
        "_longest",
        "_second",
        "_slowest",
        "_turn_answers",
        "_turn_at",
        "answers",
        "least_s",
    )

    def __init__(self, least_s: float) -> None:
        self.least_s = least_s
        """May be changed at any time."""
        self.answers = 0
        """So many came so far."""
        self._turn_at = -math.inf
        self._turn_answers = 0
        self._longest = self._second = 0.0
        """The longest pauses of this minute."""
        self._before = 0.0
        """The second longest of the one before."""
        self._slowest = 0.0
        """The longest that one of the first requests took."""

    @property
    def few(self) -> bool:
        """Whether there were so few answers that little is known."""
        return self.answers < ENOUGH

    def answered(self, took_s: float) -> None:
        """An answer ended, ``took_s`` seconds after its request went out."""
        self.answers += 1
        if self.answers < ENOUGH and took_s > self._slowest:
            self._slowest = took_s

    def is_long(self, seconds: float) -> bool:
        """Tell whether there is anything to be learned from a pause of ``seconds``."""
        return seconds > self._second

    def learn(self, seconds: float) -> None:
        """Take a pause that :meth:`is_long`."""
        self._second = min(seconds, self._longest)
        self._longest = max(seconds, self._longest)

    def handle_timer(self, *, now: float) -> None:
        """Forget what was long ago."""
        if now >= self._turn_at and self.answers >= self._turn_answers:
            self._before, self._second, self._longest = self._second, 0.0, 0.0
            self._turn_at, self._turn_answers = now + REMEMBERED_S, self.answers + ENOUGH

    @property
    def patience_s(self) -> float:
        """Seconds without a byte that are remarkable."""
        least = self.least_s
        if self.few:
            least = max(least * ENOUGH / max(self.answers, 1), 2.0 * self._slowest)
        return max(least, 2.0 * self._second, 2.0 * self._before)
