"""Whole meshes of SWIM machines in virtual time: crashes, loss, cuts and liars.

Only membership is real here, with real records, accusations and datagrams; sealing, sync and sockets are left out.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from functools import partial
from itertools import count, pairwise

import pytest
from attrs import evolve

from gossipmesh.identity.accusation import Accusation, decode_accusation_untrusted, sign_accusation
from gossipmesh.identity.record import MemberRecord, decode_record_untrusted, resign_record, sign_record
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.message_codec import decode_messages_untrusted, encode_messages
from gossipmesh.membership.messages import AccusationNews, Ack, Nack, Ping, PingRequest, RecordNews
from gossipmesh.membership.outputs import (
    Forgotten,
    Output,
    PeerRoot,
    ProbeMeasured,
    Reconnect,
    Refute,
    RoutabilityChanged,
    SendMessages,
    StateChanged,
    StreamProbe,
)
from gossipmesh.membership.parameters import LAN, Parameters
from gossipmesh.model import Address, MemberState, NodeId, Serving

ALIVE, DEAD, LEFT = MemberState.ALIVE, MemberState.DEAD, MemberState.LEFT
MESH = b"m" * 32
ROOT = b"r" * 16
WALL = 1_700_000_000
QUIET = evolve(LAN, stream_probe=False)


def seed_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def record(number: int, incarnation: int = 0) -> MemberRecord:
    return sign_record(
        seed=seed_of(number),
        mesh_id=MESH,
        boot=1,
        incarnation=incarnation,
        name=f"node-{number}",
        addresses=[Address("127.0.0.1", 7_000 + number)],
        dh_key=bytes(32),
        dh_generation=0,
        chain_hash=bytes(16),
        issued_at=WALL,
    )


def raised(old: MemberRecord, number: int, above: tuple[int, int]) -> MemberRecord:
    """Sign node ``number``'s record again with a version above both ``old`` and ``above``."""
    boot, incarnation = max(old.version, above)
    changed = evolve(old, boot=boot, incarnation=incarnation + 1)
    return resign_record(changed, seed=seed_of(number), mesh_id=MESH, issued_at=WALL)


def accuse(number: int, subject: NodeId, boot: int = 1, incarnation: int = 0) -> Accusation:
    return sign_accusation(
        seed=seed_of(number),
        mesh_id=MESH,
        subject=subject,
        boot=boot,
        incarnation=incarnation,
        issued_at=WALL,
    )


