"""Whatever happens to a few nodes, no law breaks on the way; and after it is over, every view is equal to the truth.

Hypothesis chooses what happens and in which order, and shortens what fails to its fewest steps. What the world checks
after every event is in ``gossipmesh.sim.checks``. For a long hunt, with other histories each time::

    GOSSIPMESH_HUNT=2000 pytest --timeout=0 tests/simulation/test_any_history.py
"""

from __future__ import annotations

import os
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gossipmesh.channel.datagram import Hint, encode_hint, sender_tag
from gossipmesh.identity.accusation import ACCUSATION_LABEL, Accusation, sign_accusation
from gossipmesh.identity.record import RECORD_LABEL, MemberRecord
from gossipmesh.membership import outputs as believed
from gossipmesh.membership.messages import AccusationNews
from gossipmesh.membership.parameters import LAN
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Output
from gossipmesh.model import Address, NodeId
from gossipmesh.sim.attackers import Forger
from gossipmesh.sim.faults import GOODBYE_S
from gossipmesh.sim.node import SimNode
from gossipmesh.sim.watched import WatchedMembership
from gossipmesh.sim.world import World

HUNT: Final = int(os.environ.get("GOSSIPMESH_HUNT", "0"))
MAX_NODES: Final = 6
MAX_OVERHEARD: Final = 128
REPLAYED: Final = 32
LONGEST_STALL_S: Final = 20.0
STRANGER: Final = Address("203.0.113.9", 53)
FORGER: Final = "mallory"
DETECTION_S: Final = (
    2 * MAX_NODES * (1 + LAN.awareness_max) * LAN.probe_period_s
    + LAN.suspicion_alpha * LAN.suspicion_max_factor * LAN.probe_period_s
)
"""Two rounds of probes by a node that doubts itself as far as it may, then the longest suspicion, unconfirmed."""
TRIES: Final = 6
CALM_S: Final = DETECTION_S + TRIES * LAN.reconnect_max_s + 2 * LAN.sync_period_s
"""The longest way from any history to the truth: the last of the dead are found; then those wrongly given up are tried
again, each time one of the dead, of whom some are really dead; then anti-entropy carries what gossip missed."""
STEADY_S: Final = 30.0
"""How long it has to stay so."""
WANTED: Final = frozenset(
    {
        *(
            "joined",
            "suspected",
            "refuted",
            "died",
            "came-back",
            "left",
            "out-of-rotation",
            "back-in-rotation",
        ),
        *("indirect-probe", "nack", "stream-probe", "sync-round", "reconnect", "hint"),
        *("stalled", "held", "lost", "duplicate", "replay-refused", "forgery-refused"),
    }
)
"""Without these the histories would show nothing."""

CLOCKS_OFF_S: Final = (-90.0, 30.0, 90.0, 3_600.0)
"""Within the skew that is allowed, and far ahead of it: what is signed then is refused, until the clock is right."""
PAUSES = st.sampled_from([0.0, 0.01, 0.3, 2.0, 10.0, 40.0])


