"""What happened last, for the text of a failure: kept as it came, put into words only when somebody asks."""

from __future__ import annotations

from collections import deque
from typing import Final

from gossipmesh.mesh.outputs import MemberChanged, Notice, RoutabilityChanged

MAX_LINES: Final = 200
SHOWN: Final = 20

What = str | MemberChanged | RoutabilityChanged | Notice


class LawBroken(AssertionError):
    """A run did what no run may do; the text names the seed, the time and the law."""


class History:
    """The last :data:`MAX_LINES` events of one world.

    Args:
        seed: the world's, for the text of failures.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._lines: deque[tuple[float, str, What]] = deque(maxlen=MAX_LINES)

    def add(self, now: float, who: str, what: What) -> None:
        """Note that something happened to a node, or to the world where ``who`` is empty."""
        self._lines.append((now, who, what))

    @property
    def lines(self) -> tuple[str, ...]:
        """All that is kept, the oldest first, each with its virtual time."""
        return tuple(f"{now:10.3f} s  {who}: {_words(what)}" for now, who, what in self._lines)

    def failure(self, now: float, text: str) -> str:
        """Give ``text`` with all that is needed to see the same again: the seed, the time, and what came before."""
        last = "".join(f"\n  {line}" for line in self.lines[-SHOWN:])
        return f"seed {self.seed}, t={now:.3f} s: {text}" + (f"\nthe last events:{last}" if last else "")


def _words(what: What) -> str:
    match what:
        case str():
            return what
        case MemberChanged(_, name, old, new, why):
            return f"{name} {'unknown' if old is None else old.value} -> {new.value}: {why}"
        case RoutabilityChanged(_, name, routable, why):
            return f"{name} {'back in' if routable else 'out of'} rotation: {why}"
        case Notice(_, code, text):
            return f"{code}: {text}"
