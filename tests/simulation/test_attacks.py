"""What liars, forgers and replayers achieve: nothing but counters and notices."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from gossipmesh.identity.accusation import sign_accusation
from gossipmesh.identity.chain import Capability, Caveats
from gossipmesh.identity.record import MAX_COUNTER
from gossipmesh.identity.token import new_token
from gossipmesh.membership.messages import AccusationNews
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Output
from gossipmesh.model import Address, MemberState, Service
from gossipmesh.sim.world import World

Version = tuple[int, int]


def mesh(seed: int, size: int = 5) -> World:
    world = World(seed)
    world.add("n0")
    for i in range(1, size):
        world.add(f"n{i}", seeds=["n0"])
    world.run_until(world.complete, within=20)
    world.run(5)
    return world


class Liar(Mesh):
    """Follows the protocol, and accuses everybody to everybody as often as its timer fires."""

    def lie_about(self, version: Version) -> Version:
        return version

    def handle_timer(self, *, now: float, wall: float, late_s: float = 0.0) -> list[Output]:
        outputs = super().handle_timer(now=now, wall=wall, late_s=late_s)
        for subject in self.members.values():
            boot, incarnation = self.lie_about(subject.record.version)
            accusation = sign_accusation(
                seed=self._setup.key.seed,
                mesh_id=self._setup.trust.mesh_id,
                subject=subject.id,
                boot=boot,
                incarnation=incarnation,
                issued_at=int(wall),
            )
            for target in self.members:
                outputs += self._gossip.seal(target, (AccusationNews(accusation.signed.raw),))
        return outputs


class ExtremeLiar(Liar):
    """Quotes versions that nobody ever signed, the greatest that there are."""

    def lie_about(self, version: Version) -> Version:
        return MAX_COUNTER, MAX_COUNTER - 1


def with_a_liar(seed: int, kind: Callable[..., Mesh]) -> World:
    world = mesh(seed, 6)
    world.add("liar", seeds=["n0"], machine=kind)
    # Not complete(): those that were just accused are suspects, if routable ones.
    world.run_until(lambda: all(len(node.running.members) == 6 for node in world.up), within=20)
    return world


@pytest.mark.parametrize("seed", [1, 2])
def test_one_member_that_accuses_everybody_gets_nobody_out_of_rotation(seed: int) -> None:
    world = with_a_liar(seed, Liar)
    before = {node.name: node.running.own.version for node in world.up}
    for _ in range(60):
        world.run(1)
        for node in world.up:
            unroutable = [m.record.name for m in node.running.members.values() if not m.routable]
            assert (node.name, unroutable) == (node.name, [])
    assert not [c for n in world.up for _, c in n.changes if c.new is MemberState.DEAD]
    for node in world.up:
        # A subject signs again at most once in ten seconds, however often it is accused.
        assert node.running.own.incarnation - before[node.name][1] <= 8


def test_accusations_of_versions_that_were_never_signed_move_nothing() -> None:
    world = with_a_liar(3, ExtremeLiar)
    before = {node.name: node.running.own.version for node in world.up}
    changes = {node.name: len(node.changes) for node in world.up}
    world.run(60)
    assert {node.name: node.running.own.version for node in world.up} == before
    assert {node.name: len(node.changes) for node in world.up} == changes
    assert world.nodes["n1"].refused["accusation.unknown-version"] > 0


def state_of(node: Mesh) -> object:
    """Give all that an attacker would want to change."""
    return (
        node.own.version,
        {m.id: (m.record.version, m.state, m.accusers, m.doubt) for m in node.members.values()},
        node.known(),
        dict(node.names),
        node.snapshot,
    )


def test_recorded_traffic_replayed_after_a_restart_gives_no_transition() -> None:
    world = mesh(4)
    recorded: list[tuple[Address, Address, bytes]] = []
    world.network.tap = lambda source, target, payload: recorded.append((source, target, payload))
    world.crash("n4")
    world.run_until(lambda: world.everyone_believes("n4", MemberState.DEAD), within=30)
    world.start("n4")
    world.run_until(world.complete, within=10)
    world.run(20)
    world.crash("n3")
    world.run(1)
    world.start("n3")
    world.run_until(world.complete, within=10)
    world.run(20)
    world.network.tap = None
    by_address = {node.address: node.name for node in world.up}
    changes = {node.name: len(node.changes) for node in world.up}
    states = {node.name: state_of(node.running) for node in world.up}
    assert len(recorded) > 100
    for source, target, payload in recorded:
        world.inject(by_address[target], payload, source)
    assert {node.name: state_of(node.running) for node in world.up} == states
    world.run(30)
    assert {node.name: len(node.changes) for node in world.up} == changes
    assert sum(node.refused["datagram.replay"] for node in world.up) > 0


def test_junk_changes_nothing_but_counters() -> None:
    world = mesh(5)
    recorded: list[tuple[Address, Address, bytes]] = []
    world.network.tap = lambda source, target, payload: recorded.append((source, target, payload))
    world.run(2)
    world.network.tap = None
    node = world.nodes["n1"]
    before = state_of(node.running)
    rng = random.Random(5)
    sent = node.sent
    stranger = Address("203.0.113.9", 53)
    real = [payload for _, target, payload in recorded if target == node.address]
    for payload in real:
        for _ in range(40):
            bad = bytearray(payload)
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
            world.inject("n1", bytes(bad), stranger)
    for size in range(1400):
        world.inject("n1", rng.randbytes(size), stranger)
    assert state_of(node.running) == before
    # Whatever a source sends, it gets one hint a second.
    assert node.sent - sent <= 1
    assert {code.split(".")[0] for code in node.refused} <= {"datagram", "gossip"}
    world.run(20)
    assert world.complete()


def test_a_service_outside_the_token_gets_no_route_and_a_notice() -> None:
    world = mesh(6, 3)
    wall = int(world.wall)
    caveats = Caveats(wall - 300, wall + 86_400, services=("web*",), caps=frozenset({Capability.JOIN}))
    token = new_token(world.trust.path[0], world.root_seed, caveats, random.Random(6).randbytes)
    services = (Service("web-1", 8080), Service("payments", 8081))
    greedy = world.add("greedy", services=services, seeds=["n0"], token=token)
    world.run_until(world.complete, within=8)
    world.run(1)
    for node in world.up:
        snapshot = node.running.snapshot
        assert [each.id for each in snapshot.endpoints("web-1")] == [greedy.key.id]
        assert list(snapshot.endpoints("payments")) == []
        told = "own.services-refused" if node is greedy else "member.services-refused"
        assert node.told(told) == 1
