"""Whether others reach us where we say that we are: what is asked, what is looked for, what is said in the log."""

from __future__ import annotations

from attrs import evolve

from gossipmesh.mesh.exchanges import (
    Kind,
    Reached,
    decode_reached_untrusted,
    encode_plain,
    encode_reached,
    encode_refusal,
)
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Exchange, Notice, Output, SendDatagram
from gossipmesh.mesh.reach import ASK_ANEW_S, LOOK_AGE_S, MAX_DIALS, NOTICE_GAP_S
from gossipmesh.model import Address
from gossipmesh.sim.world import World

ELSEWHERE = Address("198.51.100.1", 1)


def two(seed: int = 1, *, advertise: Address | None = None, start: bool = True) -> World:
    """Give a seed and a newcomer, that says to be at ``advertise`` where nobody is."""
    world = World(seed, profile="local")
    world.add("seed")
    new = world.add("new", seeds=["seed"], start=False)
    if advertise is not None:
        new.address = advertise
    if start:
        world.start("new")
    return world


def complaints(world: World, name: str = "new") -> list[str]:
    return [notice.text for notice in world.nodes[name].notices if notice.code == "own.unreachable"]


def test_who_is_reached_hears_nothing_of_it_and_asks_twice() -> None:
    world = two()
    world.run(60)
    assert complaints(world) == complaints(world, "seed") == []
    # Both ask whom they met first: once to have the other look, once for what it found.
    assert world.coverage["reach-asked"] == 4


def test_who_is_not_where_it_says_is_told_within_seconds_once_with_what_to_do() -> None:
    world = two(advertise=ELSEWHERE)
    world.run(5)
    (text,) = complaints(world)
    assert text.startswith("seed (")
    assert "does not reach this node" in text
    assert str(ELSEWHERE) in text
    assert "--advertise HOST:PORT" in text
    world.run(100)
    assert complaints(world) == [text]


def test_who_gets_no_datagrams_is_told_too() -> None:
    world = two(start=False)
    world.cut(["seed"], ["new"], one_way=True, udp_only=True)
    world.start("new")
    world.run(20)
    assert len(complaints(world)) == 1


def test_a_first_node_with_a_wrong_address_hears_of_it_from_who_joins_by_a_right_one() -> None:
    world = World(3, profile="local")
    first = world.add("first", start=False)
    right, first.address = first.address, ELSEWHERE
    world.start("first")
    world.nodes["first"].address = right  # where its socket is
    world.add("new", seeds=["first"])
    world.run(15)
    (text,) = complaints(world, "first")
    assert str(ELSEWHERE) in text


def test_who_was_not_reached_finds_out_when_that_is_mended() -> None:
    world = two(start=False)
    world.cut(["seed"], ["new"], one_way=True, udp_only=True)
    world.start("new")
    world.run(25)
    reach = world.nodes["new"].running.circumstances
    assert (reach.found.reached, reach.found.witness) == (Reached.STREAM_ONLY, world.nodes["seed"].key.id)
    world.heal()
    world.run_until(
        lambda: world.nodes["new"].running.circumstances.found.reached is Reached.YES, within=3 * ASK_ANEW_S
    )
    assert world.nodes["new"].running._reach.deadline == float("inf")


# The side that looks.


def asked(world: World, seed: Mesh, new: Mesh, *, now: float) -> tuple[Reached, list[Output]]:
    request = encode_plain(Kind.REACH)
    answer, outputs = seed.answer_untrusted(world.peer_of(new), request, now=now, wall=world.wall)
    return decode_reached_untrusted(answer), outputs


def dials(outputs: list[Output]) -> list[Exchange]:
    return [output for output in outputs if isinstance(output, Exchange)]


def pings(outputs: list[Output]) -> list[SendDatagram]:
    return [output for output in outputs if isinstance(output, SendDatagram) and output.kind == "ping"]


