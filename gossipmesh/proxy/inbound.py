"""From the mesh to the apps of this node: the handler of every hop stream that peers open."""

from __future__ import annotations

from collections import Counter

import trio

from gossipmesh.model import NodeId
from gossipmesh.proxy.delivery import Delivery, InboundPorts
from gossipmesh.transport.hop_stream import HopStream


class Inbound:
    """The inbound side of one daemon.

    Resource handling: none; each request's task belongs to its channel.
    Error handling: whatever a peer or an app does ends in an answer or a reset, never in an exception.

    Args:
        ports: what it is connected to.
    """

    def __init__(self, ports: InboundPorts) -> None:
        self._ports = ports
        self._in_flight = 0
        self._per_peer: Counter[NodeId] = Counter()
        self._draining = False
        self._idle = trio.Event()

    @property
    def in_flight(self) -> int:
        """Requests that are being delivered."""
        return self._in_flight

    async def handle(self, stream: HopStream) -> None:
        """Serve one request: deliver it, or refuse it in such a way that it can be tried elsewhere."""
        refuse_with = None
        if self._draining:
            refuse_with = "DR"
        elif self._full_for(stream.peer.id):
            refuse_with = "UO"
        peer = stream.peer.id
        self._in_flight += 1
        self._per_peer[peer] += 1
        try:
            await Delivery(self._ports, stream, lambda: self._in_flight).run(refuse_with=refuse_with)
        finally:
            self._in_flight -= 1
            self._per_peer[peer] -= 1
            if not self._per_peer[peer]:
                del self._per_peer[peer]
            if self._draining and not self._in_flight:
                self._idle.set()

    def _full_for(self, peer: NodeId) -> bool:
        limit = self._ports.limits.requests_in_flight
        # Three quarters of the places at most for one peer: nobody may keep all the others out.
        return self._in_flight >= limit or self._per_peer[peer] >= limit - limit // 4

    async def drain(self) -> None:
        """Refuse new requests from now on, and wait until those that were taken are over."""
        self._draining = True
        if self._in_flight:
            await self._idle.wait()
