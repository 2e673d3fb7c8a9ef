"""Carries out what the control plane asks for: datagrams, exchanges over TCP, log lines, a chain to keep."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, assert_never

import trio

from gossipmesh.channel.datagram import HINT_BYTES
from gossipmesh.daemon.control import Control
from gossipmesh.daemon.logs import Log
from gossipmesh.daemon.metrics import Metrics
from gossipmesh.daemon.state import StateDirectory
from gossipmesh.errors import ConnectError, MeshError, RemoteProtocolError, StateError
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import (
    BootRaised,
    BundlesChanged,
    ChainRenewed,
    Converged,
    Exchange,
    Level,
    MemberChanged,
    Notice,
    Output,
    ProbeMeasured,
    Refused,
    RoutabilityChanged,
    SendDatagram,
    SnapshotChanged,
)
from gossipmesh.model import Address, NodeId, short_id
from gossipmesh.transport.secure_stream import ChannelClosed, ChannelIdentity
from gossipmesh.transport.sync import SyncClient
from gossipmesh.transport.udp import Datagram, UdpSocket

NOBODY_THERE = (
    "connect.",
    "sync.",
    "channel.cut",
    "channel.timeout",
    "channel.truncated",
    "channel.unanswered",
)
"""Codes of failures that say nothing for good: nobody answered, or a seed was stopped or full while we asked.

Any other means that somebody was there, and that asking again will not help.
"""
ANOTHER_KEY: Final = "channel.identity"
"""The code of a handshake that proved the key of another member than the one that was dialled."""
CONNECT_TIMEOUT_S: Final = 2.0
EXCHANGE_TIMEOUT_S: Final = 5.0


class Effects:
    """Performs outputs at once; what has to wait becomes a task, and its result goes back to the control task.

    Resource handling: tasks live in ``nursery``.
    Error handling: a peer that cannot be reached is an input to the machine. ``join.refused`` ends the daemon when
    every seed refused this node before it ever joined: no retry would help.
    """

    def __init__(
        self,
        mesh: Mesh,
        udp: UdpSocket,
        identity: ChannelIdentity,
        *,
        state: StateDirectory,
        metrics: Metrics,
        log: Log,
        nursery: trio.Nursery,
        resolve: Callable[[NodeId], tuple[Address, ...] | None],
        may_give_up: bool,
        snapshot_changed: Callable[[], None],
    ) -> None:
        self._mesh = mesh
        self._udp = udp
        self._state = state
        self._metrics = metrics
        self._log = log
        self._nursery = nursery
        self._may_give_up = may_give_up
        self._snapshot_changed = snapshot_changed
        self._sync = SyncClient(
            identity, resolve, connect_timeout_s=CONNECT_TIMEOUT_S, exchange_timeout_s=EXCHANGE_TIMEOUT_S
        )
        self._boot_turn = trio.Lock()
        self._bundles_turn = trio.Lock()
        self.control: Control | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep sync channels until cancelled."""
        await self._sync.run(task_status=task_status)

    def received(self, datagram: Datagram) -> None:
        """Count a datagram that came."""
        kind = "hint" if len(datagram.payload) == HINT_BYTES else "sealed"
        self._metrics.datagram("in", kind, len(datagram.payload))

    def perform(self, output: Output) -> None:
        """Carry out one output, without waiting.

        Raises:
            MeshError: ``join.refused``.
        """
        match output:
            case SendDatagram(target, payload, kind):
                self._metrics.datagram("out", kind, len(payload))
                self._udp.send(payload, target)
            case Exchange():
                self._nursery.start_soon(self._exchange, output)
            case SnapshotChanged():
                self._snapshot_changed()
            case MemberChanged(node, name, old, new, why):
                self._log.info(
                    "member",
                    node=name,
                    id=short_id(node),
                    was=old.value if old else None,
                    now=new.value,
                    why=why,
                )
            case RoutabilityChanged(node, name, routable, why):
                self._log.info("rotation", node=name, id=short_id(node), routable=routable, why=why)
            case ChainRenewed(raw, expires_at):
                self._log.info("chain.renewed", expires_at=expires_at)
                self._nursery.start_soon(self._keep_chain, raw)
            case BundlesChanged():
                self._nursery.start_soon(self._keep_bundles)
            case BootRaised(boot):
                self._nursery.start_soon(self._keep_boot, boot)
            case ProbeMeasured(rtt_s):
                self._metrics.probe(rtt_s)
            case Converged(lasted_s):
                self._metrics.converged(lasted_s)
            case Notice(level, code, text):
                if code == "join.refused" and self._may_give_up and not self._mesh.members:
                    self._state.forget_mesh()
                    raise MeshError(code, text)
                say = self._log.warning if level is Level.WARNING else self._log.info
                say(code, detail=text)
            case Refused(code):
                self._metrics.gossip_error(code)
            case _:
                assert_never(output)

    async def _keep_chain(self, raw: bytes) -> None:
        try:
            await trio.to_thread.run_sync(self._state.save_chain, raw)
        except StateError as error:
            text = f"{error}; the renewed chain is in use, but the next start will not have it"
            self._log.warning(error.code, detail=text)

    async def _keep_bundles(self) -> None:
        try:
            # One after another, and what holds by then: of two at once the older could be written last.
            async with self._bundles_turn:
                await trio.to_thread.run_sync(self._state.save_trust, self._mesh.trust.copy())
        except StateError as error:
            text = f"{error}; the newest trust bundle is in use, and the next start has to learn it again"
            self._log.warning(error.code, detail=text)

    async def _keep_boot(self, boot: int) -> None:
        try:
            # One after another: of two at once the lower could be written last.
            async with self._boot_turn:
                await trio.to_thread.run_sync(self._state.raise_boot, boot)
        except StateError as error:
            text = f"{error}; the next start may count boots that others have seen already, and has to rise again"
            self._log.warning(error.code, detail=text)

    async def _exchange(self, exchange: Exchange) -> None:
        assert self.control is not None
        number, mesh = exchange.number, self._mesh
        try:
            with trio.fail_after(math.inf if exchange.timeout_s is None else exchange.timeout_s):
                if exchange.target is None:
                    peer, answer = await self._sync.contact(exchange.addresses[0], exchange.request)
                else:
                    peer, answer = await self._sync.exchange(
                        exchange.target,
                        exchange.request,
                        addresses=exchange.addresses,
                        hold=exchange.keep,
                    )
        except trio.TooSlowError:
            self.control.post(
                lambda now, wall: mesh.exchange_failed(
                    number, "no answer in time", refused=False, now=now, wall=wall
                )
            )
            return
        except (ConnectError, ChannelClosed, RemoteProtocolError) as error:
            why, refused = str(error), not error.code.startswith(NOBODY_THERE)
            another = error.code == ANOTHER_KEY
            self.control.post(
                lambda now, wall: mesh.exchange_failed(
                    number, why, refused=refused, another_key=another, now=now, wall=wall
                )
            )
            return
        self.control.post(
            lambda now, wall: mesh.receive_answer_untrusted(number, peer, answer, now=now, wall=wall)
        )
