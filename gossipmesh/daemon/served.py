"""The sync channels that peers opened to us: their questions go to the control task; those of the revoked end."""

from __future__ import annotations

from collections.abc import Callable

import trio

from gossipmesh.daemon.clock import wall_clock
from gossipmesh.daemon.control import Control
from gossipmesh.errors import TrustError
from gossipmesh.identity.credentials import Peer
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.trial_messages import is_try
from gossipmesh.transport.secure_stream import SecureStream
from gossipmesh.transport.sync import Answer, serve_sync


class ServedSync:
    """Answers on accepted sync channels. The listener bounds how many there are.

    Args:
        mesh: the control plane, to be read only.
        control: owns it.
        tried: answers who tries a policy on, which is no affair of the control task: it takes time.
    """

    def __init__(self, mesh: Mesh, control: Control, tried: Answer) -> None:
        self._mesh = mesh
        self._control = control
        self._tried = tried
        self._open: dict[SecureStream, trio.CancelScope] = {}

    async def serve(self, stream: SecureStream) -> None:
        """Serve one channel until it ends, or its peer is revoked.

        Raises:
            ChannelClosed: as :func:`~gossipmesh.transport.sync.serve_sync`.
            RemoteProtocolError: the same.
        """
        mesh = self._mesh

        async def answer(peer: Peer, request: bytes) -> bytes:
            if peer.chain.grants.expired(wall_clock()):
                # An honest peer has a new chain by now, and shows it in the handshake of a new channel.
                raise TrustError(
                    "chain.expired", f"the chain of {peer.chain.name} expired while its channel lived"
                )
            if is_try(request):
                return await self._tried(peer, request)
            return await self._control.ask(
                lambda now, wall: mesh.answer_untrusted(peer, request, now=now, wall=wall)
            )

        # It may have been revoked between its handshake and now.
        mesh.charter.check_stands(stream.peer.chain)
        with trio.CancelScope() as scope:
            self._open[stream] = scope
            try:
                await serve_sync(stream, answer)
            finally:
                del self._open[stream]

    def end(self, hit: Callable[[Peer], bool]) -> None:
        """End the channels of the peers that are ``hit``."""
        for stream, scope in self._open.items():
            if hit(stream.peer):
                scope.cancel()
