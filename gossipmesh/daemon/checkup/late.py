"""What ``gossipmesh check`` looks with, loaded when somebody asks: 1 MiB of a daemon that is never asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossipmesh.errors import MeshError

if TYPE_CHECKING:
    from gossipmesh.daemon.checkup.gathering import Examiner


def load_examiner() -> type[Examiner]:
    """Give the class that looks at this node.

    Raises:
        MeshError: ``check.files``, where it cannot be loaded. The files may be of a later release than the daemon that
            runs, and whoever has just installed that one asks how the daemon is.
    """
    try:
        from gossipmesh.daemon.checkup.gathering import Examiner
    except (ImportError, OSError) as error:
        text = f"the daemon cannot load its checks: {error}; if another release was installed, start the daemon again"
        raise MeshError("check.files", text) from None
    return Examiner
