"""The table of members: what is believed of each, and what our own packets told us.

Law: a :class:`Member` is a value that others may keep; the table replaces it and never changes it. At most
:data:`MAX_MEMBERS` are kept. The dead and the departed give way to the living, oldest first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from attrs import define, evolve, frozen

from gossipmesh.identity.record import RECORD_LIFETIME_S, MemberRecord
from gossipmesh.model import Address, MemberState, NodeId, Serving

if TYPE_CHECKING:
    import random

MAX_MEMBERS: Final = 16_384
REFRESH_AGE: Final = 0.3
"""A record that says nothing new was signed anew for its age, if the one before lived for this share of its life."""


@frozen(weakref_slot=False)
class Member:
    """What this node believes of another.

    ``since`` is when ``state`` began, in monotonic seconds. ``token`` is the join token that admitted it.
    ``accusers`` are those whose verified accusations of this very version stand unrefuted, ourselves among them.
    ``doubt`` says why no request is sent there although it lives, and is empty where requests are sent.
    ``udp_blocked`` says that it answered over TCP only, three times in a row; ``unanswered`` that our own latest
    probe of it failed.
    """

    id: NodeId
    record: MemberRecord
    state: MemberState
    since: float
    accusers: tuple[NodeId, ...] = ()
    doubt: str = ""
    udp_blocked: bool = False
    token: bytes = b""
    unanswered: bool = False

    @property
    def living(self) -> bool:
        """Whether it is alive or suspect."""
        state = self.state
        return state is MemberState.ALIVE or state is MemberState.SUSPECT

    @property
    def routable(self) -> bool:
        """Whether requests may go there. A suspect is routable until there is evidence beyond one member's word."""
        return self.living and not self.doubt

    @property
    def reason(self) -> str:
        """Why it is not routable, for people; empty where it is."""
        return self.doubt if self.living else self.state.value


@define(weakref_slot=False)
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
    met: bool = False
    """Whether it answered us directly, ever in this life."""
    returned_at: float = -math.inf
    """It came back from the dead then, in the same life: it was cut off, or we were."""

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
        self._holders: dict[
            str | Address, NodeId
        ] = {}  # who says first that a name or an address is its own ...
        self._rivals: dict[
            str | Address, dict[NodeId, None]
        ] = {}  # ... and who says so too, where anybody does
        self._tokens: Counter[bytes] = Counter()
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
        if node not in self._contacts:
            # Made when it is first asked for: in a large mesh most members have not been probed yet.
            self._contacts[self._members[node].id] = Contact()
        return self._contacts[node]

    def lives(self, node: NodeId) -> bool:
        """Whether ``node`` is known, and alive or suspect."""
        return node in self._place

    @property
    def several_tokens(self) -> bool:
        """Whether the living others were admitted by more than one join token."""
        return len(self._tokens) > 1

    def holders(self, record: MemberRecord) -> list[NodeId]:
        """Give the others, living or dead, that have the name or the first address of ``record`` too, each once."""
        found: dict[NodeId, None] = {}
        for claim in _claims_of(record):
            if (holder := self._holders.get(claim)) is not None:
                found |= {holder: None, **self._rivals.get(claim, {})}
        found.pop(record.id, None)
        return list(found)

    def rival(self, member: Member) -> Member | None:
        """Give the living member that came last of those that have the name or the address of ``member`` too."""
        living = [node for node in self.holders(member.record) if node in self._place]
        return self._members[living[-1]] if living else None

    def put(self, member: Member) -> None:
        """Take in a newcomer, or replace what was believed of a member."""
        node = member.id
        before = self._members.get(node)
        self._members[node] = member
        if before is None:
            self._claim(member)
            self._list(member)
            return
        if before.state is not member.state:
            self._unlist(before)
            self._list(member)
        if before.record is not member.record:
            self._release(before)
            self._claim(member)

    def _list(self, member: Member) -> None:
        if not member.living:
            self._gone[member.state][member.id] = None
            return
        self._place[member.id] = len(self._living)
        self._living.append(member.id)
        self._tokens[member.token] += 1

    def _unlist(self, member: Member) -> None:
        if not member.living:
            del self._gone[member.state][member.id]
            return
        place, last = self._place.pop(member.id), self._living.pop()
        if last != member.id:
            self._living[place] = last
            self._place[last] = place
        self._tokens[member.token] -= 1
        if not self._tokens[member.token]:
            del self._tokens[member.token]

    def _claim(self, member: Member) -> None:
        if member.state is MemberState.LEFT:
            return
        for claim in _claims_of(member.record):
            holder = self._holders.setdefault(claim, member.id)
            if holder != member.id:
                self._rivals.setdefault(claim, {})[member.id] = None

    def _release(self, member: Member) -> None:
        for claim in _claims_of(member.record):
            rivals = self._rivals.get(claim, {})
            if self._holders.get(claim) != member.id:
                rivals.pop(member.id, None)
            elif rivals:
                self._holders[claim] = next(iter(rivals))
                del rivals[self._holders[claim]]
            else:
                del self._holders[claim]
            if claim in self._rivals and not rivals:
                del self._rivals[claim]

    def meet_again(self, node: NodeId, *, returned_at: float = -math.inf) -> None:
        """Start afresh with one that restarted, or returned from the dead: old evidence says nothing of this life."""
        self._contacts[node] = Contact(returned_at=returned_at)

    def estranged(self, node: NodeId, *, since: float) -> bool:
        """Whether we hold ``node`` dead or left, or did at some time after ``since``; False for whom we do not know."""
        member, contact = self._members.get(node), self._contacts.get(node)
        return member is not None and (
            not member.living or (contact is not None and contact.returned_at > since)
        )

    def remove(self, node: NodeId) -> None:
        """Forget a member, if it is there."""
        if (member := self._members.pop(node, None)) is not None:
            self._contacts.pop(node, None)
            self._unlist(member)
            self._release(member)

    def sample(self, count: int, *, without: NodeId | None = None) -> list[NodeId]:
        """Give at most ``count`` random living members, none twice."""
        wanted = min(len(self._living), count + (without is not None))
        chosen = [node for node in self._rng.sample(self._living, wanted) if node != without]
        return chosen[:count]

    @property
    def anybody_gone(self) -> bool:
        """Whether any member is dead or left."""
        return len(self._members) > len(self._living)

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


def _claims_of(record: MemberRecord) -> tuple[str, Address]:
    return record.name, record.addresses[0]


def state_of(record: MemberRecord) -> MemberState:
    """Give what a record says of its owner: alive, or left."""
    return MemberState.LEFT if record.serving is Serving.LEAVING else MemberState.ALIVE


def is_refresh(old: MemberRecord, new: MemberRecord) -> bool:
    """Tell whether ``new`` only prolongs the life of ``old``. A refutation says the same, but comes at any time."""
    aged_s = new.issued_at - old.issued_at
    if aged_s < REFRESH_AGE * RECORD_LIFETIME_S or new.boot != old.boot:
        return False
    return (
        evolve(
            new,
            incarnation=old.incarnation,
            issued_at=old.issued_at,
            expires_at=old.expires_at,
            signed=old.signed,
        )
        == old
    )
