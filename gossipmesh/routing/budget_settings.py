"""How large a retry budget is; :mod:`.budget` keeps to it."""

from __future__ import annotations

from attrs import field, frozen

from gossipmesh.routing.ranges import within


@frozen
class BudgetSettings:
    """How many retries a service may get from this node."""

    percent: float = field(default=20.0, validator=within(0.0, 100.0))
    """Of the requests in the window."""
    least_per_s: float = field(default=10.0, validator=within(0.0, 100_000.0))
    """So many in one second are always allowed, for services with little traffic."""
    window_s: float = field(default=4.0, validator=within(1.0, 600.0))
