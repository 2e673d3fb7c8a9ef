"""Waiting for what a node knows to change: for blocking queries and event streams.

Whoever changes something calls :meth:`News.touch`, which costs nothing worth mentioning: the picture is only looked at
when somebody asks or waits, and then at most once in ``GATHER_S``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import trio

from gossipmesh.daemon.admin.changes import Changes, Event, Picture, Topic
from gossipmesh.transport.parking import Parking

GATHER_S: Final = 0.05
"""Between two looks at the picture, so that a mass join is not looked at a thousand times."""
JITTER: Final = 1 / 16
"""Waits are up to this share longer than asked for (as Consul's), so that not all of them ask again at once."""


class News:
    """Knows what has changed, and lets tasks wait for it.

    Args:
        picture: gives what the node knows now.
        first: the first number of the index; see :class:`~gossipmesh.daemon.admin.changes.Changes`.
        rng: dice for how much longer than asked for a wait takes.
    """

    def __init__(self, picture: Callable[[], Picture], *, first: int, rng: random.Random) -> None:
        self._picture = picture
        self._rng = rng
        self._changes = Changes(picture(), first=first)
        self._stale = False
        self._waiting = 0
        self._wake = Parking()
        self._moved = trio.Event()

    def touch(self) -> None:
        """Take it that something may have changed."""
        self._stale = True
        if self._waiting:
            self._wake.unpark()

    async def run(self) -> None:
        """Look for those who wait, until cancelled."""
        while True:
            while not (self._stale and self._waiting):
                await self._wake.park()
            self._look()
            await trio.sleep(GATHER_S)

    def _look(self) -> None:
        if self._stale:
            self._stale = False
            if self._changes.look(self._picture()):
                self._moved.set()
                self._moved = trio.Event()

    def index(self, topic: Topic) -> int:
        """Give the index of what is asked, as of now."""
        self._look()
        return self._changes.index_of(topic)

    @property
    def last(self) -> int:
        """The number of the last event, as of now."""
        self._look()
        return self._changes.last

    async def changed(self, topic: Topic, index: int, *, wait_s: float) -> None:
        """Return once the index of a topic is not ``index``, or after ``wait_s`` seconds and a bit."""
        with trio.move_on_after(wait_s * (1 + self._rng.uniform(0, JITTER))):
            while self.index(topic) == index:
                await self._next_move()

    def after(self, index: int, kinds: frozenset[str]) -> list[Event] | None:
        """Give the events of these kinds behind ``index``, or None where that cannot be told any more."""
        self._look()
        return self._changes.after(index, kinds)

    async def next_move(self, index: int, *, wait_s: float) -> None:
        """Return once there are events behind ``index``, or after ``wait_s`` seconds."""
        with trio.move_on_after(wait_s):
            while self.last == index:
                await self._next_move()

    async def _next_move(self) -> None:
        self._waiting += 1
        try:
            if self._stale:
                self._wake.unpark()
            await self._moved.wait()
        finally:
            self._waiting -= 1
