"""From endpoint to endpoint, as a plan says, dialling where there is no channel yet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gossipmesh.channel.hop_messages import End
from gossipmesh.errors import ConnectError
from gossipmesh.model import Endpoint, NodeId
from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind
from gossipmesh.routing.plan import Plan
from gossipmesh.routing.upstreams import Waiter
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.hop_stream import HopStream
from gossipmesh.transport.pool import ChannelPool
from gossipmesh.transport.reactor import Alarm, Reactor

Begin = Callable[[Endpoint, HopConnection], None]
Report = Callable[[NodeId, AttemptOutcome], None]

REFUSALS = {
    "hop.stream-limit": "UO",
    "connect.local": "UO",
    "connect.stopped": "DR",
    "connect.draining": "DR",
    "hop.gone-away": "DR",
}
"""Failures that are no evidence against the node: a bound of our own, or its own word that it takes no more."""


def outcome_of(error: ConnectError) -> AttemptOutcome:
    """Give how an attempt ended that could not be begun."""
    flag = REFUSALS.get(error.code)
    if flag is not None:
        return AttemptOutcome(OutcomeKind.REFUSED, flag)
    return AttemptOutcome(OutcomeKind.CONNECT_FAILED, "UF")


class Attempts:
    """Carries out a plan: one attempt after another until one answered, none is left, or nobody waits any more.

    Args:
        reactor: the time.
        pool: channels.
        plan: decides.
        report: learns how each attempt ended.
        begin: starts an attempt over a channel; it ends with :meth:`failed` or :meth:`answered`.
        none_left: is told the flag that says why there is no next attempt.
    """

    __slots__ = (
        "_begin",
        "_none_left",
        "_over",
        "_pause",
        "_pool",
        "_reactor",
        "_report",
        "count",
        "endpoint",
        "plan",
        "retried",
    )

    def __init__(
        self,
        reactor: Reactor,
        pool: ChannelPool,
        plan: Plan,
        *,
        report: Report,
        begin: Begin,
        none_left: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._pool = pool
        self.plan = plan
        self._report = report
        self._begin = begin
        self._none_left = none_left
        self._over = False
        self._pause: Alarm | None = None
        self.count = 0
        """Attempts so far."""
        self.endpoint: Endpoint | None = None
        """That of the present attempt, or of the last one."""
        self.retried: list[str] = []
        """The flag of each failed attempt that was followed by another."""

    @property
    def whom(self) -> str:
        """The node of the present attempt, or of the last one; empty if there was none."""
        return self.endpoint.node if self.endpoint is not None else ""

    def next(self) -> None:
        """Begin the next attempt, if there is one."""
        endpoint = self.plan.next_attempt(now=self._reactor.now)
        if endpoint is None:
            self._over = True
            self._none_left(self.plan.flag_if_none)
            return
        if self.plan.attempts:
            self.retried.append(self.plan.attempts[-1].outcome.flag)
        self.adopt(endpoint)
        self.begin()

    def adopt(self, endpoint: Endpoint) -> None:
        """Take an attempt that the plan has decided upon as the present one."""
        self.count += 1
        self.endpoint = endpoint

    def begin(self) -> None:
        """Begin the present attempt."""
        endpoint = self.endpoint
        assert endpoint is not None
        channel = self._pool.channel(endpoint.id)
        if channel is None:
            self._pool.dial(endpoint.id, partial(self._dialled, endpoint))
        else:
            self._begin(endpoint, channel)

    def _dialled(self, endpoint: Endpoint, result: HopConnection | ConnectError) -> None:
        if self._over or endpoint is not self.endpoint:
            return
        if isinstance(result, HopConnection):
            self._begin(endpoint, result)
        else:
            self.refused(result)

    def refused(self, error: ConnectError) -> None:
        """The present attempt could not be begun: nothing was sent."""
        self.failed(outcome_of(error))

    @property
    def has_another(self) -> bool:
        """Whether another attempt would follow if the present one failed now."""
        return not self._over and self.plan.has_another(now=self._reactor.now)

    def has_another_way(self, stream: HopStream) -> bool:
        """Whether the present attempt could be made once more at the same endpoint, over a newer channel.

        That is so where the channel of its ``stream`` is silent, and another one was made meanwhile.
        """
        endpoint = self.endpoint
        if self._over or endpoint is None or not stream.is_silent:
            return False
        channel = self._pool.channel(endpoint.id)
        if channel is None or channel.is_silent:
            return False
        return self.plan.has_another(now=self._reactor.now, again=True)

    def failed(self, outcome: AttemptOutcome, *, replayable: bool = True) -> None:
        """The present attempt failed; begin the next one."""
        self._record(outcome, replayable)
        if self._over:
            return
        wait_s = self.plan.retry_wait_s()
        if wait_s:
            if self._pause is None:
                self._pause = self._reactor.alarm(self.next)
            self._pause.set(self._reactor.now + wait_s)
        else:
            self.next()

    # --- a second one beside the first -----------------------------------------------------------------------------

    def hedge(self) -> Endpoint | None:
        """Begin an attempt beside the present one, if there may be one: give its endpoint."""
        endpoint = None if self._over else self.plan.hedge(now=self._reactor.now)
        if endpoint is not None:
            self.count += 1
        return endpoint

    def swap(self) -> None:
        """Take the other of two attempts for the present one."""
        self.plan.swap()
        self.endpoint = self.plan.current

    def end_hedge(self, outcome: AttemptOutcome) -> None:
        """The other of two attempts is over."""
        endpoint = self.plan.beside
        assert endpoint is not None
        self.plan.end_hedge(outcome, now=self._reactor.now)
        self._report(endpoint.id, outcome)

    # --- what the present one comes to -----------------------------------------------------------------------------

    def progressed(self) -> None:
        """Bytes of a response came from the present attempt."""
        self.plan.progressed(now=self._reactor.now)

    def sent(self, *, beside: bool = False) -> None:
        """The request of the present attempt, or of the other one, goes out."""
        self.plan.sent(now=self._reactor.now, beside=beside)

    def answered(self, outcome: AttemptOutcome, end: End | None = None) -> None:
        """The present attempt gave what the caller gets; there is no other.

        Args:
            outcome: of the attempt.
            end: of its response; None: that was cut, or goes on as a tunnel.
        """
        self._over = True
        self._record(outcome, True, end)

    def _record(self, outcome: AttemptOutcome, replayable: bool, end: End | None = None) -> None:
        assert self.endpoint is not None
        self.plan.record(
            outcome,
            now=self._reactor.now,
            replayable=replayable,
            report=None if end is None else end.in_flight,
            app_us=0 if end is None else end.app_us,
        )
        self._report(self.endpoint.id, outcome)

    def abandon(self) -> None:
        """Begin no other attempt, and wait for none."""
        self._over = True
        self._drop_pause()
        self.plan.abandon(now=self._reactor.now)

    def over(self) -> None:
        """The request is over: its place is somebody else's."""
        self._drop_pause()
        if waiting := self.plan.over(now=self._reactor.now):
            let_go(self._reactor, waiting)

    def _drop_pause(self) -> None:
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.drop()


def let_go(reactor: Reactor, waiting: list[Waiter]) -> None:
    """Tell requests that their turn has come; not from within whatever ended just now."""
    for waiter in waiting:
        reactor.defer(waiter.admitted)
