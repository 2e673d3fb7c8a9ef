"""Which endpoints answer well less often than the others do."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from math import sqrt
from typing import Final, TypeVar

DEVIATIONS: Final = 1.9
"""Standard deviations of the others' rates that one has to lie below their mean: Envoy's success_rate_stdev_factor."""
LEAST_DIFFERENCE: Final = 0.15
"""... and this much at least. A hundred requests leave a rate uncertain by up to 0.1 (two standard errors)."""

KeyT = TypeVar("KeyT", bound=Hashable)


def fallen_behind(counts: Mapping[KeyT, tuple[int, int]]) -> list[tuple[KeyT, float, float]]:
    """Give who has fallen behind, the worst first, with its success rate and the mean of the others', 0 to 1.

    Envoy's rule (mean - factor * deviation), but each is compared with the *others*: of N values none lies more than
    sqrt(N - 1) deviations from a mean that it is part of, so with fewer than five Envoy's never finds any.

    Args:
        counts: of each its good requests and all of them, at least one.
    """
    if len(counts) < 2:
        return []
    rates = {key: good / total for key, (good, total) in counts.items()}
    count = len(rates) - 1
    total = sum(rates.values())
    squares = sum(rate * rate for rate in rates.values())
    behind = []
    for key, rate in rates.items():
        mean = (total - rate) / count
        deviation = sqrt(max(0.0, (squares - rate * rate) / count - mean * mean))
        if rate < mean - max(DEVIATIONS * deviation, LEAST_DIFFERENCE):
            behind.append((key, rate, mean))
    return sorted(behind, key=lambda each: each[1])
