"""Builders that several files of this folder share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from gossipmesh.membership.parameters import LAN, Parameters
from gossipmesh.mesh.machine import Mesh
from gossipmesh.sim.watched import WatchedMembership
from gossipmesh.sim.world import World

SETTLED_S: Final = 10.0


def _settled(
    seed: int,
    size: int,
    *,
    parameters: Parameters = LAN,
    membership: Callable[..., WatchedMembership] = WatchedMembership,
    machine: Callable[..., Mesh] = Mesh,
    input_first: bool = True,
) -> World:
    world = World(seed, profile=parameters, input_first=input_first)

    def watched_by(name: str) -> Callable[..., WatchedMembership]:
        def make(*args: Any, **kwargs: Any) -> WatchedMembership:
            return membership(world.nodes[name].checker, *args, **kwargs)

        return make

    for number in range(size):
        name = f"n{number}"
        world.add(name, seeds=["n0"], machine=machine, membership=watched_by(name))
    world.run_until(world.complete, within=30)
    world.run(SETTLED_S)
    return world


@pytest.fixture
def settled() -> Callable[..., World]:
    """Give a builder of settled meshes: ``settled(seed, size)`` has nodes n0 and up, all of whose seed is n0.

    By keyword: the ``parameters``, the ``membership`` and the ``machine`` of all nodes, and ``input_first``.
    """
    return _settled
