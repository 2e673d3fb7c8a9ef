"""The data plane's picture of the mesh at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from attrs import field, frozen

from gossipmesh.model import Endpoint, NodeId


class Ring(tuple[Endpoint, ...]):
    """Endpoints in the order of their ids, for whoever goes round them."""

    ids: tuple[NodeId, ...]

    @classmethod
    def of(cls, endpoints: Iterable[Endpoint]) -> Ring:
        """Give the ring of some endpoints, each on another node."""
        ring = cls(sorted(endpoints, key=lambda endpoint: endpoint.id))
        ring.ids = tuple(endpoint.id for endpoint in ring)
        return ring


def _unchangeable(services: Mapping[str, tuple[Endpoint, ...]]) -> Mapping[str, tuple[Endpoint, ...]]:
    return MappingProxyType(dict(services))


@frozen
class Snapshot:
    """Every service that some member offers, with all its endpoints, eligible or not.

    Endpoints that may not be chosen stay in it with their reason: a service whose endpoints are all down is
    *unhealthy*, which is another answer than *unknown*, and ``explain`` shows why each was left out.
    """

    local: NodeId
    """The node whose picture this is."""
    services: Mapping[str, tuple[Endpoint, ...]] = field(factory=dict, converter=_unchangeable)
    """By service name."""
    _eligible: dict[str, Ring] = field(init=False, factory=dict, eq=False, repr=False)
    """Made when first asked for: a mesh has more services than one node calls. Bounded by :attr:`services`."""

    def knows(self, service: str) -> bool:
        """Tell whether any member, however ill, offers ``service``."""
        return bool(self.services.get(service))

    def endpoints(self, service: str) -> tuple[Endpoint, ...]:
        """Give all endpoints of ``service``; empty if nobody offers it."""
        return self.services.get(service, ())

    def eligible(self, service: str) -> Ring:
        """Give the endpoints of ``service`` that may be chosen."""
        ring = self._eligible.get(service)
        if ring is None:
            ring = Ring.of(endpoint for endpoint in self.endpoints(service) if endpoint.eligible)
            if service in self.services:
                self._eligible[service] = ring
        return ring
