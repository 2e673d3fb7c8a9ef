"""Defences that make a difference of degree: what is measured with each of them, and without."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sized
from functools import partial
from typing import Any, Final

from attrs import evolve

from gossipmesh.membership import outputs as believed
from gossipmesh.membership.parameters import LAN, Parameters
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Output, SendDatagram
from gossipmesh.model import Address, MemberState
from gossipmesh.sim.watched import WatchedMembership
from gossipmesh.sim.world import World

Settled = Callable[..., World]

NEVER_S: Final = 1e9


class WithoutHints(Mesh):
    """Says nothing to whom it cannot read."""

    def receive_datagram_untrusted(
        self, payload: bytes, source: Address, *, now: float, wall: float
    ) -> list[Output]:
        outputs = super().receive_datagram_untrusted(payload, source, now=now, wall=wall)
        return [out for out in outputs if not (isinstance(out, SendDatagram) and out.kind == "hint")]


class NeverLate(WatchedMembership):
    """Takes no notice of having slept."""

    def handle_timer(self, *, now: float, late_s: float = 0.0) -> list[believed.Output]:
        return super().handle_timer(now=now)


class WithoutGossipToTheDead(WatchedMembership):
    """Tells those that it buried nothing."""

    def _gossip(self, now: float) -> list[believed.Output]:
        return [out for out in super()._gossip(now) if not self._to_the_dead(out)]

    def _to_the_dead(self, out: believed.Output) -> bool:
        return isinstance(out, believed.SendMessages) and not self.members[out.target].living


def holds_four(members: Sized) -> bool:
    return len(members) >= 4


def rejoining_s(settled: Settled, **mutation: Any) -> list[float]:
    """Give, by seed, how long a node takes that restarts and remembers nobody, while its one seed is down.

    The others write to it under its former key. All that it can do with that is to say so.
    """
    took = []
    for seed in range(4):
        world = settled(seed, 6, **mutation)
        world.crash("n0")
        world.run(1.0)
        world.crash("n3")
        world.start("n3")
        members = world.nodes["n3"].running.members
        took.append(world.run_until(partial(holds_four, members), within=60))
    return took


def test_hints_bring_back_who_remembers_nobody(settled: Settled) -> None:
    assert max(rejoining_s(settled)) <= 2.0
    assert min(rejoining_s(settled, machine=WithoutHints)) > 2.0


def suspicions_after_a_pause(settled: Settled, **mutation: Any) -> int:
    """Stop all processes at one moment and let them go on together, as a host does that sleeps; five times."""
    suspected = 0
    for seed in range(3):
        world = settled(seed, 8, **mutation)
        world.delay((0.05, 0.1))
        world.run(3.0)
        for _ in range(5):
            for name in world.nodes:
                world.stall(name, 5.0)
            world.run(5.0 + 3.37)
        suspected += world.coverage["suspected"]
    return suspected


def test_time_that_was_slept_is_given_back_to_probes_under_way(settled: Settled) -> None:
    """Nobody answered meanwhile, so reading what came in first does not help here."""
    assert suspicions_after_a_pause(settled) == 0
    assert suspicions_after_a_pause(settled, membership=NeverLate) > 0


def reunion_s(settled: Settled, **mutation: Any) -> float:
    """Give how long two halves take whose path is there again when they have just buried each other; the mean of eight.

    One run says little: a lucky reconnect is as fast as a word to the dead.
    """
    took = 0.0
    for seed in range(8):
        world = settled(seed, 8, **mutation)
        names = [*world.nodes]
        apart = [pair for pair in itertools.permutations(names, 2) if len({*pair} & {*names[:4]}) == 1]
        world.partition(names[:4], names[4:])
        while any(world.believes(a, b) is not MemberState.DEAD for a, b in apart):
            world.run(0.1)
        world.repair()
        took += world.run_until(world.complete, within=60)
    return took / 8


def test_the_fresh_dead_are_told_and_come_back_sooner(settled: Settled) -> None:
    assert reunion_s(settled) <= 8.0 < reunion_s(settled, membership=WithoutGossipToTheDead)


def untold(parameters: Parameters) -> int:
    """Count the members of 150 that gossip alone leaves without a change, where 30 % of packets are lost."""
    alone = evolve(parameters, sync_period_s=NEVER_S, sync_unequal_after_s=NEVER_S)
    world = World(1, profile=alone, loss=0.3)
    world.populate(150)
    world.run(2.0)
    world.drain("n7")
    speaker = world.nodes["n7"].running
    world.run(4.0)
    views = (node.running.members.get(speaker.id) for node in world.up)
    return sum(view is not None and view.record.version < speaker.own.version for view in views)


def test_news_is_repeated_more_often_in_a_larger_mesh() -> None:
    assert untold(LAN) == 0
    assert untold(evolve(LAN, transmit_factor=0)) > 0
