"""When this node's services are checked, and what the results mean: rise and fall, as one pure machine.

Law: a service is in rotation once a check of it has passed, and leaves it after ``fall`` failures in a row or one
refused connection. It is asked faster while its state is about to change (HAProxy's *fastinter*), and while nobody
listens, which costs no app anything. One check of a service runs at a time.

A flapping app must not keep the mesh busy. Leaving is told at once, but coming back is rationed, per service; and
what several services do within a fifth of a second is told in one record.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import define, frozen

from gossipmesh.routing.checks import HealthCheck

if TYPE_CHECKING:
    import random

FAST_S: Final = 0.25
"""Between two checks whose results may change something."""
LOOKS: Final = 2
"""How many checks follow a sign that an app may be gone..."""
SOON_S: Final = 0.05
"""... the second one so much later: a process that ends closes connections first, and its port some moments later."""
JITTER: Final = 0.1
"""Intervals are this share longer or shorter, so that the checks of a host do not come all at once."""
GATHER_S: Final = 0.2
"""Between two records that tell of health: a gossip period, within which no more than one would go out anyway."""
RECOVERIES: Final = 4
"""How many times a service may come back at once..."""
RECOVERY_S: Final = 10.0
"""... and after how many seconds one more time."""


class HealthState(Enum):
    """What is known of a service; all but ``HEALTHY`` are out of rotation."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class Result(Enum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    REFUSED = "refused"
    """The connection was refused: the app is not there."""
    UNKNOWN = "unknown"
    """It could not be made, for a reason of our own, such as no file descriptor left: says nothing of the app."""


@frozen
class Outcome:
    """A check's result, and the reason in words where it did not pass."""

    result: Result
    why: str = ""


@frozen
class BeginCheck:
    """Check a service, and tell :meth:`Health.receive` how that ended."""

    service: str
    check: HealthCheck


@frozen
class HealthChanged:
    """A service enters or leaves rotation, as far as its health decides it."""

    service: str
    was: HealthState
    now: HealthState
    why: str


@frozen
class Publish:
    """Tell the mesh: all services but ``unhealthy`` work."""

    unhealthy: frozenset[str]


HealthOutput: TypeAlias = BeginCheck | HealthChanged | Publish


@define
class Watched:
    """What is known of one service.

    Attributes:
        check: how it is checked.
        due: when the next check begins, in monotonic seconds; infinity while one runs.
        state: as it is told to the mesh.
        since: when it came into its state.
        why: what the last check found, in words; empty where all is well.
        streak: checks in a row whose results spoke against the state.
        begun: when the last check began.
        looks: checks that are still to begin, for a sign that the app may be gone.
        whole_at: when all recoveries may be had again.
    """

    check: HealthCheck
    due: float
    since: float
    state: HealthState = HealthState.UNKNOWN
    why: str = "no check has ended yet"
    streak: int = 0
    begun: float = -inf
    looks: int = 0
    whole_at: float = -inf


