"""That the faults do what their names say."""

from __future__ import annotations

import math

import pytest

from gossipmesh.model import MemberState
from gossipmesh.sim.node import SimNode
from gossipmesh.sim.shell import MAX_HELD
from gossipmesh.sim.world import World

ALIVE, DEAD = MemberState.ALIVE, MemberState.DEAD


def mesh(size: int = 4, *, seed: int = 1, input_first: bool = True) -> World:
    world = World(seed, input_first=input_first)
    world.populate(size)
    world.run(3)
    return world


def sent_between(world: World, seconds: float) -> dict[str, int]:
    before = {node.name: node.sent for node in world.nodes.values()}
    world.run(seconds)
    return {node.name: node.sent - before[node.name] for node in world.nodes.values()}


def test_a_partition_separates_its_groups_and_the_rest_until_it_is_repaired() -> None:
    world = mesh(6)
    world.partition(["n0", "n1"], ["n2", "n3"])
    world.cut(["n0"], ["n1"])
    passes = world.network.delivers
    assert not passes("n0", "n2")
    assert not passes("n4", "n0")
    assert not passes("n0", "n1")
    assert passes("n2", "n3")
    assert passes("n4", "n5")
    world.heal()
    assert passes("n0", "n1")
    assert not passes("n0", "n2")
    world.repair()
    assert passes("n0", "n2")


def test_halves_of_a_partition_bury_each_other_and_agree_again_after_it() -> None:
    world = mesh(6)
    world.partition(["n0", "n1", "n2"], ["n3", "n4", "n5"])
    world.run(60)
    assert world.believes("n0", "n5") is DEAD
    assert world.wrong_views() == 18
    world.repair()
    assert world.agree(60) > 0


def test_a_crash_refuses_connections_and_a_silent_one_lets_them_time_out() -> None:
    for silent, answer_s in ((False, 0.01), (True, 2.0)):
        world = mesh()
        world.crash("n3", silent=silent)
        caller = world.nodes["n0"]
        member = caller.running.members[world.nodes["n3"].key.id]
        failed: list[float] = []
        begun = world.now
        world.perform(caller, caller.running._reconciling.meet(member, now=world.now))
        open_ = caller.running._exchanges._open
        number = max(open_)
        world.run_until(lambda open_=open_, number=number: number not in open_, within=20)
        failed.append(world.now - begun)
        assert failed[0] == pytest.approx(answer_s, abs=0.02)


def test_what_is_held_is_kept_back_both_ways_and_handed_over_in_order_at_release() -> None:
    world = mesh()
    world.hold(["n1"])
    world.hold(["n1"])
    arrived: list[int] = []
    for number in range(3):
        world.reach(0.1 * number, world.nodes["n1"], arrived.append, number)
    sent = sent_between(world, 3)
    assert sent["n1"] > 0, "its own timers run on"
    assert arrived == []
    held = len(world.nodes["n1"].held or ())
    assert held > 3
    world.release(["n1"])
    assert arrived == [0, 1, 2]
    assert world.nodes["n1"].held is None
    assert world.coverage["held"] >= held
    assert world.agree(30) >= 0


def test_what_is_held_is_bounded() -> None:
    world = mesh(2)
    world.hold(["n1"])
    for _ in range(MAX_HELD + 10):
        world.inject("n1", b"junk", world.nodes["n0"].address)
    assert len(world.nodes["n1"].held or ()) == MAX_HELD


def test_an_exchange_with_a_held_member_times_out_and_its_late_answer_is_ignored() -> None:
    world = mesh()
    world.hold(["n1"])
    caller = world.nodes["n0"]
    member = caller.running.members[world.nodes["n1"].key.id]
    world.perform(caller, caller.running._reconciling.meet(member, now=world.now))
    number = max(caller.running._exchanges._open)
    world.run(2.5)
    assert number not in caller.running._exchanges._open
    world.release(["n1"])
    assert world.agree(30) >= 0


def test_a_slow_member_is_held_and_freed_in_turns_and_is_free_in_the_end() -> None:
    world = mesh()
    seen: list[tuple[float, bool]] = []

    def look() -> None:
        seen.append((round(world.now - begun, 1), world.nodes["n1"].held is not None))
        world.at(0.5, look)

    begun = world.now
    world.slow(["n1"], blocked_s=2.0, free_s=1.0, lasting_s=7.0)
    world.at(0.25, look)
    world.run(8)
    held = [at for at, is_held in seen if is_held]
    assert held == pytest.approx([0.2, 0.8, 1.2, 1.8, 3.2, 3.8, 4.2, 4.8, 6.2, 6.8], abs=0.11)
    assert world.nodes["n1"].held is None


