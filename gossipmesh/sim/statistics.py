"""What many runs say together: a median, a tail, and how little "never seen" means. Pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from attrs import frozen


@frozen
class Statistic:
    """One figure over all runs that have it, in the unit of the figure."""

    median: float
    p99: float
    max: float
    runs: int


def statistic(values: Sequence[float]) -> Statistic | None:
    """Give what ``values``, one a run, say together; None where no run has the figure."""
    if not values:
        return None
    ordered = sorted(values)
    return Statistic(statistics.median(ordered), quantile(ordered, 0.99), ordered[-1], len(ordered))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Give the least value that ``share`` of the values do not exceed (nearest rank, nothing interpolated).

    Args:
        ordered: the values, ascending, at least one.
        share: 0 to 1.
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def count_for_people(count: int, runs: int) -> str:
    """Give how often something was seen in ``runs`` runs.

    Nothing seen in n runs bounds its rate by 3/n at 95 % confidence (the rule of three), and is not zero.
    """
    if count == 0 and runs > 0:
        return f"0 (at most {3 / runs:.2g} a run)"
    return str(count)


def short(value: float) -> str:
    """Show a number to people in about three digits, large ones in full and with thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
