"""News and quiet: one change to everybody, everybody at once, and nothing at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gossipmesh.sim.measure import Spread
from gossipmesh.sim.scenarios.run import Run
from gossipmesh.sim.world import World

JOINED_WITHIN_PERIODS: Final = 120
SPREAD_WITHIN_PERIODS: Final = 30


def update(run: Run) -> None:
    """One member changes its record; everybody has to learn it.

    A settled mesh; one member says that it drains. Measured: ``update_all_s``, until every member holds the new record
    (asked every 10 ms). Must hold: all know within 30 probe periods, and nobody is given up over it.
    """
    names = run.settle()
    subject = run.world.nodes[names[-1]]
    run.world.drain(subject.name)
    spread = Spread(run.world, subject)
    spread.begin()
    within_s = SPREAD_WITHIN_PERIODS * run.parameters.probe_period_s
    try:
        run.wait(lambda: not spread.waiting, within_s=within_s, what="a changed record is known to all")
    finally:
        run.curve, run.knowers = tuple(spread.known_s), len(names) - 1
    run.figures["update_all_s"] = max(spread.known_s)
    run.calm()
    run.require(run.judge.deaths == 0, "a member was declared dead while nothing but news went round")


def join_storm(run: Run) -> None:
    """All nodes start at one moment and know one seed.

    Measured: ``join_complete_s``, until every view is complete. Must hold: that takes at most 120 probe periods, nobody
    is given up on the way, and afterwards every view stays equal to the truth.
    """
    run.world.listeners.append(run.judge.hear)
    for number in range(run.plan.nodes):
        run.world.add(f"n{number}", seeds=[] if number == 0 else ["n0"])
    within_s = JOINED_WITHIN_PERIODS * run.parameters.probe_period_s
    run.figures["join_complete_s"] = run.wait(
        run.world.complete, within_s=within_s, what="every view is complete"
    )
    run.calm()
    run.require(run.judge.deaths == 0, "a member was declared dead while the mesh gathered")


def idle(run: Run) -> None:
    """Nothing happens.

    A settled mesh, left alone for the duration. Measured per node, UDP and TCP together: packets and bytes per second
    (TCP is reckoned, not simulated by the packet: see :class:`~gossipmesh.sim.traffic.Traffic`). Must hold: no change
    of belief at all.
    """
    run.settle()
    run.world.run(2 * run.parameters.sync_period_s)
    changes: list[str] = []
    run.world.listeners.append(lambda now, node, change: changes.append(f"{now:.1f} s {node.name}: {change}"))
    before = _sent(run.world)
    run.world.run(run.duration_s)
    after = _sent(run.world)
    share = run.duration_s * run.plan.nodes
    run.figures |= {f"{name}_per_s": (after[name] - before[name]) / share for name in after}
    run.require(not changes, f"nothing happened, and beliefs changed: {'; '.join(changes[:3])}")


def _sent(world: World) -> Mapping[str, int]:
    """Give the packets and bytes that all nodes have sent, and how much of them was UDP."""
    each = world.traffic.values()
    return {
        "packets": sum(one.packets for one in each),
        "bytes": sum(one.total_bytes for one in each),
        "udp_packets": sum(one.datagrams for one in each),
        "udp_bytes": sum(one.datagram_bytes for one in each),
    }
