"""Which endpoints of one service are out of rotation because of what their own requests came to. Pure.

Passive outlier ejection, as Envoy (arch_overview/upstream/outlier) and finagle (failure accrual) do it: what is seen
while requests are served decides, and costs no probes. An endpoint goes out when

- *failures in a row*: five requests in a row came to nothing (no connection, reset, timed out), or ten got a 5xx. An
  app answers 500 to a bad request as well, hence the ten;
- *success rate*: over an interval it fell behind the others (:mod:`.success_rate`);
- *silence*: nothing came for longer than anybody's usual pause, several requests were sent to it since its last byte
  (most of those that wait there), and the others answered meanwhile. This is the rule for a frozen process, whose
  connections stand and whose kernel still takes bytes. It looks at pauses between bytes, as the phi accrual detector
  does (Hayashibara and others, 2004), and not at how long requests take: a service that takes 30 s by nature has long
  pauses everywhere, and those are learned; and where the others are silent too, nobody is an outlier.

Times grow as finagle's do: 5 s, doubled at each further ejection up to 300 s, and forgotten step by step while all is
well. Silence begins with 1 s, because a pause (a collection, SIGSTOP, a paused VM) ends by itself. When the time is
over, *one* request tries the endpoint (half-open); it is back once that one is answered. A silent one is back at its
first byte, whatever request that belongs to.

The laws: at most a share of the endpoints is out by our doing, but one always may be where there are two; one that is
alone never is. If so many others have gone since that fewer than half of the candidates would be left, ejections are
ignored (Envoy's panic threshold), since the rest would only break under the load. The threshold counts *eligible*
endpoints: one that the mesh itself has taken out is no reason to send requests to a frozen one.

    N = 1: nobody goes out.   2, 3: one.   4: two.   10: five.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

from gossipmesh.model import NodeId
from gossipmesh.routing.ejection import (
    ERROR,
    NOTHING,
    OK,
    Came,
    Cause,
    Ejected,
    EjectionSettings,
    Readmitted,
)
from gossipmesh.routing.snapshot import Candidates
from gossipmesh.routing.success_rate import fallen_behind

MAX_ENDPOINTS: Final = 4_096
"""Endpoints of one service that are remembered; beyond it the one met first starts anew."""
MAX_DOUBLINGS: Final = 16
MAX_NEWS: Final = 256
"""Ejections and their ends that wait to be told; beyond it they are counted only."""
PAUSES_S: Final = 60.0
"""The longest pause is remembered for one to two times this ..."""
PAUSES_ANSWERS: Final = 100
"""... and for so many answers at least; before there were so many, nobody knows what silence would be."""


class _Standing:
    """What is known of one endpoint."""

    __slots__ = (
        "answers_before",
        "back_at",
        "doublings",
        "errors",
        "failures",
        "good",
        "quiet_since",
        "silent",
        "total",
        "trial_at",
        "unheard",
        "until",
        "waiting",
        "why",
    )

    def __init__(self) -> None:
        self.waiting = 0
        self.unheard = 0
        """Requests begun since the last byte."""
        self.quiet_since = 0.0
        """The last byte, or when requests began to wait; means something while some do."""
        self.answers_before = 0
        """Answers of the whole service until then."""
        self.failures = self.errors = 0
        """In a row."""
        self.good = self.total = 0
        """In this interval."""
        self.doublings = 0
        self.back_at = -math.inf
        self.until = 0.0
        """While out: when it may be tried."""
        self.trial_at = -math.inf
        """When the request that tries it began; -inf if there is none."""
        self.silent = False
        self.why = ""


class Outliers:
    """Watches the endpoints of one service.

    Args:
        settings: what is an outlier.
    """

    __slots__ = (
        "_answers",
        "_candidates",
        "_compare_at",
        "_left",
        "_left_of",
        "_left_until",
        "_news",
        "_out",
        "_pause",
        "_pause_before",
        "_settings",
        "_standings",
        "_turn_answers",
        "_turn_at",
        "ejections",
    )

    def __init__(self, settings: EjectionSettings) -> None:
        self._settings = settings
        self._standings: dict[NodeId, _Standing] = {}
        self._news: list[Ejected | Readmitted] = []
        self.ejections: Counter[Cause] = Counter()
        """How many there were, ever."""
        self._out: dict[NodeId, _Standing] = {}
        self._answers = 0
        self._candidates = Candidates()
        self._left_of: Candidates | None = None
        self._left = Candidates()
        self._left_until = 0.0
        self._compare_at = self._turn_at = -math.inf
        self._turn_answers = 0
        self._pause = self._pause_before = 0.0
        """The longest between two bytes while requests waited: of this minute, and of the one before."""

    # --- who may be chosen -----------------------------------------------------------------------------------------

    def fit(self, candidates: Candidates, *, now: float, may_try: bool = True) -> Candidates:
        """Give those of ``candidates`` that are in rotation; never none, if there are any.

        Args:
            candidates: the eligible endpoints of the service, all of them, those already tried too.
            now: monotonic seconds.
            may_try: whether this request may try one that was out. Say no for what cannot be sent once more.
        """
        self._candidates = candidates
        out = self._out
        if not out:
            return candidates
        if candidates is self._left_of and now < self._left_until:
            return self._left
        left = Candidates.of(
            (
                each
                for each in candidates
                if (standing := out.get(each.id)) is None or (may_try and self._to_be_tried(standing, now))
            ),
            zone=candidates.zone,
            callers=candidates.callers,
        )
        if not left or len(left) * 100 < self._settings.panic * len(candidates):
            left = candidates
        due = min((each.until for each in out.values() if each.trial_at == -math.inf), default=math.inf)
        if now < due:
            # Nobody is to be tried, so `may_try` made no difference, and the same holds until somebody is.
            self._left_of, self._left_until = candidates, due
            self._left = left
        return left

    @staticmethod
    def _to_be_tried(standing: _Standing, now: float) -> bool:
        return now >= standing.until and standing.trial_at == -math.inf

    # --- what requests come to -------------------------------------------------------------------------------------

    def began(self, endpoint: NodeId, *, now: float) -> None:
        """An attempt at ``endpoint`` begins, be it with a dial; :meth:`ended` has to follow."""
        standing = self._standings.get(endpoint)
        if standing is None:
            if len(self._standings) >= MAX_ENDPOINTS:
                self.forget(next(iter(self._standings)))
            standing = self._standings[endpoint] = _Standing()
        if not standing.waiting:
            standing.quiet_since = now
            standing.answers_before = self._answers
        standing.waiting += 1
        standing.unheard += 1
        if self._out and endpoint in self._out and self._to_be_tried(standing, now):
            standing.trial_at = now
            standing.unheard = 1
            standing.answers_before = self._answers
            self._left_of = None

    def progressed(self, endpoint: NodeId, *, now: float) -> None:
        """A byte of an answer came from ``endpoint``."""
        standing = self._standings.get(endpoint)
        if standing is None:
            return
        if standing.waiting and not standing.silent and now - standing.quiet_since > self._pause:
            self._pause = now - standing.quiet_since
        standing.quiet_since = now
        standing.answers_before = self._answers
        standing.unheard = 0
        if standing.silent:
            self._readmit(endpoint, standing, now)

    def ended(self, endpoint: NodeId, came: Came, *, now: float) -> None:
        """An attempt that :meth:`began` told of is over (:func:`~.ejection.what_it_says`)."""
        standing = self._standings.get(endpoint)
        if standing is None:
            return
        if came is OK or came is ERROR:
            self._answers += 1
            self.progressed(endpoint, now=now)
        if standing.waiting:
            standing.waiting -= 1
        if not standing.waiting:
            standing.unheard = 0
        if came is NOTHING:
            standing.trial_at = -math.inf
            self._left_of = None
            return
        if came is not OK:
            self._failed(endpoint, standing, came, now)
            return
        standing.total += 1
        standing.good += 1
        standing.failures = standing.errors = 0
        if standing.trial_at != -math.inf:
            self._readmit(endpoint, standing, now)

    def _failed(self, endpoint: NodeId, standing: _Standing, came: Came, now: float) -> None:
        standing.total += 1
        standing.errors += 1
        standing.failures = standing.failures + 1 if came is Came.FAILURE else 0
        settings = self._settings
        if endpoint in self._out:
            if standing.trial_at != -math.inf:
                why = "the request that tried it failed"
                self._eject(endpoint, standing, Cause.TRIAL, why, settings.base_s, now=now)
        elif 0 < settings.failures_in_a_row <= standing.failures:
            why = f"{standing.failures} failures in a row"
            self._eject(endpoint, standing, Cause.FAILURES, why, settings.base_s, now=now)
        elif 0 < settings.errors_in_a_row <= standing.errors:
            why = f"{standing.errors} errors in a row"
            self._eject(endpoint, standing, Cause.ERRORS, why, settings.base_s, now=now)

    def forget(self, endpoint: NodeId) -> None:
        """Think no more of ``endpoint``: it was started again, or its health checks say that it is well."""
        self._standings.pop(endpoint, None)
        self._back(endpoint)

    def take_news(self) -> list[Ejected | Readmitted]:
        """Give who went out of rotation and who is back, since this was last called."""
        news, self._news = self._news, []
        return news

    # --- what time tells -------------------------------------------------------------------------------------------

    def handle_timer(self, *, now: float) -> list[NodeId]:
        """Judge silence and success rates; to be called every 0.1 s or so while requests are under way.

        Returns:
            Who is silent while requests wait there: those that may be sent twice should go elsewhere. The same again
            each time, since there may not have been a budget for all of them; not while a request tries it.
        """
        settings = self._settings
        if now >= self._turn_at and self._answers >= self._turn_answers:
            self._pause_before, self._pause = self._pause, 0.0
            self._turn_at, self._turn_answers = now + PAUSES_S, self._answers + PAUSES_ANSWERS
        if now >= self._compare_at:
            self._compare(now)
        if settings.silence_s and self._answers >= PAUSES_ANSWERS:
            patience = self.patience_s
            for endpoint, standing in self._standings.items():
                if standing.unheard and self._is_silent(endpoint, standing, now, patience):
                    self._eject_silent(endpoint, standing, now)
        return [
            endpoint
            for endpoint, standing in self._out.items()
            if standing.silent and standing.waiting and standing.trial_at == -math.inf
        ]

    @property
    def patience_s(self) -> float:
        """Seconds without a byte that would be silence: twice the longest pause of the last minute or two."""
        return max(self._settings.silence_s, 2.0 * self._pause, 2.0 * self._pause_before)

    def _is_silent(self, endpoint: NodeId, standing: _Standing, now: float, patience: float) -> bool:
        least = self._settings.silent_requests
        if self._answers - standing.answers_before < least:
            return False
        if endpoint in self._out:
            return now - max(standing.quiet_since, standing.trial_at) >= patience and (
                standing.trial_at != -math.inf
            )
        # Where most of what waits was sent before the last byte, requests take longer than this pause is.
        lately = standing.unheard >= least and 2 * standing.unheard > standing.waiting
        return lately and now - standing.quiet_since >= patience

    def _eject_silent(self, endpoint: NodeId, standing: _Standing, now: float) -> None:
        quiet = now - standing.quiet_since
        many = f"{standing.waiting} request{'' if standing.waiting == 1 else 's'}"
        why = f"silence of {quiet:.1f} s with {many} waiting"
        standing.silent = self._eject(
            endpoint, standing, Cause.SILENCE, why, self._settings.silent_for_s, now=now
        )

    def _compare(self, now: float) -> None:
        settings = self._settings
        self._compare_at = now + settings.rate_interval_s
        compared = {
            each.id: (standing.good, standing.total)
            for each in self._candidates
            if (standing := self._standings.get(each.id)) is not None
            and 0 < settings.rate_requests <= standing.total
        }
        for endpoint, rate, usual in fallen_behind(compared):
            if endpoint not in self._out:
                why = f"a success rate of {rate:.0%} where the others have {usual:.0%}"
                self._eject(
                    endpoint, self._standings[endpoint], Cause.SUCCESS_RATE, why, settings.base_s, now=now
                )
        for standing in self._standings.values():
            standing.good = standing.total = 0

    # --- out and in ------------------------------------------------------------------------------------------------

    def _eject(
        self, endpoint: NodeId, standing: _Standing, cause: Cause, why: str, base_s: float, *, now: float
    ) -> bool:
        settings = self._settings
        if endpoint not in self._out:
            if not self._room():
                return False
            forgotten = (now - standing.back_at) / settings.well_s
            standing.doublings = max(0, standing.doublings - int(min(forgotten, MAX_DOUBLINGS)))
        lasts = min(base_s * 2**standing.doublings, settings.most_s)
        standing.doublings = min(standing.doublings + 1, MAX_DOUBLINGS)
        standing.until = now + lasts
        standing.trial_at = -math.inf
        standing.silent = False
        standing.failures = standing.errors = 0
        standing.why = f"out of rotation for {lasts:g} s after {why}"
        self._out[endpoint] = standing
        self._left_of = None
        self.ejections[cause] += 1
        self._tell(Ejected(endpoint, standing.why))
        return True

    def _tell(self, news: Ejected | Readmitted) -> None:
        if len(self._news) < MAX_NEWS:
            self._news.append(news)

    def _room(self) -> bool:
        count = len(self._candidates)
        out = sum(each.id in self._out for each in self._candidates)
        return count > 1 and out < max(1, count * self._settings.share // 100)

    def _readmit(self, endpoint: NodeId, standing: _Standing, now: float) -> None:
        standing.trial_at = -math.inf
        standing.silent = False
        standing.failures = standing.errors = 0
        standing.back_at = now
        standing.why = ""
        self._back(endpoint)

    def _back(self, endpoint: NodeId) -> None:
        self._left_of = None
        if self._out.pop(endpoint, None) is not None:
            self._tell(Readmitted(endpoint))

    def reason(self, endpoint: NodeId, *, now: float) -> str:
        """Give why ``endpoint`` is out of rotation, in words for people; empty if it is not."""
        standing = self._out.get(endpoint)
        if standing is None:
            return ""
        if standing.trial_at != -math.inf:
            return f"{standing.why}; one request is trying it"
        if now >= standing.until:
            return f"{standing.why}; the next request may try it"
        return f"{standing.why}; {standing.until - now:.1f} s left"
