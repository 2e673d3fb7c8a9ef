"""How far a node trusts its own judgement (Lifeguard, section IV-A: the local health multiplier).

A node that is slow, or whose own network is bad, takes everybody else for slow. So it keeps a score of what only its
own trouble explains, and gives everybody as much more time: probe period and timeout are multiplied by 1 + score.

| what happened | score |
|---|---|
| a probe was answered before its period was over, by whatever way | -1 |
| a helper that was asked to probe said nothing at all, neither ack nor nack | +1 for each |
| we had to refute an accusation of ourselves | +1 |
| our own process was stopped for a while | +1 |

A helper's nack is the point: it says that the silence is the subject's and not ours. So a crash that the helpers see
too changes nothing, and whole meshes do not slow down because a part of them died.

Law: the score is between 0 and its most, whatever happens in whatever order.
"""

from __future__ import annotations


class Awareness:
    """The score of one node.

    Args:
        most: the highest score; 0 switches self-doubt off.
    """

    __slots__ = ("_most", "score")

    def __init__(self, most: int) -> None:
        self._most = most
        self.score = 0
        """From 0, all is well with us, to ``most``."""

    @property
    def multiplier(self) -> int:
        """What periods and timeouts are multiplied by: 1 + score."""
        return 1 + self.score

    def improve(self) -> None:
        """Take in that a probe of ours was answered."""
        if self.score:
            self.score -= 1

    def worsen(self, by: int = 1) -> None:
        """Take in signs of trouble of our own."""
        self.score = min(self._most, self.score + by)
