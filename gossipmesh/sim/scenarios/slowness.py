"""Members that are slow, not dead: what Lifeguard is about."""

from __future__ import annotations

from typing import Final

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
