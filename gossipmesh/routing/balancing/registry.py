"""The balancers of all services that one node calls."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from gossipmesh.model import NodeId
from gossipmesh.routing.balancing.service import ServiceBalancer
from gossipmesh.routing.traffic import DEFAULT, EVERY, Traffic

if TYPE_CHECKING:
    from random import Random

MAX_SERVICES: Final = 4_096
"""Services whose balancers are kept; beyond it the one that was longest without a request starts anew."""


class Balancers:
    """Gives each service its balancer, made when it is first called.

    Args:
        traffic: how the requests to each service are spread, by its name or :data:`~gossipmesh.routing.traffic.EVERY`.
        origin: this node.
        key: of sessions' hashes, at most 64 bytes; the same on all nodes of the mesh.
        rng: dice.
    """

    def __init__(self, traffic: Mapping[str, Traffic], *, origin: NodeId, key: bytes, rng: Random) -> None:
        self._traffic = traffic
        self._origin = origin
        self._key = key
        self._rng = rng
        self._balancers: OrderedDict[str, ServiceBalancer] = OrderedDict()

    def of(self, service: str) -> ServiceBalancer:
        """Give the balancer of ``service``."""
        balancer = self._balancers.get(service)
        if balancer is None:
            balancer = self._balancers[service] = ServiceBalancer(
                service, self.traffic_of(service), origin=self._origin, key=self._key, rng=self._rng
            )
            if len(self._balancers) > MAX_SERVICES:
                self._balancers.popitem(last=False)
        else:
            self._balancers.move_to_end(service)
        return balancer

    def traffic_of(self, service: str) -> Traffic:
        """Give what holds for ``service``."""
        return self._traffic.get(service) or self._traffic.get(EVERY) or DEFAULT

    def change(self, traffic: Mapping[str, Traffic]) -> None:
        """Let other rules hold from now on; services for which nothing changed keep their balancers."""
        self._traffic = traffic
        for service, balancer in list(self._balancers.items()):
            if balancer.traffic != self.traffic_of(service):
                del self._balancers[service]
