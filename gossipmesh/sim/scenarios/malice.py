"""Members that lie, and anybody who forges."""

from __future__ import annotations

import random
from collections import deque
from typing import Final

from gossipmesh.identity.record import RECORD_LABEL
from gossipmesh.mesh.outputs import MemberChanged, RoutabilityChanged
from gossipmesh.model import Address, MemberState
from gossipmesh.sim.attackers import Forger, Liar
from gossipmesh.sim.measure import Death
from gossipmesh.sim.node import SimNode
from gossipmesh.sim.scenarios.run import Run

JOINED_WITHIN_PERIODS: Final = 60
STRANGER: Final = Address("203.0.113.9", 53)
FORGE_EVERY_S: Final = 0.5
KEPT_DATAGRAMS: Final = 512
"""Of those overheard, to be sent again or with a bit changed."""
INJECTED_AT_ONCE: Final = 16
MAX_JUNK: Final = 1_400
DETECTED_TIMES: Final = 2
"""A liar that vouches for the dead every second time may delay their burial, at most by as much as it takes anyhow.
One that always does can prevent it in a mesh of fewer than some ten, where it is among the helpers of nearly every
probe: a member that only one other reaches, over paths that are cut for all the rest, looks the same."""


def liar(run: Run) -> None:
    """One member accuses everybody all the time, and relays falsely.

    Half of the accusations are about versions that nobody signed. Asked to probe for another, it says *well* and
    *no answer* in turns without a look. Halfway through a member really crashes. Measured: false positives, deaths and
    rotation apart. Must hold: nobody who is up is declared dead or taken out of rotation by anybody else, however
    often it is accused, and the crashed one is found in spite of the vouching.
    """
    names = run.settle()
    run.judge.anomalous.add("liar")
    run.world.add("liar", seeds=[names[0]], machine=Liar)
    everybody = len(names)
    run.wait(
        lambda: all(len(node.running.members) == everybody for node in run.world.up),
        within_s=JOINED_WITHIN_PERIODS * run.parameters.probe_period_s,
        what="the liar has joined",
    )
    run.world.run(run.duration_s / 2)
    run.require_exercised(["suspected", "refuted"])
    victim = run.world.nodes[names[-1]]
    death = Death(victim.key.id, since=run.world.now)
    run.world.listeners.append(death.hear)
    run.world.crash(victim.name, silent=True)
    honest = set(names[:-1])
    run.wait(
        lambda: honest <= death.known_s.keys(),
        within_s=DETECTED_TIMES * run.longest_detection_s,
        what="everybody declares dead who crashed beside a liar",
    )
    run.figures["first_detection_s"] = death.first_detection_s or 0.0
    run.world.run(run.duration_s / 2)
    run.require(run.judge.deaths_healthy == 0, "a liar had a member declared dead that is up")
    run.require(run.judge.unroutable_healthy == 0, "a liar had a member taken out of rotation")


def forge(run: Run) -> None:
    """An outsider and a member send what they cannot have signed, again and again.

    The outsider: noise, datagrams that it overheard, and the same with a bit changed, from its own address and from
    others'. The member: farewells, newer lives and greatest versions of others signed with its own key, true signatures
    under other bodies, accusations in others' names. Cryptography is done for real. Measured: ``accepted_forgeries``.
    Must hold: it is 0. No view of anybody changes, and no record is held that its owner did not sign.
    """
    names = run.settle()
    world, rng = run.world, random.Random(run.seed)
    world.add("forger", seeds=[names[0]], machine=Forger)
    within_s = JOINED_WITHIN_PERIODS * run.parameters.probe_period_s
    run.wait(world.complete, within_s=within_s, what="the forger has joined")
    run.calm()
    overheard: deque[tuple[Address, Address, bytes]] = deque(maxlen=KEPT_DATAGRAMS)
    moved: list[str] = []

    def hear(now: float, node: SimNode, change: MemberChanged | RoutabilityChanged) -> None:
        if not isinstance(change, MemberChanged) or change.new is not MemberState.ALIVE:
            moved.append(f"{now:.3f} s {node.name}: {change}")

    world.listeners.append(hear)
    world.network.tap = lambda source, target, payload: overheard.append((source, target, payload))
    sent = 0
    for _ in range(max(1, int(run.duration_s / FORGE_EVERY_S))):
        world.run(FORGE_EVERY_S)
        sent += _inject(run, rng, list(overheard)) + _forge(run, rng, names)
    world.network.tap = None
    world.run(run.parameters.sync_period_s)
    unsigned = sum(_held_unsigned(run, node) for node in world.up)
    run.counts["forgeries_sent"] = sent
    run.counts["accepted_forgeries"] = len(moved) + unsigned
    run.counts["forgeries_refused"] = sum(node.refused.total() for node in world.up)
    run.require_exercised(["replay-refused", "forgery-refused"])
    run.require(not unsigned, f"{unsigned} records are held that their owners did not sign")
    run.require(not moved, f"a forgery moved a belief, {len(moved)} times: {'; '.join(moved[:3])}")
    run.calm()


def _inject(run: Run, rng: random.Random, overheard: list[tuple[Address, Address, bytes]]) -> int:
    """Let an outsider send noise, replays and changed datagrams; give how many."""
    by_address = {node.address: node.name for node in run.world.up}
    chosen = rng.sample(overheard, min(INJECTED_AT_ONCE, len(overheard)))
    for source, target, payload in chosen:
        if (name := by_address.get(target)) is None:
            continue
        changed = bytearray(payload)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        run.world.inject(name, payload, source)
        run.world.inject(name, payload, STRANGER)
        run.world.inject(name, bytes(changed), source)
        run.world.inject(name, rng.randbytes(rng.randrange(MAX_JUNK)), STRANGER)
    return 4 * len(chosen)


def _forge(run: Run, rng: random.Random, names: list[str]) -> int:
    """Let a member send one of each forgery about one other to a third; give how many."""
    forger = run.world.nodes["forger"]
    machine = forger.running
    victim, target = (run.world.nodes[name] for name in rng.sample(names, 2))
    record = machine.members[victim.key.id].record
    if not isinstance(machine, Forger):
        return 0
    outputs = machine.forge(target.key.id, record, now=run.world.now, wall=run.world.wall)
    run.world.perform(forger, outputs)
    return len(outputs)


def _held_unsigned(run: Run, node: SimNode) -> int:
    """Count the records that a node holds and their owners did not sign, or not in this version."""
    own = {each.key.id: each.running.own.version for each in run.world.up}
    mesh_id = run.world.trust.mesh_id
    return sum(
        not member.record.signed.verify(RECORD_LABEL, mesh_id, member.id)
        or member.record.version > own.get(member.id, member.record.version)
        for member in node.running.members.values()
    )
