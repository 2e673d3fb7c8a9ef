"""Keeps the members that a node knows on its disk, for its next start."""

from __future__ import annotations

from typing import Final

import trio

from gossipmesh.daemon.disk.remembered import Remembered
from gossipmesh.daemon.disk.state import PEERS_DAMAGED, StateDirectory
from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.errors import StateError
from gossipmesh.mesh.machine import Mesh

FIRST_SAVE_S: Final = 2.0
SAVE_PEERS_S: Final = 30.0


class KeepingPeers:
    """Saves now and then, and when it is asked to.

    Resource handling: :meth:`run` ends with its cancellation.
    Error handling: a disk that takes nothing is a warning, once until it takes something again; the mesh goes on.

    Args:
        remembered: what is kept.
        mesh: the control plane, to be read only.
        state: the disk.
        log: of the daemon.
    """

    def __init__(self, remembered: Remembered, mesh: Mesh, state: StateDirectory, log: Log) -> None:
        self._remembered = remembered
        self._mesh = mesh
        self._state = state
        self._log = log
        self._saved: tuple[bytes, ...] = ()
        self._disk_failed = False

    async def run(self) -> None:
        """Save until cancelled."""
        while True:
            # Early at first: a node that dies young must find its way back too.
            await trio.sleep(SAVE_PEERS_S if self._saved else FIRST_SAVE_S)
            await self.save()

    async def save(self) -> None:
        """Save what has changed since the last time."""
        raws = self._remembered.update(self._mesh)
        if not raws or raws == self._saved:
            return
        try:
            await trio.to_thread.run_sync(self._state.save_peers, raws)
        except StateError as error:
            if not self._disk_failed:
                self._log.warning(error.code, detail=f"{error}; the mesh goes on, it is tried again")
            self._disk_failed = True
        else:
            self._saved, self._disk_failed = raws, False


def recall_peers(state: StateDirectory, log: Log) -> Remembered:
    """Give whom the last run knew; what could not be read of that is put aside, and said."""
    damaged = state.path / PEERS_DAMAGED
    damaged.unlink(missing_ok=True)
    remembered = Remembered(state.load_peers())
    if damaged.exists():
        text = f"the last run's members could not be read; what was in their file is in {damaged} now"
        log.warning("state.peers-damaged", detail=text)
    return remembered
