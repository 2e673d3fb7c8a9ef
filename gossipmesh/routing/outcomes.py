"""How one attempt ended, by what that says about its request."""

from __future__ import annotations

import enum

from gossipmesh.model import value


class OutcomeKind(enum.Enum):
    """How one attempt ended, by what it says about the request."""

    CONNECT_FAILED = "connect-failed"
    """No channel to the node: nothing was sent."""
    REFUSED = "refused"
    """The node said that it did not process the request."""
    FAILED = "failed"
    """It broke after the request may have reached an app."""
    ANSWERED = "answered"
    """A response began."""


@value
class AttemptOutcome:
    """How one attempt ended: ``flag`` (``UF``, ``UR``, ``UT`` ...) for failures, ``status`` for answers."""

    kind: OutcomeKind
    flag: str = ""
    status: int = 0
