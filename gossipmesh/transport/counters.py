"""Counted codes: what happened how often, for metrics and tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

Count = Callable[[str], None]
"""How the parts of the transport report what they dropped or refused: with a stable, dotted code."""

MAX_CODES: Final = 512
OTHER: Final = "other"


def count_nothing(_: str) -> None:
    """Ignore a code."""


class Counters:
    """How often each code was counted since the start. Its size is bounded, whatever is counted."""

    def __init__(self) -> None:
        self._values: dict[str, int] = {}

    def count(self, code: str) -> None:
        """Count ``code`` once."""
        if code not in self._values and len(self._values) >= MAX_CODES:
            code = OTHER
        self._values[code] = self._values.get(code, 0) + 1

    @property
    def values(self) -> Mapping[str, int]:
        """The live counts by code."""
        return self._values

    def __getitem__(self, code: str) -> int:
        return self._values.get(code, 0)
