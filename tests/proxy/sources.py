"""Who asks, by a peer's handshake alone: what a daemon knows of a caller of whom it has heard nothing newer."""

from __future__ import annotations

from gossipmesh.daemon.policy.callers import Caller
from gossipmesh.identity.credentials import Peer
from gossipmesh.policy.decision import Source


def source_of(peer: Peer, service: str) -> Source | None:
    """Give a peer as the source of a request, speaking as ``service`` or as none (empty); None where it may not."""
    return Caller(peer.record, peer.chain).speaking_as(service)
