"""What has changed in a node's picture of the mesh, as numbered events: for those who wait, and those who follow.

Law: one series of numbers for everything. The *index* of a topic is the number of the last event about it, so it rises
with each change of what is asked, and a client's index that is not the current one (lower, or of an earlier life of
this daemon) is answered at once. What happens between two looks is one change.

Pure: told what there is by :meth:`Changes.look`, it compares that with what there was.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import Final, TypeAlias

from attrs import field, frozen

MAX_EVENTS: Final = 1_024
"""That are kept for those who follow; who is further behind has to read everything anew."""
MEMBERS: Final = "members"
SERVICES: Final = "services"
READY: Final = "ready"
"""Whether this node is ready; of that there are no events, only an index."""
FOLLOWED: Final = (SERVICES, MEMBERS)
Topic: TypeAlias = tuple[str, str]
"""A kind, and the name of the one service that is meant; empty: all of the kind."""


@frozen
class Picture:
    """What a node knows at one moment.

    Args:
        members: by id in hex, whatever changes with what ``/v1/members`` says of one.
        services: by name, whatever changes with what ``/v1/services/NAME`` says of it.
        ready: whatever changes with what ``/readyz`` says.
        member: gives what ``/v1/members`` says of one; None of one that is not known any more.
        service: gives what ``/v1/services`` says of one.
    """

    members: Mapping[str, Hashable] = field(repr=False)
    services: Mapping[str, Hashable] = field(repr=False)
    ready: Hashable
    member: Callable[[str], Mapping[str, object] | None] = field(repr=False)
    service: Callable[[str], Mapping[str, object]] = field(repr=False)


@frozen
class Event:
    """One change: its number, whether it is about a service or a member, and what there is now, as JSON."""

    id: int
    kind: str
    data: str


class Changes:
    """Numbers what changes.

    Args:
        picture: what there is at the beginning.
        first: the number to begin with; higher than any that an earlier life may have reached.
    """

    def __init__(self, picture: Picture, *, first: int) -> None:
        self._picture = picture
        self._first = self._last = first
        self._kinds = {MEMBERS: first, SERVICES: first, READY: first}
        self._of_service: dict[str, int] = {}  # of services that there are, and have changed
        self._gone = first  # when a service last vanished: the index of all that are not there
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self._last

    def index_of(self, topic: Topic) -> int:
        """Give the number of the last change of what a topic is about."""
        kind, name = topic
        if not name:
            return self._kinds[kind]
        return self._of_service.get(name, self._first) if name in self._picture.services else self._gone

    def look(self, picture: Picture) -> bool:
        """Take what there is now; tell whether anything has changed."""
        before, self._picture = self._picture, picture
        last = self._last
        for name in _differing(before.services, picture.services):
            self._note(SERVICES, picture.service(name))
            if name in picture.services:
                self._of_service[name] = self._last
            else:
                self._of_service.pop(name, None)
                self._gone = self._last
        for node in _differing(before.members, picture.members):
            self._note(MEMBERS, picture.member(node) or {"id": node, "state": "forgotten"})
        if before.ready != picture.ready:
            self._last += 1
            self._kinds[READY] = self._last
        return self._last != last

    def _note(self, kind: str, entry: Mapping[str, object]) -> None:
        self._last += 1
        self._kinds[kind] = self._last
        self._events.append(Event(self._last, kind, json.dumps(entry)))

    def after(self, index: int, kinds: frozenset[str]) -> list[Event] | None:
        """Give the events of these kinds behind ``index``, or None where that cannot be told any more."""
        lost = self._events[0].id - 1 if len(self._events) == MAX_EVENTS else self._first
        if not lost <= index <= self._last:
            return None
        return [event for event in self._events if event.id > index and event.kind in kinds]


def _differing(before: Mapping[str, Hashable], now: Mapping[str, Hashable]) -> list[str]:
    """Give the keys whose values differ, or that only one of both has."""
    if before is now:
        return []
    # Most of it is the very same object as before, and only what is not has to be compared.
    changed = [key for key, value in now.items() if (old := before.get(key)) is not value and old != value]
    return [*changed, *(key for key in before if key not in now)]
