"""The data plane's picture of the mesh at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from gossipmesh.model import Endpoint, NodeId
from gossipmesh.unchanging import Unchanging

_NOBODY: Final[Mapping[str, int]] = MappingProxyType({})
_NO_SERVICES: Final[Mapping[str, tuple[Endpoint, ...]]] = MappingProxyType({})


@mypyc_attr(native_class=False)  # A tuple, which has its attributes elsewhere.
class Candidates(tuple[Endpoint, ...]):
    """Endpoints, each on another node, in the order of the snapshot."""

    ids: tuple[NodeId, ...] = ()
    """Their ids where these rise, as they do in the control plane's snapshots: so the next one is soon found."""
    zone: str = ""
    """The zone of the node that chooses among them; empty where it has none."""
    callers: Mapping[str, int] = _NOBODY
    """How many members there are, by zone."""

    @classmethod
    def of(
        cls, endpoints: Iterable[Endpoint], *, zone: str = "", callers: Mapping[str, int] = _NOBODY
    ) -> Candidates:
        """Give them as candidates."""
        candidates = cls(endpoints)
        ids = tuple(endpoint.id for endpoint in candidates)
        if all(one < other for one, other in pairwise(ids)):
            candidates.ids = ids
        candidates.zone = zone
        candidates.callers = callers
        return candidates


class Snapshot(Unchanging):
    """Every service that some member offers, with all its endpoints, eligible or not.

    Endpoints that may not be chosen stay in it with their reason: a service whose endpoints are all down is
    *unhealthy*, which is another answer than *unknown*, and ``explain`` shows why each was left out.
    """

    __match_args__: ClassVar = ("local", "services", "zone", "zones")
    __slots__ = (*__match_args__, "_eligible")

    def __init__(
        self,
        local: NodeId,
        services: Mapping[str, tuple[Endpoint, ...]] = _NO_SERVICES,
        zone: str = "",
        zones: Mapping[str, int] = _NOBODY,
    ) -> None:
        self.local: Final = local
        """The node whose picture this is."""
        self.services: Final[Mapping[str, tuple[Endpoint, ...]]] = MappingProxyType(dict(services))
        """By service name."""
        self.zone: Final = zone
        """The zone of that node; empty where it has none."""
        self.zones: Final = zones
        """How many members stand in each zone: what requests they send is taken to be about equal."""
        self._eligible: Final[dict[str, Candidates]] = {}
        """Made when first asked for: a mesh has more services than one node calls. Bounded by :attr:`services`."""

    def knows(self, service: str) -> bool:
        """Tell whether any member, however ill, offers ``service``."""
        return bool(self.services.get(service))

    def endpoints(self, service: str) -> tuple[Endpoint, ...]:
        """Give all endpoints of ``service``; empty if nobody offers it."""
        return self.services.get(service, ())

    def eligible(self, service: str) -> Candidates:
        """Give the endpoints of ``service`` that may be chosen."""
        candidates = self._eligible.get(service)
        if candidates is None:
            candidates = Candidates.of(
                (endpoint for endpoint in self.endpoints(service) if endpoint.eligible),
                zone=self.zone,
                callers=self.zones,
            )
            if service in self.services:
                self._eligible[service] = candidates
        return candidates