def settled() -> tuple[World, Mesh, Mesh]:
    world = two()
    world.run(60)
    return world, world.nodes["seed"].running, world.nodes["new"].running


def test_a_question_makes_us_look_and_the_next_one_is_answered() -> None:
    world, seed, new = settled()
    now = world.now
    reached, outputs = asked(world, seed, new, now=now)
    assert reached is Reached.UNKNOWN
    (dial,) = dials(outputs)
    assert (dial.target, dial.addresses) == (new.id, new.own.addresses)
    (ping,) = pings(outputs)
    assert asked(world, seed, new, now=now + 0.1) == (Reached.UNKNOWN, [])
    peer = world.peer_of(new)
    answer, nothing = new.answer_untrusted(world.peer_of(seed), dial.request, now=now, wall=world.wall)
    assert (answer, nothing) == (encode_plain(Kind.DIALLED), [])
    seed.receive_answer_untrusted(dial.number, peer, answer, now=now + 0.2, wall=world.wall)
    assert asked(world, seed, new, now=now + 0.3)[0] is Reached.STREAM_ONLY
    (ack,) = new.receive_datagram_untrusted(ping.payload, seed.own.addresses[0], now=now, wall=world.wall)
    assert isinstance(ack, SendDatagram)
    seed.receive_datagram_untrusted(ack.payload, new.own.addresses[0], now=now + 0.4, wall=world.wall)
    assert asked(world, seed, new, now=now + 0.5) == (Reached.YES, [])


def test_a_dial_that_fails_says_no_or_datagrams_only() -> None:
    world, seed, new = settled()
    now = world.now
    _, outputs = asked(world, seed, new, now=now)
    (dial,), (ping,) = dials(outputs), pings(outputs)
    seed.exchange_failed(dial.number, "refused", refused=False, now=now, wall=world.wall)
    assert asked(world, seed, new, now=now + 0.1)[0] is Reached.NO
    (ack,) = new.receive_datagram_untrusted(ping.payload, seed.own.addresses[0], now=now, wall=world.wall)
    assert isinstance(ack, SendDatagram)
    seed.receive_datagram_untrusted(ack.payload, new.own.addresses[0], now=now, wall=world.wall)
    assert asked(world, seed, new, now=now + 0.2)[0] is Reached.DATAGRAMS_ONLY


def test_however_often_one_asks_it_is_dialled_once_in_half_a_minute_and_pinged_twice_a_second() -> None:
    world, seed, new = settled()
    begin = world.now
    outputs = [
        output
        for tick in range(int(LOOK_AGE_S * 10))
        for output in asked(world, seed, new, now=begin + tick / 10)[1]
    ]
    assert len(dials(outputs)) == 1
    assert len(pings(outputs)) <= 2 * LOOK_AGE_S
    assert len(dials(asked(world, seed, new, now=begin + LOOK_AGE_S)[1])) == 1


def test_who_has_moved_is_looked_for_anew() -> None:
    world, seed, new = settled()
    asked(world, seed, new, now=world.now)
    peer = world.peer_of(new)
    assert peer.record is not None
    moved = evolve(peer, record=evolve(peer.record, addresses=(ELSEWHERE,)))
    _, outputs = seed.answer_untrusted(moved, encode_plain(Kind.REACH), now=world.now, wall=world.wall)
    assert [dial.addresses for dial in dials(outputs)] == [(ELSEWHERE,)]


def test_a_crowd_that_asks_is_dialled_a_few_at_a_time() -> None:
    world = World(1, profile="local")
    names = world.populate(MAX_DIALS + 5)
    seed = world.nodes[names[0]].running
    begun = [len(dials(asked(world, seed, world.nodes[name].running, now=0.0)[1])) for name in names[1:]]
    assert sum(begun) == MAX_DIALS


def test_a_peer_that_is_no_member_yet_is_not_dialled() -> None:
    world, seed, _ = settled()
    stranger = world.add("stranger", start=False)
    world.network.cut(["stranger"], ["seed", "new"])
    world.start("stranger")
    assert asked(world, seed, stranger.running, now=world.now) == (Reached.UNKNOWN, [])


