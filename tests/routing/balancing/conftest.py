"""Endpoints, candidates and balancers.

Test files cannot import each other here, as the folder is no package; they get this module as the fixture ``lab``.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Mapping
from types import ModuleType

import pytest

from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.routing.balancing.load import EndpointLoad
from gossipmesh.routing.balancing.service import ServiceBalancer
from gossipmesh.routing.snapshot import Candidates
from gossipmesh.routing.traffic import Traffic

ORIGIN = NodeId(bytes(32))
KEY = b"k" * 32


@pytest.fixture(scope="session")
def lab() -> ModuleType:
    return sys.modules[__name__]


def node_id(name: str) -> NodeId:
    return NodeId(name.encode().ljust(32, b"."))


def endpoint(name: str, weight: int = 1, *tags: str, zone: str = "") -> Endpoint:
    service = Service("hello", 80, weight=weight, tags=tags)
    return Endpoint(name, node_id(name), Address("10.0.0.1", 7946), service, zone=zone)


def endpoints(*weights: int) -> list[Endpoint]:
    return [endpoint(f"n{number:04}", weight) for number, weight in enumerate(weights)]


def load(name: str, weight: int = 1, *tags: str, zone: str = "") -> EndpointLoad:
    return EndpointLoad(endpoint(name, weight, *tags, zone=zone))


def candidates(*some: Endpoint, zone: str = "", callers: Mapping[str, int] | None = None) -> Candidates:
    ordered = sorted(some, key=lambda one: one.id)
    return Candidates.of(ordered, zone=zone, callers=callers or {})


def balancer(traffic: Traffic, *, seed: int = 1, key: bytes = KEY) -> ServiceBalancer:
    return ServiceBalancer("hello", traffic, origin=ORIGIN, key=key, rng=random.Random(seed))


def picks(of: ServiceBalancer, among: Candidates, count: int, *, now: float = 0.0) -> Counter[str]:
    """Give how often each node was picked."""
    return Counter(chosen.node for _ in range(count) if (chosen := of.pick(among, now=now)) is not None)
