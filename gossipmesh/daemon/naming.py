"""DNS in a daemon: pictures of what the control plane believes, each kept for a moment, and the server of them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Final

import trio
from attrs import frozen

from gossipmesh.config.model import DnsConfig
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.ports import listen, listen_error, pick_mesh_address
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.discovery.dns.answers import Answers
from gossipmesh.discovery.dns.forward import Forwarder
from gossipmesh.discovery.dns.picture import NodeEntry, Picture
from gossipmesh.discovery.dns.server import DnsServer
from gossipmesh.discovery.dns.zone import Domain
from gossipmesh.identity.record import MemberRecord
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Address, Endpoint, MemberState, NodeId

FLAG: Final = "--dns"
PICTURE_S: Final = 0.5
"""For how long one is kept where no endpoint changes: nodes without services come and go without that."""


class Naming:
    """Makes pictures.

    Args:
        mesh: the control plane, to be read only.
        in_rotation: gives the endpoints of a service that the balancer could choose now.
        proxy: where the local proxy listens.
    """

    def __init__(
        self, mesh: Mesh, *, in_rotation: Callable[[str], Sequence[Endpoint]], proxy: Address
    ) -> None:
        self._mesh = mesh
        self._in_rotation = in_rotation
        self._proxy = proxy
        self._picture: Picture | None = None
        self._until = 0.0
        self._serial = 0

    def picture(self, *, now: float) -> Picture:
        """Give what is believed now, or was half a second ago at most; of endpoints always the newest.

        Args:
            now: monotonic seconds.
        """
        picture, mesh = self._picture, self._mesh
        if picture is None or now >= self._until or picture.snapshot is not mesh.snapshot:
            self._serial += 1
            self._until = now + PICTURE_S
            picture = self._picture = Picture(
                mesh.snapshot,
                in_rotation=self._in_rotation,
                own=self._entry(mesh.own, MemberState.ALIVE),
                node_of=self._node_of,
                list_nodes=self._nodes,
                proxy=self._proxy,
                serial=self._serial,
            )
        return picture

    def _node_of(self, node: NodeId) -> NodeEntry | None:
        mesh = self._mesh
        if node == mesh.id:
            return self._entry(mesh.own, MemberState.ALIVE)
        member = mesh.members.get(node)
        return None if member is None else self._entry(member.record, member.state)

    def _nodes(self) -> tuple[NodeEntry, ...]:
        mesh = self._mesh
        others = (self._entry(each.record, each.state) for each in mesh.members.values())
        return (self._entry(mesh.own, MemberState.ALIVE), *others)

    def _entry(self, record: MemberRecord, state: MemberState) -> NodeEntry:
        return NodeEntry(
            name=self._mesh.names.get(record.id, record.name),
            id=record.id,
            addresses=record.addresses,
            state=state,
            serving=record.serving,
            zone=record.zone,
            services=tuple(service.name for service in record.services),
        )


@frozen
class Served:
    """Names that are served."""

    address: Address | None = None
    """Where; None: nowhere."""
    forget: Callable[[], None] = lambda: None
    """Is to be called whenever other endpoints of a service are in rotation than before."""


async def start_dns(
    config: DnsConfig,
    mesh: Mesh,
    plane: DataPlane,
    *,
    proxy: Address,
    metrics: Metrics,
    nursery: trio.Nursery,
) -> Served:
    """Serve the names of the mesh, if that is not off.

    Args:
        config: where, and under which domain.
        mesh: the control plane, to be read only.
        plane: whose event loop serves UDP, and who knows which endpoints are in rotation.
        proxy: where the local proxy listens.
        metrics: counts answers.
        nursery: lives as long as the server.

    Raises:
        ConfigError: the address cannot be bound.
    """
    if config.listen is None:
        return Served()
    try:
        listen_on = pick_mesh_address(config.listen)
    except OSError as error:
        raise listen_error(error, config.listen, FLAG) from None
    naming = Naming(mesh, in_rotation=plane.in_rotation, proxy=proxy)
    reactor = plane.reactor
    forwarder = None
    if config.forward:
        forwarder = Forwarder(config.forward, entropy=os.urandom)
        await nursery.start(forwarder.run)
    answers = Answers(
        Domain(tuple(config.domain.split(".")), int(config.ttl_s)),
        rng=random.Random(os.urandom(16)),
        count=metrics.dns,
        recursion=forwarder is not None,
    )
    server = DnsServer(
        listen_on,
        reactor,
        answers,
        snapshot=lambda: mesh.snapshot,
        picture=lambda: naming.picture(now=reactor.now),
        forwarder=forwarder,
    )
    return Served(await listen(nursery, server.run, listen_on, FLAG), answers.forget)
