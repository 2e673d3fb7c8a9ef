"""Who a peer is to the policy, worked out once for each record and chain of its."""

from __future__ import annotations

from typing import Final

from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.credentials import Peer
from gossipmesh.identity.record import MemberRecord
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import NodeId
from gossipmesh.policy.decision import Source

MAX_CALLERS: Final = 4_096
"""Peers that are remembered; one more, and all are worked out anew."""


class Caller:
    """One peer, by its newest record and chain.

    Args:
        record: the newest that is known of it.
        shown: the chain of its handshake.
        newest: the chain that the mesh knows of it now, if any. A renewed one never allows more, and may allow less.
    """

    __slots__ = ("_groups", "_services", "_sources", "record", "shown")

    def __init__(
        self, record: MemberRecord, shown: VerifiedChain, newest: VerifiedChain | None = None
    ) -> None:
        self.record = record
        self.shown = shown
        renewed = newest is not None and newest.hash == record.chain_hash
        grants = newest.grants if newest is not None and renewed else shown.grants
        self._services = frozenset(each.name for each in record.services if grants.allows_service(each.name))
        self._groups = grants.groups
        self._sources: dict[str, Source] = {}

    def speaking_as(self, service: str) -> Source | None:
        """Give it as the source of a request, speaking as ``service`` or as none (empty); None where it may not.

        The same object each time: at most one for each of its services, and one more.
        """
        source = self._sources.get(service)
        if source is None and (not service or service in self._services):
            source = Source(self.record.id, service, self._services, self._groups)
            self._sources[service] = source
        return source


class Callers:
    """The peers that call this node's services.

    Args:
        mesh: the control plane, to be read only.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        # A live view; to ask for it takes longer than to look somebody up in it.
        self._members = mesh.members
        self._known: dict[NodeId, Caller] = {}
        self._latest: dict[NodeId, tuple[MemberRecord, Peer, Caller]] = {}
        """What the mesh held of a peer when it was last worked out, the peer, and what came of that."""

    def source(self, peer: Peer, service: str) -> Source | None:
        """Give a peer as the source of a request, speaking as ``service`` or as none; None where it may not."""
        # The record shown in the handshake may be hours old; what it declares now is what counts.
        mesh = self._mesh
        member = self._members.get(peer.id)
        latest = self._latest.get(peer.id)
        if latest is not None and member is not None and latest[0] is member.record and latest[1] is peer:
            return latest[2].speaking_as(service)
        record = mesh.own if peer.id == mesh.id else member.record if member else None
        if record is None or record.version < peer.record.version:
            record = peer.record
        caller = self._known.get(peer.id)
        if caller is None or caller.record is not record or caller.shown is not peer.chain:
            # Globs are matched once for each record and chain, not for each request.
            if len(self._known) >= MAX_CALLERS:
                self._known.clear()
                self._latest.clear()
            caller = self._known[peer.id] = Caller(record, peer.chain, mesh.chain_of(peer.id))
        if member is not None:
            self._latest[peer.id] = member.record, peer, caller
        return caller.speaking_as(service)
