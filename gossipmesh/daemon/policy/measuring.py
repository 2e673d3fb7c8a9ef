"""How this node's requests went before and since its policy changed: what a rollout's gate looks at. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from gossipmesh.policy.rollout import Measured

EVERY_S: Final = 5.0
KEPT: Final = 720
"""An hour of samples: so far back it is looked, however long ago the policy changed."""


class Measuring:
    """Counts requests, of local apps and for them, and remembers the counts of the last hour.

    A request has failed if it got 500 or above, or no answer, or the mesh answered in its service's place: a policy
    that denies too much is what a gate is there for. That its caller left says nothing.
    """

    __slots__ = ("_changed_at", "_samples", "failed", "total")

    def __init__(self, *, now: float) -> None:
        self.total = self.failed = 0
        self._samples: deque[tuple[float, int, int]] = deque([(now, 0, 0)], maxlen=KEPT)
        self._changed_at = now

    def count(self, code: int, flag: str) -> None:
        """Count a request that is over."""
        self.total += 1
        if (flag and flag != "DC") or code >= 500:
            self.failed += 1

    def sample(self, *, now: float) -> None:
        """Remember the counts; to be called every few seconds."""
        if now >= self._samples[-1][0] + EVERY_S:
            self._samples.append((now, self.total, self.failed))

    def policy_changed(self, *, now: float) -> None:
        """Note that another policy is in force from now on."""
        self._changed_at = now
        self._samples.append((now, self.total, self.failed))

    def measured(self, *, now: float) -> Measured:
        """Give how requests went since the policy changed, and in as long a time before."""
        changed_at = self._changed_at
        begins = changed_at - (now - changed_at)
        samples = self._samples
        at_change = next((each for each in samples if each[0] >= changed_at), samples[-1])
        before = next((each for each in samples if each[0] >= begins), samples[0])
        return Measured(
            before=max(0, at_change[1] - before[1]),
            before_failed=max(0, at_change[2] - before[2]),
            since=self.total - at_change[1],
            since_failed=self.failed - at_change[2],
        )
