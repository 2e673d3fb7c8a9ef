"""Whether a service gets one more request now, later, or not at all. Pure.

A bound on requests in flight to a service, and a short queue in front of it: a service that has stopped answering
ties up no more of its callers than that, and a caller learns within the queue's longest wait that there is no room.
First in, first out, with one longest wait for all, so whoever waits longest is also who is refused first. Each
waiter has a timer of its own, which it needs for its request's deadline anyway.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from itertools import islice
from typing import Generic, TypeVar

from gossipmesh.routing.concurrency import ConcurrencyLimit, ConcurrencySettings
from gossipmesh.routing.traffic import BreakerLimits


class Admission(enum.Enum):
    """What becomes of a request."""

    ADMIT = "admit"
    """It goes now; :meth:`Breaker.ended` has to follow."""
    WAIT = "wait"
    """It waits until :meth:`Breaker.ended` names it, or :meth:`Breaker.withdraw`: after the longest wait at last."""
    REFUSE = "refuse"
    """It is answered at once: 503, ``UO``."""


WaiterT = TypeVar("WaiterT", bound=Hashable)


class Breaker(Generic[WaiterT]):
    """The breaker of one service; a waiter is whatever stands for a request to whoever asks.

    Args:
        limits: the bounds.
        concurrency: the bounds of the limit that adapts.
    """

    __slots__ = ("_adapting", "_concurrency", "_limits", "_queue", "in_flight", "refused")

    def __init__(
        self,
        limits: BreakerLimits,
        concurrency: ConcurrencySettings = ConcurrencySettings(),  # noqa: B008
    ) -> None:
        self._limits = limits
        self._adapting = concurrency.enabled
        self._concurrency = ConcurrencyLimit(concurrency)
        self._queue: dict[WaiterT, float] = {}
        """Who waits, in order, and until when."""
        self.in_flight = 0
        self.refused = 0
        """Requests refused or waiting too long, ever."""

    def bound_by(self, limits: BreakerLimits, concurrency: ConcurrencySettings) -> list[WaiterT]:
        """Take other bounds, and give those who wait and go now for them.

        Requests in flight stay counted, whoever waits goes on waiting as long as it was told, and a limit that adapts
        goes on from where it is.
        """
        if concurrency != ConcurrencySettings(enabled=self._adapting):
            self._concurrency = ConcurrencyLimit(concurrency)
        self._limits = limits
        self._adapting = concurrency.enabled
        return self._admitted() if self._queue else []

    @property
    def limit(self) -> int:
        """Requests at once, now."""
        most = self._limits.in_flight
        return min(most, self._concurrency.limit) if self._adapting else most

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    def ask(self, waiter: WaiterT, *, now: float) -> Admission:
        """Decide about a new request; ``waiter`` stands for it and is not waiting already."""
        admission = self.outlook
        if admission is Admission.ADMIT:
            self.in_flight += 1
        elif admission is Admission.WAIT:
            self._queue[waiter] = now + self._limits.wait_s
        else:
            self.refused += 1
        return admission

    @property
    def outlook(self) -> Admission:
        """What a new request would be told now."""
        if self.has_room:
            return Admission.ADMIT
        return Admission.WAIT if len(self._queue) < self._limits.queue else Admission.REFUSE

    @property
    def has_room(self) -> bool:
        """Whether a new request would be admitted at once."""
        return not self._queue and self.in_flight < self.limit

    def admit(self) -> None:
        """Admit a request; only where :attr:`has_room`."""
        self.in_flight += 1

    def ended(self, seconds: float | None, *, now: float) -> list[WaiterT]:
        """Take in that an admitted request is over, and give those that go now in its place.

        Args:
            seconds: how long it took to the first byte of its answer; None where it got none.
            now: monotonic seconds.
        """
        if seconds is not None and self._adapting:
            self._concurrency.answered(seconds, self.in_flight, now=now)
        self.in_flight -= 1
        return self._admitted() if self._queue else []

    def _admitted(self) -> list[WaiterT]:
        # One whose time is over while room has come goes too: our own lateness must not refuse anybody. So either
        # nobody waits after this or there is no room, and `ask` need not look for who was passed over.
        room = max(0, self.limit - self.in_flight)
        admitted = list(islice(self._queue, room))
        for waiter in admitted:
            del self._queue[waiter]
        self.in_flight += len(admitted)
        return admitted

    def withdraw(self, waiter: WaiterT, *, now: float) -> bool:
        """Let ``waiter`` wait no longer. False if it does not wait: its turn has come.

        Where its time is over it is refused by that; else its caller left.
        """
        until = self._queue.pop(waiter, None)
        if until is None:
            return False
        self.refused += until <= now
        return True

    @property
    def why(self) -> str:
        """What is allowed and why, in words for people."""
        limit = f"{self.in_flight} of {self.limit} in flight, {self.queued} of {self._limits.queue} waiting"
        return f"{limit}; {self._concurrency.why}" if self._adapting else limit
