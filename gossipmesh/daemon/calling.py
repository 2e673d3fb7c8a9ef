"""The services that local apps call, as far as this node's own configuration and keys say how."""

from __future__ import annotations

import os
import random
from typing import Final

from gossipmesh.config.model import Config
from gossipmesh.crypto import blake2b
from gossipmesh.mesh.machine import Mesh
from gossipmesh.routing.upstreams import Upstreams

SESSION_KEY_BYTES: Final = 32


def upstreams_of(config: Config, mesh: Mesh) -> Upstreams:
    """Give what is known of them: nothing yet.

    Sessions are named under a key that all members have, so that each of them finds the same endpoint for a session.
    """
    return Upstreams(
        config.traffic,
        origin=mesh.id,
        key=blake2b(mesh.trust.mesh_id, SESSION_KEY_BYTES, key=b"sessions"),
        rng=random.Random(os.urandom(16)),
    )
