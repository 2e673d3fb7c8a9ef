"""Members that are slow, not dead: what Lifeguard is about."""

from __future__ import annotations

from typing import Final

from gossipmesh.model import MemberState
from gossipmesh.sim.measure import Death
from gossipmesh.sim.scenarios.run import Run

BLOCKED_S: Final = 16.384
FREE_S: Final = 0.064
"""Lifeguard's interval experiment (section V-D): blocked so long, then free so long, in turns."""


def slow(run: Run) -> None:
    """Some members are blocked for 16.384 s and then free for 64 ms, in turns.

    Lifeguard's experiment: nothing passes to or from a blocked member, and its timers run on. Measured: how often a
    member that was never slow was declared dead, or taken out of rotation, by anybody (``all``) and by observers that
    were not slow themselves (``healthy``). Must hold with Lifeguard: no death at healthy observers; and that all are
    well again once nobody is slow. Without it, they are counted only.
    """
    names = run.settle()
    count = min(run.plan.slow_members or 0, len(names) - 1)
    # From the end: n0 and n1 are the seeds of all, and a slow seed is another experiment.
    chosen = names[len(names) - count :]
    run.judge.anomalous |= set(chosen)
    run.world.slow(chosen, blocked_s=BLOCKED_S, free_s=FREE_S, lasting_s=run.duration_s)
    run.world.run(run.duration_s)
    run.counts["slow_declared_dead"] = run.judge.anomalous_deaths
    if count:
        run.require_exercised(["held"])
    if run.plan.lifeguard:
        run.require(run.judge.deaths_healthy == 0, "a healthy observer declared a healthy member dead")
    ended = run.world.now
    run.calm()
    run.figures["healed_s"] = run.world.now - ended


def lifeguard(run: Run) -> None:
    """Some members are blocked again and again as in `slow`, and half-way one that is well vanishes.

    False positives, and what it costs to have few of them, in one run. Measured as in `slow`: who was wrongly
    declared dead; and beside it how long the *healthy* observers take for the real crash (``first_detection_s`` since
    the crash, ``all_know_s`` from there until all of them know) and what every node sends (``load_packets_per_s``,
    ``load_bytes_per_s``, UDP and TCP together, over the whole duration). Must hold with Lifeguard: no healthy
    observer declares a healthy member dead. Must hold always: all healthy observers find the crash.
    """
    names = run.settle()
    # n0 and n1 are the seeds of all; with n2 there is one that can vanish.
    count = min(run.plan.slow_members or 0, len(names) - 3)
    healthy, chosen = names[: len(names) - count], names[len(names) - count :]
    run.judge.anomalous |= set(chosen)
    began, before = run.world.now, _load(run)
    run.world.slow(chosen, blocked_s=BLOCKED_S, free_s=FREE_S, lasting_s=run.duration_s)
    run.world.run(run.duration_s / 2)
    victim = run.world.nodes[healthy.pop()]
    death = Death(victim.key.id, since=run.world.now)
    run.world.listeners.append(death.hear)
    run.world.crash(victim.name, silent=True)
    run.world.run(run.duration_s / 2)
    share = (run.world.now - began) * len(names)
    run.figures |= {f"load_{name}_per_s": (now - before[name]) / share for name, now in _load(run).items()}
    known_s = [death.known_s[name] for name in healthy if name in death.known_s]
    if known_s:
        run.figures["first_detection_s"] = min(known_s)
    run.require(len(known_s) == len(healthy), "healthy observers have not found a member that vanished")
    run.figures["all_know_s"] = max(known_s) - min(known_s)
    run.counts["slow_declared_dead"] = run.judge.anomalous_deaths
    if count:
        run.require_exercised(["held"])
    if run.plan.lifeguard:
        run.require(run.judge.deaths_healthy == 0, "a healthy observer declared a healthy member dead")
    run.wait(
        lambda: run.world.everyone_believes(victim.name, MemberState.DEAD),
        within_s=run.calming_s,
        what="everybody knows of the member that vanished",
    )
    run.calm()


def _load(run: Run) -> dict[str, int]:
    """Give the packets and bytes that all nodes have sent so far, UDP and TCP together."""
    each = run.world.traffic.values()
    return {"packets": sum(one.packets for one in each), "bytes": sum(one.total_bytes for one in each)}
