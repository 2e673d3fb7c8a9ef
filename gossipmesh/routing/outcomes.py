"""One attempt, and how it ended, by what that says about its request."""

from __future__ import annotations

import enum
from typing import Final

from gossipmesh.model import Endpoint, value


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


@value
class AttemptOutcome:
    """How one attempt ended: ``flag`` (``UF``, ``UR``, ``UT`` ...) for failures, ``status`` for answers."""

    kind: OutcomeKind
    flag: str = ""
    status: int = 0

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


@value
class Attempt:
    """One try of a request that has ended."""

    endpoint: Endpoint
    outcome: AttemptOutcome
    started: float
    ended: float
    """Both in monotonic seconds, as :attr:`first_byte`."""
    first_byte: float | None = None
    """Of the response; None: none came."""
    sent: float | None = None
    """When its request went out on a channel; None: it did not."""
    app_us: int = 0
    """Microseconds that the endpoint's daemon waited for its app's first byte; 0: it did not say."""
