"""What DNS knows at one moment: the endpoints in rotation, the nodes, and where the local proxy is. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Final

from attrs import frozen

from gossipmesh.model import Address, Endpoint, MemberState, NodeId, Serving
from gossipmesh.routing.snapshot import Snapshot

MARK: Final = "~"
"""In what a node is shown as whose name is another's: no host name may hold it."""
ID_DIGITS: Final = 32
"""Hex digits of an id that name a node: half of them, for a label has 63 characters at most."""
LIVING: Final = frozenset({MemberState.ALIVE, MemberState.SUSPECT})


@frozen
class NodeEntry:
    """One member as DNS shows it."""

    name: str
    """What it is shown as: its name, or ``web-1~ab12`` where that is another's."""
    id: NodeId
    addresses: tuple[Address, ...]
    state: MemberState = MemberState.ALIVE
    serving: Serving = Serving.SERVING
    zone: str = ""
    services: tuple[str, ...] = ()

    @property
    def living(self) -> bool:
        """Whether it is alive or suspect."""
        return self.state in LIVING

    @property
    def labels(self) -> tuple[str, str]:
        """Its host name below the domain: ``web-1.node``, or ``ID.id`` where its name is another's."""
        return (self.id.hex()[:ID_DIGITS], "id") if MARK in self.name else (self.name, "node")


@frozen(eq=False)
class Picture:
    """One moment of the mesh, as far as it is asked for in DNS.

    What few ask for, and what takes a look at every member, is made when it is first asked for.
    """

    snapshot: Snapshot
    in_rotation: Callable[[str], Sequence[Endpoint]]
    """Gives the endpoints of a service that the balancer could choose: healthy by the word of the mesh, and not
    ejected here; where that leaves too few, the ejected as well (panic)."""
    own: NodeEntry
    """This node."""
    node_of: Callable[[NodeId], NodeEntry | None]
    """Gives a member by its id."""
    list_nodes: Callable[[], tuple[NodeEntry, ...]]
    """Gives all members, this node among them."""
    proxy: Address | None = None
    """Where the local proxy listens."""
    serial: int = 1
    """Rises from picture to picture."""

    @cached_property
    def nodes(self) -> tuple[NodeEntry, ...]:
        """All members, this node among them."""
        return self.list_nodes()

    @cached_property
    def by_label(self) -> Mapping[tuple[str, str], NodeEntry]:
        """The living nodes by host name below the domain; by what they are shown as, too."""
        living = [node for node in self.nodes if node.living]
        shown = {(node.name, "node"): node for node in living}
        return shown | {(node.id.hex()[:ID_DIGITS], "id"): node for node in living}

    @cached_property
    def by_host(self) -> Mapping[str, tuple[NodeEntry, ...]]:
        """The living nodes by each of their IP addresses."""
        found: dict[str, tuple[NodeEntry, ...]] = {}
        for node in self.nodes:
            for host in {str(ipaddress.ip_address(address.host)) for address in node.addresses}:
                if node.living:
                    found[host] = (*found.get(host, ()), node)
        return found

    @cached_property
    def zones(self) -> frozenset[str]:
        """Where any node or endpoint stands."""
        ends = (each.zone for found in self.snapshot.services.values() for each in found)
        return frozenset({*(node.zone for node in self.nodes), *ends} - {""})

    @cached_property
    def _entries(self) -> dict[NodeId, NodeEntry | None]:
        return {}

    @cached_property
    def _hosts(self) -> dict[NodeId, tuple[str, ...]]:
        return {}

    def entry_of(self, node: NodeId) -> NodeEntry | None:
        """Give a member by its id; made once for this picture."""
        if node not in self._entries:
            self._entries[node] = self.node_of(node)
        return self._entries[node]

    def hosts_of(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Give the IP addresses of the node that offers an endpoint."""
        hosts = self._hosts.get(endpoint.id)
        if hosts is None:
            node = self.entry_of(endpoint.id)
            addresses = (endpoint.address,) if node is None else node.addresses
            hosts = self._hosts[endpoint.id] = tuple(dict.fromkeys(address.host for address in addresses))
        return hosts
