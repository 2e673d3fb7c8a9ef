"""Each defence has a scenario that fails where it is missing: no defence whose absence nobody would notice.

Every scenario runs twice, with the same seeds: with all defences, where its claim holds, and with one left out, where
it must not. What is left out is a parameter, or a subclass that does one thing less.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final

import pytest
from attrs import evolve, frozen

from gossipmesh.identity.accusation import Accusation
from gossipmesh.identity.record import MemberRecord
from gossipmesh.membership import outputs as believed
from gossipmesh.membership.credibility import Credibility
from gossipmesh.membership.machine import REFUTE_GAP_S
from gossipmesh.membership.parameters import LAN, Parameters
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import MemberChanged, Output, RoutabilityChanged
from gossipmesh.model import Address, MemberState, NodeId
from gossipmesh.sim.attackers import Liar
from gossipmesh.sim.checks import Checker
from gossipmesh.sim.node import SimNode
from gossipmesh.sim.watched import WatchedMembership
from gossipmesh.sim.world import World

NEVER_S: Final = 1e9
SETTLED_S: Final = 10.0
SUSPECT, DEAD = MemberState.SUSPECT, MemberState.DEAD


class ClaimBroken(AssertionError):
    """A scenario did not come out as it must; the text has the seed."""


@frozen
class Variant:
    """What all honest nodes of a world run: with every defence by default."""

    parameters: Parameters = LAN
    membership: Callable[..., WatchedMembership] = WatchedMembership
    machine: Callable[..., Mesh] = Mesh
    input_first: bool = True

    def world(self, seed: int, size: int) -> World:
        """Give a settled mesh of nodes n0 and up."""
        world = World(seed, profile=self.parameters, input_first=self.input_first)
        for number in range(size):
            self._add(world, f"n{number}")
        world.run_until(world.complete, within=30)
        world.run(SETTLED_S)
        return world

    def _add(self, world: World, name: str) -> None:
        def membership(*args: Any, **kwargs: Any) -> WatchedMembership:
            return self.membership(world.nodes[name].checker, *args, **kwargs)

        world.add(name, seeds=["n0"], machine=self.machine, membership=membership)


class Counts:
    """Counts what some nodes believe of some others from now on."""

    def __init__(self, world: World, observers: list[str], subjects: list[str]) -> None:
        self.dead = self.suspected = self.unroutable = 0
        self._observers = frozenset(observers)
        self._subjects = {world.nodes[name].key.id for name in subjects}
        world.listeners.append(self._hear)

    def _hear(self, _now: float, node: SimNode, change: MemberChanged | RoutabilityChanged) -> None:
        if node.name not in self._observers or change.id not in self._subjects:
            return
        match change:
            case MemberChanged():
                self.dead += change.new is DEAD
                self.suspected += change.new is SUSPECT
            case RoutabilityChanged():
                self.unroutable += not change.routable


def honest(world: World) -> list[str]:
    return [name for name in world.nodes if name.startswith("n")]


def require(holds: bool, world: World, claim: str) -> None:
    if not holds:
        raise ClaimBroken(world.history.failure(world.now, claim))


def exercised(holds: bool, world: World, what: str) -> None:
    """Fail, whatever is left out, unless the scenario did what it is there for."""
    assert holds, world.history.failure(world.now, f"the scenario is none: {what}")


def within(seconds: float, world: World, holds: Callable[[], bool], claim: str) -> float:
    """Give the seconds until it holds."""
    try:
        return world.run_until(holds, within=seconds)
    except TimeoutError as error:
        raise ClaimBroken(f"{claim}: {error}") from None


# --- scenarios: what must hold ---


def a_suspect_that_answers_again_is_well_soon(variant: Variant) -> None:
    """One is cut off until all suspect it. Its first word afterwards is its refutation, once told; at most the gap."""
    for seed in (0, 2):
        world = variant.world(seed, 8)
        world.partition(["n1"])
        world.run(4.0)
        exercised(world.coverage["suspected"] > 0, world, "nobody was suspected")
        world.repair()
        within(REFUTE_GAP_S + 2.0, world, world.complete, "who was suspected is believed alive")


def a_slow_member_mostly_blames_itself(variant: Variant) -> None:
    """One of eight is blocked for 16 s and free for 64 ms, in turns. Seven others, each taken out once, and a few more.

    At healthy observers nothing changes with it: evidence of their own protects those from a slow member.
    """
    for seed in (0, 1):
        world = variant.world(seed, 8)
        counts = Counts(world, ["n7"], honest(world))
        world.slow(["n7"], blocked_s=16.384, free_s=0.064, lasting_s=60.0)
        world.run(60.0)
        require(counts.unroutable <= 10, world, f"a slow member blamed others {counts.unroutable} times")


def nobody_answers_a_replay(variant: Variant) -> None:
    """All that four nodes sent, one of which restarted meanwhile, is sent once more: hints, and no other answer."""
    world = variant.world(4, 4)
    overheard: list[tuple[Address, Address, bytes]] = []
    world.network.tap = lambda *datagram: overheard.append(datagram)
    world.run(20.0)
    world.crash("n3")
    world.start("n3")
    world.run(20.0)
    world.network.tap = None
    before = sum(node.sent for node in world.up)
    for source, target, payload in overheard:
        node = world.at_address(target)
        assert node is not None
        world.inject(node.name, payload, source)
    answers = sum(node.sent for node in world.up) - before
    exercised(len(overheard) > 100, world, "nothing was overheard")
    require(answers <= len(world.nodes) ** 2, world, f"{answers} answers to {len(overheard)} replays")


def who_slept_blames_nobody(variant: Variant) -> None:
    """A third of nine processes stops for two seconds, again and again, while packets are under way."""
    for seed in (1, 2, 3):
        world = variant.world(seed, 9)
        world.delay((0.1, 0.2))
        world.run(5.0)
        sleepers, awake = honest(world)[:3], honest(world)[3:]
        counts = Counts(world, sleepers, awake)
        for _ in range(8):
            for name in sleepers:
                world.stall(name, 2.0)
            world.run(2.0 + 1.37)
        blamed = counts.suspected + counts.unroutable
        require(blamed == 0, world, f"sleepers blamed who was awake {blamed} times")


def a_liar_takes_nobody_out_of_rotation(variant: Variant) -> None:
    """One member accuses everybody."""
    world = variant.world(1, 8)
    counts = Counts(world, honest(world), honest(world))
    world.add("liar", seeds=["n0"], machine=Liar)
    world.run(20.0)
    exercised(world.coverage["suspected"] > 0, world, "the liar was not heard")
    require(counts.unroutable == 0, world, f"a liar took others out of rotation {counts.unroutable} times")


def a_stolen_token_takes_nobody_out_of_rotation(variant: Variant) -> None:
    """Three liars that one token admitted accuse everybody; all others came with another token."""
    world = variant.world(1, 6)
    counts = Counts(world, honest(world), honest(world))
    token = world.new_token(ttl_s=86_400)
    for number in range(3):
        world.add(f"liar{number}", seeds=["n0"], machine=Liar, token=token)
    world.run(20.0)
    exercised(world.coverage["suspected"] > 0, world, "the liars were not heard")
    require(counts.unroutable == 0, world, f"one token took others out of rotation {counts.unroutable} times")


def a_liar_is_not_heard_for_long(variant: Variant) -> None:
    """Three refutations about each subject, ten seconds apart, and a liar is ignored."""
    world = variant.world(1, 6)
    world.add("liar", seeds=["n0"], machine=Liar)
    world.run(4 * REFUTE_GAP_S)
    exercised(world.coverage["suspected"] > 0, world, "the liar was not heard")
    counts = Counts(world, honest(world), honest(world))
    world.run(2 * REFUTE_GAP_S)
    require(counts.suspected == 0, world, f"a known liar was believed {counts.suspected} times")


def liars_bury_nobody(variant: Variant) -> None:
    """Four members accuse everybody, more than enough to confirm each other."""
    world = variant.world(1, 8)
    counts = Counts(world, honest(world), honest(world))
    for number in range(4):
        world.add(f"liar{number}", seeds=["n0"], machine=Liar)
    world.run(20.0)
    exercised(world.coverage["suspected"] > 0, world, "the liars were not heard")
    require(counts.dead == 0, world, f"liars had living members declared dead {counts.dead} times")


def a_lone_accuser_has_to_wait(variant: Variant) -> None:
    """One of eight is blocked for 20 s: to it, all others seem dead, and nobody confirms it."""
    world = variant.world(0, 8)
    counts = Counts(world, ["n1"], honest(world))
    world.hold(["n1"])
    world.run(20.0)
    world.release(["n1"])
    world.run(5.0)
    exercised(counts.suspected > 0, world, "the blocked one suspected nobody")
    require(counts.dead == 0, world, f"one that was blocked buried {counts.dead} others")


def a_path_that_leads_one_way_makes_nobody_suspect(variant: Variant) -> None:
    """One member cannot send to one other; all others reach both."""
    world = variant.world(0, 6)
    counts = Counts(world, honest(world), honest(world))
    world.cut(["n1"], ["n2"], one_way=True)
    world.run(30.0)
    exercised(counts.unroutable > 0, world, "nobody noticed the cut")
    require(counts.suspected == 0, world, f"{counts.suspected} suspicions for one bad path")


def two_without_udp_are_well(variant: Variant) -> None:
    """Only TCP works between two nodes that have no others to ask."""
    world = variant.world(0, 2)
    counts = Counts(world, honest(world), honest(world))
    world.cut(["n0"], ["n1"], udp_only=True)
    world.run(20.0)
    require(counts.suspected == 0, world, "a node that TCP reaches is suspected")


def a_mesh_that_fell_apart_grows_together(variant: Variant) -> None:
    """Halves that buried each other find each other within a reconnect of each side, by themselves."""
    world = variant.world(0, 6)
    world.partition(["n0", "n1", "n2"])
    world.run(60.0)
    exercised(world.coverage["died"] > 0, world, "the halves did not fall apart")
    world.repair()
    within(1.5 * LAN.reconnect_max_s, world, world.complete, "the halves are one mesh again")


def what_gossip_missed_arrives_nevertheless(variant: Variant) -> None:
    """One member gets no datagrams while another's record changes."""
    world = variant.world(0, 6)
    deaf, speaker = world.nodes["n1"].running, world.nodes["n0"].running
    world.lose(1.0, names=["n1"])
    world.run(1.0)
    world.drain("n0")
    world.run(5.0)
    world.lose(0.0)
    within(
        1.5 * LAN.sync_period_s,
        world,
        lambda: deaf.members[speaker.id].record.version == speaker.own.version,
        "the deaf one knows the news",
    )


