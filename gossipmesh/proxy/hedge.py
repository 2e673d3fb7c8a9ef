"""Two attempts of one request at once: a second beside the first, which is slow, until one of them answers.

:mod:`gossipmesh.routing.hedging` decides when, and the plan decides whom to ask. Until one of the two answers, nothing
has gone to the caller; so whichever does is passed on, and the other is reset. The failure of one is not the
request's: the other goes on as the only one. Nor is a refusal that the far daemon answers with (429, 403): an app's
own answer is one, whatever its status is.
"""

from __future__ import annotations

from collections.abc import Callable

from gossipmesh.channel.hop_messages import End, RequestHead, ResponseHead
from gossipmesh.errors import ConnectError, LocalProtocolError, StreamLimit
from gossipmesh.model import Endpoint
from gossipmesh.proxy.attempts import Attempts, outcome_of
from gossipmesh.proxy.finishing import UNNEEDED
from gossipmesh.proxy.replies import SAFE_FLAGS, flag_in, known_flag
from gossipmesh.routing.outcomes import GIVEN_UP, AttemptOutcome, OutcomeKind
from gossipmesh.transport.hop import HopConnection
from gossipmesh.transport.hop_stream import HopStream, StreamListener
from gossipmesh.transport.pool import ChannelPool

TIMED_OUT = AttemptOutcome(OutcomeKind.FAILED, "UT")
DOUBTED = AttemptOutcome(OutcomeKind.DOUBTED, "UT")


class Hedge:
    """Listens to the streams of both attempts until one of them is left.

    Args:
        attempts: of the request; the second is begun there.
        listener: what the stream that is left is listened to by, and what listened to the first.
        first: its stream.
        head: of the second; its request has no body.
        settled: is told which stream is left, before ``listener`` is told anything of it.
    """

    __slots__ = ("_attempts", "_first", "_head", "_listener", "_over", "_second", "_settled")

    def __init__(
        self,
        attempts: Attempts,
        listener: StreamListener,
        first: HopStream,
        *,
        head: RequestHead,
        settled: Callable[[HopStream], None],
    ) -> None:
        self._attempts = attempts
        self._listener = listener
        self._head = head
        self._settled = settled
        self._first = first
        self._second: HopStream | None = None
        """None while its channel is dialled."""
        self._over = False
        first.listener = _Runner(self, second=False)

    def begin(self, pool: ChannelPool, endpoint: Endpoint) -> None:
        """Send the request to the second endpoint."""
        channel = pool.channel(endpoint.id)
        if channel is None:
            pool.dial(endpoint.id, self._dialled)
        else:
            self._open(channel)

    def _dialled(self, result: HopConnection | ConnectError) -> None:
        if self._over:
            return
        if isinstance(result, HopConnection):
            self._open(result)
        else:
            self._settle(self._first, outcome_of(result))

    def _open(self, channel: HopConnection) -> None:
        try:
            self._second = channel.open_stream(self._head, _Runner(self, second=True), b"")
        except StreamLimit as error:
            self._settle(self._first, outcome_of(ConnectError(error.code, str(error))))
        except LocalProtocolError:  # Its head is longer than the first one's by a digit.
            self._settle(self._first, GIVEN_UP)
        else:
            self._attempts.sent(beside=True)

    # --- what the streams tell -------------------------------------------------------------------------------------

    def answered(self, head: ResponseHead, *, second: bool) -> StreamListener | None:
        """One of them answers: the other is given up. Give who is to be told the answer; None: the other goes on."""
        stream, left = (self._second, self._first) if second else (self._first, self._second)
        assert stream is not None
        if left is not None and (flag := flag_in(head)):
            self._settle(left, AttemptOutcome(OutcomeKind.ANSWERED, flag, head.status))
            return None
        self._settle(stream, GIVEN_UP)
        return self._listener

    def failed(self, flag: str, *, second: bool) -> None:
        """One of them was reset: the other goes on alone."""
        left = self._first if second else self._second
        if left is None:
            self._settle(self._first, GIVEN_UP)
            self._listener.reset_received(flag)
        else:
            kind = OutcomeKind.REFUSED if flag in SAFE_FLAGS else OutcomeKind.FAILED
            self._settle(left, AttemptOutcome(kind, known_flag(flag)))

    def doubted(self, *, second: bool) -> None:
        """It may be long before one of them is answered: the other goes on alone."""
        left = self._first if second else self._second
        if left is None:
            self._settle(self._first, GIVEN_UP)
            self._listener.doubted()
        else:
            self._settle(left, DOUBTED)

    def give_up(self, outcome: AttemptOutcome) -> None:
        """Nobody waits for the second any more; what becomes of the first, whoever made this sees to."""
        self._over = True
        self._attempts.end_hedge(outcome)
        if self._second is not None:
            self._second.reset(UNNEEDED)

    def _settle(self, left: HopStream, outcome: AttemptOutcome) -> None:
        """Go on with ``left`` alone; the other ended with ``outcome``."""
        self._over = True
        other = self._second if left is self._first else self._first
        if left is self._second:
            self._attempts.swap()
        self._attempts.end_hedge(outcome)
        if other is not None:
            other.reset(UNNEEDED)
        left.listener = self._listener
        self._settled(left)


class _Runner:
    """Listens to one of the two streams."""

    __slots__ = ("_hedge", "_second")

    def __init__(self, hedge: Hedge, *, second: bool) -> None:
        self._hedge = hedge
        self._second = second

    def head_received(self, head: ResponseHead) -> None:
        """Be the one that answers: an interim head is enough, for whoever sends it is at work."""
        listener = self._hedge.answered(head, second=self._second)
        if listener is not None:
            listener.head_received(head)

    def whole_received(self, head: ResponseHead, body: bytes, end: End) -> None:
        """Be the one that answers."""
        listener = self._hedge.answered(head, second=self._second)
        if listener is not None:
            listener.whole_received(head, body, end)

    def data_received(self, data: bytes) -> None:
        """Cannot come before a head."""
        raise AssertionError("body bytes before a head")

    def end_received(self, end: End) -> None:
        """Cannot come before a head."""
        raise AssertionError("an end before a head")

    def reset_received(self, flag: str) -> None:
        """Leave it to the other one."""
        self._hedge.failed(flag, second=self._second)

    def doubted(self) -> None:
        """Leave it to the other one."""
        self._hedge.doubted(second=self._second)

    def credit_gained(self) -> None:
        """Nothing waits for credit: there is no body."""
