"""When an endpoint is an outlier, and what the end of a request says about it."""

from __future__ import annotations

import enum
from typing import Final

from attrs import field, frozen

from gossipmesh.channel.hop_messages import REFUSED
from gossipmesh.model import NodeId
from gossipmesh.routing.outcomes import AttemptOutcome, OutcomeKind
from gossipmesh.routing.ranges import within

SAYS_NOTHING: Final = frozenset({"UO", "RL", "DR", "AZ", "LP", "NR", "DC", REFUSED})
"""Flags with which an endpoint's daemon declines, or its caller left: no fault of the endpoint."""

BROKEN: Final = frozenset({"UF", "UR", "UC", "UPE", "UT"})
"""Flags with which an answer broke off after it had begun."""


@frozen
class EjectionSettings:
    """When endpoints go out of rotation and for how long. Times are seconds, shares are percents."""

    failures_in_a_row: int = field(default=5, validator=within(1, 1_000, off=0))
    """Requests that came to nothing; 0 switches the rule off."""
    errors_in_a_row: int = field(default=10, validator=within(1, 1_000, off=0))
    """The same, with answers of 500 and above counted as well."""
    rate_interval_s: float = field(default=10.0, validator=within(1.0, 3_600.0))
    """Success rates are compared this often, over the time since the last comparison."""
    rate_requests: int = field(default=100, validator=within(10, 1_000_000, off=0))
    """Requests in that time without which an endpoint is not compared; 0 switches the rule off."""
    silence_s: float = field(default=0.5, validator=within(0.05, 3_600.0, off=0))
    """The shortest pause that is called silence; 0 switches the rule off."""
    silent_requests: int = field(default=3, validator=within(1, 1_000))
    """So many must have been sent since the last byte, and so many answered by others."""
    silent_for_s: float = field(default=1.0, validator=within(0.1, 3_600.0))
    """How long a silent endpoint stays out at first; it is never longer than ``base_s``."""
    base_s: float = field(default=5.0, validator=within(0.1, 3_600.0))
    """How long any other stays out at first."""
    most_s: float = field(default=300.0, validator=within(0.1, 86_400.0))
    """No ejection is longer."""
    well_s: float = field(default=60.0, validator=within(1.0, 86_400.0))
    """In so much time in rotation one doubling is forgotten."""
    share: int = field(default=50, validator=within(0, 100))
    """Of the eligible endpoints at most this part is out (but one may be where there are two)."""
    panic: int = field(default=50, validator=within(0, 100))
    """Ejections are ignored while fewer than this part of the eligible endpoints is left."""


class Cause(enum.Enum):
    """What an endpoint went out of rotation for."""

    FAILURES = "failures"
    """In a row."""
    ERRORS = "errors"
    """In a row, answers of 500 and above among them."""
    SUCCESS_RATE = "success-rate"
    """Lower than that of the others."""
    SILENCE = "silence"
    TRIAL = "trial"
    """It was out, and the request that tried it failed."""


@frozen
class Ejected:
    """An endpoint went out of rotation, or stays out for longer."""

    endpoint: NodeId
    why: str
    """In words for people, with how long it lasts."""


@frozen
class Readmitted:
    """An endpoint is back in rotation: it answered, or was started again."""

    endpoint: NodeId


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
