"""The shapes of ``/v1/check``; its keys are a contract like those of :mod:`.view`."""

from __future__ import annotations

from typing import TypedDict


class CheckEntry(TypedDict):
    """One check: its name is stable, what it found and the hint are for people."""

    name: str
    state: str
    """``ok``, ``warn`` or ``fail``."""
    found: str
    hint: str
    """What to do; empty where all is well."""
    details: list[dict[str, str]]


class Checked(TypedDict):
    """``/v1/check``."""

    ok: bool
    """Whether nothing fails; warnings do not count."""
    version: str
    node: str
    id: str
    checks: list[CheckEntry]
