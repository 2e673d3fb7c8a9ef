"""Nodes, and an event heap between them. The same seed gives the same run.

Three classes, each on top of the one before: :class:`~gossipmesh.sim.shell.Shell` carries out what the machines want,
:class:`~gossipmesh.sim.faults.Faults` lets things go wrong, and :class:`World` starts nodes and answers observers.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from gossipmesh.channel.datagram import sender_tag
from gossipmesh.errors import TrustError
from gossipmesh.identity.chain import Capability, Caveats, join_chain
from gossipmesh.identity.keys import NodeKey
from gossipmesh.identity.record import MemberRecord
from gossipmesh.identity.token import Token, new_token
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.messages import MAX_PLAINTEXT
from gossipmesh.membership.parameters import PROFILES, Parameters
from gossipmesh.mesh.charter import CheckPolicy
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import Address, MemberState, NodeId, Service, short_id
from gossipmesh.registry.store import RegistryLimits
from gossipmesh.registry.sync import ChainLearned, Learned, RecordLearned
from gossipmesh.sim.checks import Checker, LawBroken
from gossipmesh.sim.faults import Faults
from gossipmesh.sim.node import SimNode
from gossipmesh.sim.shell import EPOCH
from gossipmesh.sim.standin import StandIn, Surroundings
from gossipmesh.sim.traffic import Traffic
from gossipmesh.sim.watched import WatchedMembership

__all__ = ["EPOCH", "PORT", "World"]

PORT: Final = 7_946
SEEDS: Final = 2
"""How many of the first nodes are the seeds of those that :meth:`World.populate` adds."""
MAX_TOLD: Final = 16
"""Nodes whose every belief a failure shows, and wrong views shown of larger worlds."""
_NOBODY: Final = NodeId(bytes(32))


class World(Faults):
    """A mesh in a box.

    Args:
        seed: of everything random.
        profile: the membership parameters' name, or the parameters.
        latency_s: least and greatest one-way time of a packet.
        loss: the share of datagrams that are lost, 0 to 1.
        ttl_s: the life of the mesh's join token, in seconds.
        crypto: ``shared`` (each verification is done once for all nodes, and a hash stands in for X25519) or
            ``real``.
        input_first: False hands deadlines over before what was received during a stall, for the tests that show why
            the order matters.
    """

    def __init__(
        self,
        seed: int,
        *,
        profile: str | Parameters = "lan",
        latency_s: tuple[float, float] = (0.0002, 0.002),
        loss: float = 0.0,
        ttl_s: int = 365 * 86_400,
        crypto: str = "shared",
        input_first: bool = True,
    ) -> None:
        super().__init__(seed, latency_s=latency_s, loss=loss, crypto=crypto, input_first=input_first)
        self._parameters = PROFILES[profile] if isinstance(profile, str) else profile
        self._hosts = itertools.count(1)
        self._boots: dict[NodeId, int] = {}
        self._by_id: dict[NodeId, SimNode] = {}
        self._by_tag: dict[bytes, dict[NodeId, None]] = {}
        self.token = self.new_token(ttl_s=ttl_s)
        self.beat: Callable[[], None] = lambda: None
        """Called with each step of :meth:`populate`, which takes long for many nodes."""
        self.check_policy: CheckPolicy = lambda _: None
        """What every node that starts from now on thinks of a policy's text."""

    def new_token(self, *, ttl_s: int, caps: Iterable[Capability] = (Capability.JOIN,)) -> Token:
        """Make another join token of this mesh."""
        caveats = Caveats(int(self.wall) - 300, int(self.wall) + ttl_s, caps=frozenset(caps))
        return new_token(self.trust.path[0], self.root_seed, caveats, self._rng.randbytes)

    def chain_for(self, key: NodeKey, name: str) -> bytes:
        """Admit a key under a name, with the mesh's join token."""
        return join_chain(self.token, key.seed, name)

    # --- nodes ---

    def add(
        self,
        name: str,
        *,
        services: tuple[Service, ...] = (),
        seeds: Iterable[str] = (),
        token: Token | None = None,
        key: NodeKey | None = None,
        machine: Callable[..., Mesh] = Mesh,
        membership: Callable[..., Membership] | None = None,
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
            membership: makes its membership; by default one whose records are checked.
            start: whether to start it now.
        """
        if key is not None and any(node.key.id == key.id for node in self.nodes.values()):
            self._ledger.clones.add(key.id)
        key = key or NodeKey.generate(self._rng.randbytes)
        node = SimNode(
            name=name,
            key=key,
            chain_raw=join_chain(token or self.token, key.seed, name),
            address=self._new_address(),
            services=services,
            seeds=(),
            checker=Checker(name, self.history, self._ledger),
            machine=machine,
            membership=membership,
        )
        if machine is not Mesh:
            self._ledger.clones.add(key.id)
        self.nodes[name] = node
        node.seeds = tuple(self.nodes[seed].address for seed in seeds)
        self._by_address[node.address] = node
        if start:
            self.start(name)
        return node

    def populate(self, count: int, *, prefix: str = "n", observers: int | None = None) -> list[str]:
        """Add ``count`` running nodes, named n0 and up, that know each other and all that run already.

        Their mesh is settled: nobody has news to tell. The first two are everybody's seeds.

        Args:
            count: how many.
            prefix: of their names.
            observers: so many of them, the first ones, are whole daemons, and the rest are stand-ins: see
                :mod:`gossipmesh.sim.standin` for what such a run shows and what not. By default all are whole.
        """
        names = [f"{prefix}{number}" for number in range(count)]
        whole = count if observers is None else observers
        stand_in = partial(StandIn, Surroundings(self._senders, self._has_answer, lambda: len(self._by_id)))
        known: list[Learned] = [each for node in self.up for each in _shown(node.running)]
        for number, name in enumerate(names):
            self.add(name, machine=Mesh if number < whole else stand_in, start=False)
            known += _shown(self._build(self.nodes[name], known))
            self.beat()
        seeds = tuple(self.nodes[name].address for name in names[:SEEDS])
        for name in names:
            node = self.nodes[name]
            node.seeds = seeds
            self._begin(node)
            self.beat()
            # Its own record is news at every start; here everybody has it.
            while not _is_stand_in(node.running) and node.running._membership.next_gossip(
                MAX_PLAINTEXT, _NOBODY
            ):
                pass
        return names

    def _senders(self, tag: bytes) -> list[MemberRecord]:
        senders = (self._by_id.get(node) for node in self._by_tag.get(tag, ()))
        return [each.running.own for each in senders if each is not None and each.mesh is not None]

    def _has_answer(self, asker: NodeId, target: NodeId) -> bool:
        one, other = self._by_id.get(asker), self._by_id.get(target)
        if (
            one is None
            or other is None
            or other.mesh is None
            or other.held is not None
            or other.inbox is not None
        ):
            return False
        return self.network.delivers(one.name, other.name) and self.network.delivers(other.name, one.name)

    def start(self, name: str) -> None:
        """Start a daemon that is down, with the key, chain and boot counter that it has on disk.

        It stays down where its chain is not valid by its own clock.
        """
        node = self.nodes[name]
        self.history.add(self.now, name, "starts")
        try:
            self._build(node, _learned(node.known))
        except TrustError as error:
            # By its own clock, its chain is not valid: the daemon would say so and end.
            self.history.add(self.now, name, f"does not start: {error}")
            return
        self._begin(node)

    def _build(self, node: SimNode, known: Sequence[Learned]) -> Mesh:
        node.boot += 1
        node.life += 1
        node.vanished = False
        if node.boot <= self._boots.get(node.key.id, 0):
            self._ledger.clones.add(node.key.id)
        self._by_id[node.key.id] = node
        self._by_tag.setdefault(sender_tag(node.key.id), {})[node.key.id] = None
        self._boots[node.key.id] = max(node.boot, self._boots.get(node.key.id, 0))
        honest = node.machine is Mesh
        node.checker = Checker(node.name, self.history, self._ledger, now=self.now, trusted=honest)
        wall = self.wall_of(node)
        node.trust = node.trust or self.trust.copy()
        node.mesh = node.machine(
            Setup(
                key=node.key,
                trust=node.trust,
                chain=self._crypto.checks.verify_chain(node.chain_raw, node.trust, wall=wall),
                boot=node.boot,
                addresses=(node.address,),
                services=node.services,
                parameters=self._parameters,
                seeds_expected=bool(node.seeds),
                root_seed=node.root_seed,
                known=known,
                revocations=node.kept[0],
                policies=node.kept[1],
                returned=node.kept[2],
                check_policy=self.check_policy,
                membership=node.membership or partial(WatchedMembership, node.checker),
                checks=self._crypto.checks,
                pair_keys=self._crypto.pair_keys,
                limits=RegistryLimits(per_token=RegistryLimits().members),
            ),
            rng=random.Random(self._rng.random()),
            entropy=self._rng.randbytes,
            now=self.now,
            wall=wall,
        )
        node.checker.watch(node.mesh)
        return node.mesh

    def _begin(self, node: SimNode) -> None:
        mesh, wall = node.running, self.wall_of(node)
        node.view = self._truth.rise(node.key.id, observes=not _is_stand_in(mesh))
        self.perform(node, mesh.start(now=self.now, wall=wall))
        if node.seeds:
            self.perform(node, mesh.set_seeds(node.seeds, now=self.now, wall=wall))

    def restart_with_lost_state(self, name: str) -> None:
        """Start a daemon that is down with a key and chain of its own anew: its state directory was lost."""
        node = self.nodes[name]
        node.key = NodeKey.generate(self._rng.randbytes)
        node.chain_raw = join_chain(self.token, node.key.seed, name)
        node.boot = 0
        node.known = ()
        self.start(name)

    def move(self, name: str) -> None:
        """Give a host that is down another address; nobody is at the old one."""
        node = self.nodes[name]
        del self._by_address[node.address]
        node.address = self._new_address()
        self._by_address[node.address] = node

    def bounce(
        self, name: str, *, down_s: float, lost_state: bool = False, new_address: bool = False
    ) -> None:
        """Crash a daemon and start it again after ``down_s`` seconds.

        Args:
            name: whose.
            down_s: how long it is down.
            lost_state: it comes back with a new key, as after the loss of its state directory.
            new_address: it comes back at another address.
        """
        self.crash(name)
        life = self.nodes[name].life

        def back() -> None:
            if self.nodes[name].life != life:
                return
            if new_address:
                self.move(name)
            if lost_state:
                self.restart_with_lost_state(name)
            else:
                self.start(name)

        self.at(down_s, back)

    def _new_address(self) -> Address:
        host = next(self._hosts)
        return Address(f"10.{host >> 16 & 255}.{host >> 8 & 255}.{host & 255}", PORT)

    # --- what observers ask ---

    def run_until(self, holds: Callable[[], bool], *, within: float) -> float:
        """Let time pass until ``holds()``, checked after every event; give the seconds that it took.

        Raises:
            TimeoutError: if it does not hold ``within`` that many seconds; the text has the seed.
        """
        took = self._wait(holds, within)
        if took is None:
            text = f"not within {within} s: {self.describe()}"
            raise TimeoutError(self.history.failure(self.now, text))
        return took

    def agree(self, within_s: float) -> float:
        """Let time pass until every view equals the truth; give the seconds that it took. For calm worlds.

        Raises:
            LawBroken: if views still differ after ``within_s`` seconds.
        """
        took = self._wait(lambda: self._truth.wrong == 0, within_s)
        if took is None:
            text = f"views differ from the truth after {within_s} s of calm: {self.describe()}"
            raise LawBroken(self.history.failure(self.now, text))
        return took

    @property
    def up(self) -> list[SimNode]:
        """The nodes whose daemon runs."""
        return [node for node in self.nodes.values() if node.mesh is not None]

    @property
    def traffic(self) -> Mapping[str, Traffic]:
        """What each node has sent so far."""
        return {name: node.traffic for name, node in self.nodes.items()}

    def believes(self, observer: str, subject: str) -> MemberState | None:
        """Give what one node believes of another's present key; None if it does not know it."""
        member = self.nodes[observer].running.members.get(self.nodes[subject].key.id)
        return None if member is None else member.state

    def everyone_believes(self, subject: str, state: MemberState | None) -> bool:
        """Whether every running node but the subject has this belief of it; costs the same whatever N is."""
        return self._truth.holding(self.nodes[subject].key.id, state)

    def complete(self) -> bool:
        """Whether every running node believes every other one alive; costs the same whatever N is."""
        return self._truth.missing == 0

    def wrong_views(self) -> int:
        """Count the pairs of a running node and another one, of which the first does not believe the truth.

        Nodes that run should be believed alive; those that are down, or leave, neither alive nor suspect.
        Former keys of a node count as nodes that are down. Costs the same whatever N is.
        """
        return self._truth.wrong

    def describe(self) -> str:
        """Give everybody's beliefs in a line, for failures; of many nodes, those that are wrong."""
        if len(self.nodes) > MAX_TOLD:
            return self._describe_wrong()
        rows = (
            f"{node.name}: "
            + ", ".join(f"{m.record.name}={m.state.value}" for m in node.running.members.values())
            for node in self.up
        )
        return "; ".join(rows)

    def _describe_wrong(self) -> str:
        names = {node.key.id: node.name for node in self.nodes.values()}
        rows = (
            f"{names.get(observer, short_id(observer))}: {names.get(subject, short_id(subject))}="
            + ("unknown" if state is None else state.value)
            for observer, subject, state in itertools.islice(self._truth.wrong_views(), MAX_TOLD)
        )
        return f"{self._truth.wrong} wrong views: " + "; ".join(rows)


def _is_stand_in(mesh: Mesh) -> bool:
    return isinstance(mesh, StandIn)


def _shown(mesh: Mesh) -> tuple[Learned, Learned]:
    return ChainLearned(mesh.chain.raw), RecordLearned(mesh.own.signed.raw)


def _learned(known: tuple[bytes, ...]) -> tuple[Learned, ...]:
    """Give what :attr:`Mesh.known` gave, chains and records in turn, as a start takes it."""
    return tuple(RecordLearned(raw) if i % 2 else ChainLearned(raw) for i, raw in enumerate(known))
