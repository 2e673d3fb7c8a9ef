"""Where things are if nothing says so; free of heavy imports, for every command asks this."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gossipmesh.errors import StateError

ADMIN_SOCKET: Final = "admin.sock"
MAX_SOCKET_PATH: Final = 107
"""Bytes that a unix socket's path may have on Linux, without its final NUL."""


def default_state(environ: Mapping[str, str], *, root: bool) -> Path:
    """Give where the state is if nothing says so: ``/var/lib/gossipmesh`` as root, else in ``$XDG_STATE_HOME``."""
    if root:
        return Path("/var/lib/gossipmesh")
    base = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '')}/.local/state"
    return Path(base) / "gossipmesh"


def admin_socket(state: Path) -> Path:
    """Give the path of the admin socket in a state directory.

    Raises:
        StateError: ``state.path``, where the path is longer than a unix socket's may be.
    """
    path = state.absolute() / ADMIN_SOCKET
    if (size := len(os.fsencode(path))) > MAX_SOCKET_PATH:
        text = (
            f"{path} has {size} bytes; a unix socket's path may have {MAX_SOCKET_PATH}: use a shorter --state"
        )
        raise StateError("state.path", text)
    return path
