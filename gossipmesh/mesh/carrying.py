"""What the parts of the control plane want, turned into what the shell does: one loop, until nothing follows any more.

Here is also what a revocation means: its target leaves members, registry, keyring and routing in this very turn, is
told why, and nobody takes it in again, for its chain is refused wherever one is shown. The same goes for whoever hangs
on a root that a new trust bundle does not list any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from math import inf
from typing import Final

from attrs import evolve

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.revocation import Revocation
from gossipmesh.membership import outputs as believed
from gossipmesh.membership.messages import MAX_RAW, CharterNews
from gossipmesh.mesh.effects import CharterHeard, Effect, OwnKeyTwice, RecordTaken, Reply, WantChain
from gossipmesh.mesh.outputs import (
    BootRaised,
    BundlesChanged,
    Converged,
    Level,
    MemberChanged,
    Notice,
    Output,
    OwnRevoked,
    PolicyChanged,
    ProbeMeasured,
    Refused,
    RevocationsChanged,
    RoutabilityChanged,
    SnapshotChanged,
)
from gossipmesh.mesh.parts import Parts
from gossipmesh.model import MemberState, NodeId

MAX_TOLD: Final = 64
"""Members that a node tells of its own revocation, at once, before it ends."""
LOOK_S: Final = 5.0
"""How long a node whose own disk says that it is revoked asks the mesh whether that still holds, before it ends."""
LINGER_S: Final = 2.0
"""How long a node that is revoked by an entry that fits no datagram stays, for the members to ask for it."""
ROOT_DROPPED: Final = "the root that its chain hangs on was dropped"


class Carrying:
    """Carries effects out, in order.

    Args:
        parts: what the control plane is made of.

    Attributes:
        deadline: when :meth:`handle_timer` is due, in monotonic seconds.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._now, self._wall = 0.0, 0.0
        self._own_revoked = False
        self._begun = False
        self.deadline = inf

    def carry(
        self, effects: Sequence[Effect], outputs: Sequence[Output] = (), *, now: float, wall: float
    ) -> list[Output]:
        """Turn what the parts want into what the shell does, and hand out a new snapshot where it changed."""
        self._now, self._wall = now, wall
        done = list(outputs)
        waiting = deque(effects)
        # A refutation or a probe that cannot be begun adds a few effects, and no further one of its kind: it ends.
        while waiting:
            effect = waiting.popleft()
            match effect:
                case believed.Refute(above, foreign):
                    waiting += self._rise(above, foreign=foreign)
                case OwnKeyTwice(version):
                    waiting += self._rise(version, foreign=True)
                case believed.StreamProbe(target, seq, timeout_s):
                    probe = self._parts.reconciling.probe(target, seq, timeout_s=timeout_s, now=now)
                    # One that cannot be begun is no refused connection: the probe goes on without it.
                    done += [] if probe is None else [probe]
                case CharterHeard(peer, digest, revocation):
                    waiting += self._hear_untrusted(revocation)
                    done += self._parts.pulling.hears(peer, digest, now=now)
                case RevocationsChanged():
                    followed, said = self._enforce(effect)
                    waiting += followed
                    done += said
                case BundlesChanged():
                    followed, said = self._shut_out_rootless(effect)
                    waiting += followed
                    done += said
                case _:
                    done += self._carry_one(effect)
        self._begun = True
        if now >= self._parts.routes.due:
            done.append(SnapshotChanged(self._parts.routes.rebuild(now=now)))
        return done

    def _rise(self, above: tuple[int, int], *, foreign: bool) -> list[Effect]:
        return self._parts.standing.rise_above(above, foreign=foreign, now=self._now, wall=self._wall)

    def _hear_untrusted(self, revocation: bytes) -> list[Effect]:
        if not revocation:
            return []
        try:
            said = self._parts.charter.offer_revocation_untrusted(revocation, wall=self._wall)
        except RemoteProtocolError as error:
            return [Refused(error.code)]
        self._parts.pulling.note_change(now=self._now)
        return [*said]

    def _carry_one(self, effect: Effect) -> list[Output]:
        parts, now = self._parts, self._now
        match effect:
            case believed.SendMessages(target, messages):
                return parts.gossip.send(target, messages, now=now)
            case Reply(target, messages):
                return parts.gossip.seal(target, messages)
            case believed.ProbeMeasured(_, rtt_s):
                return [ProbeMeasured(rtt_s)]
            case believed.StateChanged(node, old, new, why):
                return self._change(node, old, new, why)
            case believed.RoutabilityChanged(node, routable, why):
                parts.routes.touch(node)
                return [RoutabilityChanged(node, parts.routes.name_of(node), routable, why)]
            case RecordTaken(node):
                parts.routes.touch(node)
                return []
            case believed.PeerRoot(peer):
                parts.reconciling.differs(peer, now=now)
                return []
            case believed.Reconnect(target):
                member = parts.membership.members.get(target)
                return [] if member is None else parts.reconciling.meet(member, now=now)
            case believed.Forgotten(node):
                parts.registry.forget(node)
                self._drop(node)
                return []
            case believed.Refute() | believed.StreamProbe() | OwnKeyTwice() | WantChain() | CharterHeard():
                return []
            case RevocationsChanged() | BundlesChanged():
                return []
            case PolicyChanged() | Notice() | Refused() | BootRaised() | Converged():
                return [effect]

    def _change(self, node: NodeId, old: MemberState | None, new: MemberState, why: str) -> list[Output]:
        self._parts.routes.touch(node)
        if new is MemberState.DEAD:
            self._parts.registry.forget(node)
        if new in (MemberState.DEAD, MemberState.LEFT):
            self._forget(node)
        return [MemberChanged(node, self._parts.routes.name_of(node), old, new, why)]

    def _forget(self, node: NodeId) -> None:
        self._parts.reconciling.forget(node)
        self._parts.detour.forget(node)
        self._parts.reach.forget(node)
        self._parts.pulling.forget(node)

    def _drop(self, node: NodeId) -> None:
        self._parts.secrecy.forget(node)
        self._parts.admission.forget(node)
        self._forget(node)
        self._parts.routes.touch(node)

    # --- revocations ---

    def _enforce(self, changed: RevocationsChanged) -> tuple[list[Effect], list[Output]]:
        """Take leave of every member that is revoked now; say so if it is ourselves."""
        parts, effects, outputs = self._parts, list[Effect](), list[Output]()
        parts.registry.look_again()
        before = set(parts.membership.members)
        for node in sorted(before):
            followed, said = self._enforce_on(node)
            effects += followed
            outputs += said
        outputs.append(evolve(changed, ids=frozenset(before.difference(parts.membership.members))))
        mine = parts.charter.revocations.find(parts.own.chain)
        if mine is not None and not self._own_revoked:
            outputs += self._begin_to_end(mine)
        if mine is None and self._own_revoked:
            self.deadline = inf
            # Nobody took our record while we were revoked, ourselves included.
            effects += parts.standing.resign(now=self._now, wall=self._wall)
            outputs.append(Notice(Level.INFO, "own.revocation-void", "this node is revoked no longer"))
        self._own_revoked = mine is not None
        return effects, outputs

    def handle_timer(self, *, now: float) -> list[Output]:
        """End, where the mesh had its time to ask for our revocation, or to say that it is void."""
        if now < self.deadline:
            return []
        self.deadline = inf
        mine = self._parts.charter.revocations.find(self._parts.own.chain)
        return [] if mine is None else self._end(mine)

    def _begin_to_end(self, entry: Revocation) -> list[Output]:
        if not self._begun:
            # It is our own disk that says so, and a root may have voided it while we were down.
            self.deadline = self._now + LOOK_S
            text = f"this node was revoked when it last ran ({entry}): asking for {LOOK_S:g} s whether that still holds"
            return [Notice(Level.WARNING, "own.revoked", text)]
        if len(entry.raw) > MAX_RAW and any(each.living for each in self._parts.membership.members.values()):
            # That there is news is gossiped; the news itself has to be asked of us, who may be alone in having it.
            self.deadline = self._now + LINGER_S
            text = f"this node is revoked ({entry}): it ends in {LINGER_S:g} s, when the members have asked it for that"
            return [Notice(Level.WARNING, "own.revoked", text)]
        return self._end(entry)

    def _end(self, entry: Revocation) -> list[Output]:
        # It may have been handed to this node alone, which ends now: who stays has to hear it first.
        told = self._tell_before_the_end(entry)
        text = (
            f"this node is revoked ({entry}): it needs a new token, and a new key, which is an empty state directory. "
            "Where a root has voided the revocation, start it again where it reaches a member"
        )
        return [*told, OwnRevoked(text)]

    def _tell_before_the_end(self, entry: Revocation) -> list[Output]:
        parts = self._parts
        if len(entry.raw) > MAX_RAW:
            return []
        news = (CharterNews(parts.charter.digest, entry.raw),)
        living = (node for node, member in parts.membership.members.items() if member.living)
        return [said for node in islice(living, MAX_TOLD) for said in parts.gossip.seal(node, news)]

    def _enforce_on(self, node: NodeId) -> tuple[list[Effect], list[Output]]:
        parts = self._parts
        chain = parts.registry.chain_of(node)
        entry = None if chain is None else parts.charter.revocations.find(chain)
        if entry is None:
            return [], []
        raw = entry.raw if len(entry.raw) <= MAX_RAW else b""
        # Without the entry there is nothing to say: it cannot ask, for nobody will open a channel to it any more.
        news = CharterNews(parts.charter.digest, raw) if raw else None
        return self._shut_out(node, f"revoked: {entry}", news)

    # --- roots that were dropped ---

    def _shut_out_rootless(self, changed: BundlesChanged) -> tuple[list[Effect], list[Output]]:
        """Take leave of every member whose chain hangs on a root that is dropped now; say so if it is ourselves."""
        parts, effects, outputs = self._parts, list[Effect](), list[Output]()
        roots, before = parts.trust.roots, set(parts.membership.members)
        # It may not have heard of the bundle. It asks for what it lacks, and is shown that in the handshake, which is
        # the last that it gets of us.
        news = CharterNews(parts.charter.digest, b"")
        for node in sorted(before):
            chain = parts.registry.chain_of(node)
            if chain is not None and chain.root not in roots:
                followed, said = self._shut_out(node, ROOT_DROPPED, news)
                effects += followed
                outputs += said
        expired = (record.id for record in parts.registry.expire(wall=self._wall))
        parts.routes.stale = True
        gone = before.difference(parts.membership.members).union(expired)
        outputs.append(evolve(changed, gone=tuple(sorted(gone))))
        if parts.own.chain.root not in roots:
            text = (
                "the mesh has dropped the root that this node's chain hangs on, so nobody takes it for a member any "
                "more: start it with a new token, --token-file FILE"
            )
            outputs.append(Notice(Level.WARNING, "chain.root", text))
        return effects, outputs

    def _shut_out(
        self, node: NodeId, why: str, news: CharterNews | None
    ) -> tuple[list[Effect], list[Output]]:
        parts = self._parts
        member, name = parts.membership.members[node], parts.routes.name_of(node)
        # Said while there is a key to seal it with.
        told = [] if news is None else parts.gossip.seal(node, (news,))
        followed = parts.membership.forget(node, now=self._now)
        parts.registry.forget(node)
        self._drop(node)
        if not member.living:
            return [*followed], [*told]
        gone = MemberChanged(node, name, member.state, MemberState.DEAD, why)
        return [*followed], [*told, gone]
