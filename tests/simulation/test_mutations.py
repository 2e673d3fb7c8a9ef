"""Each defence has a scenario that fails where it is missing: no defence whose absence nobody would notice.

Every scenario runs twice, with the same seeds: with all defences, where its claim holds, and with one left out, where
it must not. What is left out is a parameter, or a subclass that does one thing less.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest
from attrs import evolve

from gossipmesh.identity.accusation import Accusation
from gossipmesh.identity.record import MemberRecord
from gossipmesh.membership import outputs as believed
from gossipmesh.membership.credibility import Answers, Credibility
from gossipmesh.membership.parameters import LAN
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import MemberChanged, RoutabilityChanged
from gossipmesh.mesh.secrecy import Secrecy
from gossipmesh.model import Address, MemberState, NodeId
from gossipmesh.sim.attackers import Liar
from gossipmesh.sim.checks import Checker
from gossipmesh.sim.node import SimNode
from gossipmesh.sim.watched import WatchedMembership
from gossipmesh.sim.world import World

NEVER_S: Final = 1e9
SUSPECT, DEAD = MemberState.SUSPECT, MemberState.DEAD


class ClaimBroken(AssertionError):
    """A scenario did not come out as it must; the text has the seed."""


Build = Callable[[int, int], World]
"""Gives a settled mesh: of a seed, and of how many nodes, named n0 and up."""


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


def a_suspect_that_answers_again_is_well_soon(build: Build) -> None:
    """One is cut off until all suspect it. Its first word afterwards is its refutation, once told; at most the gap."""
    for seed in (0, 2):
        world = build(seed, 8)
        world.partition(["n1"])
        world.run(4.0)
        exercised(world.coverage["suspected"] > 0, world, "nobody was suspected")
        world.repair()
        within(LAN.refute_gap_s + 2.0, world, world.complete, "who was suspected is believed alive")


def a_slow_member_mostly_blames_itself(build: Build) -> None:
    """One of eight is blocked for 16 s and free for 64 ms, in turns. Seven others, each taken out once, and a few more.

    At healthy observers nothing changes with it: evidence of their own protects those from a slow member.
    """
    for seed in (0, 1):
        world = build(seed, 8)
        counts = Counts(world, ["n7"], honest(world))
        world.slow(["n7"], blocked_s=16.384, free_s=0.064, lasting_s=60.0)
        world.run(60.0)
        require(counts.unroutable <= 10, world, f"a slow member blamed others {counts.unroutable} times")


def nobody_answers_a_replay(build: Build) -> None:
    """All that four nodes sent, one of which restarted meanwhile, is sent once more: hints, and no other answer.

    No belief changes even without a window: acks match no probe any more, records and accusations are old news. What
    the window keeps off is work: each replayed ping would be answered, and each request to probe carried out.
    """
    world = build(4, 4)
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


def who_slept_blames_nobody(build: Build) -> None:
    """A third of nine processes stops for two seconds, again and again, while packets are under way."""
    for seed in (1, 2, 3):
        world = build(seed, 9)
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


def a_liar_takes_nobody_out_of_rotation(build: Build) -> None:
    """One member accuses everybody."""
    world = build(1, 8)
    counts = Counts(world, honest(world), honest(world))
    world.add("liar", seeds=["n0"], machine=Liar)
    world.run(20.0)
    exercised(world.coverage["suspected"] > 0, world, "the liar was not heard")
    require(counts.unroutable == 0, world, f"a liar took others out of rotation {counts.unroutable} times")


def a_stolen_token_takes_nobody_out_of_rotation(build: Build) -> None:
    """Three liars that one token admitted accuse everybody; all others came with another token."""
    world = build(1, 6)
    counts = Counts(world, honest(world), honest(world))
    token = world.new_token(ttl_s=86_400)
    for number in range(3):
        world.add(f"liar{number}", seeds=["n0"], machine=Liar, token=token)
    world.run(20.0)
    exercised(world.coverage["suspected"] > 0, world, "the liars were not heard")
    require(counts.unroutable == 0, world, f"one token took others out of rotation {counts.unroutable} times")


def a_liar_is_not_heard_for_long(build: Build) -> None:
    """Three refutations about each subject, ten seconds apart, and a liar is ignored."""
    world = build(1, 6)
    world.add("liar", seeds=["n0"], machine=Liar)
    world.run(4 * LAN.refute_gap_s)
    exercised(world.coverage["suspected"] > 0, world, "the liar was not heard")
    counts = Counts(world, honest(world), honest(world))
    world.run(2 * LAN.refute_gap_s)
    require(counts.suspected == 0, world, f"a known liar was believed {counts.suspected} times")


def a_liar_does_not_keep_a_mesh_busy(build: Build) -> None:
    """A newer record goes to everybody: one member must not have all others sign one every ten seconds for ever."""
    world = build(1, 6)
    world.add("liar", seeds=["n0"], machine=Liar)
    world.run(6 * LAN.refute_gap_s)
    before = {name: world.nodes[name].running.own.version for name in honest(world)}
    exercised(all(version > (1, 0) for version in before.values()), world, "the liar was not heard")
    world.run(4 * LAN.refute_gap_s)
    for name, (_, incarnation) in before.items():
        risen = world.nodes[name].running.own.version[1] - incarnation
        require(risen <= 1, world, f"{name} signed its record {risen} times in 40 s for a known liar")


def liars_bury_nobody(build: Build) -> None:
    """Four members accuse everybody, more than enough to confirm each other."""
    world = build(1, 8)
    counts = Counts(world, honest(world), honest(world))
    for number in range(4):
        world.add(f"liar{number}", seeds=["n0"], machine=Liar)
    world.run(20.0)
    exercised(world.coverage["suspected"] > 0, world, "the liars were not heard")
    require(counts.dead == 0, world, f"liars had living members declared dead {counts.dead} times")


def a_lone_accuser_has_to_wait(build: Build) -> None:
    """One of eight is blocked for 20 s: to it, all others seem dead, and nobody confirms it."""
    world = build(0, 8)
    counts = Counts(world, ["n1"], honest(world))
    world.hold(["n1"])
    world.run(20.0)
    world.release(["n1"])
    world.run(5.0)
    exercised(counts.suspected > 0, world, "the blocked one suspected nobody")
    require(counts.dead == 0, world, f"one that was blocked buried {counts.dead} others")


def a_path_that_leads_one_way_makes_nobody_suspect(build: Build) -> None:
    """One member cannot send to one other; all others reach both."""
    world = build(0, 6)
    counts = Counts(world, honest(world), honest(world))
    world.cut(["n1"], ["n2"], one_way=True)
    world.run(30.0)
    exercised(counts.unroutable > 0, world, "nobody noticed the cut")
    require(counts.suspected == 0, world, f"{counts.suspected} suspicions for one bad path")


def two_without_udp_are_well(build: Build) -> None:
    """Only TCP works between two nodes that have no others to ask."""
    world = build(0, 2)
    counts = Counts(world, honest(world), honest(world))
    world.cut(["n0"], ["n1"], udp_only=True)
    world.run(20.0)
    require(counts.suspected == 0, world, "a node that TCP reaches is suspected")


def a_mesh_that_fell_apart_grows_together(build: Build) -> None:
    """Halves that buried each other find each other within a reconnect of each side, by themselves."""
    world = build(0, 6)
    world.partition(["n0", "n1", "n2"])
    world.run(60.0)
    exercised(world.coverage["died"] > 0, world, "the halves did not fall apart")
    world.repair()
    within(1.5 * LAN.reconnect_max_s, world, world.complete, "the halves are one mesh again")


def what_gossip_missed_arrives_nevertheless(build: Build) -> None:
    """One member gets no datagrams while another's record changes."""
    world = build(0, 6)
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


