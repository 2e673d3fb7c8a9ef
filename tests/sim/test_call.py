"""What becomes of exchanges over TCP in virtual time."""

from __future__ import annotations

from attrs import evolve

from gossipmesh.identity.chain import join_chain
from gossipmesh.mesh.outputs import Exchange
from gossipmesh.model import Address
from gossipmesh.sim.call import CONNECT_TIMEOUT_S, EXCHANGE_TIMEOUT_S, Call
from gossipmesh.sim.world import World

HOUR = 3600.0


def pair() -> tuple[World, Exchange]:
    """Give a world of two that know each other, and a greeting from a to b that was begun."""
    world = World(1)
    world.add("a")
    world.add("b", seeds=["a"])
    world.run(3)
    a, b = world.nodes["a"].running, world.nodes["b"].running
    (exchange,) = a._reconciling.meet(a.members[b.id], now=world.now)
    assert isinstance(exchange, Exchange)
    return world, exchange


def is_open(world: World, exchange: Exchange) -> bool:
    return exchange.number in world.nodes["a"].running._exchanges._open


def took(world: World, exchange: Exchange) -> float:
    """Carry the exchange out; give how long it was under way."""
    Call(world, world.nodes["a"], exchange).begin()
    return world.run_until(lambda: not is_open(world, exchange), within=60)


def test_an_answer_takes_two_round_trips() -> None:
    world, exchange = pair()
    assert took(world, exchange) <= 4 * 0.002


def test_a_host_that_is_down_refuses_at_once_and_one_behind_a_cut_does_not_answer() -> None:
    world, exchange = pair()
    world.crash("b")
    assert took(world, exchange) <= 4 * 0.002
    world, exchange = pair()
    world.cut(["b"], ["a"], one_way=True)
    assert CONNECT_TIMEOUT_S <= took(world, exchange) <= CONNECT_TIMEOUT_S + 0.01


def test_an_address_that_nobody_has_does_not_answer() -> None:
    world, exchange = pair()
    nowhere = evolve(exchange, addresses=(Address("203.0.113.1", 1),))
    assert took(world, nowhere) >= CONNECT_TIMEOUT_S


def test_a_stalled_host_accepts_and_never_answers() -> None:
    world, exchange = pair()
    world.stall("b", 60)
    assert EXCHANGE_TIMEOUT_S <= took(world, exchange) <= EXCHANGE_TIMEOUT_S + 0.01


def test_no_exchange_outlives_the_time_that_its_answer_is_of_use() -> None:
    world, exchange = pair()
    world.cut(["a"], ["b"])
    assert took(world, evolve(exchange, timeout_s=0.3)) <= 0.3 + 1e-9


def test_another_node_at_the_address_is_told_from_the_one_that_was_dialled() -> None:
    world, exchange = pair()
    world.crash("b")
    world.restart_with_lost_state("b")
    assert took(world, exchange) <= 4 * 0.002


def test_a_handshake_with_expired_credentials_fails_and_says_so() -> None:
    world = World(2, ttl_s=int(HOUR))
    world.add("late", start=False)
    world.add("a", seeds=["late"])
    world.run(2 * HOUR)
    late = world.nodes["late"]
    late.chain_raw = join_chain(world.new_token(ttl_s=int(HOUR)), late.key.seed, "late")
    world.start("late")
    world.run(10)
    assert "expired" in world.nodes["a"].notices[-1].text
    assert dict(late.running.members) == {}
