"""Carries out what the control plane asks for: datagrams, exchanges over TCP, log lines, a chain to keep."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, assert_never

import trio

from gossipmesh.channel.datagram import HINT_BYTES
from gossipmesh.daemon.control import Control
from gossipmesh.daemon.disk.keeping import Keeping
from gossipmesh.daemon.disk.state import StateDirectory
from gossipmesh.daemon.telemetry.logs import Log
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.errors import ConnectError, MeshError, RemoteProtocolError, StateError
from gossipmesh.identity.credentials import Peer
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
    OwnRevoked,
    PolicyChanged,
    ProbeMeasured,
    Refused,
    RevocationsChanged,
    RoutabilityChanged,
    SendDatagram,
    SnapshotChanged,
)
from gossipmesh.model import Address, NodeId, short_id
from gossipmesh.policy.document import PolicyDocument
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
    every seed refused this node before it ever joined: no retry would help. ``node.revoked`` ends it too.
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
        end_channels: Callable[[Callable[[Peer], bool]], None],
        policy_changed: Callable[[PolicyDocument | None], None],
        joined_changed: Callable[[], None],
    ) -> None:
        self._mesh = mesh
        self._udp = udp
        self._state = state
        self._metrics = metrics
        self._log = log
        self._nursery = nursery
        self._may_give_up = may_give_up
        self._snapshot_changed = snapshot_changed
        self._end_channels = end_channels
        self._tell_policy = policy_changed
        self._joined_changed = joined_changed
        self._keeping = Keeping(mesh, state, log, nursery)
        self._sync = SyncClient(
            identity, resolve, connect_timeout_s=CONNECT_TIMEOUT_S, exchange_timeout_s=EXCHANGE_TIMEOUT_S
        )
        self._boot_turn = trio.Lock()
        self._joined = mesh.joined
        self.control: Control | None = None

    def turned(self) -> None:
        """See whether this node has joined: that is news, and no output."""
        joined = self._mesh.joined
        if joined is not self._joined:
            self._joined = joined
            self._joined_changed()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep sync channels until cancelled."""
        await self._sync.run(task_status=task_status)

    async def ask(self, node: NodeId, request: bytes) -> bytes:
        """Ask a member over a sync channel, beside what the control plane asks.

        Raises:
            ConnectError, ChannelClosed, RemoteProtocolError: as :meth:`~gossipmesh.transport.sync.SyncClient.exchange`.
        """
        return (await self._sync.exchange(node, request))[1]

    def received(self, datagram: Datagram) -> None:
        """Count a datagram that came."""
        kind = "hint" if len(datagram.payload) == HINT_BYTES else "sealed"
        self._metrics.datagram("in", kind, len(datagram.payload))

    def perform(self, output: Output) -> None:
        """Carry out one output, without waiting.

        Raises:
            MeshError: ``join.refused``, or ``node.revoked``.
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
            case BootRaised(boot):
                self._nursery.start_soon(self._keep_boot, boot)
            case RevocationsChanged(is_revoked, count, text, ids):
                self._log.info("revocations", count=count, detail=text)
                self._end(lambda peer: peer.id in ids or is_revoked(peer.chain))
                self._keeping.changed()
            case PolicyChanged(document):
                self._policy_changed(document)
            case BundlesChanged(_, gone):
                roots = self._mesh.trust.roots
                self._end(lambda peer: peer.id in gone or peer.chain.root not in roots)
                self._keeping.changed()
                self._look_for_root()
            case OwnRevoked(text):
                self._keeping.keep_now()
                raise MeshError("node.revoked", text)
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

    def _look_for_root(self) -> None:
        """Take the new root's secret, if this is the directory where it was made."""
        try:
            seed = self._state.load_root_key()
        except StateError as error:
            self._log.warning(error.code, detail=str(error))
            return
        if seed is not None:
            self._mesh.keep_root(seed)

    def _end(self, hit: Callable[[Peer], bool]) -> None:
        self._sync.close_where(hit)
        self._end_channels(hit)

    def _policy_changed(self, document: PolicyDocument | None) -> None:
        version, hash_ = (0, b"") if document is None else (document.version, document.hash)
        self._log.info("policy", version=version, hash=hash_[:8].hex())
        self._keeping.changed()
        self._tell_policy(document)

    async def _keep_chain(self, raw: bytes) -> None:
        try:
            await trio.to_thread.run_sync(self._state.save_chain, raw)
        except StateError as error:
            text = f"{error}; the renewed chain is in use, but the next start will not have it"
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
