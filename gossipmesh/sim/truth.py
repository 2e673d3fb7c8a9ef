"""How far all views are from the truth, kept up to date with every change of belief.

A mesh of a thousand has a million views, and asking all of them after every event would cost more than the run. So
each change moves a few counters, and every question is answered by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gossipmesh.model import MemberState, NodeId

UNKNOWN: Final = 0
ALIVE: Final = 1
SUSPECT: Final = 2
CODES: Final = {
    None: UNKNOWN,
    MemberState.ALIVE: ALIVE,
    MemberState.SUSPECT: SUSPECT,
    MemberState.DEAD: 3,
    MemberState.LEFT: 4,
}
STATES: Final = tuple(CODES)


class View:
    """What one running daemon believes of everybody, by number of the subject's key."""

    __slots__ = ("key", "observes", "states")

    def __init__(self, key: int, observes: bool) -> None:
        self.key = key
        self.observes = observes
        self.states = bytearray()


class Truth:
    """Which keys are in use, who observes, and how many views of whom are right.

    A key is *up* while a running daemon that does not leave holds it. Each observer should believe every key that is
    up alive, its own apart, and no other one alive or suspect.
    """

    def __init__(self) -> None:
        self._numbers: dict[NodeId, int] = {}
        self._ids: list[NodeId] = []
        self._holders: list[int] = []
        self._observing: list[int] = []  # of each key: how many of its holders observe
        self._believed: list[list[int]] = []  # of each key: how many views hold it for what, by code
        self._views: dict[View, None] = {}
        # Sums over all keys, so that questions need not walk them.
        self._up = 0
        self._observers = 0
        self._alive_up = 0
        self._living_down = 0

    def number(self, node: NodeId) -> int:
        """Give the number of a key, a new one where it is not known yet."""
        found = self._numbers.get(node)
        if found is None:
            found = self._numbers[node] = len(self._ids)
            self._ids.append(node)
            self._holders.append(0)
            self._observing.append(0)
            self._believed.append([0] * len(STATES))
        return found

    def rise(self, node: NodeId, *, observes: bool = True) -> View:
        """Take in that a daemon with this key runs from now on; give its view, which is empty.

        Args:
            node: its key.
            observes: whether it believes anything; its view counts only then.
        """
        number = self.number(node)
        view = View(number, observes)
        self._views[view] = None
        self._observers += observes
        self._observing[number] += observes
        if not self._holders[number]:
            self._move(number, 1)
        self._holders[number] += 1
        return view

    def fall(self, view: View) -> None:
        """Take in that a daemon is gone, or about to leave; nothing happens if it is known."""
        if view not in self._views:
            return
        del self._views[view]
        for subject, code in enumerate(view.states):
            if code and subject != view.key:
                self._count(subject, code, UNKNOWN)
        number = view.key
        self._holders[number] -= 1
        self._observers -= view.observes
        self._observing[number] -= view.observes
        if not self._holders[number]:
            self._move(number, -1)

    def state(self, view: View, node: NodeId) -> MemberState | None:
        """Give what a view holds of a key; None: unknown."""
        number = self.number(node)
        return STATES[view.states[number]] if number < len(view.states) else None

    def believe(self, view: View, node: NodeId, state: MemberState | None) -> None:
        """Take in that one view changed."""
        number = self.number(node)
        states = view.states
        if number >= len(states):
            states.extend(bytes(len(self._ids) - len(states)))
        old, new = states[number], CODES[state]
        states[number] = new
        if view in self._views and number != view.key:
            self._count(number, old, new)

    def _count(self, number: int, old: int, new: int) -> None:
        believed = self._believed[number]
        believed[old] -= 1
        believed[new] += 1
        if self._holders[number]:
            self._alive_up += (new == ALIVE) - (old == ALIVE)
        else:
            self._living_down += (new in (ALIVE, SUSPECT)) - (old in (ALIVE, SUSPECT))

    def _move(self, number: int, sign: int) -> None:
        """Take the views of one key from the sums of the down to those of the up (1), or back (-1)."""
        believed = self._believed[number]
        self._up += sign
        self._alive_up += sign * believed[ALIVE]
        self._living_down -= sign * (believed[ALIVE] + believed[SUSPECT])

    def holding(self, node: NodeId, state: MemberState | None) -> bool:
        """Tell whether every observer but the holders of a key has this belief of it."""
        number = self.number(node)
        believed, others = self._believed[number], self._observers - self._observing[number]
        return others == (others - sum(believed[1:]) if state is None else believed[CODES[state]])

    @property
    def missing(self) -> int:
        """How many pairs of an observer and a key that is up lack the belief that it is alive."""
        # Each observer's own key is up, and it has no view of that.
        return self._observers * (self._up - 1) - self._alive_up

    @property
    def wrong(self) -> int:
        """How many pairs of an observer and a key are not equal to the truth."""
        return self.missing + self._living_down

    def wrong_views(self) -> Iterator[tuple[NodeId, NodeId, MemberState | None]]:
        """Give observer, subject and belief of each pair that is not equal to the truth; walks all of them."""
        for view in (each for each in self._views if each.observes):
            for number, node in enumerate(self._ids):
                code = view.states[number] if number < len(view.states) else UNKNOWN
                right = code == ALIVE if self._holders[number] else code not in (ALIVE, SUSPECT)
                if number != view.key and not right:
                    yield self._ids[view.key], node, STATES[code]
