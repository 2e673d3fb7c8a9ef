"""The composition root: one node's parts, put together, run, and taken down in order.

Start: identity from disk or token; the UDP socket, since the record names its port; the control plane; TCP listener,
channels and proxies; admin API. How it stops is in :mod:`.ending`.
"""

from __future__ import annotations

import os
import random
import sys
from functools import partial
from typing import Final

import trio

import gossipmesh
from gossipmesh.config.load import HOST_NAME, Loaded
from gossipmesh.daemon.admin import serve_tcp, serve_unix
from gossipmesh.daemon.control import Control, wall_clock
from gossipmesh.daemon.effects import Effects
from gossipmesh.daemon.ending import Ending
from gossipmesh.daemon.enrol import YEAR_S, Enrolment, enrol
from gossipmesh.daemon.health import HealthChecks
from gossipmesh.daemon.logs import AccessLog, Log, event_log
from gossipmesh.daemon.metrics import Metrics
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.ports import listen, listen_error, pick_mesh_address
from gossipmesh.daemon.recorder import CRASH_TRACE, Recorder
from gossipmesh.daemon.remembered import Remembered
from gossipmesh.daemon.report import Listening, NodeReport
from gossipmesh.daemon.root import MeshRoot
from gossipmesh.daemon.state import PEERS_DAMAGED, StateDirectory
from gossipmesh.daemon.surroundings import (
    Announce,
    leave_no_core,
    let_go_of_streams,
    quietly,
    watch_exhaustion,
    within_file_limit,
)
from gossipmesh.discovery.advertise import choose_host
from gossipmesh.discovery.seeds import Resolved, keep_resolving, resolve
from gossipmesh.errors import RemoteProtocolError, StateError, TrustError
from gossipmesh.identity.credentials import Peer, verify_credentials_untrusted
from gossipmesh.identity.grants import Caveats
from gossipmesh.membership.recorded import RecordedMembership
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import Address, NodeId, short_id, split_host_port
from gossipmesh.transport.listener import Listener
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream
from gossipmesh.transport.sync import serve_sync
from gossipmesh.transport.udp import UdpSocket

FIRST_RESOLVE_S: Final = 2.0
"""How long the start waits for the seeds' names, to find out which of our addresses leads there."""
CLOCK_RETRY_S: Final = 5.0
FIRST_SAVE_S: Final = 2.0
SAVE_PEERS_S: Final = 30.0


def run(loaded: Loaded, *, token: str | None, announce: Announce) -> None:
    """Run a daemon until it is told to stop.

    Args:
        loaded: the configuration.
        token: the join token's text, or None.
        announce: prints a line for whoever started the daemon.

    Raises:
        ConfigError: what was asked for cannot be done; ``listen.*`` for addresses that cannot be bound.
        StateError: the state directory cannot be used.
        TrustError: token or chain do not admit this node.
        MeshError: ``join.refused``, if every seed refused this node. All of them perhaps inside an ExceptionGroup.
    """
    leave_no_core()
    try:
        with StateDirectory(loaded.config.node.state) as state:
            trio.run(_main, within_file_limit(loaded), state, token, quietly(announce))
    finally:
        let_go_of_streams()


async def _main(loaded: Loaded, state: StateDirectory, token: str | None, announce: Announce) -> None:
    enrolment = await _enrol_when_the_clock_allows(loaded, state, token, announce)
    seeds = tuple(split_host_port(seed) for seed in loaded.config.node.join)
    resolved = Resolved((), ())
    with trio.move_on_after(FIRST_RESOLVE_S):
        resolved = await resolve(seeds)
    async with trio.open_nursery() as nursery:
        node = Node(loaded, state, enrolment, announce, nursery)
        await node.start(resolved)
        if seeds:
            nursery.start_soon(keep_resolving, seeds, node.seeds_resolved)


async def _enrol_when_the_clock_allows(
    loaded: Loaded, state: StateDirectory, token: str | None, announce: Announce
) -> Enrolment:
    """Settle who we are; where only our clock is before our chain, wait for it: it may be set soon after a boot."""
    warned = False
    while True:
        try:
            named = loaded.origins["node.name"] != HOST_NAME
            return enrol(state, loaded.config.node, token, os.urandom, named=named, wall=wall_clock())
        except TrustError as error:
            if error.code != "chain.not-yet-valid":
                raise
            if not warned:
                announce(f"gossipmesh: waiting: {error}")
            warned = True
            await trio.sleep(CLOCK_RETRY_S)