class Health:
    """Decides on the health of one node's services.

    Args:
        checks: by service, as :meth:`watch` takes them.
        rng: dice for the intervals.
        now: monotonic seconds.
    """

    def __init__(self, checks: Mapping[str, HealthCheck], *, rng: random.Random, now: float) -> None:
        self._rng = rng
        self._watched: dict[str, Watched] = {}
        for service, check in checks.items():
            self.watch(service, check, now=now)
        self._told = self.unhealthy
        self._tell_at = -inf  # the earliest moment of the next Publish

    @property
    def deadline(self) -> float:
        """When :meth:`handle_timer` is due, in monotonic seconds; infinity: never."""
        due = min((each.due for each in self._watched.values()), default=inf)
        return min(due, self._tell_at) if self._told != self.unhealthy else due

    @property
    def watched(self) -> Mapping[str, Watched]:
        """What is known of each service that is checked; to be looked at only."""
        return self._watched

    @property
    def unhealthy(self) -> frozenset[str]:
        """The services that are out of rotation now."""
        return frozenset(n for n, each in self._watched.items() if each.state is not HealthState.HEALTHY)

    def handle_timer(self, *, now: float) -> list[HealthOutput]:
        """Begin the checks that are due, and tell the mesh what had to wait."""
        begun: list[HealthOutput] = []
        for name, each in self._watched.items():
            if each.due <= now:
                each.due, each.begun, each.looks = inf, now, max(0, each.looks - 1)
                begun.append(BeginCheck(name, each.check))
        return [*begun, *self._tell(now=now)]

    def watch(self, service: str, check: HealthCheck, *, now: float) -> None:
        """Check ``service`` from now on, for the first time at once; nothing that was known of it counts any more.

        Whoever calls this hands in no outcome of a check that was begun before.
        """
        self._watched[service] = Watched(check, due=now, since=now)

    def forget(self, service: str) -> None:
        """Check ``service`` no more, if it is checked; an outcome that is still to come may be handed in."""
        self._watched.pop(service, None)

    def look_again(self, service: str, *, now: float) -> None:
        """Take a sign that an app may be gone, such as a connection that broke: it is checked soon, not judged.

        A sign that comes before the last one's looks began is the same sign.
        """
        each = self._watched.get(service)
        if each is None:
            return
        if each.due == inf:
            each.looks = LOOKS  # after the check that runs
        elif not each.looks:
            each.looks = LOOKS
            each.due = min(each.due, max(now, each.begun + FAST_S))

    def receive(self, service: str, outcome: Outcome, *, now: float) -> list[HealthOutput]:
        """Take how the check of ``service`` ended that :class:`BeginCheck` asked for."""
        each = self._watched.get(service)
        if each is None:
            return []
        was = each.state
        if outcome.result is not Result.UNKNOWN:
            self._judge(each, outcome, now=now)
        each.due = now + self._wait_s(each, outcome.result, now=now)
        changed: list[HealthOutput] = []
        if each.state is not was:
            each.since = now
            changed.append(HealthChanged(service, was, each.state, each.why))
        return [*changed, *self._tell(now=now)]

    def _judge(self, each: Watched, outcome: Outcome, *, now: float) -> None:
        passed, check = outcome.result is Result.PASSED, each.check
        each.why = outcome.why
        if passed is (each.state is HealthState.HEALTHY) and each.state is not HealthState.UNKNOWN:
            each.streak = 0
            return
        each.streak += 1
        if each.state is HealthState.UNKNOWN:
            each.state = HealthState.HEALTHY if passed else HealthState.UNHEALTHY
            each.streak = 0
        elif not passed:
            if each.streak >= check.fall or outcome.result is Result.REFUSED:
                each.state, each.streak = HealthState.UNHEALTHY, 0
        elif each.streak >= check.rise:
            held_s = self._held_s(each, now=now)
            if held_s > 0:
                each.why = (
                    f"it came and went {RECOVERIES} times in a short while; it has to last {held_s:.0f} s"
                )
                return
            each.whole_at = max(each.whole_at, now) + RECOVERY_S
            each.state, each.streak = HealthState.HEALTHY, 0

    def _held_s(self, each: Watched, *, now: float) -> float:
        """Give for how long a service may not come back yet."""
        return max(each.whole_at, now) + RECOVERY_S - (now + RECOVERIES * RECOVERY_S)

    def _wait_s(self, each: Watched, result: Result, *, now: float) -> float:
        """Give how long to wait before the next check, in seconds."""
        fast_s = min(FAST_S, each.check.interval_s)
        if result is Result.REFUSED or result is Result.UNKNOWN:
            return self._jittered(fast_s)
        if each.streak >= each.check.rise and each.state is HealthState.UNHEALTHY:
            return min(self._held_s(each, now=now), self._jittered(each.check.interval_s))
        if each.looks and each.looks < LOOKS:
            return min(SOON_S, fast_s)
        return self._jittered(fast_s if each.streak or each.looks else each.check.interval_s)

    def _jittered(self, interval_s: float) -> float:
        return interval_s * self._rng.uniform(1 - JITTER, 1 + JITTER)

    def _tell(self, *, now: float) -> list[HealthOutput]:
        unhealthy = self.unhealthy
        if unhealthy == self._told or now < self._tell_at:
            return []
        self._told, self._tell_at = unhealthy, now + GATHER_S
        return [Publish(unhealthy)]
