"""What a daemon says when it is up: who it is, where it listens, and how to add a node to a mesh that it started."""

from __future__ import annotations

import os
from pathlib import Path

import gossipmesh
from gossipmesh.daemon.admin.report import Listening
from gossipmesh.daemon.disk.root import MeshRoot
from gossipmesh.daemon.enrol import YEAR_S, Enrolment
from gossipmesh.identity.grants import Caveats
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import short_id


def hello(mesh: Mesh, listening: Listening, state: Path, enrolment: Enrolment, *, wall: float) -> list[str]:
    """Give the lines; the last one holds a new join token, where this node keeps its mesh's root key.

    Args:
        mesh: the control plane.
        listening: where the node listens.
        state: the state directory.
        enrolment: who the node is.
        wall: Unix seconds.
    """
    where = mesh.own.addresses[0]
    lines = [
        f"{gossipmesh.release()}: node {mesh.own.name} ({short_id(mesh.id)}) "
        f"of mesh {mesh.trust.mesh_id[:4].hex()}, state in {state}",
        f"mesh {where} (bound {listening.mesh}), proxy http://{listening.proxy}, admin http://{listening.admin}",
    ]
    if enrolment.root_seed is None:
        return lines
    token = MeshRoot(enrolment.root_seed, mesh.trust).mint(Caveats(int(wall), int(wall) + YEAR_S), os.urandom)
    if enrolment.founded:
        lines.append(f"started a mesh of its own; its root key stays in {state}")
    return [*lines, "to add a node, run this line there:", f"gossipmesh up --join {where} --token {token}"]
