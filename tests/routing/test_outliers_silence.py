"""Silence, in seeded traffic over three endpoints: who freezes is left alone soon, who is slow by nature never is."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

import pytest
from attrs import define, field

from gossipmesh.model import Address, Endpoint, NodeId, Service
from gossipmesh.routing.balancing.service import ServiceBalancer
from gossipmesh.routing.ejection import EjectionSettings
from gossipmesh.routing.outcomes import Came
from gossipmesh.routing.outliers import Outliers
from gossipmesh.routing.snapshot import Candidates
from gossipmesh.routing.traffic import DEFAULT

SEEDS = range(5)
ABC = Candidates.of(
    Endpoint(letter, NodeId(letter.encode() * 32), Address("10.0.0.1", 7946), Service("hello", 80))
    for letter in "abc"
)
FROZEN = ABC[0].id
NOWHERE = NodeId(b"")
TICK_S = 0.1

Takes = Callable[[Random], float]
"""Gives how long a request takes, in seconds."""


@define(eq=False)
class Request:
    begun: float
    safe: bool
    """Whether it may be sent twice."""
    at: NodeId = NOWHERE
    tries: int = 0
    sent: float = 0.0
    """The last time."""
    answered: float | None = None


@define(slots=False)
class World:
    """Requests to three endpoints, one of which is stopped for a while and then goes on where it was."""

    seed: int
    takes: Takes
    per_s: float
    lasts_s: float
    freeze: tuple[float, float] = (0.0, 0.0)
    paced: bool = False
    """Whether requests come at even distances, as in a benchmark, and not whenever they like."""
    post_every: int = 11
    """Of so many requests one may not be sent twice; 0: all may."""
    requests: list[Request] = field(factory=list)
    out: list[tuple[float, str]] = field(factory=list)
    """When somebody was out of rotation, and why: looked at with each tick."""

    def run(self) -> World:
        self.rng = Random(self.seed)
        self.outliers = Outliers(EjectionSettings())
        self.balancer = ServiceBalancer("hello", DEFAULT, origin=NodeId(bytes(32)), key=b"", rng=Random(1))
        self.waiting: set[Request] = set()
        self.events: list[tuple[float, int, Callable[[float], None]]] = []
        self.at(0.0, self.arrive)
        self.at(0.0, self.tick)
        while self.events:
            now, _, happens = heappop(self.events)
            happens(now)
        return self

    def at(self, now: float, happens: Callable[[float], None]) -> None:
        self.count = getattr(self, "count", 0) + 1
        heappush(self.events, (now, self.count, happens))

    def arrive(self, now: float) -> None:
        if now < self.lasts_s:
            self.at(now + (1 / self.per_s if self.paced else self.rng.expovariate(self.per_s)), self.arrive)
        self.requests.append(Request(now, not self.post_every or len(self.requests) % self.post_every > 0))
        request = self.requests[-1]
        self.send(request, now)

    def send(self, request: Request, now: float) -> None:
        fit = self.outliers.fit(ABC, now=now, may_try=request.safe)
        tried = {request.at} if len(fit) > 1 else ()
        chosen = self.balancer.pick(fit, now=now, tried=tried)
        assert chosen is not None
        request.at, request.sent = chosen.id, now
        request.tries += 1
        self.outliers.began(request.at, now=now)
        self.waiting.add(request)
        done, tries = now + self.takes(self.rng), request.tries
        since, until = self.freeze
        if request.at == FROZEN and done >= since and now < until:
            done = until + max(0.0, done - max(now, since))
        self.at(done, lambda now: self.answer(request, tries, now))

    def answer(self, request: Request, tries: int, now: float) -> None:
        if request.answered is None and request.tries == tries:
            request.answered = now
            self.waiting.discard(request)
            self.outliers.ended(request.at, Came.OK, now=now, took_s=now - request.sent)

    def tick(self, now: float) -> None:
        if now < self.lasts_s:
            self.at(now + TICK_S, self.tick)
        for silent in self.outliers.handle_timer(now=now):
            for request in [each for each in self.waiting if each.at == silent and each.safe]:
                self.outliers.ended(silent, Came.SILENCE, now=now)
                self.send(request, now)
        self.out += [(now, why) for each in ABC if (why := self.outliers.reason(each.id, now=now))]

    def waited(self, seconds: float) -> list[Request]:
        return [
            each for each in self.requests if each.answered is None or each.answered - each.begun > seconds
        ]


def quick(rng: Random) -> float:
    """Give a few milliseconds, and for one of twenty a tenth of a second."""
    return 0.1 if rng.random() < 0.05 else rng.expovariate(1 / 0.003)


def slow(rng: Random) -> float:
    return rng.uniform(0.1, 30.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_few_requests_wait_for_an_endpoint_that_freezes_and_none_that_began_later(seed: int) -> None:
    world = World(seed, quick, per_s=220, lasts_s=20, freeze=(10.0, 15.0), paced=True).run()
    waited = world.waited(1.0)
    assert len(waited) <= 7, seed
    assert not any(each.safe for each in waited), seed
    assert all(each.begun < 11.0 for each in waited), seed


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_sent_once_more_waits_well_under_a_second(seed: int) -> None:
    world = World(seed, quick, per_s=220, lasts_s=20, freeze=(10.0, 15.0)).run()
    again = [each for each in world.requests if each.tries > 1]
    assert 20 <= len(again) <= 80, seed
    assert all(each.answered is not None and each.answered - each.begun < 0.9 for each in again), seed


@pytest.mark.parametrize("seed", SEEDS)
def test_who_is_frozen_is_out_within_a_second_and_back_at_its_first_byte(seed: int) -> None:
    world = World(seed, quick, per_s=220, lasts_s=20, freeze=(10.0, 15.0), post_every=3).run()
    times = [now for now, _ in world.out]
    assert 10.0 < min(times) < 11.0, seed
    assert 14.0 < max(times) <= 15.1, seed
    assert "silence of 0." in world.out[0][1], seed


@pytest.mark.parametrize("seed", SEEDS)
def test_without_anything_waiting_there_one_request_now_and_then_finds_that_it_is_back(seed: int) -> None:
    world = World(seed, quick, per_s=200, lasts_s=30, freeze=(10.0, 15.0), post_every=0).run()
    assert max(now for now, _ in world.out) < 20.0, seed
    tried = [each for each in world.requests if 11.0 < each.begun < 14.0 and each.tries > 1]
    assert 1 <= len(tried) <= 3, seed
    served = [each for each in world.requests if each.at == FROZEN and each.begun > 20.0]
    assert len(served) > 300, seed


@pytest.mark.parametrize(
    ("per_s", "since", "most"), [(5, 0.0, 11), (5, 5.0, 8), (20, 0.0, 13), (220, 0.0, 7)]
)
def test_few_wait_where_there_is_little_traffic_or_nothing_is_known_yet(
    per_s: float, since: float, most: int
) -> None:
    for seed in SEEDS:
        world = World(seed, quick, per_s=per_s, lasts_s=since + 15, freeze=(since, since + 10)).run()
        assert len(world.waited(1.0)) <= most, seed


def always_slow(_: Random) -> float:
    return 30.0


def long_polls_among_quick_ones(rng: Random) -> float:
    return 30.0 if rng.random() < 0.1 else quick(rng)


@pytest.mark.parametrize("per_s", [0.5, 3.0, 20.0])
@pytest.mark.parametrize("takes", [slow, always_slow, long_polls_among_quick_ones])
def test_a_service_that_is_slow_by_nature_is_never_taken_for_silent(takes: Takes, per_s: float) -> None:
    for seed in SEEDS:
        assert World(seed, takes, per_s=per_s, lasts_s=100).run().out == [], seed


def test_where_everybody_is_silent_nobody_is() -> None:
    """As where what all of them wait for stands still."""
    world = World(1, quick, per_s=200, lasts_s=5).run()
    outliers = world.outliers
    for each in ABC:
        for _ in range(10):
            outliers.began(each.id, now=100.0)
    assert [outliers.handle_timer(now=100.0 + tick / 10) for tick in range(101)] == [[]] * 101
    assert outliers.reason(FROZEN, now=110.0) == ""


def test_the_longest_pause_is_remembered_until_there_were_answers_enough() -> None:
    world = World(1, always_slow, per_s=1, lasts_s=90).run()
    world.outliers.handle_timer(now=5_000.0)
    patience = world.outliers.patience_s
    assert patience > 5.0
    world.outliers.handle_timer(now=9_000.0)
    assert world.outliers.patience_s == patience
