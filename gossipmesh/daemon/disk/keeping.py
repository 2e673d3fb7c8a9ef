"""What is signed for the whole mesh, on its way to the disk: the newest of it, one write at a time."""

from __future__ import annotations

import trio

from gossipmesh.daemon.disk.state import StateDirectory
from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.errors import StateError
from gossipmesh.mesh.machine import Mesh


class Keeping:
    """Writes bundles, revocations and policy documents after each change; changes meanwhile make one more write.

    Error handling: a disk that takes nothing is said in the log; the mesh goes on, and gives it back at the next start.
    """

    def __init__(self, mesh: Mesh, state: StateDirectory, log: Log, nursery: trio.Nursery) -> None:
        self._mesh = mesh
        self._state = state
        self._log = log
        self._nursery = nursery
        self._due = self._busy = False

    def changed(self) -> None:
        """Take that there is something new to keep."""
        self._due = True
        if not self._busy:
            self._busy = True
            self._nursery.start_soon(self._write)

    def keep_now(self) -> None:
        """Write before anything else happens: this daemon ends."""
        try:
            self._state.save_charter(*self._mesh.charter.kept())
        except StateError as error:
            self._log.warning(error.code, detail=str(error))

    async def _write(self) -> None:
        try:
            while self._due:
                self._due = False
                kept, trust = self._mesh.charter.kept(), self._mesh.trust.copy()
                await trio.to_thread.run_sync(self._state.save_charter, *kept)
                if trust.n:
                    await trio.to_thread.run_sync(self._state.save_trust, trust)
        except StateError as error:
            text = f"{error}; it is in force, but the next start will have to learn it from the mesh again"
            self._log.warning(error.code, detail=text)
        finally:
            self._busy = False
