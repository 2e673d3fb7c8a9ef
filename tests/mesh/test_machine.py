"""Dialogues with the whole control plane by values; and that no bytes from outside change it or raise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipmesh import crypto
from gossipmesh.channel.datagram import MAX_DATAGRAM
from gossipmesh.errors import ConfigError, RemoteProtocolError
from gossipmesh.identity.credentials import verify_credentials_untrusted
from gossipmesh.membership.messages import Ack
from gossipmesh.membership.parameters import LAN
from gossipmesh.mesh.exchanges import (
    MAX_AGE_S,
    MAX_OPEN,
    Greeting,
    Kind,
    decode_plain_untrusted,
    encode_greeting,
    encode_plain,
    encode_refusal,
)
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Exchange, MemberChanged, Notice, Output, Refused, SendDatagram
from gossipmesh.model import Address, MemberState, NodeId, Service, Serving
from gossipmesh.registry.sync import SyncRound
from gossipmesh.sim.world import World

STRANGER = Address("203.0.113.9", 53)


def mesh(size: int = 3, seed: int = 1) -> World:
    world = World(seed)
    world.add("n0", services=(Service("web", 8080),))
    for i in range(1, size):
        world.add(f"n{i}", seeds=["n0"])
    world.run_until(world.complete, within=10)
    world.run(5)
    return world


def state_of(machine: Mesh) -> object:
    """Give all that an attacker would want to change."""
    members = {m.id: (m.record.version, m.state, m.accusers, m.doubt) for m in machine.members.values()}
    return machine.own.version, members, machine.known(), dict(machine.names), machine.snapshot


def flips(good: bytes, *, every: int = 1) -> Iterator[bytes]:
    """Give ``good`` with each bit flipped, or with one of ``every`` bits."""
    for bit in range(0, 8 * len(good), every):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        yield bytes(bad)


def truncations(good: bytes) -> Iterator[bytes]:
    yield from (good[:size] for size in range(len(good)))


# Datagrams.


def is_refusal_or_hint(output: Output) -> bool:
    return isinstance(output, Refused) or (isinstance(output, SendDatagram) and output.kind == "hint")


def test_no_change_of_a_real_datagram_is_more_than_counted() -> None:
    world = mesh()
    n0, n1 = world.nodes["n0"].running, world.nodes["n1"].running
    (sealed,) = n1._gossip.seal(n0.id, (Ack(1, bytes(16)),))
    assert isinstance(sealed, SendDatagram)
    before = state_of(n0)
    for bad in (*flips(sealed.payload), *truncations(sealed.payload), sealed.payload + b"x"):
        outputs = n0.receive_datagram_untrusted(bad, STRANGER, now=world.now, wall=world.wall)
        assert all(map(is_refusal_or_hint, outputs)), outputs
    assert state_of(n0) == before
    outputs = n0.receive_datagram_untrusted(sealed.payload, STRANGER, now=world.now, wall=world.wall)
    assert not any(map(is_refusal_or_hint, outputs))


WORLD = mesh()


@settings(max_examples=200)
@given(st.binary(max_size=MAX_DATAGRAM + 100))
def test_no_datagram_at_all_is_more_than_counted(payload: bytes) -> None:
    n0 = WORLD.nodes["n0"].running
    before = state_of(n0)
    outputs = n0.receive_datagram_untrusted(payload, STRANGER, now=WORLD.now, wall=WORLD.wall)
    assert all(map(is_refusal_or_hint, outputs))
    assert state_of(n0) == before


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_no_plaintext_of_a_real_member_is_more_than_counted(plaintext: bytes) -> None:
    n0, n1 = WORLD.nodes["n0"].running, WORLD.nodes["n1"].running
    before = state_of(n0)
    payload = n1._secrecy.seal(n0.id, plaintext)
    outputs = n0.receive_datagram_untrusted(payload, STRANGER, now=WORLD.now, wall=WORLD.wall)
    assert outputs in ([Refused("gossip.malformed")], [])
    assert state_of(n0) == before


# Requests.


def requests(world: World, sender: Mesh) -> dict[str, bytes]:
    """Give one real request of each kind that ``sender`` could make now."""
    digest = SyncRound(sender._registry, lambda node: ()).next_request()
    assert digest is not None
    record = sender.own.signed.raw
    return {
        "greet": encode_greeting(Kind.GREET, Greeting(sender.chain.raw, record, record)),
        "probe": encode_plain(Kind.PROBE),
        "renew": encode_plain(Kind.RENEW, sender.chain.raw),
        "digest": digest,
        "reach": encode_plain(Kind.REACH),
        "dial": encode_plain(Kind.DIAL),
    }


@pytest.mark.parametrize("kind", ["greet", "probe", "renew", "digest", "reach", "dial"])
def test_no_change_of_a_real_request_changes_anything(kind: str) -> None:
    world = mesh()
    n0, n1 = world.nodes["n0"].running, world.nodes["n1"].running
    good, peer = requests(world, n1)[kind], world.peer_of(n1)
    before = state_of(n0)
    # One bit of every byte where each costs several signature checks.
    for bad in (*flips(good, every=9 if len(good) > 200 else 1), *truncations(good)):
        answer, outputs = n0.answer_untrusted(peer, bad, now=world.now, wall=world.wall)
        assert answer
        assert all(isinstance(output, Refused) for output in outputs), outputs
    assert state_of(n0) == before


@settings(max_examples=200)
@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda tail: b"\x94\x11" + tail))
def test_any_request_is_answered_and_changes_nothing(request: bytes) -> None:
    n0, n1 = WORLD.nodes["n0"].running, WORLD.nodes["n1"].running
    before = state_of(n0)
    answer, outputs = n0.answer_untrusted(WORLD.peer_of(n1), request, now=WORLD.now, wall=WORLD.wall)
    assert 0 < len(answer) < 10_000
    assert all(isinstance(output, Refused) for output in outputs)
    assert state_of(n0) == before


def test_what_is_not_granted_is_answered_with_the_reason() -> None:
    world = mesh()
    n0, n1 = world.nodes["n0"].running, world.nodes["n1"].running
    request = encode_plain(Kind.RENEW, n1.chain.raw)
    answer, outputs = n0.answer_untrusted(world.peer_of(n1), request, now=world.now, wall=world.wall)
    assert outputs == [Refused("chain.capability")]
    with pytest.raises(RemoteProtocolError, match=r"chain\.capability"):
        decode_plain_untrusted(answer, Kind.RENEWED)


def test_a_greeting_that_claims_to_have_buried_us_moves_nothing_without_our_signature() -> None:
    world = mesh()
    n0, n1 = world.nodes["n0"].running, world.nodes["n1"].running
    before = state_of(n0)
    for buried in (n1.own.signed.raw, b"junk"):
        request = encode_greeting(Kind.GREET, Greeting(n1.chain.raw, n1.own.signed.raw, buried))
        _, outputs = n0.answer_untrusted(world.peer_of(n1), request, now=world.now, wall=world.wall)
        assert [type(output) for output in outputs] == [Refused]
    assert state_of(n0) == before


# Answers.


def greet(world: World, asker: Mesh, other: Mesh) -> tuple[Exchange, bytes]:
    """Begin a greeting; give it and the honest answer."""
    member = asker.members[other.id]
    (exchange,) = asker._reconciling.meet(member, now=world.now)
    assert isinstance(exchange, Exchange)
    answer, _ = other.answer_untrusted(world.peer_of(asker), exchange.request, now=world.now, wall=world.wall)
    return exchange, answer


def test_no_change_of_a_real_answer_changes_more_than_the_exchange() -> None:
    world = mesh()
    n0, n1 = world.nodes["n0"].running, world.nodes["n1"].running
    peer = world.peer_of(n1)
    before = state_of(n0)
    _, good = greet(world, n0, n1)
    for number in range(1, 2 * MAX_OPEN):
        n0._exchanges.end(number)
    for bad in (*flips(good, every=37), *list(truncations(good))[::11], b"", good + b"x"):
        exchange, _ = greet(world, n0, n1)
        outputs = n0.receive_answer_untrusted(exchange.number, peer, bad, now=world.now, wall=world.wall)
        assert all(isinstance(output, Refused | Exchange) for output in outputs), outputs
        for output in outputs:
            if isinstance(output, Exchange):
                n0.exchange_failed(output.number, "", refused=False, now=world.now, wall=world.wall)
    assert state_of(n0) == before


def test_an_answer_to_nothing_is_nothing() -> None:
    world = mesh()
    n0, n1 = world.nodes["n0"].running, world.nodes["n1"].running
    peer = world.peer_of(n1)
    assert n0.receive_answer_untrusted(10**9, peer, b"junk", now=world.now, wall=world.wall) == []
    assert n0.exchange_failed(10**9, "x", refused=True, now=world.now, wall=world.wall) == []


# Stream probes and exchanges that never end.


def fill(world: World, machine: Mesh) -> list[int]:
    """Open exchanges until no more may be."""
    numbers = []
    other = next(iter(machine.members))
    while (probe := machine._reconciling.probe(other, 1, timeout_s=1.0, now=world.now)) is not None:
        numbers.append(probe.number)
    return numbers


def test_a_stream_probe_for_which_there_is_no_room_has_failed_and_does_not_vanish() -> None:
    """Helpers reach the target and we do not: that is known only if the refused probe is reported."""
    world = mesh(4, seed=3)
    n0, n1 = world.nodes["n0"].running, world.nodes["n1"].running
    fill(world, n0)
    begun = world.nodes["n0"].exchanges
    world.cut(["n0"], ["n1"])
    world.run_until(lambda: not n0.members[n1.id].routable, within=6)
    assert world.nodes["n0"].exchanges == begun
    assert n0.members[n1.id].state is MemberState.ALIVE
    assert n0.members[n1.id].reason == "others reach it, we do not"


def test_exchanges_that_a_shell_lost_are_given_up_after_a_minute() -> None:
    world = mesh()
    n0 = world.nodes["n0"].running
    assert len(fill(world, n0)) > 30
    assert fill(world, n0) == []
    world.run(MAX_AGE_S + 10)
    assert len(fill(world, n0)) > 30


def test_a_stream_probe_says_how_long_its_answer_is_of_use() -> None:
    world = mesh(2)
    n0 = world.nodes["n0"].running
    outputs: list[Output] = []
    while not (probes := [o for o in outputs if isinstance(o, Exchange) and o.timeout_s is not None]):
        outputs = n0.handle_timer(now=n0.deadline, wall=world.wall)
    assert 0 < (probes[0].timeout_s or 0) < 1
    assert probes[0].request == encode_plain(Kind.PROBE)


# What a node says and knows of itself.


def test_the_handshake_key_is_the_one_in_our_record() -> None:
    n0 = WORLD.nodes["n0"].running
    assert crypto.dh_public(n0.static_private) == n0.own.dh_key
    peer = verify_credentials_untrusted(
        n0.credentials(wall=WORLD.wall), n0.own.dh_key, n0.trust, wall=WORLD.wall
    )
    assert (peer.id, peer.record, peer.chain) == (n0.id, n0.own, n0.chain)


def test_what_is_known_is_pairs_of_chain_and_record_of_the_living() -> None:
    world = mesh(4)
    n0 = world.nodes["n0"].running
    assert len(n0.known()) == 6
    world.crash("n3")
    world.run_until(lambda: world.everyone_believes("n3", MemberState.DEAD), within=30)
    assert len(n0.known()) == 4


def test_draining_and_leaving_are_said_at_once_by_a_newer_record() -> None:
    world = mesh()
    n0 = world.nodes["n0"].running
    version = n0.own.version
    for serving in (Serving.DRAINING, Serving.SERVING, Serving.LEAVING):
        outputs = n0.set_serving(serving, now=world.now, wall=world.wall)
        assert n0.own.serving is serving
        assert n0.own.version > version
        version = n0.own.version
    assert sum(isinstance(output, SendDatagram) for output in outputs) == 2


def test_a_service_that_does_not_work_is_out_of_rotation_everywhere_within_a_gossip_period() -> None:
    world = mesh()
    node = world.nodes["n0"]

    def reasons() -> set[str]:
        snapshots = [each.running.snapshot for each in world.nodes.values()]
        return {endpoint.reason for snapshot in snapshots for endpoint in snapshot.endpoints("web")}

    for unhealthy, reason in ((frozenset({"web"}), "its own health check fails"), (frozenset[str](), "")):
        version = node.running.own.version
        world.perform(node, node.running.set_health(unhealthy, now=world.now, wall=world.wall))
        assert node.running.own.version > version
        world.run_until(lambda reason=reason: reasons() == {reason}, within=2 * LAN.gossip_period_s)
        assert node.running.set_health(unhealthy, now=world.now, wall=world.wall) == []


def test_a_failed_connect_takes_a_member_out_of_rotation_at_once_until_we_reach_it() -> None:
    world = mesh()
    n1, n0 = world.nodes["n1"].running, world.nodes["n0"].running
    outputs = n1.note_unreachable(n0.id, "connect refused", now=world.now, wall=world.wall)
    assert [each.reason for each in n1.snapshot.endpoints("web")] == ["connect refused"]
    assert [output.kind for output in outputs if isinstance(output, SendDatagram)] == ["ping"]
    assert n1.note_unreachable(NodeId(bytes(32)), "x", now=world.now, wall=world.wall) == []
    for output in outputs:
        if isinstance(output, SendDatagram):
            answer = n0.receive_datagram_untrusted(
                output.payload, n1.own.addresses[0], now=world.now, wall=world.wall
            )
            (ack,) = [each for each in answer if isinstance(each, SendDatagram)]
            n1.receive_datagram_untrusted(
                ack.payload, n0.own.addresses[0], now=world.now + 0.001, wall=world.wall
            )
    assert [each.reason for each in n1.snapshot.endpoints("web")] == [""]


def test_a_node_whose_record_would_not_fit_does_not_start() -> None:
    world = World(9)
    many = tuple(Service(f"service-{i:050}", 8080) for i in range(40))
    with pytest.raises(ConfigError) as caught:
        world.add("n0", services=many)
    assert caught.value.code == "record.too-long"


def test_a_change_is_told_under_the_name_that_is_shown() -> None:
    world = mesh()
    changes = [change for _, change in world.nodes["n0"].changes]
    assert {(change.name, change.new) for change in changes} == {
        ("n1", MemberState.ALIVE),
        ("n2", MemberState.ALIVE),
    }
    assert all(isinstance(change, MemberChanged) for change in changes)


def test_a_stall_of_ours_is_not_taken_for_the_silence_of_others() -> None:
    """After a pause, what came in is handed over first; then deadlines fire, late by as much."""
    world = mesh(5, seed=4)
    node = world.nodes["n0"]
    for _ in range(20):
        # The worst moment: a ping has just left, and its ack will wait unread while the probe's time runs out.
        sent = node.sent
        world.run_until(lambda sent=sent: node.sent > sent, within=5)
        world.stall("n0", 3.0)
        world.run(4.0)
    world.run(30)
    suspected = [c for _, c in node.changes if c.new in (MemberState.SUSPECT, MemberState.DEAD)]
    assert suspected == []
    dead = [c for n in world.up for _, c in n.changes if c.new is MemberState.DEAD]
    assert dead == []


def test_who_left_long_ago_is_forgotten_with_everything_about_it() -> None:
    world = World(7, profile=evolve(LAN, keep_left_s=20.0))
    world.add("n0")
    world.add("n1", seeds=["n0"], services=(Service("web", 8080),))
    world.run(5)
    n0, gone = world.nodes["n0"].running, world.nodes["n1"].key.id
    last = world.nodes["n1"].running.own
    world.leave("n1")
    world.run(10)
    assert n0.members[gone].state is MemberState.LEFT
    world.run(15)
    assert gone not in n0.members
    assert gone not in n0.names
    # What it said once does not bring it back; a new life does.
    outputs = n0._admission.record(last.signed.raw, n0.id, news=False, now=world.now, wall=world.wall)
    assert [type(output) for output in outputs] in ([], [Refused])
    world.start("n1")
    world.run_until(world.complete, within=5)


def test_a_refused_request_ends_its_round_and_is_counted() -> None:
    world = mesh()
    n0, n1 = world.nodes["n0"].running, world.nodes["n1"].running
    exchange, _ = greet(world, n0, n1)
    refusal = encode_refusal("busy")
    outputs = n0.receive_answer_untrusted(
        exchange.number, world.peer_of(n1), refusal, now=world.now, wall=world.wall
    )
    assert outputs == [Refused("exchange.refused")]


def test_notices_are_for_people() -> None:
    world = World(6)
    for name in ("a", "b"):
        world.add(name, start=False)
    world.nodes["b"].seeds = (world.nodes["a"].address,)
    world.start("b")
    world.run(30)
    notices = world.nodes["b"].notices
    assert notices
    assert all(isinstance(notice, Notice) and notice.text.isprintable() for notice in notices)
