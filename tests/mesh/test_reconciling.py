"""When registries are compared with whom; greetings, burials and stream probes, as dialogues of two machines."""

from __future__ import annotations

import random

import pytest

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.accusation import decode_accusation_untrusted
from gossipmesh.membership.members import Member
from gossipmesh.mesh.exchanges import MAX_OPEN, MAX_OPEN_BESIDE_PROBES, Kind, Open, encode_plain
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Exchange, MemberChanged, Notice, Output
from gossipmesh.mesh.reconciling import HINT_SYNC_GAP_S, MAX_HINTED, Reconciling
from gossipmesh.model import Address, MemberState, NodeId
from gossipmesh.registry.sync_messages import is_registry_request, peek_kind_untrusted
from gossipmesh.sim.world import World


def mesh(size: int = 2, seed: int = 1) -> World:
    world = World(seed)
    world.add("n0")
    for i in range(1, size):
        world.add(f"n{i}", seeds=["n0"])
    world.run(3)
    return world


def exchanges(outputs: list[Output]) -> list[Exchange]:
    return [output for output in outputs if isinstance(output, Exchange)]


class Dialogue:
    """Exchanges between two machines, carried by hand and at once."""

    def __init__(self, world: World, asker: Mesh, other: Mesh) -> None:
        self.world, self.asker, self.other = world, asker, other
        self.kinds: list[int] = []
        self.outputs: list[Output] = []

    def carry(self, outputs: list[Output]) -> None:
        """Perform every exchange among ``outputs`` and among what follows from them."""
        now, wall = self.world.now, self.world.wall
        waiting = list(outputs)
        while waiting:
            output = waiting.pop(0)
            self.outputs.append(output)
            if isinstance(output, Exchange):
                self.kinds.append(peek_kind_untrusted(output.request))
                answer, said = self.other.answer_untrusted(
                    self.world.peer_of(self.asker), output.request, now=now, wall=wall
                )
                self.outputs += said
                waiting += self.asker.receive_answer_untrusted(
                    output.number, self.world.peer_of(self.other), answer, now=now, wall=wall
                )


def newcomer(world: World) -> Mesh:
    """Give a node that has asked its seed, whose request nobody carried."""
    world.add("new", seeds=["n0"])
    world.network.cut(["new"], ["n0"])
    world.run(2.1)
    return world.nodes["new"].running


def let_it_ask(world: World, asker: Mesh) -> list[Output]:
    """Let time pass at one machine only until it begins an exchange."""
    outputs: list[Output] = []
    while not exchanges(outputs):
        outputs = asker.handle_timer(now=asker.deadline, wall=world.wall)
    return outputs


# Greetings and rounds.


def test_a_newcomer_greets_its_seed_and_compares_registries_until_it_is_in_step() -> None:
    world = mesh(3)
    asker, seed = newcomer(world), world.nodes["n0"].running
    assert not asker.joined
    dialogue = Dialogue(world, asker, seed)
    dialogue.carry(let_it_ask(world, asker))
    assert dialogue.kinds[0] == Kind.GREET
    assert dialogue.kinds[1] == Kind.CHARTER
    assert all(is_registry_request(kind) for kind in dialogue.kinds[2:])
    assert len(dialogue.kinds) > 2
    assert {m.record.name for m in asker.members.values()} == {"n0", "n1", "n2"}
    assert asker.id in seed.members
    assert asker.joined


def test_equal_registries_are_compared_in_one_small_exchange() -> None:
    world = mesh(3)
    before = {node.name: node.exchanges for node in world.up}
    world.run(100)
    routine = sum(node.exchanges - before[node.name] for node in world.up)
    # One every ten seconds and node, whatever N is; not two, which a difference would take.
    assert 24 <= routine <= 40


def bury(world: World, observer: str, subject: str) -> None:
    """Let ``observer`` hold ``subject`` for dead, which knows nothing of it."""
    world.cut([observer], [subject])
    world.run_until(lambda: world.believes(observer, subject) is MemberState.DEAD, within=60)
    world.heal()


