"""When an endpoint is an outlier, and for how long."""

from __future__ import annotations

import enum

from attrs import field, frozen

from gossipmesh.model import NodeId
from gossipmesh.routing.ranges import within


@frozen
class EjectionSettings:
    """When endpoints go out of rotation and for how long: all that the machine goes by, rule by rule.

    What of it people may say, and how they switch it off, is :class:`~gossipmesh.routing.traffic.Ejection`. Times are
    seconds, shares are percents.
    """

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
