"""Runs one scenario with many seeds, several at a time, each in a world of its own.

Worker processes are *spawned*: nothing of the parent goes along, neither threads (a progress bar has one) nor what a
forked heap would keep from being garbage collected; a seed then gives the same run in a worker as alone.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from types import TracebackType
from typing import Any, Final

from attrs import define

from gossipmesh.errors import MeshError
from gossipmesh.sim.history import LawBroken
from gossipmesh.sim.measure import Judge
from gossipmesh.sim.scenarios.catalogue import SCENARIOS
from gossipmesh.sim.scenarios.plan import Outcome, Plan
from gossipmesh.sim.scenarios.run import Run
from gossipmesh.sim.scenarios.written import play_file
from gossipmesh.sim.world import World

WAITING_EACH: Final = 2
"""Seeds handed out ahead to each worker: none idles, and an interrupted run throws little away."""
REAL_SEED: Final = 1
"""In each scenario this seed runs with all cryptography done for real by every node, as the daemon has it ..."""
REAL_NODES: Final = 128
"""... in meshes up to this size: a thousand nodes would verify for hours."""
BEAT_S: Final = 1.0
"""How often a world says how far it is, in its own virtual seconds; while it is set up, with each node."""
TICK_S: Final = 0.5
"""How often the caller hears of progress, in real seconds."""

Beat = Callable[[float], None]
"""Hears how many virtual seconds have passed since it was called last."""


def run_one(plan: Plan, seed: int, *, beat: Beat = lambda _: None) -> Outcome:
    """Play a plan with one seed, and give what came out; a law or claim that broke is in the outcome.

    Args:
        plan: what to play.
        seed: of everything random.
        beat: called once a virtual second, and with each node that is set up.
    """
    scenario = SCENARIOS.get(plan.scenario)
    source = scenario or plan.file
    loss = plan.loss if plan.loss is not None or source is None else source.loss
    began = time.monotonic()
    world = World(
        seed,
        profile=plan.parameters,
        loss=loss or 0.0,
        crypto=_crypto_of(plan, seed),
        input_first=plan.input_first,
    )
    run = Run(plan, seed, world, Judge(world))

    def go_on() -> None:
        beat(BEAT_S)
        world.at(BEAT_S, go_on)

    world.at(BEAT_S, go_on)
    world.beat = lambda: beat(0.0)
    caught = _Caught(seed)
    with caught:
        if scenario is not None:
            scenario.play(run)
        elif plan.file is not None:
            play_file(run, plan.file)
    judge = run.judge
    return Outcome(
        seed=seed,
        figures=run.figures,
        counts={
            **run.counts,
            "false_positives": judge.deaths,
            "false_positives_healthy": judge.deaths_healthy,
            "routability_false_positives": judge.unroutable,
            "routability_false_positives_healthy": judge.unroutable_healthy,
            "suspected_while_well": judge.suspicions,
        },
        curve=tuple(sorted(run.curve)),
        knowers=run.knowers,
        coverage=dict(world.coverage),
        virtual_s=world.now,
        wall_s=time.monotonic() - began,
        failure=caught.text,
    )


def _crypto_of(plan: Plan, seed: int) -> str:
    scenario = SCENARIOS.get(plan.scenario)
    if seed == REAL_SEED and plan.nodes <= REAL_NODES:
        return "real"
    return "shared" if scenario is None else scenario.crypto


@define
class _Caught:
    """Keeps what ends a run early, as text with the seed.

    A machine that raises is the gravest thing that a run can find. It is kept whole, traceback and all, and must not
    take the outcomes of other seeds with it; nor may it cross processes as an object, which need not be picklable.
    """

    seed: int
    text: str = ""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        if isinstance(error, LawBroken | TimeoutError):
            self.text = str(error)
        else:
            whole = "".join(traceback.format_exception(kind, error, trace))
            self.text = f"seed {self.seed}: a machine raised {type(error).__name__}: {error}\n{whole}"
        return True


def run_seeds(
    plan: Plan, seeds: range, *, jobs: int, tick: Callable[[float], None] = lambda _: None
) -> Generator[Outcome, None, None]:
    """Play a plan with each seed; give outcomes as they are done, in no order.

    Closing the iterator ends all workers at once.

    Args:
        plan: what to play.
        seeds: the seeds.
        jobs: processes at a time; with 1 it runs in this one.
        tick: hears now and then how many virtual seconds have passed in all worlds together.

    Raises:
        MeshError: ``sim.worker``: a worker process was killed.
    """
    if jobs == 1 or len(seeds) == 1:
        yield from _run_here(plan, seeds, tick)
        return
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    passed = context.Value("d", 0.0)
    pool = ProcessPoolExecutor(
        min(jobs, len(seeds)), mp_context=context, initializer=_begin_worker, initargs=(passed,)
    )
    left = iter(seeds)
    under_way: set[Future[Outcome]] = set()
    try:
        while True:
            while len(under_way) < WAITING_EACH * jobs and (seed := next(left, None)) is not None:
                with _uninterrupted():
                    under_way.add(pool.submit(_run_in_worker, plan, seed))
            if not under_way:
                break
            done, under_way = wait(under_way, timeout=TICK_S, return_when=FIRST_COMPLETED)
            tick(passed.value)
            for future in done:
                yield future.result()
    except BrokenProcessPool:
        text = "a process of the simulation was killed, perhaps for want of memory; try fewer --jobs"
        raise MeshError("sim.worker", text) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait: a worker that begins inherits that, and is not hit before it can say that it ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_here(plan: Plan, seeds: range, tick: Callable[[float], None]) -> Generator[Outcome, None, None]:
    passed = 0.0
    told = time.monotonic()

    def beat(seconds: float) -> None:
        nonlocal passed, told
        passed += seconds
        if time.monotonic() - told >= TICK_S:
            told = time.monotonic()
            tick(passed)

    for seed in seeds:
        yield run_one(plan, seed, beat=beat)
        gc.collect()  # a world is full of cycles, and the next one need not wait for its memory


_passed: Synchronized[float] | None = None
"""In a worker: the virtual seconds of all workers together."""


def _begin_worker(passed: Any) -> None:
    global _passed  # noqa: PLW0603 - a worker has no other place for what its initializer was given
    _passed = passed
    # Ctrl-C reaches the whole process group; the parent alone answers it, and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent has ended in whatever way, even killed: it would compute for nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_in_worker(plan: Plan, seed: int) -> Outcome:
    outcome = run_one(plan, seed, beat=_beat)
    gc.collect()
    return outcome


def _beat(seconds: float) -> None:
    if _passed is not None:
        with _passed.get_lock():
            _passed.value += seconds
