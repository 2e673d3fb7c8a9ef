"""What is known of one endpoint of a service, and how long it stays out of rotation. Pure."""

from __future__ import annotations

import math
from typing import Final

from mypy_extensions import mypyc_attr

from gossipmesh.model import NodeId, value

MAX_DOUBLINGS: Final = 16


@value
class LeftOut:
    """An endpoint that a request could not get, and why; made words of when somebody asks."""

    endpoint: NodeId
    why: str
    until: float | None = None
    """When it may be tried, in monotonic seconds; None: that is not for this node to say."""
    tried: bool = False
    """Whether a request tries it."""

    def words(self, now: float) -> str:
        """Say why, as of ``now``."""
        if self.tried:
            return f"{self.why}; one request is trying it"
        if self.until is None:
            return self.why
        if now >= self.until:
            return f"{self.why}; the next request may try it"
        return f"{self.why}; {self.until - now:.1f} s left"


@mypyc_attr(serializable=True, allow_interpreted_subclasses=True)
class Standing:
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

    def is_to_be_tried(self, now: float) -> bool:
        """Whether, of one that is out, the time is over, and no request tries it yet."""
        return now >= self.until and self.trial_at == -math.inf

    def as_left_out(self, endpoint: NodeId) -> LeftOut:
        """Give why it is out, while it is."""
        return LeftOut(endpoint, self.why, self.until, self.trial_at != -math.inf)

    def forget(self, well_s: float, now: float) -> None:
        """Forget one doubling for each ``well_s`` seconds in rotation."""
        forgotten = (now - self.back_at) / well_s
        self.doublings = max(0, self.doublings - int(min(forgotten, MAX_DOUBLINGS)))

    def put_out(self, most_s: float, why: str, *, base_s: float, now: float) -> None:
        """Have it out of rotation for ``base_s``, doubled each time, but for no longer than ``most_s``."""
        lasts = min(base_s * 2**self.doublings, most_s)
        self.doublings = min(self.doublings + 1, MAX_DOUBLINGS)
        self.until = now + lasts
        self.trial_at = -math.inf
        self.silent = False
        self.failures = self.errors = 0
        self.why = f"out of rotation for {lasts:g} s after {why}"

    def take_back(self, now: float) -> None:
        """Have it in rotation again."""
        self.trial_at = -math.inf
        self.silent = False
        self.failures = self.errors = 0
        self.back_at = now
        self.why = ""
