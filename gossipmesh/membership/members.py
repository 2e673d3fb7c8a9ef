"""The table of members: what is believed of each, and what our own packets told us.

Law: a :class:`Member` is a value that others may keep; the table replaces it and never changes it. At most
:data:`MAX_MEMBERS` are kept. The dead and the departed give way to the living, oldest first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from attrs import define, frozen

from gossipmesh.model import MemberState, NodeId

if TYPE_CHECKING:
    import random

    from gossipmesh.identity.record import MemberRecord

MAX_MEMBERS: Final = 16_384
LIVING: Final = frozenset({MemberState.ALIVE, MemberState.SUSPECT})


@frozen
class Member:
    """What this node believes of another.

    ``since`` is when ``state`` began, in monotonic seconds. ``accusers`` are those whose verified accusations of
    this very version stand unrefuted, ourselves among them. ``doubt`` says why no request is sent there although
    it lives, and is empty where requests are sent. ``udp_blocked`` says that it answered over TCP only, three
    times in a row.
    """

    id: NodeId
    record: MemberRecord
    state: MemberState
    since: float
    accusers: tuple[NodeId, ...] = ()
    doubt: str = ""
    udp_blocked: bool = False

    @property
    def living(self) -> bool:
        """Whether it is alive or suspect."""
        return self.state in LIVING

    @property
    def routable(self) -> bool:
        """Whether requests may go there. A suspect is routable until there is evidence beyond one member's word."""
        return self.living and not self.doubt

    @property
    def reason(self) -> str:
        """Why it is not routable, for people; empty where it is."""
        return self.doubt if self.living else self.state.value


@define
class Contact:
    """What our own packets say of one member. Times are when a probe was *asked*, in monotonic seconds.

    An answer proves life at the time of the question, not at the time of its arrival.
    """

    alive_at: float = -math.inf
    """It, or a helper who had its answer, acknowledged a probe of ours that was sent then."""
    silent_at: float = -math.inf
    """Our latest failed probe was sent then ..."""
    failed_at: float = -math.inf
    """... and given up then."""
    doubted_at: float = -math.inf
    """Our latest evidence against sending requests there."""
    udp_failures: int = 0
    """Probes in a row that only TCP answered."""

    @property
    def silent(self) -> bool:
        """Whether our latest word from it is a failed probe."""
        return self.silent_at > self.alive_at


class MemberTable:
    """All members but ourselves, the living in an order that can be sampled."""

    def __init__(self, *, rng: random.Random) -> None:
        self._rng = rng
        self._members: dict[NodeId, Member] = {}
        self._contacts: dict[NodeId, Contact] = {}
        self._living: list[NodeId] = []
        self._place: dict[NodeId, int] = {}
        self._gone: dict[MemberState, dict[NodeId, None]] = {MemberState.DEAD: {}, MemberState.LEFT: {}}
        self.members: Mapping[NodeId, Member] = MappingProxyType(self._members)

    @property
    def size(self) -> int:
        """How many are believed to live, ourselves included: the N of every formula."""
        return len(self._living) + 1

    def get(self, node: NodeId) -> Member | None:
        """Give the member, if it is known."""
        return self._members.get(node)

    def contact(self, node: NodeId) -> Contact:
        """Give what our own packets said of a known member, to be changed in place."""
        return self._contacts[node]

    def lives(self, node: NodeId) -> bool:
        """Whether ``node`` is known, and alive or suspect."""
        return node in self._place

    def put(self, member: Member) -> None:
        """Take in a newcomer, or replace what was believed of a member."""
        node = member.id
        before = self._members.get(node)
        self._members[node] = member
        if before is None:
            self._contacts[node] = Contact()
        if before is None or before.state is not member.state:
            self._list_under(member)

    def _list_under(self, member: Member) -> None:
        for gone in self._gone.values():
            gone.pop(member.id, None)
        if not member.living:
            self._gone[member.state][member.id] = None
            self._unlist_living(member.id)
        elif member.id not in self._place:
            self._place[member.id] = len(self._living)
            self._living.append(member.id)

    def meet_again(self, node: NodeId) -> None:
        """Start afresh with one that returned from the dead: old evidence says nothing about its new life."""
        self._contacts[node] = Contact()

    def remove(self, node: NodeId) -> None:
        """Forget a member, if it is there."""
        if self._members.pop(node, None) is not None:
            del self._contacts[node]
            for gone in self._gone.values():
                gone.pop(node, None)
            self._unlist_living(node)

    def sample(self, count: int, *, without: NodeId | None = None) -> list[NodeId]:
        """Give at most ``count`` random living members, none twice."""
        wanted = min(len(self._living), count + (without is not None))
        chosen = [node for node in self._rng.sample(self._living, wanted) if node != without]
        return chosen[:count]

    def gone(self, state: MemberState) -> Sequence[NodeId]:
        """Give those in ``state``, which is dead or left; those gone longest come first."""
        return tuple(self._gone[state])

    def gone_count(self, state: MemberState) -> int:
        """Count those in ``state``, which is dead or left."""
        return len(self._gone[state])

    def longest_gone(self, state: MemberState) -> Member | None:
        """Give the member that has been in ``state``, dead or left, for the longest time."""
        first = next(iter(self._gone[state]), None)
        return None if first is None else self._members[first]

    def latest_dead(self, count: int) -> list[Member]:
        """Give at most ``count`` of the dead, those declared last."""
        return [self._members[node] for node in islice(reversed(self._gone[MemberState.DEAD]), count)]

    @property
    def full(self) -> bool:
        """Whether a newcomer needs somebody else's room."""
        return len(self._members) >= MAX_MEMBERS

    def _unlist_living(self, node: NodeId) -> None:
        place = self._place.pop(node, None)
        if place is None:
            return
        last = self._living.pop()
        if last != node:
            self._living[place] = last
            self._place[last] = place