def halves_that_just_buried_each_other_are_back_soon(variant: Variant) -> None:
    """The path is there again at the moment of the last burial: the fresh dead are told, and refute.

    In the mean of eight runs, since a lucky reconnect is as fast.
    """
    took = 0.0
    for seed in range(8):
        world = variant.world(seed, 8)
        here, there = honest(world)[:4], honest(world)[4:]
        apart = [*itertools.product(here, there), *itertools.product(there, here)]
        world.partition(here, there)
        while any(world.believes(a, b) is not DEAD for a, b in apart):
            world.run(0.1)
        world.repair()
        took += within(60.0, world, world.complete, "the halves are one mesh again")
    require(took / 8 <= 8.0, world, f"the halves took {took / 8:.1f} s in the mean")


# --- what is left out ---


class WithoutRefutation(WatchedMembership):
    """Never signs its record again for what others say of it."""

    def learn_accusation(self, accusation: Accusation, *, now: float) -> list[believed.Output]:
        return [] if accusation.subject == self.own.id else super().learn_accusation(accusation, now=now)


class WithoutTokens(WatchedMembership):
    """Takes all accusers for independent, whoever admitted them."""

    def learn_record(
        self, record: MemberRecord, *, now: float, news: bool, token: bytes = b""
    ) -> list[believed.Output]:
        return super().learn_record(record, now=now, news=news)