def test_a_buried_member_that_is_greeted_rises_and_comes_back() -> None:
    world = mesh(2)
    bury(world, "n0", "n1")
    n0, n1 = world.nodes["n0"].running, world.nodes["n1"].running
    version = n1.own.version
    member = n0.members[n1.id]
    dialogue = Dialogue(world, n0, n1)
    dialogue.carry(n0._reconciling.meet(member, now=world.now))
    assert n1.own.version > version
    assert n0.members[n1.id].state is MemberState.ALIVE
    back = [output for output in dialogue.outputs if isinstance(output, MemberChanged)]
    assert "came back with a newer record" in {change.why for change in back}


def test_two_that_buried_each_other_both_come_back_in_one_greeting() -> None:
    world = mesh(2)
    bury(world, "n0", "n1")
    n0, n1 = world.nodes["n0"].running, world.nodes["n1"].running
    world.cut(["n0"], ["n1"])
    world.run_until(lambda: world.believes("n1", "n0") is MemberState.DEAD, within=60)
    dialogue = Dialogue(world, n0, n1)
    dialogue.carry(n0._reconciling.meet(n0.members[n1.id], now=world.now))
    assert n0.members[n1.id].state is MemberState.ALIVE
    assert n1.members[n0.id].state is MemberState.ALIVE
    # The second greeting shows the newer record; there is no third.
    assert dialogue.kinds.count(Kind.GREET) == 2


def test_whoever_meets_itself_at_a_seed_has_not_joined() -> None:
    world = World(3)
    alias = Address("198.51.100.1", 7946)
    node = world.add("n0", start=False)
    node.seeds = (alias, Address("198.51.100.2", 7946))
    world.start("n0")
    mesh_ = node.running
    peer = world.peer_of(mesh_)
    outputs = mesh_.handle_timer(now=1.0, wall=world.wall)
    (exchange,) = exchanges(outputs)
    answer, said = mesh_.answer_untrusted(peer, exchange.request, now=1.0, wall=world.wall)
    after = mesh_.receive_answer_untrusted(exchange.number, peer, answer, now=1.0, wall=world.wall)
    assert exchanges([*said, *after]) == []
    assert not mesh_.joined
    assert dict(mesh_.members) == {}


def test_a_seed_that_refuses_is_complained_of_once_in_half_a_minute() -> None:
    world = World(4)
    world.add("n0", start=False)
    node = world.add("n1", seeds=["n0"], start=False)
    world.start("n1")
    world.run(0.1)
    mesh_, told = node.running, []
    for now in range(1, 60):
        outputs = mesh_.handle_timer(now=float(now), wall=world.wall)
        for exchange in exchanges(outputs):
            failed = mesh_.exchange_failed(
                exchange.number, "another mesh", refused=True, now=float(now), wall=world.wall
            )
            told += [(now, output.code) for output in failed if isinstance(output, Notice)]
    assert [code for _, code in told] == ["join.refused"] * 2
    assert told[1][0] - told[0][0] >= 30


def test_a_refusal_is_final_only_once_all_seeds_have_refused_and_silence_never_is() -> None:
    world = World(5)
    world.add("n0", start=False)
    world.add("n1", start=False)
    node = world.add("n2", seeds=["n0", "n1"], start=False)
    world.start("n2")
    told: list[tuple[int, Address, str]] = []
    for now in range(1, 120):
        for exchange in exchanges(node.running.handle_timer(now=float(now), wall=world.wall)):
            seed = exchange.addresses[0]
            failed = node.running.exchange_failed(
                exchange.number,
                f"why {now}",
                refused=seed == node.seeds[0] or now > 60,
                now=float(now),
                wall=world.wall,
            )
            told += [(now, seed, output.code) for output in failed if isinstance(output, Notice)]
    early = {code for now, _, code in told if now <= 60}
    late = [code for now, seed, code in told if now > 60 and seed == node.seeds[1]]
    assert early == {"join.unanswered"}
    assert set(late) == {"join.refused"}
    without = node.running.set_seeds((), now=120.0, wall=world.wall)
    assert "join.refused" not in {output.code for output in without if isinstance(output, Notice)}


# Hints.


