"""News that rides on datagrams: what was sent least goes first, and each piece only so many times.

Law: at most :data:`MAX_NEWS` pieces are kept, one per key; a newer piece under a key replaces the older one and
starts again. What was sent often enough stays until its room is needed, so that it goes out again when the mesh
turns out to be larger than it seemed.
"""

from __future__ import annotations

import math
from typing import Final

from attrs import frozen

from gossipmesh.membership.messages import NEWS_BYTES, News
from gossipmesh.model import NodeId

MAX_NEWS: Final = 1_024
MAX_LOOKED_AT: Final = 48
"""Pieces looked at for one datagram: a full one holds two or three records."""
MAX_TRANSMITS: Final = 64

NO_ACCUSER: Final = NodeId(b"")


@frozen
class NewsKey:
    """What a piece of news is about: a member's record, or one accuser's word against it."""

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
        self._levels: list[dict[NewsKey, News]] = [{} for _ in range(MAX_TRANSMITS + 1)]
        self._level_of: dict[NewsKey, int] = {}

    def __len__(self) -> int:
        return len(self._level_of)

    @property
    def pending(self) -> bool:
        """Whether any piece has still to be sent."""
        return any(self._levels[: self._limit])

    def note_mesh_size(self, size: int) -> None:
        """Hear that the mesh has ``size`` members, oneself included."""
        if size > self._largest:
            self._largest = size
            self._limit = transmit_limit(self._factor, size, least=self._least)

    def put(self, key: NewsKey, news: News) -> None:
        """Queue ``news``, in place of what was queued under ``key``."""
        self.drop(key)
        if len(self._level_of) >= MAX_NEWS:
            self._drop_most_sent()
        self._level_of[key] = 0
        self._levels[0][key] = news

    def drop(self, key: NewsKey) -> None:
        """Send what is queued under ``key`` no more."""
        level = self._level_of.pop(key, None)
        if level is not None:
            del self._levels[level][key]

    def take(self, limit: int, target: NodeId, *, beside: tuple[News, ...] = ()) -> tuple[News, ...]:
        """Give what to send to ``target`` in at most ``limit`` bytes, and count it as sent once more.

        Of what was sent equally often the newest goes first. A target is not told its own record, nor what is sent
        ``beside`` this; both count as sent, else the last two members would wait for a third one for ever.
        """
        own = NewsKey(target)
        taken: list[NewsKey] = []
        given: list[News] = []
        looked_at = 0
        for level in self._levels[: self._limit]:
            for key, news in reversed(level.items()):
                looked_at += 1
                size = NEWS_BYTES + len(news.raw)
                if key == own or news in beside:
                    taken.append(key)
                elif size <= limit:
                    taken.append(key)
                    given.append(news)
                    limit -= size
                if looked_at >= MAX_LOOKED_AT or limit <= NEWS_BYTES:
                    self._count(taken)
                    return tuple(given)
        self._count(taken)
        return tuple(given)

    def _count(self, taken: list[NewsKey]) -> None:
        for key in taken:
            level = self._level_of[key]
            self._level_of[key] = level + 1
            self._levels[level + 1][key] = self._levels[level].pop(key)

    def _drop_most_sent(self) -> None:
        for level in reversed(self._levels):
            if level:
                self.drop(next(iter(level)))
                return
