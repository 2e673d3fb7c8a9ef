"""Processes that die, come back, stop for a while, or come and go all the time."""

from __future__ import annotations

import random
from functools import partial
from typing import Final

from gossipmesh.mesh.outputs import MemberChanged, RoutabilityChanged
from gossipmesh.model import MemberState
from gossipmesh.sim.measure import Death, Gathering
from gossipmesh.sim.node import SimNode
from gossipmesh.sim.scenarios.run import Run

SPREAD_WITHIN_PERIODS: Final = 60
RESTART_S: Final = 2.0
"""How long a restarting daemon is away."""
RESTART_GAP_S: Final = 1.0
"""From one node's return to the next one's restart, in probe periods."""
STALL_S: Final = 20.0
"""Longer than a suspicion of the `lan` profile usually takes: the stalled are given up, and come back."""
POWER_CUT_WITHIN_PERIODS: Final = 8
CHURN_EVERY_PERIODS: Final = 2
NAPS: Final = 12
NAP_PERIODS: Final = 2.0
AWAKE_PERIODS: Final = 1.37
SLOWED_SHARE: Final = 0.4
"""Of a probe's longest patience, one way."""
SLOWED_PERIODS: Final = 5
"""Until all have measured how long the slowed packets take."""
BLAMED_PERIODS: Final = 4
"""For so long after the long stop, whatever a sleeper says of others comes of its sleep."""


def crash(run: Run) -> None:
    """One host vanishes without a word, and nobody sends it anything.

    A settled mesh without traffic; one host is gone, so that connections to it time out. Measured:
    ``first_suspicion_s`` and ``first_detection_s`` (the first observer that suspects it, and that declares it dead)
    since the crash; ``all_know_s`` from the first detection until everybody has declared it dead. Must hold: everybody
    does within the longest suspicion, and nobody else is declared dead.
    """
    names = run.settle()
    victim = run.world.nodes[names[-1]]
    death = Death(victim.key.id, since=run.world.now)
    run.world.listeners.append(death.hear)
    run.world.crash(victim.name, silent=True)
    wanted = len(names) - 1
    within_s = run.longest_detection_s + SPREAD_WITHIN_PERIODS * run.parameters.probe_period_s
    try:
        run.wait(lambda: len(death.known_s) == wanted, within_s=within_s, what="everybody declares it dead")
    finally:
        first_s = death.first_detection_s
        run.curve = () if first_s is None else tuple(each - first_s for each in death.known_s.values())
        run.knowers = wanted
        if death.first_suspicion_s is not None:
            run.figures["first_suspicion_s"] = death.first_suspicion_s
        if first_s is not None:
            run.figures["first_detection_s"] = first_s
    run.figures["all_know_s"] = max(run.curve)
    run.require_exercised(["suspected", "died"])
    run.require(run.judge.deaths == 0, "a member that lives was declared dead beside the one that crashed")
    run.calm()


