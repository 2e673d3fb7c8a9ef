"""Which endpoints of one service are out of rotation because of what their own requests came to. Pure.

Passive outlier ejection, as Envoy (arch_overview/upstream/outlier) and finagle (failure accrual) do it: what is seen
while requests are served decides, and costs no probes. An endpoint goes out when

- *failures in a row*: five requests in a row came to nothing (no connection, reset, timed out), or ten got a 5xx. An
  app answers 500 to a bad request as well, hence the ten;
- *success rate*: over an interval it fell behind the others (:mod:`.success_rate`);
- *silence*: nothing came for longer than anybody's usual pause, several requests were sent to it since its last byte
  (most of those that wait there), and the others answered meanwhile. This is the rule for a frozen process, whose
  connections stand and whose kernel still takes bytes. Usual pauses are learned (:mod:`.pauses`); and where the others
  are silent too, nobody is an outlier.

Times grow as finagle's do: 5 s, doubled at each further ejection up to 300 s, and forgotten step by step while all is
well. Silence begins with 1 s and never lasts longer than those 5 s, because a pause (a collection, SIGSTOP, a paused
VM) ends by itself, and to look costs one request half a second. When the time is over, *one* request tries the endpoint
(half-open); it is back once that one is answered. A silent one is back at its first byte, whatever request that belongs
to. Where its channel finds it silent (a frozen daemon) and lets go of five requests in a row, it is treated alike.

What is no evidence against an endpoint: time in which this process did not look (it was stopped, or had no CPU: what
others sent is still in its sockets), and a pause that an ejected endpoint made, which would teach patience with the
next one.

The laws: at most a share of the endpoints is out by our doing, but one always may be where there are two; one that is
alone never is. If so many others have gone since that fewer than half of the candidates would be left, ejections are
ignored (Envoy's panic threshold), since the rest would only break under the load. The threshold counts *eligible*
endpoints: one that the mesh itself has taken out is no reason to send requests to a frozen one.

    N = 1: nobody goes out.   2, 3: one.   4: two.   10: five.
"""

from __future__ import annotations

import math
from collections import Counter
from copy import copy
from typing import Final

from mypy_extensions import mypyc_attr

from gossipmesh.model import NodeId
from gossipmesh.routing.ejection import (
    Cause,
    Ejected,
    EjectionSettings,
    Readmitted,
)
from gossipmesh.routing.outcomes import ERROR, NOTHING, OK, Came
from gossipmesh.routing.pauses import Pauses
from gossipmesh.routing.snapshot import Candidates
from gossipmesh.routing.standing import LeftOut, Standing
from gossipmesh.routing.success_rate import fallen_behind

