"""Who this node is in handshakes, and whom it takes for a peer."""

from __future__ import annotations

import os
from collections.abc import Callable

from gossipmesh.daemon.checkup.noted import Noted
from gossipmesh.daemon.control import wall_clock
from gossipmesh.daemon.mixed import OldPeers
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.credentials import Peer, verify_credentials_untrusted
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import NodeId
from gossipmesh.transport.secure_stream import ChannelIdentity


def channel_identity(
    mesh: Mesh,
    *,
    metrics: Metrics,
    noted: Noted,
    old: OldPeers,
    learn: Callable[[tuple[bytes, ...]], None],
) -> ChannelIdentity:
    """Give what a node's channels show and check.

    Args:
        mesh: the control plane, to be read only.
        metrics: counts handshakes.
        noted: is told of clocks that differ.
        old: what is done for members of an earlier release.
        learn: takes the trust bundles that a handshake brought.
    """
    trust = mesh.trust

    def authenticate(payload: bytes, remote_static: bytes, _expected: NodeId | None) -> Peer:
        try:
            peer = verify_credentials_untrusted(payload, remote_static, trust, wall=wall_clock(), learn=learn)
            mesh.charter.check_not_revoked(peer.chain)
        except RemoteProtocolError as error:
            metrics.handshake(error.code)
            if error.code == "credentials.clock":
                noted.refused_for_clock(str(error))
            raise
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
        tries_old=old.tries,
        is_old=old.is_old,
        answers_bare=old.answers,
    )
