"""From the mesh to the apps of this node: the handler of every hop stream that peers open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from gossipmesh.errors import RequestError
from gossipmesh.model import NodeId
from gossipmesh.proxy.admission import authorize, check_rate, check_untrusted
from gossipmesh.proxy.apps import AppConnection
from gossipmesh.proxy.delivery import Delivery
from gossipmesh.proxy.ports import InboundPorts
from gossipmesh.proxy.quick_delivery import QuickDelivery, may_go_quickly
from gossipmesh.proxy.quick_heads import identity_lines
from gossipmesh.routing.plan import IDEMPOTENT
from gossipmesh.transport.hop_stream import HopStream

MAX_CALLERS: Final = 4_096
"""Callers whose identity headers are remembered."""


class _Places:
    """So many places, of which one peer gets three quarters at most: nobody may keep all the others out."""

    def __init__(self, limit: int) -> None:
        self.taken = 0
        self._limit = limit
        self._per_peer: dict[NodeId, int] = {}

    def full_for(self, peer: NodeId) -> bool:
        limit = self._limit
        return self.taken >= limit or self._per_peer.get(peer, 0) >= limit - limit // 4

    def take(self, peer: NodeId) -> None:
        self.taken += 1
        self._per_peer[peer] = self._per_peer.get(peer, 0) + 1

    def give_back(self, peer: NodeId) -> None:
        self.taken -= 1
        self._per_peer[peer] -= 1
        if not self._per_peer[peer]:
            del self._per_peer[peer]


def _may_switch(stream: HopStream) -> bool:
    request = stream.request
    return request.method == b"CONNECT" or any(name.lower() == b"upgrade" for name, _ in request.headers)


class Inbound:
    """The inbound side of one daemon.

    Resource handling: none; each request's connection ends with its stream.
    Error handling: whatever a peer or an app does ends in an answer or a reset, never in an exception.

    Args:
        ports: what it is connected to.
    """

    def __init__(self, ports: InboundPorts) -> None:
        self._ports = ports
        self._in_flight = 0
        self._per_peer: dict[NodeId, int] = {}
        self.waiting = False
        """Whether to refuse everything for now, to be tried elsewhere: what is allowed is not known here yet."""
        self._idle = trio.Event()
        self._tunnels = _Places(ports.limits.tunnels)
        self._added_by_caller: dict[tuple[str, str], bytes] = {}

    @property
    def in_flight(self) -> int:
        """Requests that are being delivered, without those that became tunnels."""
        return self._in_flight

    @property
    def tunnels(self) -> int:
        """CONNECTs and upgraded connections."""
        return self._tunnels.taken

    def handle(self, stream: HopStream) -> None:
        """Serve one request: deliver it, or refuse it in such a way that it can be tried elsewhere."""
        peer, ports = stream.peer, self._ports
        full = self._full_for(peer.id)
        self._in_flight += 1
        self._per_peer[peer.id] = self._per_peer.get(peer.id, 0) + 1
        ports.retries.began(stream.request.request_id, stream.request.attempt, now=ports.reactor.now)
        service = ports.service(stream.request.service)
        if self.waiting or full or service is None:
            flag = "DR" if self.waiting else "UO" if full else "NR"
            self._delivery(stream).refuse(flag)
            return
        quickly = ports.fast_lane and may_go_quickly(stream, service)
        try:
            if not quickly:
                check_untrusted(stream.request, service)
            authorize(ports, stream.request, peer, service)
            if ports.rates:
                check_rate(ports, stream.request, peer)
        except RequestError as error:
            self._delivery(stream).refuse(error)
            return
        if self._tunnels.full_for(peer.id) and _may_switch(stream):
            self._delivery(stream).refuse("UO")
            return
        if quickly:
            certain = stream.request.method not in IDEMPOTENT
            connection = ports.apps.take(service.port, certain=certain)
            if connection is not None:
                quick = QuickDelivery(
                    ports,
                    stream,
                    service,
                    connection,
                    load=self._load,
                    over=self._over,
                    general=self._general,
                )
                quick.start(self._added(stream))
                return
        self._delivery(stream).start(service)

    def _delivery(self, stream: HopStream) -> Delivery:
        return Delivery(self._ports, stream, load=self._load, switched=self._switched, over=self._over)

    def _general(self, quick: QuickDelivery, connection: AppConnection) -> Delivery:
        delivery = self._delivery(quick.stream)
        delivery.take_over(quick.service, connection, quick.started)
        return delivery

    def _added(self, stream: HopStream) -> bytes:
        """Give the header lines that say who asks, and the empty line behind them."""
        key = stream.peer.chain.name, stream.request.source_service
        added = self._added_by_caller.get(key)
        if added is None:
            if len(self._added_by_caller) >= MAX_CALLERS:
                self._added_by_caller.clear()
            added = self._added_by_caller[key] = identity_lines(*key)
        return added

    def _load(self) -> int:
        return self._in_flight

    def _over(self, stream: HopStream) -> None:
        peer = stream.peer.id
        self._ports.retries.ended(stream.request.request_id)
        self._in_flight -= 1
        self._per_peer[peer] -= 1
        if not self._per_peer[peer]:
            del self._per_peer[peer]
        if not self._in_flight:
            self._idle.set()

    def _switched(self, stream: HopStream) -> Callable[[HopStream], None]:
        """Count one that became a tunnel: it may last for days, and must keep no request from its place."""
        self._tunnels.take(stream.peer.id)
        self._over(stream)
        return self._tunnel_over

    def _tunnel_over(self, stream: HopStream) -> None:
        self._tunnels.give_back(stream.peer.id)

    def _full_for(self, peer: NodeId) -> bool:
        limit = self._ports.limits.requests_in_flight
        # Three quarters of the places at most for one peer: nobody may keep all the others out.
        return self._in_flight >= limit or self._per_peer.get(peer, 0) >= limit - limit // 4

    async def drain(self) -> None:
        """Wait until the requests that were taken are over. To take no more is for whoever has the channels to say."""
        while self._in_flight:
            if self._idle.is_set():
                self._idle = trio.Event()  # one for all who wait
            await self._idle.wait()
