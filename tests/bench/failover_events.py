"""What happens to the endpoints: one event after the other, as a seed says, each with time to get over it."""

from __future__ import annotations

import enum
import random
import signal
import time
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from failover_sites import Endpoint, Site
from forwarders import until

RESTART_S: Final = 1.0
"""From a kill to the start of what was killed."""
FREEZE_S: Final = 5.0
BETWEEN_S: Final = 0.5
"""From one node that is ready again to the SIGTERM of the next, in a rolling restart."""


class Kind(enum.Enum):
    """What an event does, and the seconds from it to the next one."""

    KILL_APP = "kill-app"
    KILL_NODE = "kill-node"
    ROLLING = "rolling"
    STOP_APP = "stop-app"
    STOP_DAEMON = "stop-daemon"
    STOP_BOTH = "stop-both"

    @property
    def window_s(self) -> float:
        return WINDOW_S[self]

    @property
    def freezes(self) -> bool:
        return self in (Kind.STOP_APP, Kind.STOP_DAEMON, Kind.STOP_BOTH)


WINDOW_S: Final = {
    Kind.KILL_APP: 3.5,
    Kind.KILL_NODE: 5.0,
    Kind.ROLLING: 14.0,
    Kind.STOP_APP: 7.0,
    Kind.STOP_DAEMON: 7.0,
    Kind.STOP_BOTH: 7.0,
}


@frozen
class Planned:
    """One event to come; ``at`` in seconds from the first one."""

    kind: Kind
    target: int
    at: float


@define
class Happened:
    """One event that was; times in seconds of the monotonic clock.

    Attributes:
        began: just before the first signal.
        killed: when what a kill was about had ended; what was sent by then may have been in flight.
        restarts: which app was started again, as ``NAME.PID``, and when.
    """

    kind: Kind
    began: float
    ended: float = float("inf")
    killed: float = -float("inf")
    restarts: list[tuple[str, float]] = field(factory=list)


def plan(seed: int, seconds: float, kinds: list[Kind], endpoints: int) -> list[Planned]:
    """Give events that fill ``seconds``, each kind as often as the others (one round of them at least)."""
    rng = random.Random(seed)
    planned: list[Planned] = []
    at = 0.0
    while not planned or at + sum(kind.window_s for kind in kinds) <= seconds + 2.0:
        for kind in rng.sample(kinds, len(kinds)):
            jitter_s = rng.uniform(0.0, 0.25)  # so that no event keeps step with a timer of ours
            planned.append(Planned(kind, rng.randrange(endpoints), at + jitter_s))
            at += kind.window_s
    return planned


def length_s(planned: list[Planned]) -> float:
    return planned[-1].at + planned[-1].kind.window_s


def perform(site: Site, event: Planned) -> Happened:
    """Do what an event is, to its end: what was killed is started again, what was stopped goes on."""
    endpoint = site.endpoints[event.target]
    happened = Happened(event.kind, time.monotonic())
    match event.kind:
        case Kind.KILL_APP:
            endpoint.app.end(signal.SIGKILL)
            happened.killed = time.monotonic()
            time.sleep(RESTART_S)
            _restart(endpoint, happened, endpoint.app.start)
        case Kind.KILL_NODE:
            endpoint.kill()
            happened.killed = time.monotonic()
            time.sleep(RESTART_S)
            _restart(endpoint, happened, endpoint.start)
        case Kind.ROLLING:
            for each in site.endpoints:
                each.terminate()
                _restart(each, happened, each.start)
                until(each.is_ready, f"{each.app.name} is not ready")
                time.sleep(BETWEEN_S)
        case Kind.STOP_APP | Kind.STOP_DAEMON | Kind.STOP_BOTH:
            freeze(endpoint, event.kind, signal.SIGSTOP)
            time.sleep(FREEZE_S)
            freeze(endpoint, event.kind, signal.SIGCONT)
    return happened


def freeze(endpoint: Endpoint, kind: Kind, number: signal.Signals) -> None:
    if kind is not Kind.STOP_APP and endpoint.node is not None:
        endpoint.signal_daemon(number)
    if kind is not Kind.STOP_DAEMON:
        endpoint.app.send(number)


def _restart(endpoint: Endpoint, happened: Happened, start: Callable[[], None]) -> None:
    started = time.monotonic()
    start()
    assert endpoint.app.process is not None
    happened.restarts.append((f"{endpoint.app.name}.{endpoint.app.process.pid}", started))
