"""How the requests to one service are spread, tried and bounded: plain values, wherever they were said.

``config/traffic.py`` reads them from a TOML table, with the errors that people see.
"""

from __future__ import annotations

import math
from typing import Final, Literal

from attrs import field, frozen

from gossipmesh.routing.ranges import within
from gossipmesh.routing.rates import UNLIMITED, RateSettings

EVERY: Final = "*"
"""In place of a service's name: all services that are not named themselves."""
BALANCERS: Final = ("round-robin", "weighted", "least-request", "ewma", "random")
ZONES: Final = ("prefer", "any")
MAX_SPLIT: Final = 16
"""Tags in one split."""
MAX_KEY_NAME: Final = 64
"""Characters in the name of a session's cookie or header."""


@frozen
class Sticky:
    """What tells which session a request belongs to."""

    by: Literal["cookie", "header", "source"]
    """A cookie that we set; a header of the caller's; or which service the caller is."""
    name: str = ""
    """Of the cookie (case counts) or the header (in lower case); empty for ``source``."""


@frozen
class Share:
    """Which part of the requests goes to the endpoints with one tag."""

    tag: str
    percent: int
    """0 to 100. An endpoint with several of the tags counts for the first."""


@frozen
class Retries:
    """How often, and for how long, a request is tried. When it may be is RFC 9110's affair: see :mod:`.plan`."""

    attempts: int | None = None
    """Tries in all, the first included; None: as many as the node's ``[proxy] max_attempts``."""
    per_try_timeout_s: float = math.inf
    """From when one attempt's request went out whole to the first byte of its response."""
    hedge: bool = False
    """Whether a GET or HEAD that takes longer than most is sent to a second endpoint too."""


@frozen
class BreakerLimits:
    """Circuit breakers: what one node lets be under way to one service."""

    in_flight: int = field(default=1_024, validator=within(1, 1_000_000))
    """Requests at once; more wait (Envoy's max_requests)."""
    queue: int = field(default=128, validator=within(0, 100_000))
    """That wait; more are refused at once. 0: nobody waits."""
    wait_s: float = field(default=1.0, validator=within(0.001, 600.0))
    """How long one waits before it is refused."""
    adaptive: bool = False
    """Whether the limit of requests in flight follows the latency (gradient), below ``in_flight``."""


@frozen
class Ejection:
    """When an endpoint that fails is left out for a while (Envoy: outlier detection): what a table may say of it.

    Each field is a key of the configuration and of signed policies, hence not all of
    :class:`~gossipmesh.routing.ejection.EjectionSettings`, which :func:`~.upstreams.ejection_settings` makes of it.
    """

    enabled: bool = True
    failures_in_a_row: int = field(default=5, validator=within(1, 1_000))
    """After which it is."""
    base_s: float = field(default=5.0, validator=within(0.1, 3_600.0))
    """For how long, the first time; twice as long each further time."""
    most_s: float = field(default=300.0, validator=within(0.1, 86_400.0))
    """No ejection is longer."""
    share: int = field(default=50, validator=within(0, 100))
    """Percent of the service's endpoints: so many at most are left out, one at least; 0: none."""


@frozen
class Traffic:
    """All of it for one service; the defaults are what holds where nothing is said."""

    balancer: str = "round-robin"
    """One of :data:`BALANCERS`. All of them respect weights; ``round-robin`` and ``weighted`` are the same rule:
    plain turns while all weights are equal, smooth weighted ones where they differ."""
    sticky: Sticky | None = None
    """None: each request by itself. Else sessions stay where they are, whatever the balancer is."""
    split: tuple[Share, ...] = ()
    """Adds up to 100; empty: all endpoints alike."""
    zone: str = "prefer"
    """``prefer``: requests stay in the caller's zone as far as that leaves every zone with its fair load;
    ``any``: zones make no difference. Sessions by header or source do not look at zones."""
    slow_start_s: float = 0.0
    """For how long the weight of a new endpoint rises, from a tenth to the whole; 0: it is whole at once."""
    timeout_s: float | None = None
    """From the request's head to the first byte of its response; None: the node's ``[proxy] request_timeout``."""
    retries: Retries = Retries()
    limits: BreakerLimits = BreakerLimits()
    ejection: Ejection = Ejection()
    rate: RateSettings = UNLIMITED
    """How often each source may ask: of this node's own endpoint, where it offers the service."""


DEFAULT: Final = Traffic()