def test_hints_of_one_peer_cause_one_greeting_in_five_seconds_and_those_of_many_a_bounded_number() -> None:
    world = mesh(2, seed=2)
    n0 = world.nodes["n0"].running
    reconciling = n0._reconciling
    (member,) = n0.members.values()
    begun = [bool(reconciling.hinted(member, now=now / 10)) for now in range(0, 49)]
    assert begun == [True] + [False] * 48
    crowd = [
        Member(NodeId(bytes([i % 256, i // 256]) * 16), member.record, MemberState.ALIVE, 0.0)
        for i in range(2 * MAX_HINTED)
    ]
    more = [each for other in crowd for each in reconciling.hinted(other, now=6.0)]
    assert len(more) == MAX_OPEN_BESIDE_PROBES - 1
    assert reconciling.hinted(crowd[0], now=6.0 + HINT_SYNC_GAP_S - 0.1) == []


# Stream probes.


def test_a_stream_probe_carries_how_long_its_answer_is_of_use() -> None:
    world = mesh(2)
    n0, n1 = world.nodes["n0"].running, world.nodes["n1"].running
    exchange = n0._reconciling.probe(n1.id, 7, timeout_s=0.4, now=world.now)
    assert exchange is not None
    assert (exchange.target, exchange.timeout_s) == (n1.id, 0.4)
    assert exchange.request == encode_plain(Kind.PROBE)
    assert n0._reconciling.probe(NodeId(bytes(32)), 7, timeout_s=0.4, now=world.now) is None


def test_probes_beyond_the_limit_are_none_and_not_lost() -> None:
    world = mesh(2)
    n0, n1 = world.nodes["n0"].running, world.nodes["n1"].running
    probes = [n0._reconciling.probe(n1.id, seq, timeout_s=0.4, now=world.now) for seq in range(MAX_OPEN + 5)]
    assert probes[-1] is None
    assert sum(probe is not None for probe in probes) <= MAX_OPEN


# What differs.


def test_a_peer_that_differs_for_two_seconds_is_synced_with_and_one_that_agrees_again_is_not() -> None:
    world = mesh(3)
    n0 = world.nodes["n0"].running
    reconciling: Reconciling = n0._reconciling
    n1, n2 = world.nodes["n1"].key.id, world.nodes["n2"].key.id
    now = world.now + 10
    begun = reconciling.handle_timer(now=now)
    for each in exchanges([*begun, *reconciling.handle_timer(now=now)]):
        n0.exchange_failed(each.number, "", refused=False, now=now, wall=world.wall)
    reconciling.start(now=now + 1000)
    reconciling.differs(n1, now=now)
    reconciling.differs(n2, now=now)
    reconciling.agrees(n2)
    reconciling.differs(NodeId(bytes(32)), now=now)
    assert reconciling.differing(n0.members) == 1
    assert reconciling.deadline >= now + 2
    at = reconciling.deadline
    while not (begun := reconciling.handle_timer(now=at)):
        at = reconciling.deadline
    assert [output.target for output in exchanges(begun)] == [n1]
    assert at <= now + 6


def test_the_share_of_members_in_step_is_seen() -> None:
    world = mesh(3)
    n0 = world.nodes["n0"].running
    world.run(5)
    assert n0.agreement == 1.0
    n0._reconciling.differs(world.nodes["n1"].key.id, now=world.now)
    assert n0.agreement == 0.5


# Accusations travel with records.


def test_what_is_held_against_a_member_travels_with_its_record() -> None:
    world = mesh(4, seed=5)
    world.cut(["n0", "n1", "n2"], ["n3"])
    world.run_until(lambda: world.believes("n0", "n3") is MemberState.SUSPECT, within=30)
    subject = world.nodes["n3"].key.id
    held = world.nodes["n0"].running._reconciling._accusations(now=world.now)(subject)
    assert held
    assert {decode_accusation_untrusted(raw).subject for raw in held} == {subject}


# Bytes.


def test_an_answer_of_another_kind_ends_the_round_with_an_error() -> None:
    world = mesh(2)
    n0, n1 = world.nodes["n0"].running, world.nodes["n1"].running
    peer = world.peer_of(n1)
    (member,) = n0.members.values()
    (exchange,) = exchanges(n0._reconciling.meet(member, now=world.now))
    opened = n0._exchanges.end(exchange.number)
    assert isinstance(opened, Open)
    rng = random.Random(1)
    for answer in (b"", encode_plain(Kind.PROBED), exchange.request, rng.randbytes(50)):
        with pytest.raises(RemoteProtocolError):
            n0._reconciling.receive_answer_untrusted(opened, peer, answer, now=world.now, wall=world.wall)
