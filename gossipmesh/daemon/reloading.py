"""Reading the configuration again while the daemon runs: all of it is right and taken over, or nothing is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from gossipmesh.config.changes import reloaded
from gossipmesh.config.load import Loaded
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.services.registrar import Declared, Registrar
from gossipmesh.daemon.telemetry.logs import AccessLog, Log
from gossipmesh.errors import ConfigError
from gossipmesh.proxy.outside import External

Again = Callable[[], Loaded]
"""Reads file, environment and flags anew, as they were read at the start."""


def declared_in(loaded: Loaded) -> Declared:
    """Give what a configuration says of this node's services."""
    config = loaded.config
    return Declared(config.services, loaded.origins["service"], config.proxy.as_service)


class Reloading:
    """Takes over what a running daemon can take over of a configuration.

    Error handling: what is wrong with the new one is said in the log, and the old one stays.

    Attributes:
        loaded: what the daemon runs with.

    Args:
        loaded: what it was started with.
        again: gives what there is now.
        registrar: of this node's services.
        plane: its data plane.
        log: of the daemon.
        access: the access log.
    """

    def __init__(
        self,
        loaded: Loaded,
        again: Again,
        *,
        registrar: Registrar,
        plane: DataPlane,
        log: Log,
        access: AccessLog,
    ) -> None:
        self.loaded = loaded
        self._again = again
        self._registrar = registrar
        self._plane = plane
        self._log = log
        self._access = access
        self._turn: Final = trio.Lock()

    async def reload(self) -> None:
        """Read the configuration again, and take over what is possible."""
        async with self._turn:
            try:
                # A thread, since its disk may be slow; what it gives is checked whole before anything changes.
                found = reloaded(self.loaded, await trio.to_thread.run_sync(self._again))
                declared = declared_in(found.loaded)
                self._registrar.check(declared)
            except ConfigError as error:
                self._log.warning("reload.refused", code=error.code, detail=f"{error}; nothing was changed")
                return
            config = found.loaded.config
            self.loaded = found.loaded
            self._log.configure(config.log)
            self._access.configure(config.log)
            self._plane.set_external(External(config.proxy.external, config.proxy.allow))
            self._plane.set_traffic(config.traffic)
            if found.left:
                text = f"{', '.join(found.left)}: only a new start takes these over"
                self._log.warning("reload.needs-restart", detail=text)
            self._log.info("reloaded", changed=", ".join(found.taken) or "nothing")
            await self._registrar.reload(declared)