class WithoutGossipToTheDead(WatchedMembership):
    """Tells those that it buried nothing."""

    def _gossip(self, now: float) -> list[believed.Output]:
        return [out for out in super()._gossip(now) if not self._to_the_dead(out)]

    def _to_the_dead(self, out: believed.Output) -> bool:
        return isinstance(out, believed.SendMessages) and not self.members[out.target].living


class Gullible(Credibility):
    """Believes whoever was refuted, again and again."""

    def ignored(self, accuser: NodeId, subject: NodeId, *, now: float) -> bool:
        return False


class WithoutCredibility(WatchedMembership):
    """Listens to everybody for ever."""

    def __init__(self, checker: Checker, *args: Any, **kwargs: Any) -> None:
        super().__init__(checker, *args, **kwargs)
        self._beliefs._credibility = Gullible()


class WithoutReplayWindow(Mesh):
    """Makes its openers anew for each datagram: they know nothing of those that were opened before."""

    def receive_datagram_untrusted(
        self, payload: bytes, source: Address, *, now: float, wall: float
    ) -> list[Output]:
        for newest in self._secrecy._peers.values():
            for key in (newest, newest.before):
                for link in () if key is None else key.links:
                    link.opener = None
        return super().receive_datagram_untrusted(payload, source, now=now, wall=wall)