MAX_ENDPOINTS: Final = 4_096
"""Endpoints of one service that are remembered; beyond it the one met first starts anew."""
MAX_NEWS: Final = 256
"""Ejections and their ends that wait to be told; beyond it they are counted only."""
LOOKS_S: Final = 0.1
"""How often :meth:`Outliers.handle_timer` is called while requests are under way ..."""
STALLED_S: Final = 0.2
"""... and after how long it is this process that was silent."""


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Outliers:
    """Watches the endpoints of one service.

    Args:
        settings: what is an outlier.
    """

    __slots__ = (
        "_candidates",
        "_compare_at",
        "_left",
        "_left_of",
        "_left_until",
        "_looked_at",
        "_news",
        "_out",
        "_pauses",
        "_settings",
        "_standings",
        "ejections",
        "left_out",
    )

    def __init__(self, settings: EjectionSettings) -> None:
        self._settings = settings
        self._standings: dict[NodeId, Standing] = {}
        self._news: list[Ejected | Readmitted] = []
        self.ejections: Counter[Cause] = Counter()
        """How many there were, ever."""
        self._out: dict[NodeId, Standing] = {}
        self._candidates = Candidates()
        self._left_of: Candidates | None = None
        self._left = Candidates()
        self.left_out: tuple[LeftOut, ...] = ()
        """Whom the last call of :meth:`fit` left out, if it gave others than it was given."""
        self._left_until = 0.0
        self._compare_at = self._looked_at = -math.inf
        self._pauses = Pauses(settings.silence_s)

    def twin(self) -> Outliers:
        """Give one that knows the same, and shares nothing with this one that changes: for dry runs."""
        twin = copy(self)
        twin._standings = standings = {node: copy(each) for node, each in self._standings.items()}
        twin._out = {node: standings[node] for node in self._out}
        twin._news, twin.ejections = [], self.ejections.copy()
        return twin

    def judge_by(self, settings: EjectionSettings) -> None:
        """Take other settings from now on. Who is out stays out, unless nobody may be any more."""
        self._settings = settings
        self._pauses.least_s = settings.silence_s
        for endpoint in () if settings.share else tuple(self._out):
            self.forget(endpoint)

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
        stay = [
            each
            for each in candidates
            if (standing := out.get(each.id)) is None or (may_try and standing.is_to_be_tried(now))
        ]
        left = Candidates.of(stay, zone=candidates.zone, callers=candidates.callers)
        # Requests keep it as it is: most of them are never asked after.
        self.left_out = tuple(
            standing.as_left_out(each.id)
            for each in candidates
            if (standing := out.get(each.id)) is not None and not (may_try and standing.is_to_be_tried(now))
        )
        if not left or len(left) * 100 < self._settings.panic * len(candidates):
            left = candidates
        due = min((each.until for each in out.values() if each.trial_at == -math.inf), default=math.inf)
        if now < due:
            # Nobody is to be tried, so `may_try` made no difference, and the same holds until somebody is.
            self._left_of, self._left_until = candidates, due
            self._left = left
        return left

    # --- what requests come to -------------------------------------------------------------------------------------

    def began(self, endpoint: NodeId, *, now: float) -> None:
        """An attempt at ``endpoint`` begins, be it with a dial; :meth:`ended` has to follow."""
        standing = self._standings.get(endpoint)
        if standing is None:
            if len(self._standings) >= MAX_ENDPOINTS:
                self.forget(next(iter(self._standings)))
            standing = self._standings[endpoint] = Standing()
        if not standing.waiting:
            standing.quiet_since = now
            standing.answers_before = self._pauses.answers
        standing.waiting += 1
        standing.unheard += 1
        if self._out and endpoint in self._out and standing.is_to_be_tried(now):
            standing.trial_at = now
            standing.unheard = 1
            standing.answers_before = self._pauses.answers
            self._left_of = None

    def progressed(self, endpoint: NodeId, *, now: float) -> None:
        """A byte of an answer came from ``endpoint``."""
        standing = self._standings.get(endpoint)
        if standing is None:
            return
        if standing.waiting and self._pauses.is_long(now - standing.quiet_since):
            self._learn(endpoint, standing, now)
        standing.quiet_since = now
        standing.answers_before = self._pauses.answers
        standing.unheard = 0
        if standing.silent:
            self._readmit(endpoint, standing, now)

    def ended(self, endpoint: NodeId, came: Came, *, now: float, took_s: float = 0.0) -> None:
        """An attempt that :meth:`began` told of is over (:func:`~.ejection.what_it_says`), after ``took_s`` seconds."""
        standing = self._standings.get(endpoint)
        if standing is None:
            return
        if came is OK or came is ERROR:
            self._pauses.answered(took_s)
            self.progressed(endpoint, now=now)
        if standing.waiting:
            standing.waiting -= 1
        if not standing.waiting:
            standing.unheard = 0
        if came is NOTHING:
            standing.trial_at = -math.inf
            self._left_of = None
            return
        if came is Came.SILENCE:
            self._doubted(endpoint, standing, now)
            return
        if came is not OK:
            self._failed(endpoint, standing, came, now)
            return
        standing.total += 1
        standing.good += 1
        standing.failures = standing.errors = 0
        if standing.trial_at != -math.inf:
            self._readmit(endpoint, standing, now)

    def _doubted(self, endpoint: NodeId, standing: Standing, now: float) -> None:
        standing.failures += 1
        if endpoint in self._out:
            enough = standing.trial_at != -math.inf
        else:
            enough = 0 < self._settings.failures_in_a_row <= standing.failures
        if enough:
            self._eject_silent(endpoint, standing, now)

    def _learn(self, endpoint: NodeId, standing: Standing, now: float) -> None:
        """Take a long pause as what may happen here."""
        stalled = now - self._looked_at > STALLED_S and standing.quiet_since < self._looked_at
        if endpoint not in self._out and not stalled:
            self._pauses.learn(now - standing.quiet_since)

    def _failed(self, endpoint: NodeId, standing: Standing, came: Came, now: float) -> None:
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
            Who is silent, as long as anything waits there that went there before: what of it may be sent twice should
            go elsewhere.
        """
        settings = self._settings
        since = now - self._looked_at if self._looked_at > -math.inf else 0.0
        self._looked_at = now
        self._pauses.handle_timer(now=now)
        if now >= self._compare_at:
            self._compare(now)
        if since > STALLED_S:
            self._overlook(since - LOOKS_S, now)
        elif settings.silence_s:
            patience = self.patience_s
            for endpoint, standing in self._standings.items():
                if standing.unheard and self._is_silent(endpoint, standing, now, patience):
                    self._eject_silent(endpoint, standing, now)
        # Again and again, as there may have been no budget for all of them before.
        return [
            endpoint
            for endpoint, standing in self._out.items()
            if standing.silent and standing.waiting and standing.trial_at == -math.inf
        ]

    def _overlook(self, seconds: float, now: float) -> None:
        """Hold so much time against nobody: either nothing waited, or this process did not run."""
        for standing in self._standings.values():
            if standing.waiting:
                standing.quiet_since = min(now, standing.quiet_since + seconds)
                standing.trial_at = min(now, standing.trial_at + seconds)

    @property
    def patience_s(self) -> float:
        """Seconds without a byte that would be silence."""
        return self._pauses.patience_s

    def _is_silent(self, endpoint: NodeId, standing: Standing, now: float, patience: float) -> bool:
        least = self._settings.silent_requests
        if self._pauses.answers - standing.answers_before < least:
            return False
        if endpoint in self._out:
            return now - max(standing.quiet_since, standing.trial_at) >= patience and (
                standing.trial_at != -math.inf
            )
        # Where most of what waits was sent before the last byte, requests take longer than this pause is.
        lately = standing.unheard >= least and 2 * standing.unheard > standing.waiting
        if not lately or now - standing.quiet_since < patience:
            return False
        return not self._pauses.few or not self._waits_elsewhere(standing)

    def _waits_elsewhere(self, standing: Standing) -> bool:
        """Tell whether somebody else keeps about half as many requests waiting."""
        others = (each.waiting for each in self._standings.values() if each is not standing)
        return 2 * max(others, default=0) + self._settings.silent_requests > standing.waiting

    def _eject_silent(self, endpoint: NodeId, standing: Standing, now: float) -> None:
        settings, quiet = self._settings, now - standing.quiet_since
        why = f"silence of {quiet:.1f} s"
        if standing.waiting:
            why += f" with {standing.waiting} request{'' if standing.waiting == 1 else 's'} waiting"
        lasts, most = settings.silent_for_s, settings.base_s
        if self._eject(endpoint, standing, Cause.SILENCE, why, lasts, now=now, most_s=most):
            standing.silent = True

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
        self,
        endpoint: NodeId,
        standing: Standing,
        cause: Cause,
        why: str,
        base_s: float,
        *,
        now: float,
        most_s: float = math.inf,
    ) -> bool:
        settings = self._settings
        if endpoint not in self._out:
            if not self._room():
                return False
            standing.forget(settings.well_s, now)
        standing.put_out(min(settings.most_s, max(base_s, most_s)), why, base_s=base_s, now=now)
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

    def _readmit(self, endpoint: NodeId, standing: Standing, now: float) -> None:
        standing.take_back(now)
        self._back(endpoint)

    def _back(self, endpoint: NodeId) -> None:
        self._left_of = None
        if self._out.pop(endpoint, None) is not None:
            self._tell(Readmitted(endpoint))

    def reason(self, endpoint: NodeId, *, now: float) -> str:
        """Give why ``endpoint`` is out of rotation, in words for people; empty if it is not."""
        standing = self._out.get(endpoint)
        return "" if standing is None else standing.as_left_out(endpoint).words(now)
