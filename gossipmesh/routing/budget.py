"""How many retries there may be: a share of the requests, so that a failing service is not buried under them. Pure.

A retry is allowed while the retries of the last seconds are within 20 % of the requests, or if there were fewer than
10 in the last one: ``max(20 %, 10/s)``. The numbers are those of finagle's and Linkerd's RetryBudget, which take the
sum; at 500 requests/s that is 22 %. Their window is 10 s; what it has saved up makes a storm worse when it begins, and
4 s are enough to try everything again that waits at a frozen endpoint.

**What is charged.** Every further attempt that may make an app work once more: after a failure once the request was
sent, after a refusal for load (``UO``, ``RL``), and a hedge. Not: another attempt after no connection or a refusal by
a node that drains, for no app has seen the request, nor will more than one.

**Hops do not multiply.** With a budget at each of two hops, 1.2 x 1.2 = 1.44 requests would reach an app that fails
everything: node 1 retries what app A fails to answer, A calls B again, and A's node 2 retries that too. No header
helps, as apps do not pass on what they do not know. But each request says on the wire which attempt it is; and what A
sends while it serves a retry is a retry of B just as well. So :class:`Inbound` tells of each call of a local app
whether it is a retry of somebody further up:

- Its ``X-Request-Id`` is that of a request that is being served here, as apps have it that pass tracing headers on:
  it is if that is.
- Any other: of these so many as there are retries among what came in lately, evenly spread.

Such a call is charged as the retry that it is, earns nothing, and goes out as attempt 2, so that those further down
know. Then retries of B, whoever made them, are at most 20 % of the requests that were nobody's retry: 1.2 x over any
number of hops, and what the callers use up is not there for those further down. The floor is within the same sum:
where more than 10/s of what comes in is retries, it adds none. Only in the second in which a storm begins a node may
spend its 10 before its callers do; so each takes two floors less than the share.

Where one app of a node is stormed and another, idle one has calls of its own, the latter's are taken for retries as
often as the former's, unless it passes ids on. Retries by apps themselves are requests like any other: no mesh can
tell.

An answer of the app (502 and 503 too) is an answer, and is never retried; so where A turns a failed call into an
answer there is nothing to multiply in the first place.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil
from typing import Final

from mypy_extensions import mypyc_attr

from gossipmesh.routing.budget_settings import BudgetSettings

SLOTS: Final = 20
"""Parts of a window. The oldest goes as a whole, so a window is between 19 and 20 parts long."""
MAX_BEING_SERVED: Final = 4_096
"""Retries being served whose request ids are known; beyond it the oldest counts by the share like any other."""


class _Window:
    """Two sums over the last seconds."""

    __slots__ = ("_firsts", "_retries", "_slot", "_slot_s", "firsts", "retries")

    def __init__(self, window_s: float) -> None:
        self._slot_s = window_s / SLOTS
        self._slot = 0
        self._firsts = [0] * SLOTS
        self._retries = [0] * SLOTS
        self.firsts = 0
        """Requests that are nobody's retry."""
        self.retries = 0

    def add(self, firsts: int, retries: int, now: float) -> None:
        slot = int(now / self._slot_s)
        if slot > self._slot:
            self._turn(slot)
        place = slot % SLOTS
        self._firsts[place] += firsts
        self._retries[place] += retries
        self.firsts += firsts
        self.retries += retries

    def _turn(self, slot: int) -> None:
        for passed in range(self._slot + 1, min(slot, self._slot + SLOTS) + 1):
            self._firsts[passed % SLOTS] = self._retries[passed % SLOTS] = 0
        self._slot = slot
        self.firsts, self.retries = sum(self._firsts), sum(self._retries)

    def last_retries(self, slots: int) -> int:
        """Give the retries of this slot and of those before it, ``slots`` in all."""
        return sum(self._retries[place % SLOTS] for place in range(self._slot - slots + 1, self._slot + 1))


class RetryBudget:
    """The budget of one service.

    Args:
        settings: how much.
    """

    __slots__ = ("_least", "_least_slots", "_share", "_window", "refused")

    def __init__(self, settings: BudgetSettings) -> None:
        self._share = settings.percent / 100.0
        slot_s = settings.window_s / SLOTS
        self._least = settings.least_per_s * max(1.0, slot_s)
        # This slot has only begun: one more than a second's, so that no second has more.
        self._least_slots = min(SLOTS, ceil(1.0 / slot_s) + 1) if slot_s < 1.0 else 1
        self._window = _Window(settings.window_s)
        self.refused = 0
        """Retries that there was no budget for, ever."""

    def request(self, *, now: float, retry: bool = False) -> None:
        """Count a request that an app makes, and whether it is a retry of somebody further up."""
        self._window.add(not retry, retry, now)

    def take(self, *, now: float) -> bool:
        """Take one retry out of the budget; False, and nothing taken, where there is none."""
        if self.left(now=now) < 1.0:
            self.refused += 1
            return False
        self._window.add(0, 1, now)
        return True

    def left(self, *, now: float) -> float:
        """Give how many retries could be taken now, 0.0 or more."""
        window = self._window
        window.add(0, 0, now)
        of_requests = self._share * window.firsts - 2.0 * self._least - window.retries
        of_second = self._least - window.last_retries(self._least_slots)
        return max(0.0, of_requests, of_second)


@mypyc_attr(allow_interpreted_subclasses=True)
class Inbound:
    """What of this node's inbound requests are retries: one for all services that it offers.

    Args:
        window_s: over which time.
    """

    __slots__ = ("_owed", "_serving", "_window")

    def __init__(self, window_s: float = 4.0) -> None:
        self._window = _Window(window_s)
        self._owed = 0.0
        self._serving: OrderedDict[bytes, bool] = OrderedDict()

    def began(self, request_id: bytes, attempt: int, *, now: float) -> None:
        """A request came in from the mesh; ``attempt`` is what it says of itself, 1 for the first."""
        retry = attempt > 1
        self._window.add(not retry, retry, now)
        self._serving[request_id] = retry
        if len(self._serving) > MAX_BEING_SERVED:
            self._serving.popitem(last=False)

    def ended(self, request_id: bytes) -> None:
        """A request that :meth:`began` told of is answered."""
        self._serving.pop(request_id, None)

    def is_retry(self, request_id: bytes, *, now: float) -> bool:
        """Tell whether a call with ``request_id`` that a local app makes is a retry of somebody further up."""
        known = self._serving.get(request_id)
        if known is not None:
            return known
        window = self._window
        if not window.retries:
            return False
        window.add(0, 0, now)
        if not window.retries:
            return False
        self._owed += window.retries / (window.firsts + window.retries)
        if self._owed < 1.0:
            return False
        self._owed -= 1.0
        return True
