"""What becomes of chains, records and accusations that somebody sent: verified here, then believed.

Nothing unverified goes further than this file, and only what was verified is gossiped on.
"""

from __future__ import annotations

from typing import Final

from gossipmesh.errors import RemoteProtocolError, TrustError
from gossipmesh.identity.accusation import (
    ACCUSATION_LIFETIME_S,
    Accusation,
)
from gossipmesh.identity.checks import CHECKS, Checks
from gossipmesh.identity.credentials import Peer
from gossipmesh.identity.record import MemberRecord, decode_record_untrusted
from gossipmesh.membership.machine import Membership
from gossipmesh.mesh.effects import Effect, OwnKeyTwice, RecordTaken, WantChain
from gossipmesh.mesh.outputs import Level, Notice, Refused
from gossipmesh.mesh.pace import Pace
from gossipmesh.mesh.secrecy import Secrecy
from gossipmesh.model import NodeId, Serving, short_id
from gossipmesh.registry import store
from gossipmesh.registry.places import token_of
from gossipmesh.registry.store import Registry
from gossipmesh.registry.sync import AccusationLearned, ChainLearned, Learned, RecordLearned

MAX_VERIFIED: Final = 1_024
"""Accusations remembered as verified: gossip brings each many times, and a signature costs 50 us."""


class Admission:
    """Verifies what is offered and hands it on to registry, membership and keyring.

    Args:
        own: this node's id; a newer record of it is somebody else's doing.
    """

    def __init__(
        self,
        own: NodeId,
        *,
        mesh_id: bytes,
        registry: Registry,
        membership: Membership,
        secrecy: Secrecy,
        checks: Checks = CHECKS,
    ) -> None:
        self._own = own
        self._mesh_id = mesh_id
        self._registry = registry
        self._membership = membership
        self._secrecy = secrecy
        self._checks = checks
        self._refused: dict[NodeId, frozenset[str]] = {}
        self._verified: dict[bytes, Accusation] = {}
        self._pace = Pace()

    def refused_services(self, node: NodeId) -> frozenset[str]:
        """Give the services that ``node`` declares outside its token."""
        return self._refused.get(node, frozenset())

    def known(self) -> tuple[bytes, ...]:
        """Give every living member's chain and record, in turn."""
        kept: list[bytes] = []
        for member in self._membership.members.values():
            chain = self._registry.chain_of(member.id) if member.living else None
            if chain is not None:
                kept += [chain.raw, member.record.signed.raw]
        return tuple(kept)

    def check_room(self, peer: Peer) -> None:
        """Check that an authenticated peer is a member here, or may become one.

        Raises:
            TrustError: ``registry.quota``, ``registry.token-quota`` or ``registry.full``.
        """
        leaving = peer.record.serving is Serving.LEAVING
        code = None if peer.id == self._own else self._registry.no_room_for(peer.chain, leaving=leaving)
        if code is not None:
            raise TrustError(code, f"no room for the newcomer {peer.record.name} ({short_id(peer.id)})")

    def forget(self, node: NodeId) -> None:
        """Drop what was noted about a node."""
        self._refused.pop(node, None)

    def learn(
        self, learned: list[Learned], source: NodeId, *, news: bool, now: float, wall: float
    ) -> list[Effect]:
        """Take what a sync exchange brought, in its order; one bad object does not spoil the others."""
        effects: list[Effect] = []
        for item in learned:
            match item:
                case ChainLearned(raw):
                    effects += self.chain(raw, news=news, now=now, wall=wall)
                case RecordLearned(raw):
                    effects += self.record(raw, source, news=news, now=now, wall=wall)
                case AccusationLearned(raw):
                    effects += self.accusation(raw, now=now, wall=wall)
        return effects

    def chain(self, raw: bytes, *, news: bool, now: float, wall: float) -> list[Effect]:
        """Take a chain, and the records that waited for it."""
        try:
            outcome = self._registry.offer_chain_untrusted(raw, wall=wall)
        except RemoteProtocolError as error:
            return [Refused(error.code)]
        match outcome:
            case store.Refused(code):
                return [Refused(code)]
            case store.ChainAccepted(_, waiting):
                effects: list[Effect] = []
                for record in waiting:
                    effects += self.record(record.raw, record.source, news=news, now=now, wall=wall)
                return effects

    def record(self, raw: bytes, source: NodeId, *, news: bool, now: float, wall: float) -> list[Effect]:
        """Take a member record; ``news`` is whether to gossip it on."""
        try:
            outcome = self._registry.offer_record_untrusted(raw, source=source, wall=wall)
        except RemoteProtocolError as error:
            return [Refused(error.code)]
        match outcome:
            case store.Stale():
                return []
            case store.Refused(code):
                return [Refused(code)]
            case store.NeedsChain(chain_hash):
                return [WantChain(chain_hash)]
            case store.CloneAlarm(node, ours) if node == self._own:
                return [OwnKeyTwice(decode_record_untrusted(ours).version)]
            case store.CloneAlarm(node):
                text = f"two different records are signed by the key {short_id(node)}: it is in use twice"
                return [Notice(Level.WARNING, "member.clone", text)]
            case store.Accepted(record, _, refused):
                return self._accepted(record, refused, news=news, now=now)

    def _accepted(
        self, record: MemberRecord, refused: tuple[str, ...], *, news: bool, now: float
    ) -> list[Effect]:
        effects: list[Effect] = []
        if refused:
            names = ", ".join(refused)
            text = f"{record.name} ({short_id(record.id)}) declares services outside its token: {names}"
            if self._refused.get(record.id) != frozenset(refused):
                effects.append(Notice(Level.WARNING, "member.services-refused", text))
            self._refused[record.id] = frozenset(refused)
        else:
            self._refused.pop(record.id, None)
        if record.id != self._own:
            self._secrecy.learn(record)
        chain = self._registry.chain_of(record.id)
        token = b"" if chain is None else token_of(chain)
        news = news and (record.id == self._own or self._pace.relays(record.id, now=now))
        learnt = self._membership.learn_record(record, token=token, news=news, now=now)
        return [*effects, RecordTaken(record.id), *learnt]

    def accusation(self, raw: bytes, *, now: float, wall: float) -> list[Effect]:
        """Take an accusation; it counts only from a member whose chain is held."""
        try:
            accusation = self._verify_accusation(raw, wall=wall)
        except RemoteProtocolError as error:
            return [Refused(error.code)]
        if accusation.subject == self._own and accusation.version > self._membership.own.version:
            # Going above a version because an accuser names it would let any member use all of ours up. If our key
            # did sign it (a clone, a restored state directory), whoever holds that record will show it.
            return [Refused("accusation.unknown-version")]
        return list(self._membership.learn_accusation(accusation, now=now))

    def _verify_accusation(self, raw: bytes, *, wall: float) -> Accusation:
        accusation = self._verified.get(raw) or self._checks.decode_accusation(raw)
        if self._registry.chain_of(accusation.accuser) is None:
            raise TrustError("accusation.stranger", "an accuser whose chain is not held, or no longer")
        if raw in self._verified and wall <= accusation.issued_at + ACCUSATION_LIFETIME_S:
            return accusation
        self._verified.pop(raw, None)
        self._checks.verify_accusation(accusation, self._mesh_id, wall=wall)
        if len(self._verified) >= MAX_VERIFIED:
            del self._verified[next(iter(self._verified))]
        self._verified[raw] = accusation
        return accusation