@pytest.mark.parametrize(("blocked_s", "free_s"), [(0.0, 0.0), (1e-12, 0.0), (2.0, -1.0), (math.nan, 1.0)])
def test_a_cycle_of_no_time_is_refused(blocked_s: float, free_s: float) -> None:
    world = mesh()
    with pytest.raises(ValueError, match="a cycle takes at least 1 ms"):
        world.slow(["n1"], blocked_s=blocked_s, free_s=free_s, lasting_s=1.0)
    assert world.nodes["n1"].held is None


def test_a_bounce_brings_a_node_back_with_what_was_asked_for() -> None:
    world = mesh(5)
    key, address = world.nodes["n1"].key, world.nodes["n1"].address
    world.bounce("n1", down_s=1.0)
    world.bounce("n2", down_s=1.0, lost_state=True)
    world.bounce("n3", down_s=1.0, new_address=True)
    other = world.nodes["n2"].key
    world.run(0.5)
    assert {node.name for node in world.up} == {"n0", "n4"}
    world.run(1.0)
    assert len(world.up) == 5
    assert (world.nodes["n1"].key, world.nodes["n1"].address) == (key, address)
    assert world.nodes["n2"].key != other
    assert world.nodes["n3"].address not in (address, world.nodes["n4"].address)
    assert world.agree(120) >= 0


def test_a_node_that_was_started_meanwhile_is_not_started_by_its_bounce() -> None:
    world = mesh()
    world.bounce("n1", down_s=2.0, lost_state=True)
    world.start("n1")
    key = world.nodes["n1"].key
    world.run(3)
    assert world.nodes["n1"].key == key


def test_lost_doubled_and_delayed_datagrams_are_counted_and_reset() -> None:
    world = mesh()
    world.lose(1.0, names=["n1"])
    sent_between(world, 2)
    assert world.coverage["lost"] > 0
    world.lose(0)
    world.duplicate(1.0)
    world.run(5)
    doubled = world.coverage["duplicate"]
    assert doubled > 0
    assert world.coverage["replay-refused"] > 0
    world.duplicate(0)
    lost = world.coverage["lost"]
    world.delay((0.05, 0.06))
    assert all(0.05 < travel < 0.07 for travel in world.network.travels("n0", "n1"))
    world.delay((0.1, 0.1), names=["n2"])
    assert all(travel > 0.15 for travel in world.network.travels("n0", "n2"))
    world.delay((0, 0))
    assert all(travel < 0.01 for travel in world.network.travels("n0", "n2"))
    world.run(5)
    assert (world.coverage["duplicate"], world.coverage["lost"]) == (doubled, lost)


def test_a_clock_that_is_off_is_the_nodes_own() -> None:
    world = mesh()
    node = world.nodes["n1"]
    world.skew("n1", -3600.0)
    assert world.wall_of(node) == world.wall - 3600
    world.drain("n1")
    assert node.running.own.issued_at < world.wall - 3000
    assert world.wall_of(world.nodes["n0"]) == world.wall


def test_events_are_scheduled_and_listeners_hear_every_change_in_order() -> None:
    world = World(1)
    heard: list[tuple[float, str, str]] = []

    def listen(now: float, node: SimNode, change: object) -> None:
        heard.append((now, node.name, type(change).__name__))

    world.listeners.append(listen)
    world.populate(4)
    assert heard == [(0.0, f"n{n}", "MemberChanged") for n in range(4) for _ in range(3)]
    world.at(5.0, lambda: world.crash("n2"))
    world.run(4.9)
    assert len(world.up) == 4
    world.run(60)
    assert {kind for _, _, kind in heard} == {"MemberChanged", "RoutabilityChanged"}
    assert [now for now, _, _ in heard] == sorted(now for now, _, _ in heard)


def test_a_stalled_node_says_how_late_it_is_unless_the_order_is_the_naive_one() -> None:
    blamed = {}
    for input_first in (True, False):
        world = mesh(8, seed=4, input_first=input_first)
        world.stall("n1", 20)
        world.run(19.9)
        before = world.nodes["n1"].refused.total(), len(world.nodes["n1"].changes)
        world.run(0.3)
        blamed[input_first] = [c.new for _, c in list(world.nodes["n1"].changes)[before[1] :]]
        assert world.coverage["stalled"] == 1
    assert DEAD not in blamed[True]