def stall(run: Run) -> None:
    """A third of all processes stops at one moment and goes on later, as SIGSTOP or a paused VM does.

    First for two periods, twelve times, then for the duration. Packets take so long that many probes are under way
    whenever it happens, though none that is too late. Measured: ``healed_s`` from the end of the long stop until
    every view is equal to the truth again. Must hold: whoever slept blames nobody for it. What came in is read before
    a deadline fires, so no sleeper suspects anybody that was awake, or takes it out of rotation.
    """
    names = run.settle()
    period_s = run.parameters.probe_period_s
    slowest_s = SLOWED_SHARE * run.parameters.probe_timeout_max_s
    run.world.delay((0.75 * slowest_s, slowest_s))
    run.world.run(SLOWED_PERIODS * period_s)
    sleepers = names[: max(1, len(names) // 3)]
    run.judge.anomalous |= set(sleepers)
    awake = {run.world.nodes[name].key.id for name in names if name not in run.judge.anomalous}
    blamed: list[str] = []

    def hear(now: float, node: SimNode, change: MemberChanged | RoutabilityChanged) -> None:
        gone = (
            change.new is not MemberState.ALIVE if isinstance(change, MemberChanged) else not change.routable
        )
        if gone and node.name in run.judge.anomalous and change.id in awake:
            blamed.append(f"{now:.3f} s {node.name} blames {change.name}: {change.why}")

    run.world.listeners.append(hear)
    # Not in step with the probes: each nap begins elsewhere in the period.
    for asleep_s in (*[NAP_PERIODS * period_s] * NAPS, run.duration_s):
        for name in sleepers:
            run.world.stall(name, asleep_s)
        run.world.run(asleep_s)
        woke = run.world.now
        run.world.run(AWAKE_PERIODS * period_s if asleep_s != run.duration_s else 0.0)
    run.figures["healed_s"] = run.wait(
        lambda: run.world.wrong_views() == 0, within_s=run.calming_s, what="every view is true again"
    )
    run.world.run(max(0.0, woke + BLAMED_PERIODS * period_s - run.world.now))
    run.world.listeners.remove(hear)
    run.counts["blamed_after_stall"] = len(blamed)
    run.require(not blamed, f"who slept blames who was awake, {len(blamed)} times: {'; '.join(blamed[:3])}")
    run.require_exercised(["stalled"])
    run.calm()
    run.require(run.judge.deaths == 0, "a member that was never stopped was declared dead")


def power_cut(run: Run) -> None:
    """All processes are killed at one moment and start again together, half of them at new addresses.

    Each has on its disk what the daemon keeps: key, chain, boot counter, and the members that it knew, half of them
    with an address where nobody is any more. The first seed keeps its own. Measured: ``join_complete_s``, from the
    start until everybody holds everybody's record of the new life (asked every 10 ms). Must hold: that takes at most
    8 s in the `lan` profile, with all cryptography done for real.
    """
    names = run.settle()
    for name in names:
        node = run.world.nodes[name]
        node.known = node.running.known()
    down_s = RESTART_S
    for number, name in enumerate(names):
        run.world.bounce(name, down_s=down_s, new_address=number % 2 == 1)
    run.world.run(down_s)
    within_s = max(8.0, POWER_CUT_WITHIN_PERIODS * run.parameters.probe_period_s)
    gathering = Gathering(run.world)
    gathering.begin()
    run.figures["join_complete_s"] = run.wait(
        lambda: not gathering.waiting, within_s=within_s, what="everybody has met everybody's new life"
    )
    run.calm()
    run.require(run.judge.deaths == 0, "a member that is up again was declared dead")


def rolling_restart(run: Run) -> None:
    """Every node in turn is killed and starts again, every second one with its state directory lost.

    Measured: ``healed_s`` from the last restart until every view is equal to the truth. Must hold: no member that is
    up is declared dead meanwhile, and in the end the new identities have replaced the old ones.
    """
    names = run.settle()
    gap_s = RESTART_S + RESTART_GAP_S * run.parameters.probe_period_s
    for number, name in enumerate(names):
        run.world.bounce(name, down_s=RESTART_S, lost_state=number % 2 == 1)
        run.world.run(gap_s)
    ended = run.world.now
    run.calm()
    run.figures["healed_s"] = run.world.now - ended
    run.require(run.judge.deaths == 0, "a member that was up was declared dead during a rolling restart")
    run.require(len(run.world.up) == len(names), "somebody did not come back")


def churn(run: Run) -> None:
    """Nodes join, crash, leave and come back all the time.

    One event every two probe periods, by dice: a newcomer, a crash, a farewell, a return with the old identity, a
    return with the state lost. Measured: ``healed_s`` after the last event until every view is equal to the truth.
    Must hold: no member that is up is declared dead at a healthy observer.
    """
    names = run.settle()
    rng = random.Random(run.seed)
    keep = set(names[:2])  # the seeds of everybody
    down: list[str] = []
    gap_s = CHURN_EVERY_PERIODS * run.parameters.probe_period_s
    for number in range(max(1, int(run.duration_s / gap_s))):
        what = rng.randrange(5)
        candidates = [node.name for node in run.world.up if node.name not in keep]
        match what:
            case 0:
                run.world.add(f"late{number}", seeds=["n0"])
            case 1 if len(candidates) > 1:
                down.append(rng.choice(candidates))
                run.world.crash(down[-1])
            case 2 if len(candidates) > 1:
                leaver = rng.choice(candidates)
                run.world.leave(leaver)
                keep.add(leaver)
            case 3 | 4 if down:
                start = run.world.start if what == 3 else run.world.restart_with_lost_state
                run.world.at(0.0, partial(start, down.pop(0)))
            case _:
                pass
        run.world.run(gap_s)
    ended = run.world.now
    run.calm()
    run.figures["healed_s"] = run.world.now - ended
    run.require(run.judge.deaths_healthy == 0, "a member that was up was declared dead")
