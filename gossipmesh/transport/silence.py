"""When a peer that owes answers is asked whether it is still there, doubted, and given up. Pure.

A host that vanishes sends nothing, not even that it is gone: without this, its requests would wait for their timers. A
frozen one (a paused VM, SIGSTOP) looks the same and comes back, so there are two steps. What can be asked elsewhere
goes there soon; what cannot, a POST or an answer that has begun, would be lost by haste and waits for longer.

A far peer's answer to a ping takes longer than a near one is given: where a doubt was wrong, the next comes later.

A ping that nothing came after is waited for although the requests have left: where packets were lost for a while, TCP
sends its next ones as late again as it has been silent, and whoever asks then would wait for that.
"""

from __future__ import annotations

import enum
from typing import Final

PING_AFTER_S: Final = 0.3
"""Silence while requests wait after which the other side is asked whether it is still there ..."""
DOUBT_AFTER_S: Final = 0.2
"""... how long it may then say nothing before it is doubted, and again after each such time ..."""
FAR_S: Final = 0.5
"""... which grows to twice of what its answer took in spite of a doubt, but not beyond this: who takes longer is not
far ..."""
PONG_WITHIN_S: Final = 10.0
"""... and how long before it is given up."""
LATE_S: Final = 0.1
"""A deadline that we reach this much too late says more about our own stall than about the other side."""


class Verdict(enum.Enum):
    """What to do now."""

    WAIT = "wait"
    PING = "ping"
    DOUBT = "doubt"
    GIVE_UP = "give up"


class Silence:
    """Watches one channel, as long as requests wait or the answer to a ping is owed; look again at :attr:`due`."""

    __slots__ = ("_doubt_after_s", "_doubted", "_pinged", "due")

    def __init__(self) -> None:
        self._pinged: tuple[float, int] | None = None
        self._doubted = False
        """Whether nothing was heard between the ping and a doubt."""
        self._doubt_after_s = DOUBT_AFTER_S
        self.due = 0.0
        """Monotonic seconds, of the last verdict but GIVE_UP."""

    def begin(self, now: float, *, heard_at: float, reads: int) -> None:
        """Requests wait from now on; the other side was heard last at ``heard_at``, and ``reads`` times."""
        if self._pinged is not None:
            if self._pinged[1] == reads:
                return  # It is silent already.
            self._heard(heard_at)
        self.due = now + PING_AFTER_S

    def is_asked(self, reads: int) -> bool:
        """Tell whether nothing came since the other side was asked whether it is there."""
        return self._pinged is not None and self._pinged[1] == reads

    def is_doubted(self, reads: int) -> bool:
        """Tell whether it was doubted since, too."""
        return self._doubted and self.is_asked(reads)

    def look(self, now: float, *, quiet_since: float, reads: int) -> Verdict:
        """Judge.

        Args:
            now: monotonic seconds.
            quiet_since: when the other side was heard last, or requests began to wait.
            reads: how often something came from it: time alone may not have moved since a ping.
        """
        if self._pinged is not None:
            asked_at, reads_then = self._pinged
            if reads == reads_then and now - self.due > LATE_S:
                return self._ping(now, reads)  # The answer may be in the socket: we did not look.
            if reads == reads_then:
                if now - asked_at >= PONG_WITHIN_S:
                    return Verdict.GIVE_UP
                self.due = min(now + self._doubt_after_s, asked_at + PONG_WITHIN_S)
                self._doubted = True
                return Verdict.DOUBT
            self._heard(quiet_since)
        self.due = max(now, quiet_since + PING_AFTER_S)
        return Verdict.WAIT if now < quiet_since + PING_AFTER_S else self._ping(now, reads)

    def _heard(self, heard_at: float) -> None:
        """Learn from a doubt that was wrong, and ask anew next time."""
        if self._pinged is not None and self._doubted and 0.0 < heard_at - self._pinged[0] <= FAR_S:
            took_s = heard_at - self._pinged[0]
            self._doubt_after_s = min(max(self._doubt_after_s, 2.0 * took_s), FAR_S)
        self._pinged = None
        self._doubted = False

    def _ping(self, now: float, reads: int) -> Verdict:
        self._pinged = now, reads
        self._doubted = False
        self.due = now + self._doubt_after_s
        return Verdict.PING
