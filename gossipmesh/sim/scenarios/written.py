"""Plays a scenario that a file describes: its faults at their times, then what it expects."""

from __future__ import annotations

from functools import partial
from typing import Final

from gossipmesh.sim.scenarios.file import Fault, ScenarioFile
from gossipmesh.sim.scenarios.run import Run

DISTURBING: Final = frozenset({"hold", "slow", "stall", "skew", "bounce", "crash"})
"""What is done to a node itself. About a node that was disturbed nothing is a false positive any more, nor is anything
between two nodes that were separated."""


def play_file(run: Run, file: ScenarioFile) -> None:
    """Do what a file says. Measured: false positives, and ``healed_s`` after the end until all views are the truth."""
    run.settle()
    separated: set[tuple[str, str]] = set()
    run.judge.cut_off = lambda one, other: (one, other) in separated or (other, one) in separated
    for fault in file.faults:
        run.world.at(fault.at_s, partial(_begin, run, fault, separated))
    run.world.run(run.duration_s)
    expect = file.expect
    ended = run.world.now
    if expect.complete_within_s is not None:
        run.world.agree(expect.complete_within_s)
        run.figures["healed_s"] = run.world.now - ended
    judge = run.judge
    for name, count, most in (
        ("false_positives", judge.deaths, expect.false_positives),
        ("false_positives_healthy", judge.deaths_healthy, expect.false_positives_healthy),
        ("routability_false_positives", judge.unroutable, expect.routability_false_positives),
    ):
        run.require(most is None or count <= most, f"{name}: {count}, expected at most {most}")
    run.require_exercised(expect.exercised)


def _begin(run: Run, fault: Fault, separated: set[tuple[str, str]]) -> None:
    """Do one thing, and note who cannot be blamed, or blame, from now on."""
    if fault.do in DISTURBING:
        run.judge.anomalous |= set(fault.nodes)
    world = run.world
    match fault.do:
        case "partition":
            groups = [set(group) for group in fault.groups]
            side = {name: number for number, group in enumerate(groups) for name in group}
            names = list(world.nodes)
            separated |= {(a, b) for a in names for b in names if side.get(a) != side.get(b)}
            world.partition(*fault.groups)
        case "repair":
            world.repair()
        case "cut":
            separated |= {(a, b) for a in fault.here for b in fault.there}
            world.cut(fault.here, fault.there, one_way=fault.one_way)
        case "heal":
            world.heal()
        case "hold":
            world.hold(fault.nodes)
        case "release":
            world.release(fault.nodes)
        case "slow":
            world.slow(fault.nodes, blocked_s=fault.blocked_s, free_s=fault.free_s, lasting_s=fault.lasting_s)
        case "lose":
            world.lose(fault.share, names=fault.nodes or None)
        case "duplicate":
            world.duplicate(fault.share)
        case "delay":
            world.delay(fault.between_s, names=fault.nodes or None)
        case _:
            for name in fault.nodes:
                _begin_at(run, fault, name)


def _begin_at(run: Run, fault: Fault, name: str) -> None:
    """Do to one node what makes sense in its present state: who is down cannot crash, who is up cannot start."""
    world = run.world
    up = world.nodes[name].mesh is not None
    match fault.do:
        case "start" if not up:
            world.start(name)
        case "crash" if up:
            world.crash(name, silent=fault.silent)
        case "bounce" if up:
            world.bounce(
                name, down_s=fault.lasting_s, lost_state=fault.lost_state, new_address=fault.new_address
            )
        case "stall" if up:
            world.stall(name, fault.lasting_s)
        case "leave" if up:
            world.leave(name)
        case "drain" if up:
            world.drain(name)
        case "skew":
            world.skew(name, fault.offset_s)
        case _:
            world.history.add(
                world.now, name, f"{fault.do}: not possible now, it is {'up' if up else 'down'}"
            )
