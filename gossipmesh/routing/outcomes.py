"""One attempt, and how it ended, by what that says about its request and its endpoint."""

from __future__ import annotations

import enum
from typing import ClassVar, Final

from gossipmesh.channel.hop_messages import REFUSED
from gossipmesh.model import Endpoint
from gossipmesh.unchanging import Unchanging

SAYS_NOTHING: Final = frozenset({"UO", "RL", "DR", "AZ", "LP", "NR", "DC", REFUSED})
"""Flags with which an endpoint's daemon declines, or its caller left: no fault of the endpoint."""

BROKEN: Final = frozenset({"UF", "UR", "UC", "UPE", "UT"})
"""Flags with which an answer broke off after it had begun."""


class OutcomeKind(enum.Enum):
    """How one attempt ended, by what it says about the request."""

    CONNECT_FAILED = "connect-failed"
    """No channel to the node: nothing was sent."""
    REFUSED = "refused"
    """The node said that it did not process the request."""
    FAILED = "failed"
    """It broke after the request may have reached an app."""
    DOUBTED = "doubted"
    """It was let go of, as nothing came of it for long; the request may have reached an app."""
    ANSWERED = "answered"
    """A response began."""


class AttemptOutcome(Unchanging):
    """How one attempt ended: ``flag`` (``UF``, ``UR``, ``UT`` ...) for failures, ``status`` for answers."""

    __match_args__: ClassVar = ("kind", "flag", "status")
    __slots__ = __match_args__

    def __init__(self, kind: OutcomeKind, flag: str = "", status: int = 0) -> None:
        self.kind: Final = kind
        self.flag: Final = flag
        self.status: Final = status

    @property
    def may_have_arrived(self) -> bool:
        """Whether an app may have got the request, and did not answer it."""
        return self.kind is OutcomeKind.FAILED or self.kind is OutcomeKind.DOUBTED

    @property
    def is_charged(self) -> bool:
        """Whether another attempt may make an app work twice, or falls upon those that have too much to do."""
        return self.may_have_arrived or self.flag in {"UO", "RL"}


GIVEN_UP: Final = AttemptOutcome(OutcomeKind.FAILED, "DC")
"""How an attempt ends that nobody waits for any more."""


class Attempt(Unchanging):
    """One try of a request that has ended."""

    __match_args__: ClassVar = ("endpoint", "outcome", "started", "ended", "first_byte", "sent", "app_us")
    __slots__ = __match_args__

    def __init__(  # noqa: PLR0917 -- one for each field
        self,
        endpoint: Endpoint,
        outcome: AttemptOutcome,
        started: float,
        ended: float,
        first_byte: float | None = None,
        sent: float | None = None,
        app_us: int = 0,
    ) -> None:
        self.endpoint: Final = endpoint
        self.outcome: Final = outcome
        self.started: Final = started
        self.ended: Final = ended
        """Both in monotonic seconds, as :attr:`first_byte`."""
        self.first_byte: Final = first_byte
        """Of the response; None: none came."""
        self.sent: Final = sent
        """When its request went out on a channel; None: it did not."""
        self.app_us: Final = app_us
        """Microseconds that the endpoint's daemon waited for its app's first byte; 0: it did not say."""


class Came(enum.Enum):
    """What a request to an endpoint came to, as far as it tells something about the endpoint."""

    OK = "ok"
    """Answered, below 500."""
    ERROR = "error"
    """Answered by the app, 500 or above."""
    FAILURE = "failure"
    """No connection, reset (be it in the middle of the answer), timed out, or an app that its daemon cannot reach."""
    SILENCE = "silence"
    """Let go by us, as nothing came for long and whoever should answer may be frozen."""
    NOTHING = "nothing"
    """Let go by us or the caller, or declined: tells nothing."""


# What every request asks after: a member of an enum's costs 0.2 us to look up in Python 3.11, a name 0.01.
OK: Final = Came.OK
ERROR: Final = Came.ERROR
NOTHING: Final = Came.NOTHING
_ANSWERED: Final = OutcomeKind.ANSWERED
_DOUBTED: Final = OutcomeKind.DOUBTED


def what_it_says(outcome: AttemptOutcome) -> Came:
    """Give what the end of an attempt says about its endpoint."""
    answered, flag = outcome.kind is _ANSWERED, outcome.flag
    if flag or not answered:  # Nearly every request has neither.
        if flag in SAYS_NOTHING:
            return NOTHING
        if outcome.kind is OutcomeKind.DOUBTED:
            return Came.SILENCE
        if not answered or flag in BROKEN:
            return Came.FAILURE
    return ERROR if outcome.status >= 500 else OK
