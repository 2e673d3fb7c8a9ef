"""How long a request waits before it is tried again. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from gossipmesh.routing.outcomes import OutcomeKind
from gossipmesh.routing.ranges import within

if TYPE_CHECKING:
    from random import Random

MAX_DOUBLINGS: Final = 32


@frozen
class BackoffSettings:
    """Waits between attempts, in seconds."""

    base_s: float = field(default=0.025, validator=within(0.0, 60.0))
    """The longest wait before the first retry; doubled for each further one."""
    most_s: float = field(default=0.25, validator=within(0.0, 600.0))


def wait_s(retry: int, after: OutcomeKind, settings: BackoffSettings, *, rng: Random) -> float:
    """Give how many seconds to wait before a retry: exponential backoff with full jitter.

    Full jitter (a uniform choice from 0 to the bound; Brooker, "Exponential Backoff And Jitter", AWS, 2015) spreads
    callers that failed together best, and costs the single request half as much as the bound.

    The first retry after no connection or a refusal waits for nothing: it goes to another endpoint, and nobody has
    done any work for it yet. This is what keeps a rolling restart from being felt. One that was let go of because
    nothing came has waited already; and whether there is budget for its retry is decided there and then.

    Args:
        retry: 1 for the first, and so on.
        after: how the attempt before it ended.
        settings: the bounds.
        rng: dice.
    """
    if retry <= 1 and after in (OutcomeKind.CONNECT_FAILED, OutcomeKind.REFUSED):
        return 0.0
    if after is OutcomeKind.DOUBTED:
        return 0.0
    bound = settings.base_s * 2.0 ** min(max(retry, 1) - 1, MAX_DOUBLINGS)
    return rng.uniform(0.0, min(bound, settings.most_s))
