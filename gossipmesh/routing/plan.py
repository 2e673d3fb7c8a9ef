"""The attempts of one request: who is asked next, whether anybody is, and what to say when nobody is left.

All the logic of a retrying client is in :class:`Plan`, which does no IO; the proxy carries it out, and ``explain``
shows it. The rules (RFC 9110, section 9.2.2):

- A failure of which it is certain that the request was not processed (no connection, or the other daemon
  refused it before it reached an app) may be tried again whatever the method is.
- A failure after the request was sent but before the first byte of a response reached the caller may be tried
  again only if the method is idempotent.
- After the first byte of a response went out: never.
- Every try is on another node: the one that just failed is the least likely to answer. Whom there is to ask is looked
  up anew for each: who was out of the picture when the request came may be back. One that was let go of because it was
  silent may be asked again when nobody else is left: it did not fail, and there may be another way to it by now.
- What may make an app work once more is charged to the service's retry budget (:mod:`.budget`); where that is used up,
  nothing is tried again.
- A body that was partly sent and is no longer held cannot be sent again, so it ends the trying.
- Beside a first attempt that is slow to be answered a second may be sent (:mod:`.hedging`), within the same bounds. It
  is one of the attempts; which of the two is the current one is for whoever carries them out to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from gossipmesh.model import Endpoint, NodeId
from gossipmesh.routing.backoff import wait_s
from gossipmesh.routing.breakers import Admission
from gossipmesh.routing.hedging import HEDGED
from gossipmesh.routing.outcomes import GIVEN_UP, Attempt, AttemptOutcome, Came, OutcomeKind, what_it_says
from gossipmesh.routing.snapshot import Candidates, Snapshot
from gossipmesh.routing.standing import LeftOut
from gossipmesh.routing.tried import anybody_in, failed_at, last_let_go, pick_untried
from gossipmesh.routing.upstreams import Upstream, Waiter

IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""Methods that may be sent twice (RFC 9110, section 9.2.2). Method names are case-sensitive."""


_ANSWERED: Final = OutcomeKind.ANSWERED


