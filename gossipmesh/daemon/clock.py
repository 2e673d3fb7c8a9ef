"""What time it is for people: asked for with each request, so it is a module that may be compiled."""

from __future__ import annotations

import time


def wall_clock() -> float:
    """Give Unix seconds; used for expiry only, everything else is monotonic."""
    return time.time()  # noqa: TID251 -- this is where `wall` comes from
