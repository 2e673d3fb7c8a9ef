"""How a node stops: in good order, or at once when it is asked twice.

Stop (SIGTERM, Ctrl-C or ``leave``): draining is gossiped, and requests are answered on until the others have heard it;
then GOAWAY; no connection is taken any more, requests in flight end, and peers take their answers; leaving is gossiped;
everything is cancelled.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from gossipmesh.config.model import Config
from gossipmesh.daemon.control import Control
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.surroundings import hung_up, terminals
from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.mesh.machine import Mesh
from gossipmesh.model import Serving

LAST_ANSWER_S: Final = 0.05
"""From the end of ``leave`` to that of the daemon: its caller is answered meanwhile."""
NEWS_PERIODS: Final = 4
"""Gossip periods between saying that we drain, or leave, and doing it: news needs a few to be heard."""


class Ending:
    """Takes a node down.

    Resource handling: ends by cancelling ``nursery``, in which everything of the node runs.

    Args:
        config: how long it may take.
        mesh: the control plane, to be read only.
        control: takes what we say of ourselves.
        plane: whose requests end.
        save: keeps what the next start wants to know.
        reload: reads the configuration again.
        log: of the daemon.
        nursery: all of the node.
    """

    def __init__(
        self,
        config: Config,
        mesh: Mesh,
        control: Control,
        plane: DataPlane,
        *,
        save: Callable[[], Awaitable[None]],
        reload: Callable[[], Awaitable[None]],
        log: Log,
        nursery: trio.Nursery,
    ) -> None:
        self._patience_s = config.proxy.limits.drain_timeout_s
        self._news_s = NEWS_PERIODS * config.gossip.gossip_period_s
        self._mesh = mesh
        self._control = control
        self._plane = plane
        self._save = save
        self._reload = reload
        self._terminals = terminals()
        self._log = log
        self._nursery = nursery
        self._stopping = self._drained = False
        self._draining = trio.Lock()

    async def watch_signals(self) -> None:
        """Stop when the process is told to; read the configuration again on SIGHUP."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for signum in signals:
                # A terminal that is closed sends SIGHUP too, and ends its daemon as Ctrl-C does: in good order.
                if signum == signal.SIGHUP and not hung_up(self._terminals):
                    self._nursery.start_soon(self._reload)
                    continue
                if self._stopping:
                    break  # Asked twice: at once, then.
                self._nursery.start_soon(self._stop)
        self._nursery.cancel_scope.cancel()

    async def _stop(self) -> None:
        await self._say_goodbye()
        self._nursery.cancel_scope.cancel()

    async def leave(self) -> None:
        """Leave the mesh; the daemon ends soon after this has returned."""
        await self._say_goodbye()
        self._nursery.cancel_scope.deadline = trio.current_time() + LAST_ANSWER_S

    async def _say_goodbye(self) -> None:
        """Drain, tell the mesh, and give the news time to spread."""
        self._stopping = True
        self._plane.end_connections()
        with trio.move_on_after(self._patience_s):
            await self.drain()
            # Beside each other: a peer that takes its answers slowly costs our own apps nothing.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._plane.settle)
                nursery.start_soon(self._plane.finish)
        # Nobody begins anything that the end would cut, while the last news spreads.
        self._plane.end_idle()
        await self._save()
        self._log.info("leaving", in_flight=self._plane.in_flight)
        self._set_serving(Serving.LEAVING)
        await self._wait_for_news()

    async def drain(self) -> None:
        """Take no more work from the mesh, and see what was taken to its end; serve local apps on."""
        async with self._draining:
            if self._drained:
                return
            self._log.info("draining", in_flight=self._plane.in_flight)
            self._set_serving(Serving.DRAINING)
            with trio.move_on_after(self._patience_s):
                # Whoever has not heard it sends on: to refuse that at once would cost each of them another attempt.
                await self._wait_for_news()
                await self._plane.drain()
            self._drained = True
            self._log.info("drained", in_flight=self._plane.in_flight)

    async def _wait_for_news(self) -> None:
        """Give what we said of ourselves time to be heard."""
        if any(member.living for member in self._mesh.members.values()):
            await trio.sleep(self._news_s)

    def _set_serving(self, serving: Serving) -> None:
        self._control.post(lambda now, wall: self._mesh.set_serving(serving, now=now, wall=wall))