class Witness(WatchedMembership):
    """Checks once more, with real cryptography, what was verified before it came in."""

    def __init__(self, world: World, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(world.nodes[name].checker, *args, **kwargs)
        self._world = world

    def learn_record(
        self, record: MemberRecord, *, now: float, news: bool, token: bytes = b""
    ) -> list[believed.Output]:
        if not record.signed.verify(RECORD_LABEL, self._world.trust.mesh_id, record.id):
            self._checker.broken(f"a record of {record.name} that its owner never signed is believed")
        return super().learn_record(record, now=now, news=news, token=token)

    def learn_accusation(self, accusation: Accusation, *, now: float) -> list[believed.Output]:
        if not accusation.signed.verify(ACCUSATION_LABEL, self._world.trust.mesh_id, accusation.accuser):
            self._checker.broken("an accusation that its accuser never signed is believed")
        return super().learn_accusation(accusation, now=now)


class Mallory(Forger):
    """A member with a chain of her own, who also signs accusations of whom she likes."""

    def accuse(self, target: NodeId, subject: MemberRecord, *, now: float, wall: float) -> list[Output]:
        self._now, self._wall = now, wall
        accusation = sign_accusation(
            seed=self._setup.key.seed,
            mesh_id=self._setup.trust.mesh_id,
            subject=subject.id,
            boot=subject.boot,
            incarnation=subject.incarnation,
            issued_at=int(wall),
        )
        return self._gossip.seal(target, (AccusationNews(accusation.signed.raw),))


def beliefs_of(mesh: Mesh) -> object:
    """Give all that somebody who replays would want to change."""
    members = {m.id: (m.record.version, m.state, m.accusers, m.doubt) for m in mesh.members.values()}
    return mesh.own.version, members, mesh.known(), dict(mesh.names), mesh.snapshot


class Histories(RuleBasedStateMachine):
    """A world to which anything may happen.

    Args:
        seen: takes what the runs exercised.
    """

    def __init__(self, seen: Counter[str]) -> None:
        super().__init__()
        self.seen = seen
        self.overheard: deque[tuple[Address, Address, bytes]] = deque(maxlen=MAX_OVERHEARD)

    @initialize(seed=st.integers(0, 2**32 - 1), size=st.integers(1, MAX_NODES - 1))
    def begin(self, seed: int, size: int) -> None:
        self.world = World(seed)
        self.rng = random.Random(seed)
        self.world.network.tap = lambda *datagram: self.overheard.append(datagram)
        for _ in range(size):
            self.add(f"n{len(self.world.nodes)}")
        self.world.run(5.0)

    def add(self, name: str, machine: Callable[..., Mesh] = Mesh) -> None:
        world = self.world
        # Everybody's first seed is n0, and the others' second is n1.
        seeds = [seed for seed in ("n0", "n1") if seed in world.nodes or seed == name == "n0"]
        witness = (
            None if machine is not Mesh else lambda *args, **kwargs: Witness(world, name, *args, **kwargs)
        )
        world.add(name, seeds=seeds, machine=machine, membership=witness)

    # --- whom it happens to ---

    def running(self) -> list[str]:
        """Give those that run and are not stopped."""
        return sorted(node.name for node in self.world.up if node.inbox is None)

    def down(self) -> list[str]:
        return sorted(node.name for node in self.world.nodes.values() if node.mesh is None)

    def held(self) -> list[str]:
        return sorted(node.name for node in self.world.nodes.values() if node.held is not None)

    def one(self, data: st.DataObject, names: list[str]) -> SimNode:
        return self.world.nodes[data.draw(st.sampled_from(names))]

    def some(self, data: st.DataObject) -> list[str]:
        return sorted(data.draw(st.sets(st.sampled_from(sorted(self.world.nodes)), min_size=1)))

    # --- daemons ---

    @rule(seconds=PAUSES)
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @precondition(lambda self: len(self.world.nodes) < MAX_NODES)
    @rule(pause=PAUSES)
    def join(self, pause: float) -> None:
        self.add(f"n{len(self.world.nodes)}")
        self.world.run(pause)

    @precondition(lambda self: FORGER not in self.world.nodes)
    @rule(pause=PAUSES)
    def a_forger_joins(self, pause: float) -> None:
        self.add(FORGER, Mallory)
        self.world.run(pause)

    @precondition(lambda self: self.world.up)
    @rule(data=st.data(), silent=st.booleans(), remembers=st.booleans(), pause=PAUSES)
    def crash(self, data: st.DataObject, silent: bool, remembers: bool, pause: float) -> None:
        node = self.one(data, sorted(node.name for node in self.world.up))
        node.known = node.running.known() if remembers else ()
        self.world.crash(node.name, silent=silent)
        self.world.run(pause)

    @precondition(lambda self: self.down())
    @rule(data=st.data(), lost=st.booleans(), moved=st.booleans(), pause=PAUSES)
    def restart(self, data: st.DataObject, lost: bool, moved: bool, pause: float) -> None:
        node = self.one(data, self.down())
        if moved:
            self.move(node)
        if lost:
            self.world.restart_with_lost_state(node.name)
        else:
            self.world.start(node.name)
        self.world.run(pause)

    def move(self, node: SimNode) -> None:
        """Give a host another address, to which its name resolves for all whose seed it is."""
        before = node.address
        self.world.move(node.name)
        for other in self.world.nodes.values():
            if before not in other.seeds:
                continue
            other.seeds = tuple(node.address if seed == before else seed for seed in other.seeds)
            if other.mesh is not None:
                wall = self.world.wall_of(other)
                outputs = other.mesh.set_seeds(other.seeds, now=self.world.now, wall=wall)
                self.world.perform(other, outputs)

    @precondition(lambda self: any(self.world.nodes[name].boot > 1 for name in self.down()))
    @rule(data=st.data(), pause=PAUSES)
    def restart_from_an_old_backup(self, data: st.DataObject, pause: float) -> None:
        node = self.one(data, [name for name in self.down() if self.world.nodes[name].boot > 1])
        node.boot -= 2
        self.world.start(node.name)
        self.world.run(pause)

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.world.leave(self.one(data, self.running()).name)
        self.world.run(GOODBYE_S + 0.01)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), pause=PAUSES)
    def drain(self, data: st.DataObject, pause: float) -> None:
        self.world.drain(self.one(data, self.running()).name)
        self.world.run(pause)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), seconds=st.sampled_from([0.2, 3.0, LONGEST_STALL_S]), pause=PAUSES)
    def stall(self, data: st.DataObject, seconds: float, pause: float) -> None:
        self.world.stall(self.one(data, self.running()).name, seconds)
        self.world.run(pause)

    @rule(data=st.data(), off_s=st.sampled_from(CLOCKS_OFF_S), pause=PAUSES)
    def clock_jump(self, data: st.DataObject, off_s: float, pause: float) -> None:
        self.world.skew(self.one(data, sorted(self.world.nodes)).name, off_s)
        self.world.run(pause)

    # --- paths ---

    @rule(data=st.data(), one_way=st.booleans(), udp_only=st.booleans(), pause=PAUSES)
    def cut(self, data: st.DataObject, one_way: bool, udp_only: bool, pause: float) -> None:
        here, there = self.some(data), self.some(data)
        self.world.cut(here, there, one_way=one_way, udp_only=udp_only)
        self.world.run(pause)

    @rule(data=st.data(), pause=PAUSES)
    def partition(self, data: st.DataObject, pause: float) -> None:
        self.world.partition(self.some(data))
        self.world.run(pause)

    @rule(pause=PAUSES)
    def repair(self, pause: float) -> None:
        self.world.repair()
        self.world.run(pause)

    @rule(data=st.data(), pause=PAUSES)
    def hold(self, data: st.DataObject, pause: float) -> None:
        self.world.hold(self.some(data))
        self.world.run(pause)

    @precondition(lambda self: self.held())
    @rule(data=st.data(), pause=PAUSES)
    def release(self, data: st.DataObject, pause: float) -> None:
        self.world.release([self.one(data, self.held()).name])
        self.world.run(pause)

    @rule(share=st.sampled_from([0.0, 0.05, 0.3, 0.9]), pause=PAUSES)
    def lose(self, share: float, pause: float) -> None:
        self.world.lose(share)
        self.world.run(pause)

    @rule(share=st.sampled_from([0.0, 0.5]), most_s=st.sampled_from([0.0, 0.1, 1.0]), pause=PAUSES)
    def double_and_delay(self, share: float, most_s: float, pause: float) -> None:
        self.world.duplicate(share)
        self.world.delay((0.0, most_s))
        self.world.run(pause)

    # --- those who mean harm ---

    def inject(self, datagrams: list[tuple[Address, Address, bytes]]) -> None:
        for source, target, payload in datagrams:
            node = self.world.at_address(target)
            if node is not None:
                self.world.inject(node.name, payload, source)

    @precondition(lambda self: self.overheard)
    @rule(from_elsewhere=st.booleans(), pause=PAUSES)
    def replay(self, from_elsewhere: bool, pause: float) -> None:
        """Send again what was overheard. What had been lost arrives late, once; after that nothing may change."""
        chosen = self.rng.sample(list(self.overheard), min(REPLAYED, len(self.overheard)))
        if from_elsewhere:
            chosen = [(STRANGER, target, payload) for _, target, payload in chosen]
        self.inject(chosen)
        before = [beliefs_of(self.world.nodes[name].running) for name in self.running()]
        self.inject(chosen)
        after = [beliefs_of(self.world.nodes[name].running) for name in self.running()]
        assert after == before, self.world.history.failure(self.world.now, "a replay changed a belief")
        self.world.run(pause)

    @precondition(lambda self: self.overheard)
    @rule(pause=PAUSES)
    def an_outsider_forges(self, pause: float) -> None:
        before = [beliefs_of(self.world.nodes[name].running) for name in self.running()]
        addresses = [node.address for node in self.world.nodes.values()]
        forged: list[tuple[Address, Address, bytes]] = []
        for source, target, payload in self.rng.sample(list(self.overheard), min(8, len(self.overheard))):
            changed = bytearray(payload)
            changed[self.rng.randrange(len(changed))] ^= 1 << self.rng.randrange(8)
            forged.append((source, target, bytes(changed)))
            forged.append(
                (STRANGER, self.rng.choice(addresses), self.rng.randbytes(self.rng.randrange(1400)))
            )
        for one in self.world.nodes.values():
            hint = encode_hint(
                Hint(sender_tag(one.key.id), sender_tag(self.rng.choice(self.world.up or [one]).key.id))
            )
            forged += [(one.address, target, hint) for target in addresses]
        self.inject(forged)
        after = [beliefs_of(self.world.nodes[name].running) for name in self.running()]
        assert after == before, self.world.history.failure(self.world.now, "a forgery changed a belief")
        self.world.run(pause)

    @precondition(lambda self: FORGER in self.running() and self.world.nodes[FORGER].running.members)
    @rule(data=st.data(), signed=st.booleans(), pause=PAUSES)
    def an_insider_forges(self, data: st.DataObject, signed: bool, pause: float) -> None:
        """Farewells, newer lives and greatest versions of others; or an accusation, which is hers to sign."""
        forger = self.world.nodes[FORGER]
        machine = forger.running
        assert isinstance(machine, Mallory)
        members = list(machine.members.values())
        target, victim = self.rng.choice(members).id, self.rng.choice(members).record
        say = machine.accuse if signed else machine.forge
        self.world.perform(forger, say(target, victim, now=self.world.now, wall=self.world.wall_of(forger)))
        self.world.run(pause)

    # --- what holds ---

    def teardown(self) -> None:
        world = getattr(self, "world", None)
        if world is None:
            return
        world.repair()
        world.lose(0)
        world.duplicate(0)
        world.delay((0.0, 0.0))
        world.release(self.held())
        for node in world.nodes.values():
            world.skew(node.name, 0.0)
        if world.nodes["n0"].mesh is None:
            world.start(
                "n0"
            )  # without one common seed, those that lost their state would not know where to ask
        world.run(LONGEST_STALL_S + GOODBYE_S)
        world.agree(CALM_S)
        world.run(STEADY_S)
        self.seen.update(world.coverage)
        text = world.history.failure(world.now, f"it did not stay so: {world.describe()}")
        assert world.wrong_views() == 0, text
        for node in world.up:
            unroutable = [m.record.name for m in node.running.members.values() if m.living and not m.routable]
            assert not unroutable, f"{node.name} sends no requests to {unroutable}: {text}"
            assert node.running.agreement == 1.0, f"{node.name} still differs from others: {text}"


def test_after_any_history_every_view_is_equal_to_the_truth() -> None:
    seen: Counter[str] = Counter()
    run_state_machine_as_test(
        lambda: Histories(seen),  # type: ignore[arg-type]
        settings=settings(
            max_examples=HUNT or 40,
            stateful_step_count=40 if HUNT else 15,
            derandomize=not HUNT,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert WANTED - seen.keys() == set()
