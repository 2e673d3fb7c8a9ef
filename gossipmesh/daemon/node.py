"""The composition root: one node's parts, put together, run, and taken down in order.

Start: identity from disk or token; the UDP socket, since the record names its port; the control plane; TCP listener,
channels and proxies; admin API. How it stops is in :mod:`.ending`.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from functools import partial

import trio
from attrs import evolve

from gossipmesh.config.load import Loaded
from gossipmesh.config.policy_text import read_policy
from gossipmesh.daemon.admin.bugs import Bugs
from gossipmesh.daemon.admin.check_view import Checked
from gossipmesh.daemon.admin.report import Listening, NodeReport
from gossipmesh.daemon.admin.server import serve_tcp, serve_unix
from gossipmesh.daemon.checkup.late import load_examiner
from gossipmesh.daemon.checkup.noted import Noted
from gossipmesh.daemon.clock import wall_clock
from gossipmesh.daemon.control import Control, clocks
from gossipmesh.daemon.disk.keeping_peers import KeepingPeers, recall_peers
from gossipmesh.daemon.disk.keeping_rollouts import KeepingRollouts
from gossipmesh.daemon.disk.remembered import Remembered
from gossipmesh.daemon.disk.state import StateDirectory
from gossipmesh.daemon.effects import Effects
from gossipmesh.daemon.ending import Ending
from gossipmesh.daemon.enrol import Enrolment
from gossipmesh.daemon.hello import hello
from gossipmesh.daemon.identity import channel_identity
from gossipmesh.daemon.mixed import OldPeers
from gossipmesh.daemon.naming import start_dns
from gossipmesh.daemon.plane import DataPlane
from gossipmesh.daemon.policy.policies import Policies
from gossipmesh.daemon.policy.trying import Trials
from gossipmesh.daemon.ports import advertised, advertised_again, listen, listen_error, pick_mesh_address
from gossipmesh.daemon.reloading import Again, Reloading, declared_in
from gossipmesh.daemon.served import ServedSync
from gossipmesh.daemon.services.health import HealthChecks
from gossipmesh.daemon.services.registrar import Registrar
from gossipmesh.daemon.surroundings import (
    Announce,
    watch_exhaustion,
)
from gossipmesh.daemon.surveying import Surveyor
from gossipmesh.daemon.telemetry.logs import AccessLog, Log, event_log
from gossipmesh.daemon.telemetry.metrics import Metrics
from gossipmesh.daemon.telemetry.recorder import CRASH_TRACE, Recorder
from gossipmesh.discovery.seeds import Resolved
from gossipmesh.identity.credentials import Peer
from gossipmesh.membership.recorded import RecordedMembership
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Output
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import Address, NodeId
from gossipmesh.transport.listener import Listener
from gossipmesh.transport.secure_stream import ChannelIdentity, SecureStream
from gossipmesh.transport.udp import UdpSocket


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
        *,
        again: Again,
    ) -> None:
        self._loaded = loaded
        self._again = again
        self._config = loaded.config
        self._state = state
        self._enrolment = enrolment
        self._announce = announce
        self._nursery = nursery
        self._metrics = Metrics()
        self._recorder = Recorder()
        self._noted = Noted()
        self._log: Log = event_log(self._config.log, sys.stderr)
        self._log.warned = self._noted.warned
        self._access = AccessLog(self._config.log, sys.stdout)
        self._report: NodeReport | None = None
        self._health = HealthChecks(self._config.services, metrics=self._metrics, log=self._log)
        self._remembered = Remembered(())
        self._former: tuple[Address, ...] = ()
        self._resolved = Resolved((), ())
        self._listening = Listening(self._config.node.bind)
        self._shown: tuple[int, bytes, int] = (0, b"", 0)
        self._forget_names: Callable[[], None] = lambda: None

    async def start(self, resolved: Resolved) -> None:
        """Bring everything up, outermost last.

        Raises:
            ConfigError: an address cannot be bound, or this node's record would not fit.
        """
        count, nursery, config = self._metrics.gossip_error, self._nursery, self._config
        watch_exhaustion(count, self._log)
        if self._enrolment.unused:
            self._log.warning("token.unused", detail=self._enrolment.unused)
        self._remembered = recall_peers(self._state, self._log)
        self._former = self._remembered.addresses
        try:
            bind = pick_mesh_address(config.node.bind)
        except OSError as error:
            raise listen_error(error, config.node.bind, "--bind") from None
        udp = UdpSocket(bind, count=count)
        bound = await listen(nursery, udp.run, bind, "--bind")
        await nursery.start(self._health.run)
        self._mesh = self._make_mesh(bound, resolved)
        identity = channel_identity(
            self._mesh,
            metrics=self._metrics,
            noted=self._noted,
            log=self._log,
            old=OldPeers(self._mesh, lambda: self._reloading.loaded.config.node.old_peers),
            learn=self._learn_bundles,
        )
        self._plane = self._make_plane(identity)
        disk, publish = KeepingRollouts(self._state, self._log, nursery), self._publish_policy
        self._policies = Policies(
            self._mesh, self._plane, publish=publish, log=self._log, disk=disk, changed=self._touch
        )
        effects = self._make_effects(udp, identity)
        self._control = Control(self._mesh, udp, effects)
        keeping = KeepingPeers(self._remembered, self._mesh, self._state, self._log)
        self._registrar = self._make_registrar()
        self._reloading = self._make_reloading()
        self._ending = self._make_ending(keeping)
        effects.control = self._control
        self._trials = Trials(self._mesh, self._plane.seen, effects.ask)
        self._surveyor = Surveyor(self._mesh, self._control, identity)
        self._served = ServedSync(self._mesh, self._control, self._trials.answer_untrusted)
        self._health.publish = self._publish_health
        listener = Listener(
            bound, identity, serve_hop=self._serve_hop, serve_sync=self._served.serve, count=count
        )
        await listen(nursery, listener.run, bound, "--bind")
        if (held := self._mesh.charter.policy) is not None:
            # Before anybody is served by the default that holds where there is no document.
            self._policies.changed(held.document)
        await nursery.start(effects.run)
        await nursery.start(self._run_control)
        proxy = await self._plane.start(nursery)
        self._listening = Listening(bound, proxy, gateways=self._plane.gateways.bound)
        await self._start_dns(proxy)
        await self._start_admin()
        nursery.start_soon(self._policies.run)
        nursery.start_soon(self._ending.watch_signals)
        nursery.start_soon(keeping.run)
        nursery.start_soon(self._registrar.run)
        self.seeds_resolved(resolved)
        for line in hello(self._mesh, self._listening, self._state.path, self._enrolment, wall=wall_clock()):
            self._announce(line)

    def _make_plane(self, identity: ChannelIdentity) -> DataPlane:
        return DataPlane(
            self._config,
            self._mesh,
            identity,
            metrics=self._metrics,
            access=self._access,
            log=self._log,
            default_allow=self._enrolment.trust.default_allow,
            resolve=self._mesh.addresses_of,
            unreachable=self._note_unreachable,
            doubt=self._health.look_again,
            rotation_changed=self._rotation_changed,
            serving_changed=self._serving_changed,
        )

    def _make_ending(self, keeping: KeepingPeers) -> Ending:
        return Ending(
            self._config,
            self._mesh,
            self._control,
            self._plane,
            save=keeping.save,
            reload=self._reloading.reload,
            log=self._log,
            nursery=self._nursery,
        )

    def _make_effects(self, udp: UdpSocket, identity: ChannelIdentity) -> Effects:
        return Effects(
            self._mesh,
            udp,
            identity,
            state=self._state,
            metrics=self._metrics,
            log=self._log,
            nursery=self._nursery,
            resolve=self._mesh.addresses_of,
            may_give_up=bool(self._config.node.join) and self._enrolment.fresh,
            snapshot_changed=self._snapshot_changed,
            end_channels=self._end_channels,
            policy_changed=self._policies.changed,
            joined_changed=self._joined_changed,
        )

    def _make_mesh(self, bound: Address, resolved: Resolved) -> Mesh:
        node = self._config.node
        revocations, policies, returned = self._state.load_charter()
        # Until it is known here which policy holds, requests would be refused: nobody is to send any.
        self._health.withheld = bool(node.join) or bool(policies)
        setup = Setup(
            key=self._enrolment.key,
            trust=self._enrolment.trust,
            chain=self._enrolment.chain,
            boot=self._enrolment.boot,
            addresses=(advertised(node, bound, resolved.addresses),),
            services=self._health.offered(),
            zone=node.zone,
            parameters=self._config.gossip,
            seeds_expected=bool(node.join),
            root_seed=self._enrolment.root_seed,
            known=self._remembered.learned,
            check_policy=read_policy,
            revocations=revocations,
            policies=policies,
            returned=returned,
            membership=partial(RecordedMembership, sink=self._recorder),
        )
        rng = random.Random(os.urandom(16))
        return Mesh(setup, rng=rng, entropy=os.urandom, now=trio.current_time(), wall=wall_clock())

    async def _run_control(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        def tell(text: str) -> None:
            self._log.error("daemon.bug", detail=text)

        with self._recorder.kept_on_a_bug(self._state.path / CRASH_TRACE, clocks, tell):
            await self._control.run(task_status=task_status)

    async def _start_dns(self, proxy: Address) -> None:
        config, mesh, plane, metrics = self._config.dns, self._mesh, self._plane, self._metrics
        dns = await start_dns(config, mesh, plane, proxy=proxy, metrics=metrics, nursery=self._nursery)
        self._listening, self._forget_names = evolve(self._listening, dns=dns.address), dns.forget

    def _learn_bundles(self, raws: tuple[bytes, ...]) -> None:
        self._control.post(lambda now, wall: self._mesh.learn_bundles_untrusted(raws, now=now, wall=wall))

    async def _start_admin(self) -> None:
        self._report = report = NodeReport(
            lambda: self._reloading.loaded,
            self._mesh,
            self._metrics,
            listening=lambda: self._listening,
            channels=self._plane.channels,
            in_flight=lambda: self._plane.in_flight,
            ejected=self._plane.why_ejected,
            drain=self._ending.drain,
            leave=self._ending.leave,
            offer=self._offer,
            recorder=self._recorder,
            own_services=self._health.report,
            explain=self._plane.explainer.dry_run,
            explain_past=self._plane.explainer.past,
            requests=self._plane.explainer.requests,
            survey=self._surveyor.survey,
            policies=self._policies,
            trials=self._trials,
            policy=lambda: self._plane.policy,
            check=self._check,
            book=self._registrar,
            rng=random.Random(os.urandom(16)),
        )
        self._nursery.start_soon(report.news.run)
        admin, bugs = self._config.admin.listen, Bugs(lambda text: self._log.error("daemon.bug", detail=text))
        bound = await listen(self._nursery, serve_tcp, admin, "--admin", report, admin, bugs)
        self._listening = evolve(self._listening, admin=bound)
        report.news.touch()
        await self._nursery.start(serve_unix, report, self._state.admin_socket, bugs)

    def _check(self, not_ready: str) -> Checked:
        examiner = load_examiner()(
            self._config,
            self._mesh,
            self._plane,
            self._policies,
            self._noted,
            listening=lambda: self._listening,
            resolved=lambda: self._resolved,
            own_services=self._health.report,
            keeps_root=self._enrolment.root_seed is not None,
        )
        return examiner.check(not_ready)

    def _make_registrar(self) -> Registrar:
        return Registrar(
            declared_in(self._loaded),
            mesh=self._mesh,
            health=self._health,
            plane=self._plane,
            control=self._control,
            log=self._log,
            gossip_period_s=self._config.gossip.gossip_period_s,
        )

    def _make_reloading(self) -> Reloading:
        return Reloading(
            self._loaded,
            self._again,
            registrar=self._registrar,
            plane=self._plane,
            log=self._log,
            access=self._access,
        )

    def _joined_changed(self) -> None:
        self._policies.look()
        self._snapshot_changed()

    def _snapshot_changed(self) -> None:
        self._plane.snapshot_changed()
        self._touch()

    def _touch(self) -> None:
        if self._report is not None:
            self._report.news.touch()

    def _rotation_changed(self, service: str) -> None:
        self._forget_names()
        if self._report is not None:
            self._report.rotation_changed(service)

    def _note_unreachable(self, node: NodeId, why: str) -> None:
        self._control.post(lambda now, wall: self._mesh.note_unreachable(node, why, now=now, wall=wall))

    # What our record is to say is asked for and not posted: a full inbox drops what is posted, and this would not come
    # again. It is read when its turn comes, so that of two that overtake each other both say the same.

    def _publish_policy(self, version: int, tag: bytes, gate: int) -> None:
        self._shown = version, tag, gate
        self._nursery.start_soon(self._show_policy)

    async def _show_policy(self) -> None:
        await self._control.ask(
            lambda now, wall: (b"", self._mesh.show_policy(*self._shown, now=now, wall=wall))
        )

    def _serving_changed(self) -> None:
        self._health.withheld = self._plane.waiting
        self._nursery.start_soon(self._publish_health)

    async def _publish_health(self) -> None:
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

    def _end_channels(self, hit: Callable[[Peer], bool]) -> None:
        self._served.end(hit)
        self._plane.end_channels(hit)

    async def _offer(self, kind: str, raw: bytes) -> str:
        offer = self._mesh.offer_untrusted
        return (
            await self._control.ask(lambda now, wall: _encoded(offer(kind, raw, now=now, wall=wall)))
        ).decode()

    def seeds_resolved(self, resolved: Resolved) -> None:
        """Hand the seeds' addresses to the control plane, and where the last run's members were behind them."""
        for problem in resolved.problems:
            if problem not in self._resolved.problems:
                self._log.warning("seed.unresolved", detail=f"{problem}; it is tried again and again")
        self._resolved = resolved
        seeds = tuple(dict.fromkeys((*resolved.addresses, *self._former)))
        self._control.post(lambda now, wall: self._mesh.set_seeds(seeds, now=now, wall=wall))
        before = self._mesh.own.addresses[0]
        here = advertised_again(self._config.node, before, resolved.addresses, joined=self._mesh.joined)
        if here != before:
            self._log.info("own.address", was=str(before), now=str(here), why="it leads to the seeds")
            self._control.post(lambda now, wall: self._mesh.set_addresses((here,), now=now, wall=wall))


def _encoded(answered: tuple[str, list[Output]]) -> tuple[bytes, list[Output]]:
    return answered[0].encode(), answered[1]
