"""Hints for names that are not known: the nearest one that is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "GOSSIPMESH_"
"""What the names of all our variables begin with."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Give a hint for a name that is not known: the nearest known one, or all of them where they are few."""
    # What all variables have in common makes none of them near.
    known = {each.removeprefix(PREFIX): each for each in known}
    if close := difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1, cutoff=0.6):
        return f"did you mean {known[close[0]]}?"
    if len(known) <= 10:
        return "known are " + ", ".join(known.values())
    return "`gossipmesh config` lists all keys, of a running node"
