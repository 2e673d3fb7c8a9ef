"""The membership machine with somebody who looks over its shoulder: every record that it takes is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gossipmesh.membership.machine import Membership
from gossipmesh.membership.outputs import Output
from gossipmesh.model import NodeId
from gossipmesh.sim.checks import Checker

if TYPE_CHECKING:
    import random

    from gossipmesh.identity.accusation import Accusation
    from gossipmesh.identity.record import MemberRecord
    from gossipmesh.membership.parameters import Parameters


class WatchedMembership(Membership):
    """:class:`Membership` that shows each record to a checker; what it does is unchanged.

    Args:
        checker: of the node.
        parameters: this and the others as for :class:`Membership`.
    """

    # All arguments by name: mypyc hands what `*args` holds to a compiled method as one tuple.
    def __init__(
        self,
        checker: Checker,
        parameters: Parameters,
        own: MemberRecord,
        *,
        rng: random.Random,
        root: Callable[[], bytes],
        sign_accusation: Callable[[NodeId, int, int], Accusation],
    ) -> None:
        super().__init__(parameters, own, rng=rng, root=root, sign_accusation=sign_accusation)
        self._checker = checker
        checker.signed(self.own)

    def learn_record(
        self, record: MemberRecord, *, now: float, news: bool, token: bytes = b""
    ) -> list[Output]:
        """Take in a verified record, as :meth:`Membership.learn_record`."""
        before = self.members.get(record.id)
        outputs = super().learn_record(record, now=now, news=news, token=token)
        after = self.members.get(record.id)
        self._checker.learned(
            record,
            None if before is None else before.record.version,
            None if after is None else after.record.version,
        )
        return outputs

    def update_own(self, record: MemberRecord, *, now: float) -> list[Output]:
        """Take in our own record, as :meth:`Membership.update_own`."""
        outputs = super().update_own(record, now=now)
        self._checker.signed(record)
        return outputs
