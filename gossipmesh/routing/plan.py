"""The attempts of one request: who is asked next, whether anybody is, and what to say when nobody is left.

All the logic of a retrying client is in :class:`Plan`, which does no IO; the proxy carries it out, and ``explain``
shows it. The rules (RFC 9110, section 9.2.2):

- A failure of which it is certain that the request was not processed (no connection, or the other daemon
  refused it before it reached an app) may be tried again whatever the method is.
- A failure after the request was sent but before the first byte of a response reached the caller may be tried
  again only if the method is idempotent.
- After the first byte of a response went out: never.
- Every try is on another node: the one that just failed is the least likely to answer.
- A body that was partly sent and is no longer held cannot be sent again, so it ends the trying.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import Final

from gossipmesh.model import Endpoint, value
from gossipmesh.routing.balancer import Balancer
from gossipmesh.routing.snapshot import Snapshot

IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""Methods that may be sent twice (RFC 9110, section 9.2.2). Method names are case-sensitive."""


@value
class Attempt:
    """One try of a request that has ended."""

    endpoint: Endpoint
    outcome: AttemptOutcome
    started: float
    ended: float
    """Both in monotonic seconds."""


class Plan:
    """The attempts of one request, decided one at a time.

    Make one with :meth:`for_request`; then, until :meth:`next_attempt` gives None or an attempt answered, try
    what it gives and tell :meth:`record` how that ended.
    """

    # Every request makes one of these.
    __slots__ = (
        "_balancer",
        "_candidates",
        "_current",
        "_deadline",
        "_known",
        "_max_attempts",
        "_method",
        "_over",
        "_started",
        "attempts",
        "service",
    )

    def __init__(
        self,
        snapshot: Snapshot,
        service: str,
        method: bytes,
        balancer: Balancer,
        *,
        max_attempts: int,
        deadline: float,
    ) -> None:
        self.service = service
        self.attempts: list[Attempt] = []
        candidates = snapshot.eligible(service)
        self._candidates = candidates
        # The snapshot itself is not kept: a request may last for days, and there is a new one every few seconds.
        self._known = bool(candidates) or snapshot.knows(service)
        self._balancer = balancer
        self._method = method
        self._max_attempts = max_attempts
        self._deadline = deadline
        self._current: Endpoint | None = None
        self._started = 0.0
        self._over = False

    @classmethod
    def for_request(
        cls,
        snapshot: Snapshot,
        service: str,
        method: bytes,
        balancer: Balancer,
        *,
        max_attempts: int,
        deadline: float = math.inf,
    ) -> Plan:
        """Give the plan of a request with ``method`` to ``service``.

        Args:
            snapshot: read once, here; a request in flight does not see later ones.
            service: the service's name.
            method: as received; only exact names of RFC 9110 count as idempotent.
            balancer: chooses among the eligible endpoints.
            max_attempts: tries in all, the first included; at least 1.
            deadline: monotonic seconds after which no new attempt starts.
        """
        return cls(snapshot, service, method, balancer, max_attempts=max_attempts, deadline=deadline)

    @property
    def has_candidates(self) -> bool:
        """Whether there is any eligible endpoint."""
        return bool(self._candidates)

    @property
    def current(self) -> Endpoint | None:
        """The endpoint of the attempt that was begun and not recorded."""
        return self._current

    def has_another(self, *, now: float) -> bool:
        """Tell whether another attempt would follow if the current one failed now, after its request was sent.

        That of a request whose body can be sent once more, as :meth:`record` takes it.
        """
        if self._over or self._method not in IDEMPOTENT or now >= self._deadline:
            return False
        tried = len(self.attempts) + (self._current is not None)
        return tried < min(self._max_attempts, len(self._candidates))

    def next_attempt(self, *, now: float) -> Endpoint | None:
        """Give the endpoint to try now, or None: then :attr:`flag_if_none` says why there is none."""
        assert self._current is None, "the attempt before this one was not recorded"
        if self._over or len(self.attempts) >= self._max_attempts or now >= self._deadline:
            return None
        left: Sequence[Endpoint] = self._candidates
        if self.attempts:
            tried = {attempt.endpoint.id for attempt in self.attempts}
            left = [endpoint for endpoint in left if endpoint.id not in tried]
        if not left:
            return None
        self._current = self._balancer.pick(self.service, left)
        self._started = now
        return self._current

    def record(self, outcome: AttemptOutcome, *, now: float, replayable: bool = True) -> None:
        """Take how the current attempt ended.

        Args:
            outcome: how.
            now: monotonic seconds.
            replayable: whether the request's body, as far as it was read, can be sent once more.
        """
        endpoint = self._current
        assert endpoint is not None, "there is no attempt to record"
        self._current = None
        self.attempts.append(Attempt(endpoint, outcome, self._started, now))
        match outcome.kind:
            case OutcomeKind.ANSWERED:
                self._over = True
            case OutcomeKind.CONNECT_FAILED | OutcomeKind.REFUSED:
                self._over = not replayable
            case OutcomeKind.FAILED:
                self._over = not (replayable and self._method in IDEMPOTENT)

    @property
    def flag_if_none(self) -> str:
        """Why there is no next attempt.

        ``NR``: nobody offers the service. ``UH``: it has no eligible endpoint. ``UT``: the deadline passed
        before the first attempt. ``URX``: as many attempts as are allowed failed, at least two. Else the flag
        of the last failure: no endpoint was left, or the request could not be sent once more.
        """
        if not self._known:
            return "NR"
        if not self._candidates:
            return "UH"
        if not self.attempts:
            return "UT"
        if not self._over and len(self.attempts) >= self._max_attempts > 1:
            return "URX"
        return self.attempts[-1].outcome.flag
