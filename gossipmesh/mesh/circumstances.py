"""What a node has found out about its own place in the mesh, put together for whoever asks how it does.

Nothing here is decided by: it is what joining, comparing registries and asking whether others reach us left behind.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from gossipmesh.mesh.own import Own
from gossipmesh.mesh.reach import Found, Reach
from gossipmesh.mesh.reconciling import Reconciling
from gossipmesh.model import Address, NodeId


@frozen
class Circumstances:
    """One node's, at one moment."""

    asked_seeds: Mapping[Address, str]
    """How asking each seed ended last: empty where it answered, else why not; those never asked are missing."""
    refusing_seeds: Mapping[Address, str]
    """Those of them that were there and said no, and the code of that."""
    found: Found
    """What a member said about whether our advertised address is reached."""
    differing_since: Mapping[NodeId, float]
    """Peers whose registry was last seen to differ from ours, and since when, in monotonic seconds."""
    refused_services: frozenset[str]
    """Services that we declare and our chain does not allow: nobody is routed to them."""


def circumstances_of(own: Own, reconciling: Reconciling, reach: Reach) -> Circumstances:
    """Give them, copied: what happens later does not change them."""
    return Circumstances(
        asked_seeds=dict(reconciling.joining.outcomes),
        refusing_seeds=dict(reconciling.joining.refusals),
        found=reach.found,
        differing_since=dict(reconciling.differing_since),
        refused_services=own.refused,
    )