class Net:
    """Machines on a network with delay, loss, one-way cuts and crashes, in virtual time; checks the laws as it goes."""

    def __init__(self, size: int, seed: int, *, loss: float = 0.0, parameters: Parameters = LAN) -> None:
        self.rng = random.Random(seed)
        self.loss = loss
        self.now = 0.0
        self.down: set[int] = set()
        self.cut: set[tuple[int, int]] = set()
        self.log: list[tuple[float, int, StateChanged | RoutabilityChanged | Refute]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._seen: dict[tuple[int, NodeId], tuple[int, int]] = {}
        records = [record(number) for number in range(size)]
        self.number = {each.id: number for number, each in enumerate(records)}
        self.nodes = [
            Membership(
                parameters,
                own,
                rng=random.Random(seed * 1_000 + number),
                root=lambda: ROOT,
                sign_accusation=partial(accuse, number),
            )
            for number, own in enumerate(records)
        ]
        for number, node in enumerate(self.nodes):
            self.perform(number, node.start(now=0.0))
            for other in records:
                self.perform(number, node.learn_record(other, now=0.0, news=False))

    def later(self, delay: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._order), action))

    def run(self, until: float) -> None:
        while True:
            due = min((n.deadline, i) for i, n in enumerate(self.nodes) if i not in self.down)
            event = self._events[0][0] if self._events else math.inf
            if min(due[0], event) > until:
                self.now = until
                return
            if event <= due[0]:
                self.now, _, action = heapq.heappop(self._events)
                action()
                continue
            self.now = max(self.now, due[0])
            node = self.nodes[due[1]]
            outputs = node.handle_timer(now=self.now)
            assert node.deadline > self.now
            self.perform(due[1], outputs)

    def reaches(self, source: int, target: int) -> bool:
        return not {source, target} & self.down and (source, target) not in self.cut

    def perform(self, number: int, outputs: list[Output]) -> None:
        node = self.nodes[number]
        for out in outputs:
            match out:
                case SendMessages(target, messages):
                    plaintext = encode_messages(messages)
                    if self.rng.random() >= self.loss:
                        deliver = partial(self.deliver, number, self.number[target], plaintext)
                        self.later(self.rng.uniform(0.0005, 0.005), deliver)
                case StreamProbe(target, seq, timeout_s):
                    other = self.number[target]
                    ok = self.reaches(number, other) and self.reaches(other, number)
                    delay = 0.02 if ok else timeout_s * 0.9
                    self.later(delay, partial(self.stream_done, number, target, seq, ok))
                case Refute(above):
                    self.log.append((self.now, number, out))
                    self.perform(number, node.update_own(raised(node.own, number, above), now=self.now))
                case StateChanged() | RoutabilityChanged():
                    self.log.append((self.now, number, out))
                case Reconnect(target):
                    other = self.number[target]
                    if self.reaches(number, other) and self.reaches(other, number):
                        self.later(0.02, partial(self.sync, number, other))
                case PeerRoot() | Forgotten() | ProbeMeasured():
                    pass
        for member in node.members.values():
            assert self._seen.get((number, member.id), (0, 0)) <= member.record.version
            self._seen[number, member.id] = member.record.version

    def deliver(self, source: int, target: int, plaintext: bytes) -> None:
        if not self.reaches(source, target):
            return
        node, sender = self.nodes[target], self.nodes[source].own.id
        for message in decode_messages_untrusted(plaintext):
            if isinstance(message, Ping | Ack | PingRequest | Nack):
                self.perform(target, node.receive(message, sender, now=self.now))
            elif isinstance(message, RecordNews):
                learnt = decode_record_untrusted(message.raw)
                self.perform(target, node.learn_record(learnt, now=self.now, news=True))
            elif isinstance(message, AccusationNews):
                accusation = decode_accusation_untrusted(message.raw)
                self.perform(target, node.learn_accusation(accusation, now=self.now))

    def sync(self, one: int, other: int) -> None:
        """Do what the mesh does for ``Reconnect``: show the accusations, exchange the own records."""
        for here, there in ((one, other), (other, one)):
            node, peer = self.nodes[here], self.nodes[there]
            shown = node.accusation_of(peer.own.id, now=self.now)
            if shown is not None:
                accusation = decode_accusation_untrusted(shown.raw)
                self.perform(there, peer.learn_accusation(accusation, now=self.now))
            self.perform(here, node.learn_record(peer.own, now=self.now, news=True))

    def stream_done(self, number: int, target: NodeId, seq: int, ok: bool) -> None:
        if number not in self.down:
            outputs = self.nodes[number].stream_probe_result(target, seq, ok=ok, now=self.now)
            self.perform(number, outputs)

    def views(self, subject: int) -> dict[int, MemberState]:
        """What every other living node believes of ``subject``."""
        node = self.nodes[subject].own.id
        others = (i for i in range(len(self.nodes)) if i != subject and i not in self.down)
        return {i: self.nodes[i].members[node].state for i in others}

    def happened(self, *states: MemberState) -> list[tuple[float, int, StateChanged]]:
        changes = [(at, i, out) for at, i, out in self.log if isinstance(out, StateChanged)]
        return [change for change in changes if change[2].new in states]


@pytest.mark.parametrize(("size", "within_s"), [(2, 8), (3, 10), (4, 10), (5, 10), (8, 14)])
def test_a_crash_is_found_and_known_to_all(size: int, within_s: float) -> None:
    for seed in range(5):
        net = Net(size, seed)
        net.run(20.0)
        net.down.add(0)
        net.run(20.0 + within_s)
        assert set(net.views(0).values()) == {DEAD}, f"seed {seed}"
        assert {i for _, i, out in net.happened(DEAD) if out.id != net.nodes[0].own.id} == set()


@pytest.mark.parametrize("size", [2, 3, 4, 5, 8])
def test_nobody_dies_of_ten_percent_loss_in_a_minute(size: int) -> None:
    for seed in range(3):
        net = Net(size, seed, loss=0.1)
        net.run(60.0)
        assert net.happened(DEAD, LEFT) == [], f"seed {seed}"