class Node:
    """One running node.

    Resource handling: everything runs in ``nursery`` and ends with it.
    Error handling: :meth:`start` raises what prevents it; later, a bug in any part ends the daemon.
    """

    def __init__(
        self,
        loaded: Loaded,
        state: StateDirectory,
        enrolment: Enrolment,
        announce: Announce,
        nursery: trio.Nursery,
    ) -> None:
        self._loaded = loaded
        self._config = loaded.config
        self._state = state
        self._enrolment = enrolment
        self._announce = announce
        self._nursery = nursery
        self._metrics = Metrics()
        self._recorder = Recorder()
        self._log: Log = event_log(self._config.log, sys.stderr)
        self._health = HealthChecks(self._config.services, metrics=self._metrics, log=self._log)
        self._remembered = Remembered(())
        self._former: tuple[Address, ...] = ()
        self._saved: tuple[bytes, ...] = ()
        self._disk_failed = False
        self._seed_problems: tuple[str, ...] = ()
        self._listening = Listening(self._config.node.bind)

    async def start(self, resolved: Resolved) -> None:
        """Bring everything up, outermost last.

        Raises:
            ConfigError: an address cannot be bound, or this node's record would not fit.
        """
        count, nursery, config = self._metrics.gossip_error, self._nursery, self._config
        watch_exhaustion(count, self._log)
        damaged = self._state.path / PEERS_DAMAGED
        damaged.unlink(missing_ok=True)
        self._remembered = Remembered(self._state.load_peers())
        if damaged.exists():
            text = f"the last run's members could not be read; what was in their file is in {damaged} now"
            self._log.warning("state.peers-damaged", detail=text)
        self._former = self._remembered.addresses
        try:
            bind = pick_mesh_address(config.node.bind)
        except OSError as error:
            raise listen_error(error, config.node.bind, "--bind") from None
        udp = UdpSocket(bind, count=count)
        bound = await listen(nursery, udp.run, bind, "--bind")
        await nursery.start(self._health.run)
        self._mesh = self._make_mesh(bound, resolved)
        identity = self._channel_identity()
        self._plane = DataPlane(
            config,
            self._mesh,
            identity,
            metrics=self._metrics,
            access=AccessLog(config.log, sys.stdout),
            log=self._log,
            default_allow=self._enrolment.trust.default_allow,
            resolve=self._addresses_of,
            unreachable=self._note_unreachable,
            doubt=self._health.look_again,
        )
        effects = Effects(
            self._mesh,
            udp,
            identity,
            state=self._state,
            metrics=self._metrics,
            log=self._log,
            nursery=nursery,
            resolve=self._addresses_of,
            may_give_up=bool(config.node.join) and self._enrolment.fresh,
            snapshot_changed=self._plane.snapshot_changed,
        )
        self._control = Control(self._mesh, udp, effects)
        plane, save = self._plane, self._save_peers
        self._ending = Ending(
            config, self._mesh, self._control, plane, save=save, log=self._log, nursery=nursery
        )
        effects.control = self._control
        self._health.publish = self._publish_health
        listener = Listener(
            bound, identity, serve_hop=self._serve_hop, serve_sync=self._serve_sync, count=count
        )
        await listen(nursery, listener.run, bound, "--bind")
        await nursery.start(effects.run)
        await nursery.start(self._run_control)
        proxy = await self._plane.start(nursery)
        self._listening = Listening(bound, proxy)
        await self._start_admin()
        nursery.start_soon(self._ending.watch_signals)
        nursery.start_soon(self._keep_peers)
        self.seeds_resolved(resolved)
        self._say_hello()

    def _make_mesh(self, bound: Address, resolved: Resolved) -> Mesh:
        node = self._config.node
        if node.advertise is not None:
            advertised = Address(node.advertise.host, node.advertise.port or bound.port)
        else:
            advertised = Address(choose_host(bound, resolved.addresses), bound.port)
        setup = Setup(
            key=self._enrolment.key,
            trust=self._enrolment.trust,
            chain=self._enrolment.chain,
            boot=self._enrolment.boot,
            addresses=(advertised,),
            services=self._health.offered(),
            zone=node.zone,
            parameters=self._config.gossip,
            seeds_expected=bool(node.join),
            root_seed=self._enrolment.root_seed,
            known=self._remembered.learned,
            membership=partial(RecordedMembership, sink=self._recorder),
        )
        rng = random.Random(os.urandom(16))
        return Mesh(setup, rng=rng, entropy=os.urandom, now=trio.current_time(), wall=wall_clock())

    async def _run_control(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        def tell(text: str) -> None:
            self._log.error("daemon.bug", detail=text)

        with self._recorder.kept_on_a_bug(self._state.path / CRASH_TRACE, _clocks, tell):
            await self._control.run(task_status=task_status)

    def _channel_identity(self) -> ChannelIdentity:
        mesh, trust = self._mesh, self._enrolment.trust

        def authenticate(payload: bytes, remote_static: bytes, _expected: NodeId | None) -> Peer:
            try:
                peer = verify_credentials_untrusted(
                    payload, remote_static, trust, wall=wall_clock(), learn=self._learn_bundles
                )
            except RemoteProtocolError as error:
                self._metrics.handshake(error.code)
                raise
            self._metrics.handshake("ok")
            return peer

        return ChannelIdentity(
            mesh_id=trust.mesh_id,
            credentials=lambda theirs: mesh.credentials(theirs, wall=wall_clock()),
            authenticate=authenticate,
            static_private=lambda: mesh.static_private,
            entropy=os.urandom,
            bundle_n=lambda: trust.n,
        )

    def _learn_bundles(self, raws: tuple[bytes, ...]) -> None:
        self._control.post(lambda now, wall: self._mesh.learn_bundles_untrusted(raws, now=now, wall=wall))

    async def _start_admin(self) -> None:
        report = NodeReport(
            self._loaded,
            self._mesh,
            self._metrics,
            listening=lambda: self._listening,
            channels=self._plane.channels,
            in_flight=lambda: self._plane.in_flight,
            ejected=self._plane.why_ejected,
            drain=self._ending.drain,
            leave=self._ending.leave,
            recorder=self._recorder,
            own_services=self._health.report,
            explain=self._plane.explainer.dry_run,
            explain_past=self._plane.explainer.past,
        )
        admin = self._config.admin.listen
        bound = await listen(self._nursery, serve_tcp, admin, "--admin", report, admin)
        self._listening = Listening(self._listening.mesh, self._listening.proxy, bound)
        await self._nursery.start(serve_unix, report, self._state.admin_socket)

    def _say_hello(self) -> None:
        mesh, listening = self._mesh, self._listening
        where = mesh.own.addresses[0]
        self._announce(
            f"gossipmesh {gossipmesh.__version__}: node {mesh.own.name} ({short_id(mesh.id)}) "
            f"of mesh {mesh.trust.mesh_id[:4].hex()}, state in {self._state.path}"
        )
        self._announce(
            f"mesh {where} (bound {listening.mesh}), proxy http://{listening.proxy}, admin http://{listening.admin}"
        )
        root_seed = self._enrolment.root_seed
        if root_seed is None:
            return
        caveats = Caveats(int(wall_clock()), int(wall_clock()) + YEAR_S)
        token = MeshRoot(root_seed, mesh.trust).mint(caveats, os.urandom)
        if self._enrolment.founded:
            self._announce(f"started a mesh of its own; its root key stays in {self._state.path}")
        self._announce("to add a node, run this line there:")
        self._announce(f"gossipmesh up --join {where} --token {token}")

    # --- between the parts ---

    def _addresses_of(self, node: NodeId) -> tuple[Address, ...] | None:
        if node == self._mesh.id:
            return self._mesh.own.addresses
        member = self._mesh.members.get(node)
        return None if member is None else member.record.addresses

    def _note_unreachable(self, node: NodeId, why: str) -> None:
        self._control.post(lambda now, wall: self._mesh.note_unreachable(node, why, now=now, wall=wall))

    async def _publish_health(self) -> None:
        # What holds when it is read, so that of two that overtake each other both say the same.
        await self._control.ask(
            lambda now, wall: (b"", self._mesh.set_health(self._health.unhealthy, now=now, wall=wall))
        )

    async def _serve_hop(self, stream: SecureStream) -> None:
        # A newcomer over its token's quota is no member here, though its chain is good; over sync it hears why.
        refusal = self._mesh.registry.no_room_for(stream.peer.chain)
        if refusal is None or stream.peer.id == self._mesh.id:
            await self._plane.serve_channel(stream)
        else:
            self._metrics.gossip_error(refusal)

    async def _serve_sync(self, stream: SecureStream) -> None:
        async def answer(peer: Peer, request: bytes) -> bytes:
            return await self._control.ask(
                lambda now, wall: self._mesh.answer_untrusted(peer, request, now=now, wall=wall)
            )

        await serve_sync(stream, answer)

    def seeds_resolved(self, resolved: Resolved) -> None:
        """Hand the seeds' addresses to the control plane, and where the last run's members were behind them."""
        if resolved.problems != self._seed_problems:
            for problem in resolved.problems:
                self._log.warning("seed.unresolved", detail=f"{problem}; it is tried again and again")
        self._seed_problems = resolved.problems
        seeds = tuple(dict.fromkeys((*resolved.addresses, *self._former)))
        self._control.post(lambda now, wall: self._mesh.set_seeds(seeds, now=now, wall=wall))

    async def _keep_peers(self) -> None:
        while True:
            # Early at first: a node that dies young must find its way back too.
            await trio.sleep(SAVE_PEERS_S if self._saved else FIRST_SAVE_S)
            await self._save_peers()

    async def _save_peers(self) -> None:
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


def _clocks() -> tuple[float, float]:
    return trio.current_time(), wall_clock()
