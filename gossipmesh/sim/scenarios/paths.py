"""Paths that lose, break, break one way only, and come and go."""

from __future__ import annotations

from typing import Final

from gossipmesh.sim.measure import nobody_is_cut_off
from gossipmesh.sim.scenarios.run import Run

FLAP_PERIODS: Final = 3
"""How long a flapping link is down, and then up."""
WATCHED_S: Final = 20.0
"""After a repair, in which nobody may fall out again."""


def loss(run: Run) -> None:
    """Every datagram is lost with one probability, everywhere.

    Measured: false positives over the duration (ten minutes unless said otherwise), deaths and rotation apart. Must
    hold: no death at up to 10 % loss. Above that they are counted only.
    """
    run.settle()
    run.world.run(run.duration_s)
    run.require_exercised(["lost", "indirect-probe"])
    if run.world.network.loss <= 0.1:
        run.require(run.judge.deaths == 0, "a member that is up was declared dead because of lost datagrams")
    run.world.lose(0.0)
    run.calm()


def partition(run: Run) -> None:
    """The mesh falls into two halves that do not hear of each other, and is repaired.

    Measured: ``healed_s`` from the repair until every view is complete. Must hold: it heals by itself, each half keeps
    its own members meanwhile, and nobody falls out again afterwards.
    """
    names = run.settle()
    half = {name: number % 2 for number, name in enumerate(names)}
    sides = [[name for name in names if half[name] == side] for side in (0, 1)]
    run.judge.cut_off = lambda one, other: half.get(one) != half.get(other)
    run.world.partition(*sides)
    run.world.run(run.duration_s)
    run.world.repair()
    within_s = run.calming_s
    run.figures["healed_s"] = run.wait(
        run.world.complete, within_s=within_s, what="the halves are one mesh again"
    )
    run.judge.cut_off = nobody_is_cut_off
    run.world.run(WATCHED_S)
    run.calm()
    run.require_exercised(["reconnect", "came-back"] if run.duration_s >= run.longest_detection_s else [])
    run.require(
        run.judge.deaths == 0, "a member was declared dead by its own half, or again after the repair"
    )


def asymmetric(run: Run) -> None:
    """Packets pass one way only: from n0 to n1 none do, and half of the mesh is not heard by the last member.

    A one-way cut ends TCP between the two as well. Measured: false positives; who cannot reach a peer may well stop
    sending requests there, so rotation counts only where the path is whole. Must hold: in a mesh of three or more,
    where somebody else reaches it, nobody is declared dead, at either end of the cut; after healing all views are
    complete.
    """
    names = run.settle()
    deaf, others = names[-1], names[1:-1]
    run.world.cut([names[0]], [names[1]], one_way=True)
    cut = {(names[0], names[1])}
    if len(names) >= 6:
        silenced = others[: len(others) // 2]
        run.world.cut(silenced, [deaf], one_way=True)
        cut |= {(name, deaf) for name in silenced}
    run.judge.cut_off = lambda one, other: (one, other) in cut or (other, one) in cut
    deaths = run.world.coverage["died"]
    run.world.run(run.duration_s)
    run.counts["deaths_across_the_cut"] = run.world.coverage["died"] - deaths
    if len(names) >= 3:
        run.require(
            run.world.coverage["died"] == deaths,
            "a member that others reach was declared dead because of a one-way cut",
        )
    run.world.heal()
    run.figures["healed_s"] = run.wait(
        run.world.complete, within_s=run.calming_s, what="all views are complete"
    )
    run.calm()


def flap(run: Run) -> None:
    """One member's link goes down and up again, all the time.

    Down for three probe periods, up for three. Measured: ``flaps``, how often anybody changed its mind about it, and
    ``healed_s`` after the last repair. Must hold: nobody else is declared dead by anybody whose link is whole.
    """
    names = run.settle()
    flapper, others = names[-1], names[:-1]
    run.judge.anomalous.add(flapper)
    flaps = 0
    pause_s = FLAP_PERIODS * run.parameters.probe_period_s
    changes = run.world.coverage["suspected"] + run.world.coverage["refuted"]
    for _ in range(max(1, int(run.duration_s / (2 * pause_s)))):
        run.world.cut([flapper], others)
        run.world.run(pause_s)
        run.world.heal()
        run.world.run(pause_s)
        flaps += 1
    run.counts["cuts"] = flaps
    run.counts["flaps"] = run.world.coverage["suspected"] + run.world.coverage["refuted"] - changes
    ended = run.world.now
    run.calm()
    run.figures["healed_s"] = run.world.now - ended
    run.require(run.judge.deaths_healthy == 0, "a member with a whole link was declared dead")