@pytest.mark.parametrize("size", [2, 3, 8])
def test_nobody_dies_of_ten_percent_loss_where_only_udp_is_probed_though_many_are_suspected(
    size: int,
) -> None:
    suspected = 0
    for seed in range(3):
        net = Net(size, seed, loss=0.1, parameters=QUIET)
        net.run(60.0)
        suspected += len(net.happened(MemberState.SUSPECT))
        assert net.happened(DEAD) == [], f"seed {seed}"
    assert suspected


@pytest.mark.parametrize("size", [3, 4, 8])
def test_a_liar_that_accuses_everyone_kills_nobody_and_takes_nobody_out_of_rotation(size: int) -> None:
    net = Net(size, seed=1)
    net.run(5.0)
    liar = size - 1
    for round_ in range(60):
        for victim in range(liar):
            own = net.nodes[victim].own
            lie = accuse(liar, own.id, *own.version)
            for witness in range(liar):
                net.perform(witness, net.nodes[witness].learn_accusation(lie, now=net.now))
        net.run(6.0 + round_)
    assert net.happened(DEAD) == []
    assert not [out for _, _, out in net.log if isinstance(out, RoutabilityChanged)]
    for victim in range(liar):
        refuted = [at for at, i, out in net.log if i == victim and isinstance(out, Refute)]
        assert all(later - at >= LAN.refute_gap_s for at, later in pairwise(refuted))


@pytest.mark.parametrize("one_way", [True, False])
@pytest.mark.parametrize("size", [3, 4, 8])
def test_a_peer_that_only_we_cannot_reach_stays_alive_but_gets_no_requests_from_us(
    size: int, one_way: bool
) -> None:
    net = Net(size, seed=2)
    net.run(5.0)
    net.cut = {(0, 1)} if one_way else {(0, 1), (1, 0)}
    net.run(65.0)
    assert net.happened(DEAD) == []
    bob = net.nodes[1].own.id
    assert not net.nodes[0].members[bob].routable
    assert all(net.nodes[i].members[bob].routable for i in range(2, size))
    net.cut = set()
    net.run(80.0)
    assert net.nodes[0].members[bob].routable


def test_liars_that_conspire_kill_nobody_and_disturb_routing_for_one_round_trip_at_most() -> None:
    net = Net(8, seed=1)
    net.run(5.0)
    for round_ in range(30):
        for victim in range(5):
            own = net.nodes[victim].own
            for lie in [accuse(liar, own.id, *own.version) for liar in (5, 6, 7)]:
                for witness in range(5):
                    net.perform(witness, net.nodes[witness].learn_accusation(lie, now=net.now))
        net.run(5.02 + round_)
        assert all(member.routable for node in net.nodes[:5] for member in node.members.values())
        net.run(6.0 + round_)
    assert net.happened(DEAD) == []


@pytest.mark.parametrize(("size", "lasting_s"), [(2, 60), (8, 60), (2, 3_600)])
def test_a_mesh_that_fell_apart_grows_together_again_by_itself(size: int, lasting_s: int) -> None:
    net = Net(size, seed=3)
    net.run(5.0)
    sides = [range(size // 2), range(size // 2, size)]
    net.cut = {(a, b) for a in range(size) for b in range(size) if (a in sides[0]) != (b in sides[0])}
    net.run(5.0 + lasting_s)
    assert all(view is DEAD for i, view in net.views(0).items() if i in sides[1])
    net.cut = set()
    net.run(5.0 + lasting_s + 35.0)
    assert all(view is ALIVE for i in range(size) for view in net.views(i).values())


def test_a_change_and_a_leave_reach_everybody_within_a_second() -> None:
    net = Net(8, seed=4)
    net.run(10.0)
    gone = resign_record(
        evolve(net.nodes[0].own, incarnation=5, serving=Serving.LEAVING),
        seed=seed_of(0),
        mesh_id=MESH,
        issued_at=WALL,
    )
    net.perform(0, net.nodes[0].update_own(gone, now=net.now))
    net.run(11.0)
    assert set(net.views(0).values()) == {LEFT}
