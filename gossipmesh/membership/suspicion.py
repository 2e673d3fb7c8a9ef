"""How long a suspect may stay silent, and when silence is death.

SWIM, section 4.2, with Lifeguard's local health suspicion (Lifeguard, section IV-B): a suspicion begins long and
falls logarithmically as independent members confirm it, so a lone accuser with a bad link has to wait while a crash
that everybody sees is decided soon.

Law: accusations are counted by accuser, all of one version of one subject. At most :data:`MAX_ACCUSERS` are kept.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gossipmesh.model import NodeId

if TYPE_CHECKING:
    from gossipmesh.identity.accusation import Accusation
    from gossipmesh.membership.members import Contact
    from gossipmesh.membership.parameters import Parameters

MAX_ACCUSERS: Final = 16
"""A ceiling above any sensible ``Parameters.suspicion_accusers``."""


def suspicion_min_s(*, alpha: float, mesh_size: int, period_s: float) -> float:
    """Give the least time a suspect has to answer: alpha * max(1, log10 N) * period, in seconds.

    News takes O(log N) periods to reach everybody and to come back (SWIM, section 4.2).
    """
    return alpha * max(1.0, math.log10(max(1, mesh_size))) * period_s


def wanted_accusers(*, most: int, mesh_size: int) -> int:
    """Give how many confirmations bring a suspicion to its least: min(most, N - 2), for there are no more others."""
    return max(0, min(most, mesh_size - 2, MAX_ACCUSERS - 1))


def suspicion_timeout_s(confirmations: int, *, wanted: int, min_s: float, max_s: float) -> float:
    """Give how long a suspect may stay silent, in seconds (Lifeguard, section IV-B).

    ``max - (max - min) * log(C + 1) / log(K + 1)``, never under ``min``. Where nobody else could confirm (``wanted``
    is 0: two nodes), waiting longer would bring nothing, so it is ``min`` at once.
    """
    if wanted < 1:
        return min_s
    share = math.log(confirmations + 1) / math.log(wanted + 1)
    return max(min_s, max_s - (max_s - min_s) * share)


class Suspicion:
    """The accusations of one version of one member, and the time that they leave it.

    The mesh size counts as it was at the beginning: were it followed down, a node that lost its own network would
    count fewer and fewer others, and bury them ever faster.

    Args:
        version: the subject's version that is accused.
        mesh_size: N, ourselves and the subject included.
        parameters: alpha, the factor and the accusers.
        now: monotonic seconds.
    """

    def __init__(
        self, version: tuple[int, int], *, mesh_size: int, parameters: Parameters, now: float
    ) -> None:
        self.version = version
        self.wanted = wanted_accusers(most=parameters.suspicion_accusers, mesh_size=mesh_size)
        self._min_s = suspicion_min_s(
            alpha=parameters.suspicion_alpha, mesh_size=mesh_size, period_s=parameters.probe_period_s
        )
        self._max_s = self._min_s * parameters.suspicion_max_factor
        self._own_evidence = parameters.own_evidence
        self._accusations: dict[NodeId, Accusation] = {}
        self._heard_at: dict[NodeId, float] = {}
        self._tokens: dict[NodeId, bytes] = {}
        self._extended_s = 0.0
        self._put_off_until = -math.inf
        self.started = now
        self.outvoted = ""
        """Why no requests go to the subject, where that is for the number of its accusers alone."""

    @property
    def accusers(self) -> tuple[NodeId, ...]:
        """Who accused, the first one first."""
        return tuple(self._accusations)

    @property
    def latest(self) -> Accusation | None:
        """The accusation that came last, to be shown to its subject."""
        latest = max(self._heard_at, key=self._heard_at.__getitem__, default=None)
        return None if latest is None else self._accusations[latest]

    @property
    def raws(self) -> tuple[bytes, ...]:
        """The accusations as their accusers signed them, the first one first."""
        return tuple(accusation.signed.raw for accusation in self._accusations.values())

    @property
    def latest_at(self) -> float:
        """When that one came."""
        return max(self._heard_at.values(), default=-math.inf)

    @property
    def full(self) -> bool:
        """Whether one more accuser would change nothing: the first, and as many as are wanted to confirm."""
        return len(self._accusations) > self.wanted

    @property
    def expires_at(self) -> float:
        """When it has to be judged, in monotonic seconds."""
        confirmations = max(0, len(self._accusations) - 1)
        allowed_s = suspicion_timeout_s(
            confirmations, wanted=self.wanted, min_s=self._min_s, max_s=self._max_s
        )
        return max(self.started + allowed_s + self._extended_s, self._put_off_until)

    def given_by(self, accuser: NodeId) -> Accusation | None:
        """Give the accusation by ``accuser``, if it is counted."""
        return self._accusations.get(accuser)

    def add(self, accusation: Accusation, *, token: bytes = b"", now: float) -> None:
        """Count one more accuser, or take a fresh accusation by the same; it reached us at ``now``.

        Args:
            accusation: verified.
            token: the join token that admitted the accuser.
            now: monotonic seconds.
        """
        self._accusations[accusation.accuser] = accusation
        self._heard_at[accusation.accuser] = now
        self._tokens[accusation.accuser] = token

    def withdraw(self, accuser: NodeId) -> None:
        """Count the word of ``accuser`` no more: whoever is revoked never had one."""
        for told in (self._accusations, self._heard_at, self._tokens):
            told.pop(accuser, None)

    def foreign_since(
        self,
        since: float,
        *,
        own: NodeId,
        by_token: bool = False,
        without: Callable[[NodeId], bool] = lambda _: False,
    ) -> int:
        """Count the independent accusers other than ``own`` whose word reached us after ``since``.

        Args:
            since: monotonic seconds.
            own: our id.
            without: tells whom not to count.
            by_token: whether those whom one join token admitted count as one: who stole a token can make as many
                members of it as he likes. Where a mesh has only one token, nothing else than nodes can be counted.
        """
        heard = [who for who, at in self._heard_at.items() if at > since and who != own and not without(who)]
        return len({self._tokens[who] for who in heard}) if by_token else len(heard)

    def reopen(self, *, now: float) -> None:
        """Begin again, on new evidence. The accusers stay counted, so that no replay does this."""
        self.started = now
        self._extended_s = 0.0
        self._put_off_until = -math.inf

    def extend(self, late_s: float) -> None:
        """Give the suspect the time that we ourselves were not running."""
        self._extended_s += late_s

    def put_off(self, until: float) -> None:
        """Judge it later: there is no evidence of our own yet."""
        self._put_off_until = until

    def judge(self, contact: Contact) -> Verdict:
        """Tell what to believe at the end: it takes a probe of our own, whatever others say, and however many.

        Words are cheap: whoever has a join token can make as many members as he likes, and have them all accuse.
        """
        if not self._own_evidence:
            return Verdict.DEAD
        if contact.silent and contact.failed_at >= self.started:
            return Verdict.DEAD
        if contact.alive_at >= max(self.started, self.latest_at):
            return Verdict.ALIVE
        return Verdict.UNKNOWN


class Verdict(enum.Enum):
    """What a suspicion comes to when its time has run out."""

    ALIVE = "alive"
    """We reached it ourselves after the last accusation."""
    DEAD = "dead"
    """Our own probe failed since, and none was answered after it."""
    UNKNOWN = "unknown"
    """Only words, and no probe of our own has ended yet: probe, then judge again."""
