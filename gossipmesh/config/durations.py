"""Durations with units: ``250ms``, ``15s``, ``1.5m``, ``24h``, ``365d``."""

from __future__ import annotations

import math
import re
from typing import Final

from gossipmesh.errors import ConfigError

UNITS: Final[dict[str, float]] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
"""Seconds per unit."""
MAX_DURATION_S: Final = 100 * 365 * 86_400.0
"""A hundred years: longer is a slip of the keyboard, and would overflow clocks further in."""

_DURATION: Final = re.compile(r"([0-9]{1,10}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_BARE: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def parse_duration(text: str) -> float:
    """Give the seconds that ``text`` says, one number and one unit: ``ms``, ``s``, ``m``, ``h`` or ``d``.

    Raises:
        ConfigError: ``config.duration``, for anything else; a bare number is told which units it may have meant.
    """
    if (found := _DURATION.fullmatch(text)) is not None:
        seconds = float(found[1]) * UNITS[found[2]]
        if seconds > MAX_DURATION_S:
            raise ConfigError("config.duration", f'"{text}" is longer than a hundred years')
        return seconds
    if _BARE.fullmatch(text) is not None:
        raise ConfigError("config.duration", f'{text} has no unit; write "{text}s" or "{text}ms"')
    wanted = 'a number and a unit, such as "250ms", "15s" or "24h"'
    raise ConfigError("config.duration", f"{text!r} is not a duration; write {wanted}")


def format_duration(seconds: float) -> str:
    """Give ``seconds`` in the largest unit that needs no fraction, milliseconds at the least; infinity: ``none``."""
    if math.isinf(seconds):
        return "none"
    for unit in ("d", "h", "m", "s"):
        count = seconds / UNITS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{_exact(seconds * 1000)}ms" if seconds < 1 else f"{_exact(seconds)}s"


def _exact(number: float) -> str:
    short = f"{number:g}"
    # As many decimals as are read.
    return short if float(short) == number else f"{number:.9f}".rstrip("0").rstrip(".")