class Plan:
    """The attempts of one request, decided one at a time.

    Have it admitted (:meth:`admit`, or :meth:`admit_now`); then, until :meth:`next_attempt` gives None or an attempt
    answered, try what it gives and tell :meth:`record` how that ended. Every plan that was admitted or waits ends with
    :meth:`over`.

    Args:
        snapshot: whom the first attempt may go to.
        upstream: the service, and what is known of it.
        method: as received; only exact names of RFC 9110 count as idempotent.
        max_attempts: tries in all, the first included, where the service's settings do not say; at least 1.
        now: monotonic seconds.
        deadline: monotonic seconds after which no new attempt starts.
        session: what tells the request's session, as the service's settings ask for it; None: nothing.
        is_retry: whether the request is a retry of somebody further up, as :class:`.budget.Inbound` says.
        unfit: endpoints that this request must not go to.
        newest: gives the newest snapshot, for the attempts after the first; None: there is no newer one.
    """

    # Every request makes one of these.
    __slots__ = (
        "_admitted",
        "_asked",
        "_beside",
        "_candidates",
        "_current",
        "_first_byte",
        "_fit",
        "_known",
        "_max_attempts",
        "_method",
        "_newest",
        "_over",
        "_sent",
        "_started",
        "_unfit",
        "_waiter",
        "attempts",
        "begun",
        "deadline",
        "is_retry",
        "left_out",
        "session",
        "upstream",
    )

    def __init__(
        self,
        snapshot: Snapshot,
        upstream: Upstream,
        method: bytes,
        *,
        max_attempts: int,
        now: float,
        deadline: float = math.inf,
        session: bytes | None = None,
        is_retry: bool = False,
        unfit: frozenset[NodeId] = frozenset(),
        newest: Callable[[], Snapshot] | None = None,
    ) -> None:
        self.upstream = upstream
        self.attempts: list[Attempt] = []
        """Those that have ended."""
        self.begun = now
        """When the request came, in monotonic seconds."""
        self.deadline = deadline
        """When it ends, if no response has begun by then."""
        self.is_retry = is_retry
        """Whether the request is a retry of somebody further up."""
        self.left_out: tuple[LeftOut, ...] = ()
        """The eligible endpoints that the present attempt could not get, or the last one, and why."""
        candidates = snapshot.eligible(upstream.service)
        self._candidates = candidates
        # The snapshot itself is not kept: a request may last for days, and there is a new one every few seconds.
        self._newest = newest
        self._known = bool(candidates) or snapshot.knows(upstream.service)
        self._method = method
        self._max_attempts = upstream.traffic.retries.attempts or max_attempts
        self.session = session
        """What tells the request's session, as the service's settings ask for it; None: nothing."""
        self._unfit = unfit
        self._fit = sum(each.id not in unfit for each in candidates) if unfit else len(candidates)
        self._current: Endpoint | None = None
        self._started = self._asked = 0.0
        self._first_byte: float | None = None
        self._beside: tuple[Endpoint, float, float | None] | None = None
        self._sent: float | None = None
        self._over = False
        self._admitted = False
        self._waiter: Waiter | None = None

    @property
    def service(self) -> str:
        """The service's name."""
        return self.upstream.service

    @property
    def current(self) -> Endpoint | None:
        """The endpoint of the attempt that was begun and not recorded."""
        return self._current

    @property
    def beside(self) -> Endpoint | None:
        """The endpoint of the other attempt, while two are under way."""
        return None if self._beside is None else self._beside[0]

    # --- its turn --------------------------------------------------------------------------------------------------

    def admit_now(self, *, now: float) -> None:
        """Take a place; only where the breaker has room."""
        self.upstream.breaker.admit()
        self._admitted = True
        self.upstream.budget.request(now=now, retry=self.is_retry)

    def admit(self, waiter: Waiter, *, now: float) -> Admission:
        """Decide whether the request goes now, waits for its turn, or is refused (``UO``).

        If it waits, ``waiter`` will be among what some other plan's :meth:`over` gives; :meth:`admitted` follows then.
        """
        admission = self.upstream.breaker.ask(waiter, now=now)
        if admission is not Admission.REFUSE:
            self.upstream.budget.request(now=now, retry=self.is_retry)
        self._admitted = admission is Admission.ADMIT
        self._waiter = waiter if admission is Admission.WAIT else None
        return admission

    def admitted(self) -> bool:
        """Note that its turn has come; False if it was :meth:`over` before it heard of that."""
        self._admitted, self._waiter = self._waiter is not None, None
        return self._admitted

    def over(self, *, now: float) -> list[Waiter]:
        """Give the place back, or wait for none, and give those whose turn has come by that. Safe to call again."""
        waiter, self._waiter = self._waiter, None
        if not self._admitted and (waiter is None or self.upstream.breaker.withdraw(waiter, now=now)):
            return []
        self._admitted = False
        last = self.attempts[-1] if self.attempts else None
        seconds = last.first_byte - last.started if last is not None and last.first_byte is not None else None
        return self.upstream.breaker.ended(seconds, now=now)

    # --- attempts --------------------------------------------------------------------------------------------------

    def has_another(self, *, now: float, again: bool = False) -> bool:
        """Tell whether another attempt would follow if the current one failed now, after its request was sent.

        That of a request whose body can be sent once more, as :meth:`record` takes it.

        Args:
            now: monotonic seconds.
            again: whether it may be at the current endpoint again, which is to be let go of because it is silent.
        """
        current = self._current
        if self._over or self._method not in IDEMPOTENT or now >= self.deadline:
            return False
        if len(self.attempts) + (current is not None) >= self._max_attempts:
            return False
        if not again and not self._anybody_but(self._tried() | ({current.id} if current else set())):
            return False
        return self.upstream.budget.left(now=now) >= 1.0

    def _eligible(self) -> Candidates:
        """Give who may be chosen by now."""
        newest = self._newest
        return self._candidates if newest is None else newest().eligible(self.upstream.service)

    def _tried(self) -> set[NodeId]:
        return {*self._unfit, *failed_at(self.attempts)}

    def _anybody_but(self, tried: set[NodeId]) -> bool:
        return anybody_in((self._candidates, self._eligible()), tried=tried)

    def _is_one_left(self) -> bool:
        """Tell whether there is an endpoint that did not fail, and an attempt that may be made."""
        if len(self.attempts) >= self._max_attempts:
            return False
        return self._anybody_but(self._tried()) or last_let_go(self.attempts) is not None

    def retry_wait_s(self) -> float:
        """Give for how many seconds the next attempt should be put off: 0 where it is the first, or there is none."""
        attempts = self.attempts
        if self._over or not attempts or not self._is_one_left():
            return 0.0
        upstream = self.upstream
        return wait_s(len(attempts), attempts[-1].outcome.kind, upstream.backoff, rng=upstream.rng)

    def next_attempt(self, *, now: float) -> Endpoint | None:
        """Give the endpoint to try now, or None: then :attr:`flag_if_none` says why there is none."""
        assert self._current is None, "the attempt before this one was not recorded"
        attempts = self.attempts
        if self._over or len(attempts) >= self._max_attempts or now >= self.deadline:
            return None
        upstream = self.upstream
        candidates = self._eligible() if attempts else self._candidates
        fitting = upstream.outliers.fit(candidates, now=now, may_try=self._method in IDEMPOTENT)
        balancer, session = upstream.balancer, self.session
        if not attempts and not self._unfit:
            endpoint = balancer.pick(fitting, now=now, session=session)
        else:
            # Whoever is out of rotation, or has left the picture since, may still be the one that answers.
            choices = fitting, candidates, self._candidates
            untried = pick_untried(balancer, choices, now=now, session=session, tried=self._tried())
            endpoint = untried or last_let_go(attempts)
        if fitting is not candidates:
            self.left_out = upstream.outliers.left_out
        if endpoint is not None:
            self._current = endpoint
            self._started = self._asked = now  # The latter is never that of a hedge.
            self._first_byte = self._sent = None
            self._begin(endpoint, now)
        return endpoint

    def _begin(self, endpoint: Endpoint, now: float) -> None:
        self.upstream.balancer.began(endpoint)
        self.upstream.outliers.began(endpoint.id, now=now)

    # --- a second one beside the first -----------------------------------------------------------------------------

    def hedge_at(self) -> float:
        """Give when a second attempt may be sent beside the first, which has begun; inf: never. To be asked once."""
        upstream = self.upstream
        after_s = upstream.hedging.request(self._method)
        if after_s is None or self.attempts or upstream.traffic.sticky is not None:
            return math.inf
        return self._started + after_s

    def hedge(self, *, now: float) -> Endpoint | None:
        """Give the endpoint of a second attempt beside the current one, which is the first; None: there is to be none.

        It is over with :meth:`end_hedge`, or with :meth:`record` after :meth:`swap`.
        """
        current, upstream = self._current, self.upstream
        if current is None or self.attempts or self._first_byte is not None:
            return None
        if self._max_attempts < 2 or now >= self.deadline:
            return None
        fitting = upstream.outliers.fit(self._candidates, now=now, may_try=False)
        if len(fitting) < 2 or upstream.budget.left(now=now) < 1.0 or not upstream.hedging.take():
            return None
        endpoint = upstream.balancer.pick(fitting, now=now, session=self.session, tried={current.id})
        if endpoint is None or not upstream.budget.take(now=now):
            return None
        self._beside = endpoint, now, None
        self._begin(endpoint, now)
        return endpoint

    def swap(self) -> None:
        """Take the other of two attempts for the current one."""
        current, beside = self._current, self._beside
        assert current is not None
        assert beside is not None
        self._beside = current, self._started, self._sent
        self._current, self._started, self._sent = beside

    def end_hedge(self, outcome: AttemptOutcome, *, now: float) -> None:
        """Take how the other of two attempts ended; the request goes on with the current one."""
        assert self._beside is not None, "there are no two attempts"
        (endpoint, started, sent), self._beside = self._beside, None
        self._ended(Attempt(endpoint, outcome, started, now, None, sent), now)

    def sent(self, *, now: float, beside: bool = False) -> None:
        """Note that the request of the current attempt, or of the other one, goes out on a channel."""
        if beside and self._beside is not None:
            self._beside = (*self._beside[:2], now)
        else:
            self._sent = now

    def progressed(self, *, now: float) -> None:
        """Note that bytes of a response came from the current endpoint."""
        endpoint = self._current
        if endpoint is not None:
            if self._first_byte is None:
                self._first_byte = now
            self.upstream.outliers.progressed(endpoint.id, now=now)

    def cookie(self) -> bytes | None:
        """Give the value of the Set-Cookie header that the current endpoint's response is to have; None: none."""
        sticky, endpoint = self.upstream.traffic.sticky, self._current
        if sticky is None or sticky.by != "cookie" or endpoint is None:
            return None
        return self.upstream.balancer.cookie(endpoint, self.session)

    def record(
        self,
        outcome: AttemptOutcome,
        *,
        now: float,
        replayable: bool = True,
        report: int | None = None,
        app_us: int = 0,
    ) -> None:
        """Take how the current attempt ended.

        Args:
            outcome: how.
            now: monotonic seconds.
            replayable: whether the request's body, as far as it was read, can be sent once more.
            report: how many requests the endpoint's daemon said it had in flight; None: it did not say.
            app_us: how many microseconds it said its app took to answer; 0: it did not say.
        """
        endpoint = self._current
        assert endpoint is not None, "there is no attempt to record"
        assert self._beside is None, "another attempt is under way"
        self._current = None
        answered = outcome.kind is _ANSWERED
        first_byte = self._first_byte
        if answered and first_byte is None:
            first_byte = now
        self._ended(
            Attempt(endpoint, outcome, self._started, now, first_byte, self._sent, app_us), now, report
        )
        if answered:
            self._over = True
            hedging = self.upstream.hedging
            if hedging.on and self._method in HEDGED and what_it_says(outcome) is Came.OK:
                assert first_byte is not None
                hedging.answered(first_byte - self._asked)
        elif not replayable or (outcome.may_have_arrived and self._method not in IDEMPOTENT):
            self._over = True
        elif outcome.is_charged and now < self.deadline and self._is_one_left():
            # Paid for now, not when the wait before it is over: the many that fail at once must see what is left.
            self._over = not self.upstream.budget.take(now=now)

    def _ended(self, attempt: Attempt, now: float, report: int | None = None) -> None:
        self.attempts.append(attempt)
        self.upstream.ended(attempt, now=now, report=report)

    def abandon(self, *, now: float) -> None:
        """Take that nobody waits for what is under way any more, if anything is."""
        if self._beside is not None:
            self.end_hedge(GIVEN_UP, now=now)
        if self._current is not None:
            self.record(GIVEN_UP, now=now, replayable=False)
        self._over = True

    @property
    def flag_if_none(self) -> str:
        """Why there is no next attempt.

        ``NR``: nobody offers the service. ``UH``: it has no eligible endpoint. ``UT``: the deadline passed
        before the first attempt. ``URX``: as many attempts as are allowed failed, at least two. Else the flag
        of the last failure: no endpoint was left, the request could not be sent once more, or the service has no
        retry budget left.
        """
        if not self._known:
            return "NR"
        if not self._fit:
            return "UH"
        if not self.attempts:
            return "UT"
        if not self._over and len(self.attempts) >= self._max_attempts > 1:
            return "URX"
        return self.attempts[-1].outcome.flag
