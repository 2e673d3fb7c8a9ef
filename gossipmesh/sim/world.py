"""Nodes, and an event heap between them. The same seed gives the same run.

Datagrams take a random time and may be lost; exchanges over TCP take a connect and a round trip, or fail when the
path is cut. Everything else is the daemon's own code: :class:`gossipmesh.mesh.machine.Mesh`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from typing import Final, assert_never

from gossipmesh.identity.bundle import TrustStore, new_bundle
from gossipmesh.identity.chain import Capability, Caveats, join_chain, verify_chain_untrusted
from gossipmesh.identity.credentials import Peer, verify_credentials_untrusted
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.token import Token, new_token
from gossipmesh.membership.parameters import PROFILES, Parameters
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import (
    ChainRenewed,
    Exchange,
    MemberChanged,
    Notice,
    Output,
    Refused,
    RoutabilityChanged,
    SendDatagram,
    SnapshotChanged,
)
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import Address, MemberState, NodeId, Service, Serving
from gossipmesh.registry.sync import ChainLearned, Learned, RecordLearned
from gossipmesh.sim.call import Call
from gossipmesh.sim.checks import Checker
from gossipmesh.sim.events import Events
from gossipmesh.sim.network import Network
from gossipmesh.sim.node import SimNode

EPOCH: Final = 1_800_000_000.0
"""The wall time at which every world begins, in Unix seconds."""
PORT: Final = 7_946
MAX_INBOX: Final = 1_024
"""What waits for a stalled node; the rest is lost."""


class World:
    """A mesh in a box.

    Args:
        seed: of everything random.
        profile: the membership parameters' name, or the parameters.
        latency_s: least and greatest one-way time of a packet.
        loss: the share of datagrams that are lost, 0 to 1.
        ttl_s: the life of the mesh's join token, in seconds.
    """

    def __init__(
        self,
        seed: int,
        *,
        profile: str | Parameters = "lan",
        latency_s: tuple[float, float] = (0.0002, 0.002),
        loss: float = 0.0,
        ttl_s: int = 365 * 86_400,
    ) -> None:
        self.seed = seed
        self.nodes: dict[str, SimNode] = {}
        self._rng = random.Random(seed)
        self.network = Network(self._rng, latency_s=latency_s, loss=loss)
        self._parameters = PROFILES[profile] if isinstance(profile, str) else profile
        self._events = Events()
        self._hosts = itertools.count(1)
        self._by_address: dict[Address, SimNode] = {}
        self.root_seed = self._rng.randbytes(32)
        bundle = new_bundle([NodeKey.from_seed(self.root_seed).id], default_allow=True)
        self.trust = TrustStore(bundle)
        self.token = self.new_token(ttl_s=ttl_s)

    def new_token(self, *, ttl_s: int, caps: Iterable[Capability] = (Capability.JOIN,)) -> Token:
        """Make another join token of this mesh."""
        caveats = Caveats(int(self.wall) - 300, int(self.wall) + ttl_s, caps=frozenset(caps))
        return new_token(self.trust.path[0], self.root_seed, caveats, self._rng.randbytes)

    def chain_for(self, key: NodeKey, name: str) -> bytes:
        """Admit a key under a name, with the mesh's join token."""
        return join_chain(self.token, key.seed, name)

    # --- what happens to nodes ---

    def add(
        self,
        name: str,
        *,
        services: tuple[Service, ...] = (),
        seeds: Iterable[str] = (),
        token: Token | None = None,
        key: NodeKey | None = None,
        machine: Callable[..., Mesh] = Mesh,
        start: bool = True,
    ) -> SimNode:
        """Add a host and start its daemon.

        Args:
            name: its name.
            services: what it offers.
            seeds: names of nodes that were added before, or its own.
            token: what it joins with; the mesh's own token by default.
            key: of its own by default; another's makes it a clone.
            machine: makes its control plane.
            start: whether to start it now.
        """
        key = key or NodeKey.generate(self._rng.randbytes)
        host = next(self._hosts)
        node = SimNode(
            name=name,
            key=key,
            chain_raw=join_chain(token or self.token, key.seed, name),
            address=Address(f"10.{host >> 16 & 255}.{host >> 8 & 255}.{host & 255}", PORT),
            services=services,
            seeds=(),
            checker=Checker(self.seed, name),
            machine=machine,
        )
        self.nodes[name] = node
        node.seeds = tuple(self.nodes[seed].address for seed in seeds)
        self._by_address[node.address] = node
        if start:
            self.start(name)
        return node

    def start(self, name: str) -> None:
        """Start a daemon that is down, with the key, chain and boot counter that it has on disk."""
        node = self.nodes[name]
        node.boot += 1
        node.life += 1
        node.checker = Checker(self.seed, name)
        node.mesh = node.machine(
            Setup(
                key=node.key,
                trust=self.trust,
                chain=verify_chain_untrusted(node.chain_raw, self.trust, wall=self.wall),
                boot=node.boot,
                addresses=(node.address,),
                services=node.services,
                parameters=self._parameters,
                seeds_expected=bool(node.seeds),
                root_seed=node.root_seed,
                known=_learned(node.known),
            ),
            rng=random.Random(self._rng.random()),
            entropy=self._rng.randbytes,
            now=self.now,
            wall=self.wall,
        )
        self.perform(node, node.mesh.start(now=self.now, wall=self.wall))
        if node.seeds:
            self.perform(node, node.mesh.set_seeds(node.seeds, now=self.now, wall=self.wall))

    def crash(self, name: str) -> None:
        """Stop a daemon without a word, as SIGKILL does."""
        node = self.nodes[name]
        node.mesh = None
        node.inbox = None
        node.life += 1
        node.timer = float("inf")

    def restart_with_lost_state(self, name: str) -> None:
        """Start a daemon that is down with a key and chain of its own anew: its state directory was lost."""
        node = self.nodes[name]
        node.key = NodeKey.generate(self._rng.randbytes)
        node.chain_raw = join_chain(self.token, node.key.seed, name)
        node.boot = 0
        self.start(name)

    def leave(self, name: str) -> None:
        """Say goodbye, and stop after the goodbye went out."""
        node = self.nodes[name]
        self.perform(node, node.running.set_serving(Serving.LEAVING, now=self.now, wall=self.wall))
        self.later(1.0, node, lambda: self.crash(name))

    def drain(self, name: str) -> None:
        """Say that a node takes no new requests."""
        node = self.nodes[name]
        self.perform(node, node.running.set_serving(Serving.DRAINING, now=self.now, wall=self.wall))

    def stall(self, name: str, seconds: float) -> None:
        """Stop a daemon for a while, as SIGSTOP does: what comes in waits, and so do its deadlines."""
        node = self.nodes[name]
        node.inbox = []
        life = node.life
        self._events.at(self.now + seconds, lambda: self._resume(node) if node.life == life else None)

    def _resume(self, node: SimNode) -> None:
        inbox, node.inbox = node.inbox or [], None
        # First what came in, then the clock, as the daemon's control task has it.
        for event in inbox:
            event()
        mesh = node.running
        late_s = max(0.0, self.now - mesh.deadline)
        if mesh.deadline <= self.now:
            self.perform(node, mesh.handle_timer(now=self.now, wall=self.wall, late_s=late_s))

    def cut(self, here: Iterable[str], there: Iterable[str], *, one_way: bool = False) -> None:
        """Drop everything from ``here`` to ``there``, as :meth:`gossipmesh.sim.network.Network.cut`."""
        self.network.cut(here, there, one_way=one_way)

    def heal(self) -> None:
        """Undo every cut."""
        self.network.heal()

    def inject(self, target: str, payload: bytes, source: Address) -> None:
        """Let a datagram arrive now that no node of this world sent, or not now."""
        node = self.nodes[target]
        self.perform(
            node,
            node.running.receive_datagram_untrusted(payload, source, now=self.now, wall=self.wall),
        )

    # --- time ---

    @property
    def now(self) -> float:
        """Monotonic seconds in this world."""
        return self._events.now

    @property
    def wall(self) -> float:
        """Unix seconds in this world."""
        return EPOCH + self.now

    def run(self, seconds: float) -> None:
        """Let that much virtual time pass."""
        self._events.run(seconds)

    def run_until(self, holds: Callable[[], bool], *, within: float) -> float:
        """Let time pass until ``holds()``, checked after every event; give the seconds that it took.

        Raises:
            TimeoutError: if it does not hold ``within`` that many seconds; the text has the seed.
        """
        took = self._events.run_until(holds, within=within)
        if took is None:
            raise TimeoutError(f"seed {self.seed}: not within {within} s: {self.describe()}")
        return took

    def later(self, delay_s: float, node: SimNode, event: Callable[[], None]) -> None:
        """Let something happen to a node, unless it crashes or starts again before; a stalled one takes it later."""
        life = node.life

        def happen() -> None:
            if node.life != life:
                return
            if node.inbox is None:
                event()
            elif len(node.inbox) < MAX_INBOX:
                node.inbox.append(event)

        self._events.at(self.now + delay_s, happen)

    # --- the shell: what the daemon does with outputs, here in virtual time ---

    def perform(self, node: SimNode, outputs: list[Output]) -> None:
        """Carry out what a node's machine wants."""
        for output in outputs:
            match output:
                case SendDatagram(target, payload):
                    self._send(node, target, payload)
                case Exchange():
                    node.exchanges += 1
                    Call(self, node, output).begin()
                case MemberChanged():
                    node.changes.append((self.now, output))
                    node.checker.changed(node.running, output, now=self.now)
                case ChainRenewed(raw):
                    node.chain_raw = raw
                case Notice():
                    node.notices.append(output)
                case Refused(code):
                    node.refused[code] += 1
                case SnapshotChanged() | RoutabilityChanged():
                    pass
                case _:
                    assert_never(output)
        if node.mesh is not None:
            node.checker.after_event(node.mesh, now=self.now)
            self._set_timer(node, node.mesh.deadline)

    def at_address(self, address: Address) -> SimNode | None:
        """Give the host with this address, up or down."""
        return self._by_address.get(address)

    def _set_timer(self, node: SimNode, deadline: float) -> None:
        if deadline < node.timer:
            node.timer = deadline
            life = node.life
            self._events.at(
                max(self.now, deadline), lambda: self._fire(node, deadline) if node.life == life else None
            )

    def _fire(self, node: SimNode, deadline: float) -> None:
        if node.timer != deadline:
            return
        node.timer = float("inf")
        if node.inbox is not None:  # stalled: its deadlines wait until it has read what came in
            return
        mesh = node.running
        if mesh.deadline <= self.now:
            outputs = mesh.handle_timer(now=self.now, wall=self.wall)
            node.checker.after_timer(mesh, now=self.now)
            self.perform(node, outputs)
        else:
            self._set_timer(node, mesh.deadline)

    def _send(self, node: SimNode, target: Address, payload: bytes) -> None:
        node.sent += 1
        node.sent_bytes += len(payload)
        if self.network.tap is not None:
            self.network.tap(node.address, target, payload)
        other = self._by_address.get(target)
        if other is None or not self.network.delivers(node.name, other.name):
            return

        def arrive() -> None:
            if other.inbox is not None:
                if len(other.inbox) < MAX_INBOX:
                    other.inbox.append(arrive)
            elif other.mesh is not None:
                self.inject(other.name, payload, node.address)

        self._events.at(self.now + self.network.travel_s(), arrive)

    def peer_of(self, mesh: Mesh) -> Peer:
        """Give what a handshake proves of a node.

        Raises:
            TrustError: if its credentials are not valid now.
        """
        credentials = mesh.credentials(wall=self.wall)
        return verify_credentials_untrusted(credentials, mesh.own.dh_key, self.trust, wall=self.wall)

    # --- what observers ask ---

    @property
    def up(self) -> list[SimNode]:
        """The nodes whose daemon runs."""
        return [node for node in self.nodes.values() if node.mesh is not None]

    def believes(self, observer: str, subject: str) -> MemberState | None:
        """Give what one node believes of another's present key; None if it does not know it."""
        member = self.nodes[observer].running.members.get(self.nodes[subject].key.id)
        return None if member is None else member.state

    def complete(self) -> bool:
        """Whether every running node believes every other one alive."""
        ids: set[NodeId] = {node.key.id for node in self.up}
        for node in self.up:
            living = {m.id for m in node.running.members.values() if m.state is MemberState.ALIVE}
            if not ids - {node.key.id} <= living:
                return False
        return True

    def everyone_believes(self, subject: str, state: MemberState | None) -> bool:
        """Whether every running node but the subject has this belief of it."""
        return all(self.believes(node.name, subject) is state for node in self.up if node.name != subject)

    def describe(self) -> str:
        """Give everybody's beliefs in a line, for failures."""
        rows = (
            f"{node.name}: "
            + ", ".join(f"{m.record.name}={m.state.value}" for m in node.running.members.values())
            for node in self.up
        )
        return "; ".join(rows)


def _learned(known: tuple[bytes, ...]) -> tuple[Learned, ...]:
    """Give what :attr:`Mesh.known` gave, chains and records in turn, as a start takes it."""
    return tuple(RecordLearned(raw) if i % 2 else ChainLearned(raw) for i, raw in enumerate(known))
