from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing import connection

import pytest
from attrs import evolve

from gossipmesh.errors import MeshError
from gossipmesh.sim.runner import run_one, run_seeds
from gossipmesh.sim.scenarios.plan import Outcome, Plan


def without_time(outcome: Outcome) -> Outcome:
    return evolve(outcome, wall_s=0.0)


def test_a_seed_gives_the_same_run_alone_and_in_another_process(plan: Callable[..., Plan]) -> None:
    crash = plan("crash", nodes=5)
    ticks: list[float] = []
    here = sorted(run_seeds(crash, range(1, 4), jobs=1), key=lambda each: each.seed)
    there = sorted(run_seeds(crash, range(1, 4), jobs=2, tick=ticks.append), key=lambda each: each.seed)
    assert [without_time(each) for each in there] == [without_time(each) for each in here]
    assert [each.failure for each in here] == [""] * 3
    assert ticks[-1] > 0


def test_closing_the_iterator_ends_all_workers(plan: Callable[..., Plan]) -> None:
    quick = run_seeds(plan("update", nodes=3), range(1, 100), jobs=2)
    next(quick)
    workers = multiprocessing.active_children()
    quick.close()
    assert len(workers) == 2
    # Not is_alive(): it says yes for a moment where the pool's own thread has just taken the exit status.
    assert all(connection.wait([worker.sentinel], timeout=10) for worker in workers)


def test_a_machine_that_raises_is_an_outcome_with_its_seed_and_where_it_was(
    plan: Callable[..., Plan],
) -> None:
    impossible = evolve(plan("update", nodes=4), nodes=0)
    outcome = run_one(impossible, 7)
    assert outcome.failure.startswith("seed 7: a machine raised IndexError")
    assert "Traceback" in outcome.failure


def test_the_beat_is_heard_with_each_node_that_is_set_up_and_then_once_a_virtual_second(
    plan: Callable[..., Plan],
) -> None:
    beats: list[float] = []
    outcome = run_one(plan("idle", nodes=3, duration_s=5.0), 1, beat=beats.append)
    assert beats == [0.0] * 6 + [1.0] * int(outcome.virtual_s)


def test_a_worker_that_is_killed_is_one_error(plan: Callable[..., Plan]) -> None:
    results = run_seeds(plan("loss", nodes=3, duration_s=36_000.0), range(1, 9), jobs=2, tick=kill_workers)
    with pytest.raises(MeshError, match="was killed") as caught:
        next(results)
    assert caught.value.code == "sim.worker"


def kill_workers(_: float) -> None:
    for worker in multiprocessing.active_children():
        worker.kill()
