"""A bounded queue that a loud source cannot take from the others."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

SourceT = TypeVar("SourceT", bound=Hashable)
ItemT = TypeVar("ItemT")


class FairInbox(Generic[SourceT, ItemT]):
    """Items by source, at most ``capacity`` in all; when it is full, whoever holds most of it loses.

    Every call but :meth:`take_all` takes the same short time however many sources there are: what protects from a
    flood must not cost more than the flood.

    Args:
        capacity: items, at least 1.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._queues: dict[SourceT, deque[ItemT]] = {}
        self._by_length: defaultdict[int, dict[SourceT, None]] = defaultdict(dict)
        self._longest = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, source: SourceT, item: ItemT) -> bool:
        """Add an item; tell whether none had to be dropped for it, this one or one of the loudest source."""
        queue = self._queues.get(source)
        length = 0 if queue is None else len(queue)
        room = self._size < self._capacity
        if not room:
            if length + 1 >= self._longest:
                return False
            self._drop_of_the_loudest()
        if queue is None:
            queue = self._queues[source] = deque()
        queue.append(item)
        self._size += 1
        self._move(source, length, length + 1)
        self._longest = max(self._longest, length + 1)
        return room

    def take_all(self) -> list[ItemT]:
        """Give everything, one of each source in turn."""
        items: list[ItemT] = []
        queues = list(self._queues.values())
        self._queues.clear()
        self._by_length.clear()
        self._longest = self._size = 0
        while queues:
            items += [queue.popleft() for queue in queues]
            queues = [queue for queue in queues if queue]
        return items

    def _drop_of_the_loudest(self) -> None:
        loudest = next(iter(self._by_length[self._longest]))
        # Its newest: what came first from a source is what a fair share of the queue would have kept.
        self._queues[loudest].pop()
        self._size -= 1
        self._move(loudest, self._longest, self._longest - 1)
        if not self._by_length[self._longest]:
            self._longest -= 1

    def _move(self, source: SourceT, old: int, new: int) -> None:
        self._by_length[old].pop(source, None)
        self._by_length[new][source] = None
