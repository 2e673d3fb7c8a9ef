"""The rules against a slow endpoint, in a simulation of callers, endpoints with workers, and their queues."""

from __future__ import annotations

import random
from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace
from types import ModuleType

import pytest

from gossipmesh.model import Endpoint
from gossipmesh.routing.balancing.load import Result
from gossipmesh.routing.balancing.members import Members, Turns
from gossipmesh.routing.balancing.rules import RULES
from gossipmesh.routing.balancing.service import ServiceBalancer
from gossipmesh.routing.traffic import BALANCERS, Traffic

CALLERS = 4
ENDPOINTS = 5
WORKERS = 4
SERVICE_S = 0.010
WARM_UP_S = 4.0


class Queue:
    """One endpoint: some workers, and one queue for them, first in, first out.

    Args:
        mean_s: how long a request takes a worker, in the mean; the times are exponential.
        report_age_s: how old what it reports of its load is.
    """

    def __init__(self, mean_s: float, report_age_s: float) -> None:
        self.mean_s = mean_s
        self.in_flight = 0
        self._free_at = [0.0] * WORKERS
        self._report_age_s = report_age_s
        self._history: list[tuple[float, int]] = [(0.0, 0)]
        heapify(self._free_at)

    def begin(self, now: float, rng: random.Random) -> float:
        """Give when a request that comes now is answered."""
        end = max(now, self._free_at[0]) + rng.expovariate(1 / self.mean_s)
        heapreplace(self._free_at, end)
        self._change(1, now)
        return end

    def end(self, now: float) -> int:
        """Give what is reported with an answer."""
        self._change(-1, now)
        while len(self._history) > 1 and self._history[1][0] <= now - self._report_age_s:
            self._history.pop(0)
        return self._history[0][1]

    def _change(self, by: int, now: float) -> None:
        self.in_flight += by
        self._history.append((now, self.in_flight))


def latencies_s(
    lab: ModuleType,
    name: str,
    seed: int,
    *,
    rate: float,
    slower: float = 10.0,
    report_age_s: float = 0.0,
    duration_s: float = 60.0,
) -> list[float]:
    """Give how long each request took, once all have warmed up.

    Args:
        lab: this folder's helpers.
        name: of the balancer.
        seed: of everything.
        rate: requests a second, of all callers together.
        slower: than the others, so many times, the first endpoint is.
        report_age_s: how old reports are.
        duration_s: of the whole.
    """
    rng = random.Random(seed)
    among = lab.candidates(*lab.endpoints(*[1] * ENDPOINTS))
    callers: list[ServiceBalancer] = [
        lab.balancer(Traffic(name), seed=seed + each) for each in range(CALLERS)
    ]
    queues = {one.id: Queue(SERVICE_S, report_age_s) for one in among}
    queues[among[0].id] = Queue(SERVICE_S * slower, report_age_s)
    ends: list[tuple[float, int, float, Endpoint, ServiceBalancer]] = []
    taken, now, count = [], rng.expovariate(rate), 0
    while now < duration_s:
        while ends and ends[0][0] <= now:
            end, _, began, endpoint, caller = heappop(ends)
            report = queues[endpoint.id].end(end)
            caller.ended(endpoint.id, Result.ANSWERED, latency_s=end - began, report=report, now=end)
            if began > WARM_UP_S:
                taken.append(end - began)
        caller = rng.choice(callers)
        chosen = caller.pick(among, now=now)
        assert chosen is not None
        caller.began(chosen)
        count += 1
        heappush(ends, (queues[chosen.id].begin(now, rng), count, now, chosen, caller))
        now += rng.expovariate(rate)
    return taken


def p99(taken: Sequence[float]) -> float:
    return sorted(taken)[int(len(taken) * 0.99)]


SEEDS = pytest.mark.parametrize("seed", [1, 2, 3])


@SEEDS
@pytest.mark.parametrize("name", ["least-request", "ewma"])
@pytest.mark.parametrize("rate", [40.0, 190.0])
@pytest.mark.parametrize("report_age_s", [0.0, 2.0])
def test_with_one_endpoint_ten_times_slower_the_p99_is_at_most_half_of_round_robins(
    lab: ModuleType, name: str, rate: float, report_age_s: float, seed: int
) -> None:
    """190 requests a second are what keeps the slow endpoint just short of ever longer queues, in turns."""
    turns = p99(latencies_s(lab, "round-robin", seed, rate=rate))
    assert p99(latencies_s(lab, name, seed, rate=rate, report_age_s=report_age_s)) <= turns / 2


@SEEDS
@pytest.mark.parametrize("name", ["least-request", "ewma"])
@pytest.mark.parametrize("rate", [100.0])
@pytest.mark.parametrize("report_age_s", [0.0, 0.1, 30.0])
def test_with_one_endpoint_ten_times_slower_and_reports_of_any_age_neither_is_worse_than_round_robin(
    lab: ModuleType, name: str, rate: float, report_age_s: float, seed: int
) -> None:
    turns = p99(latencies_s(lab, "round-robin", seed, rate=rate))
    assert p99(latencies_s(lab, name, seed, rate=rate, report_age_s=report_age_s)) <= turns


@SEEDS
@pytest.mark.parametrize("name", ["least-request", "ewma"])
@pytest.mark.parametrize("report_age_s", [0.1, 2.0])
def test_with_equal_endpoints_and_much_to_do_old_reports_make_neither_worse_than_round_robin(
    lab: ModuleType, name: str, report_age_s: float, seed: int
) -> None:
    """Followed blindly, reports two seconds old make the p99 twenty times that of round robin here."""
    busy = {"rate": 1_600.0, "slower": 1.0, "duration_s": 12.0}
    turns = p99(latencies_s(lab, "round-robin", seed, **busy))
    assert p99(latencies_s(lab, name, seed, report_age_s=report_age_s, **busy)) <= 1.1 * turns


def test_every_balancer_that_may_be_named_has_a_rule() -> None:
    assert tuple(RULES) == BALANCERS


def test_of_two_equally_busy_ones_the_much_slower_is_left_to_be_and_the_little_slower_is_not(
    lab: ModuleType,
) -> None:
    for slower_s, expected in ((0.1, {"quick"}), (0.02, {"quick", "slow"})):
        quick, slow = lab.load("quick"), lab.load("slow")
        quick.ended(Result.ANSWERED, latency_s=0.01, report=None, now=0.0)
        slow.ended(Result.ANSWERED, latency_s=slower_s, report=None, now=0.0)
        members, rng = Members([quick, slow], Turns(lab.ORIGIN)), random.Random(1)
        picked = {RULES["least-request"].pick(members, 0.0, rng).endpoint.node for _ in range(50)}
        assert picked == expected


def test_the_only_one_of_a_group_is_taken_without_a_choice(lab: ModuleType) -> None:
    members = Members([lab.load("a")], Turns(lab.ORIGIN))
    for rule in RULES.values():
        assert rule.pick(members, 0.0, random.Random(1)) is members.loads[0]
        assert rule.score(members, members.loads[0], 0.0) == 0.0