Scenario = Callable[[Variant], None]


def without(**numbers: Any) -> Variant:
    return Variant(parameters=evolve(LAN, **numbers))


MUTATIONS: Final[dict[str, tuple[Variant, Scenario]]] = {
    "refutation": (Variant(membership=WithoutRefutation), a_suspect_that_answers_again_is_well_soon),
    "buddies": (without(buddy=False), a_suspect_that_answers_again_is_well_soon),
    "awareness": (without(awareness_max=0), a_slow_member_mostly_blames_itself),
    "replay window": (Variant(machine=WithoutReplayWindow), nobody_answers_a_replay),
    "input before deadlines": (Variant(input_first=False), who_slept_blames_nobody),
    "two accusers": (without(routing_accusers=1), a_liar_takes_nobody_out_of_rotation),
    "accusers by token": (Variant(membership=WithoutTokens), a_stolen_token_takes_nobody_out_of_rotation),
    "credibility": (Variant(membership=WithoutCredibility), a_liar_is_not_heard_for_long),
    "own evidence": (without(own_evidence=False), liars_bury_nobody),
    "waiting for confirmation": (without(suspicion_accusers=0), a_lone_accuser_has_to_wait),
    "helpers": (without(indirect_probes=0), a_path_that_leads_one_way_makes_nobody_suspect),
    "probes over TCP": (without(stream_probe=False), two_without_udp_are_well),
    "reconnecting": (
        without(reconnect_min_s=NEVER_S, reconnect_max_s=NEVER_S),
        a_mesh_that_fell_apart_grows_together,
    ),
    "anti-entropy": (
        without(sync_period_s=NEVER_S, sync_unequal_after_s=NEVER_S),
        what_gossip_missed_arrives_nevertheless,
    ),
    "gossip to the dead": (
        Variant(membership=WithoutGossipToTheDead),
        halves_that_just_buried_each_other_are_back_soon,
    ),
}
"""By defence: everything but it, and the scenario that shows what it is for."""


@pytest.mark.parametrize("scenario", dict.fromkeys(scenario for _, scenario in MUTATIONS.values()))
def test_with_every_defence_the_claim_holds(scenario: Scenario) -> None:
    scenario(Variant())


@pytest.mark.parametrize("defence", MUTATIONS)
def test_without_the_defence_the_claim_breaks(defence: str) -> None:
    variant, scenario = MUTATIONS[defence]
    with pytest.raises(ClaimBroken, match=r"seed \d+"):
        scenario(variant)
