"""What one node knows of one endpoint of a service: how busy, how quick, and how trustworthy it is."""

from __future__ import annotations

import enum
import math
from math import exp
from typing import Final

from mypy_extensions import mypyc_attr

from gossipmesh.model import Endpoint

REPORT_FRESH_S: Final = 1.0
"""An endpoint's report of its load counts ever less over this time, then not at all: what is old misleads."""
LATENCY_MEMORY_S: Final = 10.0
"""How long a latency is remembered (finagle's ``decayTime``): after this, its weight is 1/e."""
FAILURE_MEMORY_S: Final = 5.0
"""How long failures are remembered, likewise."""
FAILURE_LATENCY_S: Final = 1.0
"""A failure counts as an answer that took at least this long: else who fails at once would look quick."""
FAILURE_STEP: Final = 1 / 8
"""How much one more outcome counts in the share of failures."""
FORGIVEN: Final = 0.02
"""A smaller share of failures counts as none, so that what failed once is even with the others again."""
FAILURE_LOAD: Final = 10.0
"""Requests in flight that an endpoint seems to have more, if all fail there."""
MIN_SUCCESS: Final = 0.01
UNMEASURED_COST: Final = 1e6
"""Seconds that an endpoint seems to take that has not answered yet, while a first request is on its way to it."""
SLOW_START_SHARE: Final = 0.1
"""Of its weight, what a new endpoint begins with."""


class Result(enum.Enum):
    """How one attempt ended, by what it says about the endpoint."""

    ANSWERED = "answered"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Nobody waited for it any more, or the failure was our own."""


# What every request asks after: a member of an enum's costs 0.2 us to look up in Python 3.11, a name 0.01.
_ANSWERED: Final = Result.ANSWERED
_FAILED: Final = Result.FAILED
_UNKNOWN: Final = Result.UNKNOWN


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class EndpointLoad:
    """One endpoint with its statistics, which outlive the pictures of the mesh that name it.

    Args:
        endpoint: as the newest picture has it.
        since: when it first became eligible, in monotonic seconds; -inf: longer ago than we look;
            inf: it is not.
    """

    __slots__ = (
        "_failing",
        "_failing_at",
        "_latency",
        "_latency_at",
        "_others",
        "_others_at",
        "endpoint",
        "in_flight",
        "since",
        "token",
        "weight",
    )

    def __init__(self, endpoint: Endpoint, *, since: float = -math.inf) -> None:
        self.endpoint = endpoint
        self.since = since
        self.weight: float = float(endpoint.service.weight)
        """As it counts now: less than the endpoint's own during slow start."""
        self.in_flight = 0
        """Our own requests to it."""
        self.token = b""
        """What a session's cookie calls it; made when it is first wanted."""
        self._latency = self._others = self._failing = 0.0
        self._latency_at = self._others_at = self._failing_at = -math.inf

    def ended(self, result: Result, *, latency_s: float, report: int | None, now: float) -> None:
        """Count one request less.

        Args:
            result: how it ended.
            latency_s: until the first byte of the response, or until it failed or was given up.
            report: how many requests the endpoint had in flight when it ended the answer; None: it did not say.
            now: monotonic seconds.
        """
        if report is not None:
            # It counted ours, this one included or not, which we know better ourselves.
            self._others = float(max(0, report - self.in_flight))
            self._others_at = now
        self.in_flight = max(0, self.in_flight - 1)
        at = self._latency_at
        kept = exp((at - now) / LATENCY_MEMORY_S)  # 0 where nothing is known: then any sample is a peak.
        known = self._latency * kept
        failed = result is _FAILED
        if failed:
            latency_s = max(latency_s, known, FAILURE_LATENCY_S)
        if latency_s > known:
            # How quick an endpoint is that never answered, no failure says.
            if result is _ANSWERED or at != -math.inf:
                self._latency, self._latency_at = latency_s, now
        elif result is not _UNKNOWN:
            self._latency, self._latency_at = known + latency_s * (1.0 - kept), now
        if result is not _UNKNOWN and (failed or self._failing):
            share = self._failing * exp((self._failing_at - now) / FAILURE_MEMORY_S)
            share += (float(failed) - share) * FAILURE_STEP
            self._failing = share if share >= FORGIVEN else 0.0
            self._failing_at = now

    def load(self, now: float) -> float:
        """Give the requests that it has in flight: ours, and what is fresh of its report about others'.

        Those of others count for no more than one more than ours. What is reported is the same news to all callers,
        who would all leave a busy endpoint at once and come to an idle one at once, the more so the older the news is.
        So bounded, reports that are seconds old do no harm, and fresh ones do as well as the whole would.
        """
        if self._others:
            age = now - self._others_at
            if age < REPORT_FRESH_S:
                ours = self.in_flight
                return ours + min(self._others * (1.0 - age / REPORT_FRESH_S), ours + 1)
        return self.in_flight

    def latency_s(self, now: float) -> float | None:
        """Give the peak-sensitive average of its latency, which falls while nothing is measured; None: no answer yet.

        This is finagle's Peak EWMA: a sample above the average replaces it, one below moves it by as much as the time
        since the last sample says.
        """
        if self._latency_at == -math.inf:
            return None
        return self._latency * exp((self._latency_at - now) / LATENCY_MEMORY_S)

    def failing(self, now: float) -> float:
        """Give the share of its requests that failed lately: 0 to 1."""
        if not self._failing:
            return 0.0
        share = self._failing * exp((self._failing_at - now) / FAILURE_MEMORY_S)
        return share if share >= FORGIVEN else 0.0

    def request_cost(self, now: float) -> float:
        """Give its load by its weight, for ``least-request``; who fails seems the busier, however idle."""
        load = self.load(now) if self._others else self.in_flight
        if self._failing and (failing := self.failing(now)):
            load = (load + FAILURE_LOAD * failing) / max(MIN_SUCCESS, 1.0 - failing)
        return load / (self.weight or 1.0)

    def latency_cost(self, now: float, mean_weight: float) -> float:
        """Give how long one more request seems to take there, in seconds, for ``ewma``.

        A new endpoint gets one request at a time until the first answer says how quick it is.
        """
        at = self._latency_at
        if at == -math.inf:
            cost = (self.in_flight + FAILURE_LOAD * self.failing(now)) * UNMEASURED_COST
        else:
            cost = self._latency * exp((at - now) / LATENCY_MEMORY_S)
            if load := self.load(now) if self._others else self.in_flight:
                cost *= load * mean_weight / (self.weight or 1.0) + 1.0
        return cost / max(MIN_SUCCESS, 1.0 - self.failing(now)) if self._failing else cost

    def ramp(self, slow_start_s: float, now: float) -> bool:
        """Bring its weight up to what it is ``now``; tell whether it still rises."""
        weight = float(self.endpoint.service.weight)
        age = now - self.since
        if age >= slow_start_s:
            self.weight = weight
            return False
        self.weight = weight * max(SLOW_START_SHARE, age / slow_start_s)
        return True
