"""Who this node is in handshakes, and whom it takes for a peer."""

from __future__ import annotations

import os
from collections.abc import Callable

from gossipmesh.daemon.checkup.noted import Noted
from gossipmesh.daemon.clock import wall_clock
from gossipmesh.daemon.mixed import OldPeers
from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.errors import RemoteProtocolError, TrustError
from gossipmesh.identity.credentials import Peer, verify_credentials_untrusted
from gossipmesh.mesh.exchanges import encode_refusal
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import NodeId, short_id
from gossipmesh.transport.secure_stream import ChannelIdentity


def channel_identity(
    mesh: Mesh,
    *,
    metrics: Metrics,
    noted: Noted,
    log: Log,
    old: OldPeers,
    learn: Callable[[tuple[bytes, ...]], None],
) -> ChannelIdentity:
    """Give what a node's channels show and check.

    Args:
        mesh: the control plane, to be read only.
        metrics: counts handshakes.
        noted: is told of clocks that differ, and of who was turned away.
        log: says who was turned away for being revoked.
        old: what is done for members of an earlier release.
        learn: takes the trust bundles that a handshake brought.
    """
    trust = mesh.trust

    def authenticate(payload: bytes, remote_static: bytes, _expected: NodeId | None) -> Peer:
        try:
            peer = verify_credentials_untrusted(payload, remote_static, trust, wall=wall_clock(), learn=learn)
        except RemoteProtocolError as error:
            metrics.handshake(error.code)
            if error.code == "credentials.clock":
                noted.refused_for_clock(str(error))
            # Who it is cannot be told: its chain proves nothing here. Hence once for all of them.
            if error.code == "chain.root" and noted.turned_away(error.code):
                log.warning("peer.refused", code=error.code, detail=str(error))
            raise
        try:
            mesh.charter.check_not_revoked(peer.chain)
        except TrustError as error:
            # It is turned away by `check`, where it can be told.
            metrics.handshake(error.code)
            if noted.turned_away(peer.id.hex()):
                log.warning("peer.refused", id=short_id(peer.id), code=error.code, detail=str(error))
            return peer
        metrics.handshake("ok")
        noted.met(peer.id, peer.clock_s)
        return peer

    return ChannelIdentity(
        mesh_id=trust.mesh_id,
        credentials=lambda theirs: mesh.credentials(theirs, wall=wall_clock()),
        authenticate=authenticate,
        static_private=lambda: mesh.static_private,
        entropy=os.urandom,
        bundle_n=lambda: trust.n,
        check=lambda peer: mesh.charter.check_stands(peer.chain),
        refusal=encode_refusal,
        tries_old=old.tries,
        is_old=old.is_old,
        answers_bare=old.answers,
    )
