"""What is left of suspicions when an accuser is revoked: its word counts no more, from this very turn on.

Law: what others said, and what we saw ourselves, stays as it is. A subject that only the revoked accused is alive again
at once; one that was out of rotation for the number of its accusers comes back where too few are left.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import evolve

from gossipmesh.membership.members import MemberTable
from gossipmesh.membership.outputs import RoutabilityChanged, StateChanged
from gossipmesh.membership.piggyback import NewsKey, Piggyback
from gossipmesh.membership.suspicions import Suspicions
from gossipmesh.model import MemberState, NodeId

if TYPE_CHECKING:
    from gossipmesh.membership.parameters import Parameters

WHY: Final = "its accusers are revoked"


def withdraw(
    accuser: NodeId,
    suspicions: Suspicions,
    table: MemberTable,
    piggyback: Piggyback,
    *,
    own: NodeId,
    parameters: Parameters,
    now: float,
) -> list[StateChanged | RoutabilityChanged]:
    """Take back all that ``accuser`` said; give what changes by it.

    Args:
        accuser: who is revoked, and no member any more.
        suspicions: of all members.
        table: the members.
        piggyback: passes its word on no more.
        own: our id.
        parameters: say how many accusers take a member out of rotation, and for how long whoever was cut off is none.
        now: monotonic seconds.
    """
    changes: list[StateChanged | RoutabilityChanged] = []
    cut = partial(table.estranged, since=now - parameters.reconnect_max_s)
    for subject, suspicion in suspicions.given_by(accuser):
        suspicion.withdraw(accuser)
        piggyback.drop(NewsKey(subject, accuser))
        member = table.get(subject)
        if member is None or not member.living:
            # Dead by our own probe, whoever accused it.
            continue
        member = evolve(member, accusers=suspicion.accusers)
        since, by_token = table.contact(subject).alive_at, table.several_tokens
        left = suspicion.foreign_since(since, own=own, by_token=by_token, without=cut)
        if member.doubt and member.doubt == suspicion.outvoted and left < parameters.routing_accusers:
            member = evolve(member, doubt="")
            changes.append(RoutabilityChanged(subject, True, WHY))
        if not suspicion.accusers:
            suspicions.drop(subject)
            if member.state is MemberState.SUSPECT:
                changes.append(StateChanged(subject, member.state, MemberState.ALIVE, WHY))
                member = evolve(member, state=MemberState.ALIVE, since=now)
        table.put(member)
    return changes