# The side that asks.


def ask(world: World, new: Mesh, seed: Mesh) -> Exchange:
    """Let a node that has not asked yet do so."""
    new._reach.meet(seed.id, seed.own.addresses, now=world.now)
    (exchange,) = new._reach.handle_timer(now=new._reach.deadline)
    assert isinstance(exchange, Exchange)
    assert exchange.request == encode_plain(Kind.REACH)
    return exchange


def told(outputs: list[Output]) -> list[str]:
    return [output.text for output in outputs if isinstance(output, Notice)]


def fresh() -> tuple[World, Mesh, Mesh]:
    """Give two that know each other and have met nobody by a greeting."""
    world = World(5, profile="local")
    world.populate(2)
    return world, world.nodes["n0"].running, world.nodes["n1"].running


def test_a_liar_can_do_no_more_than_a_line_in_the_log_that_names_it() -> None:
    world, seed, new = fresh()
    before = (new.own, dict(new.members), new.snapshot)
    exchange = ask(world, new, seed)
    outputs = new.receive_answer_untrusted(
        exchange.number, world.peer_of(seed), encode_reached(Reached.NO), now=2.0, wall=world.wall
    )
    (text,) = told(outputs)
    assert text.startswith("n0 (")
    assert len(outputs) == 1
    assert (new.own, dict(new.members), new.snapshot) == before
    # It is not asked again, nor anybody else, before a minute has passed.
    new._reach.meet(seed.id, seed.own.addresses, now=3.0)
    assert new._reach.deadline == 2.0 + ASK_ANEW_S


def test_datagrams_may_be_lost_so_it_takes_several_answers_to_believe_that_none_gets_through() -> None:
    world, seed, new = fresh()
    exchange = ask(world, new, seed)
    lines: list[str] = []
    rounds = 0
    while not lines:
        answer = encode_reached(Reached.STREAM_ONLY)
        now = min(new._reach.deadline, 100.0)
        lines = told(
            new.receive_answer_untrusted(
                exchange.number, world.peer_of(seed), answer, now=now, wall=world.wall
            )
        )
        rounds += 1
        if not lines:
            (again,) = new._reach.handle_timer(now=new._reach.deadline)
            assert isinstance(again, Exchange)
            exchange = again
    assert rounds == 5
    assert "gets no datagram through to this node" in lines[0]


def test_where_nobody_knows_the_next_one_that_is_met_is_asked() -> None:
    world, seed, new = fresh()
    exchange = ask(world, new, seed)
    # An older release refuses what it does not know; so it is with one that is gone.
    for _ in range(5):
        refusal = encode_refusal("exchange.malformed")
        outputs = new.receive_answer_untrusted(
            exchange.number, world.peer_of(seed), refusal, now=1.0, wall=world.wall
        )
        assert told(outputs) == []
        for again in new._reach.handle_timer(now=new._reach.deadline):
            assert isinstance(again, Exchange)
            exchange = again
    assert new._reach.deadline == float("inf")
    ask(world, new, seed)


def test_where_every_member_answers_over_tcp_only_somebody_should_look_at_our_address_now_and_then() -> None:
    world = World(8, profile="local")
    world.add("n0")
    world.add("n1", seeds=["n0"])
    world.run_until(world.complete, within=5)
    world.lose(1.0)  # of datagrams; exchanges over TCP go through
    world.run(40)
    assert [len(complaints(world, name)) for name in ("n0", "n1")] == [1, 1]
    world.run(NOTICE_GAP_S)
    assert [len(complaints(world, name)) for name in ("n0", "n1")] == [2, 2]
    world.lose(0.0)
    world.run(2 * NOTICE_GAP_S)
    assert [len(complaints(world, name)) for name in ("n0", "n1")] == [2, 2]
