from __future__ import annotations

import pytest

from gossipmesh.mesh.outputs import MemberChanged, RoutabilityChanged
from gossipmesh.model import MemberState
from gossipmesh.sim.measure import Death, Gathering, Judge, Spread
from gossipmesh.sim.world import World

ALIVE, SUSPECT, DEAD = MemberState.ALIVE, MemberState.SUSPECT, MemberState.DEAD


def a_world(seed: int = 1) -> World:
    world = World(seed)
    world.populate(4)
    return world


def change(world: World, name: str, new: MemberState, old: MemberState = SUSPECT) -> MemberChanged:
    return MemberChanged(world.nodes[name].key.id, name, old, new, "says a test")


def counts(judge: Judge) -> tuple[int, int, int, int]:
    return judge.deaths, judge.deaths_healthy, judge.unroutable, judge.unroutable_healthy


def test_a_member_that_is_up_and_declared_dead_is_a_false_positive() -> None:
    world = a_world()
    judge = Judge(world)
    judge.hear(1.0, world.nodes["n0"], change(world, "n1", DEAD))
    judge.hear(
        1.0, world.nodes["n0"], RoutabilityChanged(world.nodes["n1"].key.id, "n1", False, "says a test")
    )
    assert counts(judge) == (1, 1, 1, 1)


def test_a_suspicion_is_none() -> None:
    world = a_world()
    judge = Judge(world)
    judge.hear(1.0, world.nodes["n0"], change(world, "n1", SUSPECT, ALIVE))
    judge.hear(1.0, world.nodes["n0"], change(world, "n1", ALIVE))
    assert (counts(judge), judge.suspicions) == ((0, 0, 0, 0), 1)


def test_a_member_that_is_down_is_none() -> None:
    world = a_world()
    judge = Judge(world)
    world.crash("n1")
    judge.hear(1.0, world.nodes["n0"], change(world, "n1", DEAD))
    assert counts(judge) == (0, 0, 0, 0)


def test_the_death_of_an_earlier_life_is_none() -> None:
    world = a_world()
    judge = Judge(world)
    world.crash("n1")
    world.start("n1")
    judge.hear(1.0, world.nodes["n0"], change(world, "n1", DEAD))
    assert counts(judge) == (0, 0, 0, 0)
    world.run(5)
    judge.hear(6.0, world.nodes["n0"], change(world, "n1", DEAD))
    assert counts(judge) == (1, 1, 0, 0)


def test_what_a_slow_observer_says_counts_apart_and_what_is_said_of_it_does_not() -> None:
    world = a_world()
    judge = Judge(world, anomalous={"n0"})
    judge.hear(1.0, world.nodes["n0"], change(world, "n1", DEAD))
    judge.hear(1.0, world.nodes["n1"], change(world, "n0", DEAD))
    assert (counts(judge), judge.anomalous_deaths) == ((1, 0, 0, 0), 1)


def test_who_is_cut_off_is_not_blamed_for_it() -> None:
    world = a_world()
    judge = Judge(world, cut_off=lambda one, other: {one, other} == {"n0", "n1"})
    judge.hear(1.0, world.nodes["n0"], change(world, "n1", DEAD))
    judge.hear(1.0, world.nodes["n0"], change(world, "n2", DEAD))
    assert counts(judge) == (1, 1, 0, 0)


def test_a_death_is_timed_from_the_crash_by_each_observer_once() -> None:
    world = a_world()
    death = Death(world.nodes["n3"].key.id, since=10.0)
    death.hear(11.0, world.nodes["n0"], change(world, "n3", SUSPECT, ALIVE))
    death.hear(14.0, world.nodes["n1"], change(world, "n3", DEAD))
    death.hear(14.5, world.nodes["n0"], change(world, "n3", DEAD))
    death.hear(20.0, world.nodes["n0"], change(world, "n3", DEAD))
    death.hear(21.0, world.nodes["n0"], change(world, "n2", DEAD))
    assert (death.first_suspicion_s, death.first_detection_s) == (1.0, 4.0)
    assert death.known_s == {"n1": 4.0, "n0": 4.5}


def test_news_has_spread_when_all_that_run_hold_it() -> None:
    world = a_world()
    world.crash("n1")
    world.drain("n3")
    spread = Spread(world, world.nodes["n3"])
    spread.begin()
    assert [node.name for node in spread.waiting] == ["n0", "n2"]
    world.run_until(lambda: not spread.waiting, within=5)
    assert len(spread.known_s) == 2
    assert spread.known_s == sorted(spread.known_s)


def test_a_mesh_has_gathered_when_all_hold_the_records_of_these_lives() -> None:
    world = a_world()
    for node in world.up:
        node.known = node.running.known()
    for name in world.nodes:
        world.bounce(name, down_s=1.0, new_address=name == "n3")
    world.run(1.001)
    assert world.complete(), "disks remember everybody"
    gathering = Gathering(world)
    gathering.begin()
    assert gathering.waiting
    world.run_until(lambda: not gathering.waiting, within=8)
    address = world.nodes["n3"].address
    held = [node.running.members[world.nodes["n3"].key.id].record.addresses for node in world.up[:3]]
    assert held == [(address,)] * 3


@pytest.mark.parametrize("gone", ["subject", "observer"])
def test_nobody_waits_for_a_node_that_went_down_meanwhile(gone: str) -> None:
    world = a_world()
    world.drain("n3")
    spread = Spread(world, world.nodes["n3"])
    spread.begin()
    world.crash("n3" if gone == "subject" else "n0")
    world.run(3)
    assert len(spread.known_s) == (0 if gone == "subject" else 2)
