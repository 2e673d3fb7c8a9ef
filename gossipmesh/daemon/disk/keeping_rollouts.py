"""What this node said of documents in stages, on its way to the disk: so that a power cut begins no rollout anew."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from gossipmesh.daemon.disk.state import StateDirectory
from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.errors import StateError
from gossipmesh.policy.rollout import Report


class KeepingRollouts:
    """Writes the newest reports, one write at a time; changes meanwhile make one more write.

    Error handling: a disk that takes nothing is said in the log, and the rollout goes on: after a restart, the others
    know where it was.
    """

    def __init__(self, state: StateDirectory, log: Log, nursery: trio.Nursery) -> None:
        self._state = state
        self._log = log
        self._nursery = nursery
        self._due: Sequence[Report] | None = None
        self._busy = False

    def load(self) -> list[Report]:
        """Give what the last run kept.

        Raises:
            StateError: as :meth:`~gossipmesh.daemon.disk.state.StateDirectory.load_rollouts`.
        """
        return self._state.load_rollouts()

    def keep(self, reports: Sequence[Report]) -> None:
        """Write ``reports`` in place of those before, without waiting for it."""
        self._due = tuple(reports)
        if not self._busy:
            self._busy = True
            self._nursery.start_soon(self._write)

    async def _write(self) -> None:
        try:
            while (due := self._due) is not None:
                self._due = None
                await trio.to_thread.run_sync(self._state.save_rollouts, due)
        except StateError as error:
            self._log.warning(error.code, detail=f"{error}; how far the rollout is, the others have to say")
        finally:
            self._busy = False
