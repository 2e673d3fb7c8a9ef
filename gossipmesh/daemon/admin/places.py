"""The places for connections of one admin listener, and the share of them that may wait for changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

MAX_CONNECTIONS: Final = 64
"""Per listener, so that whoever fills the TCP one does not lock its owner out of the unix socket."""
MAX_WAITING: Final = 32
"""Of them, blocking queries and event streams: the others always find a place that comes free soon."""


class Places:
    """The places for connections of one listener. Whoever is idle longest goes when another needs the place."""

    def __init__(self) -> None:
        self._free: Final = trio.Semaphore(MAX_CONNECTIONS)
        self._idle: Final[dict[trio.CancelScope, None]] = {}
        self._waiting = 0

    async def take(self) -> None:
        """Wait for a place; where none is free, one that waits for a request is cleared at once."""
        if self._free.value == 0:
            self._clear_longest_idle()
        await self._free.acquire()

    def give_back(self) -> None:
        """Let the next one have a place."""
        self._free.release()

    @contextmanager
    def idle(self, limit_s: float) -> Iterator[None]:
        """Wait for a request inside of this: it ends, cancelled, after ``limit_s``, or when the place is needed."""
        with trio.move_on_after(limit_s) as scope:
            self._idle[scope] = None
            if self._free.statistics().tasks_waiting:
                self._clear_longest_idle()
            try:
                yield
            finally:
                self._idle.pop(scope, None)

    @contextmanager
    def waiting(self) -> Iterator[bool]:
        """Wait for changes inside of this, if it gives True: too many do so already where it does not."""
        if self._waiting >= MAX_WAITING:
            yield False
            return
        self._waiting += 1
        try:
            yield True
        finally:
            self._waiting -= 1

    def _clear_longest_idle(self) -> None:
        if self._idle:
            longest = next(iter(self._idle))
            del self._idle[longest]
            longest.cancel()
