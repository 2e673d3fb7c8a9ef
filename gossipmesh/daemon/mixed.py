"""Members of release 0.1 in the mesh: who they are, and whether a knock without a mac is answered for their sake.

Whoever answers such a knock shows its name, addresses and services to any stranger, as 0.1 did. So by itself a node
does that only while it has to: while a record that it holds is of that release, or while it holds nobody's, for then it
may have lost its state amid such members. When the last of them is upgraded, a mesh is closed to strangers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import NodeId

Mode: TypeAlias = Literal["auto", "always", "never"]


class OldPeers:
    """What this node does for members of release 0.1.

    Args:
        mesh: the control plane, to be read only.
        mode: gives ``node.old_peers`` of the configuration: ``never`` cuts them off, ``always`` expects them.
    """

    def __init__(self, mesh: Mesh, mode: Callable[[], Mode]) -> None:
        self._mesh = mesh
        self._mode = mode

    def tries(self) -> bool:
        """Tell whether whoever closes without a word is dialled again in the other release's way."""
        return self._mode() != "never"

    def is_old(self, node: NodeId) -> bool:
        """Tell whether a member is of that release, by the newest record that is held of it."""
        record = self._mesh.registry.records.get(node)
        return record is not None and not record.enforces

    def answers(self) -> bool:
        """Tell whether a knock without a mac is answered now; looks at every record that is held."""
        mode = self._mode()
        if mode != "auto":
            return mode == "always"
        own, others = self._mesh.id, self._mesh.registry.records.values()
        return all(record.id == own for record in others) or any(not record.enforces for record in others)