class Gullible(Credibility):
    """Believes whoever was refuted, again and again."""

    def ignored(self, accuser: NodeId, subject: NodeId, *, now: float) -> bool:
        return False


class WithoutCredibility(WatchedMembership):
    """Listens to everybody for ever."""

    def __init__(self, checker: Checker, *args: Any, **kwargs: Any) -> None:
        super().__init__(checker, *args, **kwargs)
        self._beliefs._credibility = Gullible()
        self._answers = Obliging()


class Obliging(Answers):
    """Answers whoever accuses, again and again."""

    def due(self, accuser: NodeId, version: tuple[int, int], *, now: float) -> bool:
        return True


class WithoutPatience(WatchedMembership):
    """Signs its record again for an accuser that nobody else believes."""

    def __init__(self, checker: Checker, *args: Any, **kwargs: Any) -> None:
        super().__init__(checker, *args, **kwargs)
        self._answers = Obliging()


class TakesReplays:
    """A node's keys, with which it opens again what it opened before."""

    def __init__(self, secrecy: Secrecy) -> None:
        self._secrecy = secrecy
        self._opened: dict[bytes, tuple[NodeId, bytes]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._secrecy, name)

    def open_untrusted(self, datagram: bytes) -> tuple[NodeId, bytes]:
        if datagram not in self._opened:
            self._opened[datagram] = self._secrecy.open_untrusted(datagram)
        return self._opened[datagram]


class WithoutReplayWindow(Mesh):
    """Forgets which datagrams it has opened."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gossip._secrecy = TakesReplays(self._secrecy)  # type: ignore[assignment]


Scenario = Callable[[Build], None]


def without(**numbers: Any) -> dict[str, Any]:
    return {"parameters": evolve(LAN, **numbers)}


MUTATIONS: Final[dict[str, tuple[dict[str, Any], Scenario]]] = {
    "refutation": ({"membership": WithoutRefutation}, a_suspect_that_answers_again_is_well_soon),
    "buddies": (without(buddy=False), a_suspect_that_answers_again_is_well_soon),
    "awareness": (without(awareness_max=0), a_slow_member_mostly_blames_itself),
    "replay window": ({"machine": WithoutReplayWindow}, nobody_answers_a_replay),
    "input before deadlines": ({"input_first": False}, who_slept_blames_nobody),
    "two accusers": (without(routing_accusers=1), a_liar_takes_nobody_out_of_rotation),
    "accusers by token": ({"membership": WithoutTokens}, a_stolen_token_takes_nobody_out_of_rotation),
    "credibility": ({"membership": WithoutCredibility}, a_liar_is_not_heard_for_long),
    "patience": ({"membership": WithoutPatience}, a_liar_does_not_keep_a_mesh_busy),
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
}
"""By defence: everything but it, and the scenario that shows what it is for."""


@pytest.mark.parametrize("scenario", dict.fromkeys(scenario for _, scenario in MUTATIONS.values()))
def test_with_every_defence_the_claim_holds(settled: Callable[..., World], scenario: Scenario) -> None:
    scenario(settled)


@pytest.mark.parametrize("defence", MUTATIONS)
def test_without_the_defence_the_claim_breaks(settled: Callable[..., World], defence: str) -> None:
    mutation, scenario = MUTATIONS[defence]
    with pytest.raises(ClaimBroken, match=r"seed \d+"):
        scenario(partial(settled, **mutation))
