"""What a setting may be: a number within bounds, or an error that says them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gossipmesh.errors import ConfigError


def within(low: float, high: float, *, off: float | None = None) -> Callable[[object, Any, float], None]:
    """Give an attrs validator for numbers from ``low`` to ``high``.

    Args:
        low: the least, inclusive.
        high: the most, inclusive.
        off: one more value that is allowed, which switches the thing off.

    Raises (the validator):
        ConfigError: ``config.value``, for anything else, NaN and booleans among it.
    """

    def check(_: object, attribute: Any, value: float) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and (low <= value <= high or value == off):  # Which NaN is not.
            return
        also = "" if off is None else f", or {off:g}"
        raise ConfigError(
            "config.value", f"{attribute.name}: {value!r} is not from {low:g} to {high:g}{also}"
        )

    return check
