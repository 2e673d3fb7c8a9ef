"""News that rides on datagrams: what was sent least goes first, and each piece only so many times.

A record that only prolongs the life of the one before (a refresh, every twelve hours) waits behind everything else:
a mesh of a thousand signs one every 43 s, and none of them is news to anybody.

Law: at most :data:`MAX_NEWS` pieces are kept, one per key; a newer piece under a key replaces the older one and
starts again. What was sent often enough stays until its room is needed, so that it goes out again when the mesh
turns out to be larger than it seemed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from gossipmesh.membership.messages import NEWS_BYTES, News
from gossipmesh.model import NodeId

MAX_NEWS: Final = 1_024
MAX_LOOKED_AT: Final = 48
"""Pieces looked at for one datagram: a full one holds two or three records."""
MAX_TRANSMITS: Final = 64

NO_ACCUSER: Final = NodeId(b"")
LEAST_NEWS: Final = 140
"""No record and no accusation takes less than this, signature included: with less room there is no point in looking."""
_REFRESH: Final = MAX_TRANSMITS + 1
"""Where the levels of what only prolongs a life begin."""


class NewsKey(NamedTuple):
    """What a piece of news is about: a member's record, or one accuser's word against it."""

    # A tuple, because keys are compared and hashed for every piece looked at, and a mass join keeps a million of them.
    subject: NodeId
    accuser: NodeId = NO_ACCUSER


def transmit_limit(factor: int, mesh_size: int, *, least: int = 1) -> int:
    """Give how often each piece is sent: factor * ceil(log10(N + 1)) (SWIM, section 4.1), or ``least``."""
    wanted = factor * math.ceil(math.log10(max(1, mesh_size) + 1))
    return min(MAX_TRANSMITS, max(least, wanted))


class Piggyback:
    """Pieces of news by how often each was sent.

    Args:
        factor: the multiplier of :func:`transmit_limit`.
        least: its floor.
    """

    def __init__(self, factor: int, *, least: int = 1) -> None:
        self._factor = factor
        self._least = least
        self._largest = 1
        # The early joiners of a mass start would think the mesh small and stop sending their news too soon, so the
        # limit follows the largest size ever heard of, and what is kept in the upper levels is news again.
        self._limit = transmit_limit(factor, 1, least=least)
        # Pieces by how often they were sent: first those that are news, then, from _REFRESH on, those that are not.
        self._levels: list[dict[NewsKey, News]] = [{} for _ in range(2 * _REFRESH)]
        self._level_of: dict[NewsKey, int] = {}
        self._pending = 0

    def __len__(self) -> int:
        return len(self._level_of)

    @property
    def pending(self) -> bool:
        """Whether any piece has still to be sent."""
        return self._pending > 0

    def note_mesh_size(self, size: int) -> None:
        """Hear that the mesh has ``size`` members, oneself included."""
        if size <= self._largest:
            return
        self._largest = size
        limit = transmit_limit(self._factor, size, least=self._least)
        if limit != self._limit:
            self._limit = limit
            self._pending = sum(len(level) for level in self._unsent())

    def _unsent(self) -> Iterator[dict[NewsKey, News]]:
        yield from self._levels[: self._limit]
        yield from self._levels[_REFRESH : _REFRESH + self._limit]

    def put(self, key: NewsKey, news: News, *, refresh: bool = False) -> None:
        """Queue ``news``, in place of what was queued under ``key``; a ``refresh`` goes after all that is none."""
        before = self._level_of.get(key)
        # What replaces real news before that was spread has to tell it, too.
        untold = before is not None and before < self._limit
        level = _REFRESH if refresh and not untold else 0
        self.drop(key)
        if len(self._level_of) >= MAX_NEWS:
            self._drop_most_sent()
        self._level_of[key] = level
        self._levels[level][key] = news
        self._pending += 1

    def drop(self, key: NewsKey) -> None:
        """Send what is queued under ``key`` no more."""
        level = self._level_of.pop(key, None)
        if level is not None:
            del self._levels[level][key]
            self._pending -= level % _REFRESH < self._limit

    def take(self, limit: int, target: NodeId, *, beside: tuple[News, ...] = ()) -> tuple[News, ...]:
        """Give what to send to ``target`` in at most ``limit`` bytes, and count it as sent once more.

        Of what was sent equally often the newest goes first. A target is not told its own record, nor what is sent
        ``beside`` this; both count as sent, else the last two members would wait for a third one for ever.
        """
        if not self._pending:
            return ()
        own = NewsKey(target)
        taken: list[NewsKey] = []
        given: list[News] = []
        for looked_at, (key, news) in enumerate(self._pieces(), start=1):
            size = NEWS_BYTES + len(news.raw)
            if key == own or (beside and news in beside):
                taken.append(key)
            elif size <= limit:
                taken.append(key)
                given.append(news)
                limit -= size
            if looked_at >= MAX_LOOKED_AT or limit <= LEAST_NEWS:
                break
        for key in taken:
            level = self._level_of[key]
            self._level_of[key] = level + 1
            self._levels[level + 1][key] = self._levels[level].pop(key)
            self._pending -= (level + 1) % _REFRESH == self._limit
        return tuple(given)

    def _pieces(self) -> Iterator[tuple[NewsKey, News]]:
        for level in self._unsent():
            if level:
                yield from reversed(level.items())

    def _drop_most_sent(self) -> None:
        for level in (*reversed(self._levels[_REFRESH:]), *reversed(self._levels[:_REFRESH])):
            if level:
                self.drop(next(iter(level)))
                return
