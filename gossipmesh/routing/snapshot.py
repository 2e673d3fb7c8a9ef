"""The data plane's picture of the mesh at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attrs import field, frozen

from gossipmesh.model import Endpoint, NodeId


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

    def knows(self, service: str) -> bool:
        """Tell whether any member, however ill, offers ``service``."""
        return bool(self.services.get(service))

    def endpoints(self, service: str) -> tuple[Endpoint, ...]:
        """Give all endpoints of ``service``; empty if nobody offers it."""
        return self.services.get(service, ())
