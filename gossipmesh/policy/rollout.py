"""A policy document in stages, without anybody who leads: each node decides for itself, on what all publish.

A node takes part in a stage if ``H(id || version)`` is under the stage's share; the others go by ``return_to``. Who
takes part watches its own requests for ``hold_s`` seconds and publishes in its record whether they went well. The next
stage begins when those of this one say that they did; after the last, the document holds everywhere. If a fifth of
those who take part say that they did not, of two tokens where the mesh has two, every node goes back to ``return_to``
for good.

**Time.** Nobody's wall clock is asked. A hold is measured by each node on its own monotonic clock from when *it* began,
and its verdict carries the result; so two minutes of skew change nothing, and a node that comes late (a week, or in
the middle) walks through all stages at once that others' verdicts say are over. Counting from ``signed_at`` instead
would let a fast clock skip a short hold, and a slow one run another policy for minutes. Only a stage in which nobody
takes part is waited out on the own clock, or left as soon as most others have left it.

**Liars.** Votes are counted by token (the one that a chain began with, which its holder cannot choose), for who stole
one can make any number of members of it: these neither make up the two tokens, nor drown the verdicts of another's.
One token can delay a rollout, and where the mesh has only that one, end it. None can put into force what nobody signed.

Law: what is decided depends on the document, the members' reports and the own stage; not on the order of either.
"""

from __future__ import annotations

import enum
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

from attrs import evolve, frozen

from gossipmesh import crypto, wire
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.model import NodeId
from gossipmesh.policy.document import MALFORMED, MAX_STAGES, MAX_VERSION, WHOLE, PolicyDocument, Stage

TAG_BYTES: Final = 8
"""Bytes of a document's hash in a report: two documents may have one version."""
QUORUM: Final = 5
"""One in so many fails a stage; all but that share must have passed it."""
MAX_POINTS: Final = 4_096
"""Nodes whose place among all is remembered: it is asked for often."""

_POINTS: Final = 1 << 64


class Verdict(enum.Enum):
    """What a node says of a document."""

    WATCHING = 0
    """It takes no part in its stage yet, or has not watched for long enough."""
    PASSED = 1
    """It has watched for as long as its stage says, and all is well."""
    FAILED = 2
    """More of its requests fail than before. Never taken back."""
    RETURNED = 3
    """It goes by the document before, for the mesh has returned to it."""
    DONE = 4
    """The document holds, and there is nothing left to watch."""


@frozen
class Report:
    """What a node's record says of the newest document that it knows: which, how far, and how it does.

    ``tag`` is the beginning of the document's hash; ``stage`` counts from 0.
    """

    version: int
    tag: bytes
    stage: int
    verdict: Verdict

    @property
    def value(self) -> list[wire.Value]:
        """What goes into a record: ``[version, tag, stage, verdict]``."""
        return [self.version, self.tag, self.stage, self.verdict.value]


def report_untrusted(fields: wire.Fields) -> Report:
    """Give the report in these elements of a record; more of them are a later release's.

    Raises:
        RemoteProtocolError: with the code of ``fields``, or ``policy.malformed`` for a verdict that there is not.
    """
    version, tag = fields.integer(1, MAX_VERSION), fields.binary(TAG_BYTES, TAG_BYTES)
    stage, verdict = fields.integer(0, MAX_STAGES), fields.integer(0, 255)
    try:
        return Report(version, tag, stage, Verdict(verdict))
    except ValueError:
        raise RemoteProtocolError(MALFORMED, f"there is no verdict {verdict}") from None


@frozen
class Voter:
    """A living member: its id, the token with which its chain begins, and what its record reports."""

    id: NodeId
    token: bytes
    report: Report | None = None


@frozen
class Measured:
    """How this node's requests went, in and out: in as long a time before, and since its policy last changed."""

    before: int = 0
    before_failed: int = 0
    since: int = 0
    since_failed: int = 0


@frozen
class Enforce:
    """Decide by the document with this hash from now on; zeros: by the default of a mesh without one."""

    document: bytes


@frozen
class Publish:
    """Put this report into the node's record, and onto its disk."""

    report: Report


Output = Enforce | Publish


def takes_part(node: NodeId, version: int, share: int) -> bool:
    """Tell whether a node is among the ``share`` thousandths of all that try a version first."""
    return _point(node, version) * WHOLE < share * _POINTS


@lru_cache(maxsize=MAX_POINTS)
def _point(node: NodeId, version: int) -> int:
    return int.from_bytes(crypto.blake2b(node + version.to_bytes(4, "big"), 8), "big")


def gate_fails(measured: Measured, stage: Stage) -> bool:
    """Tell whether so many more requests fail than before that it is not by chance: a share above the stage's rise."""
    if measured.since < stage.requests:
        return False
    before = measured.before_failed / measured.before if measured.before else 0.0
    return measured.since_failed / measured.since > before + stage.rise / WHOLE


def fails(document: PolicyDocument, voters: Sequence[Voter]) -> bool:
    """Tell whether these reports return the mesh: in some stage, a fifth of those who take part say that it failed.

    Either a fifth of all of them, of two tokens where the mesh has two; or a fifth of the tokens, and at least two,
    each by a fifth of its own. The second is for the mesh in which one token makes so many members that nobody else
    comes to a fifth.
    """
    for place, stage in enumerate(document.stages):
        among = [each for each in voters if takes_part(each.id, document.version, stage.share)]
        against = [each.token for each in among if _is_against(each.report, place)]
        wanted = min(2, len({each.token for each in voters}))
        if len(set(against)) < wanted or not against:
            continue
        if len(against) * QUORUM >= len(among):
            return True
        counts, failed = Counter(each.token for each in among), Counter(against)
        tokens = sum(failed[token] * QUORUM >= count for token, count in counts.items())
        if tokens >= wanted and tokens * QUORUM >= len(counts):
            return True
    return False


def passes(document: PolicyDocument, voters: Sequence[Voter], place: int) -> bool | None:
    """Tell whether those who take part in a stage have passed it; None where nobody takes part in it.

    Four fifths of the tokens, each by four fifths of its own.
    """
    share = document.stages[place].share
    among = [each for each in voters if takes_part(each.id, document.version, share)]
    if not among:
        return None
    counts = Counter(each.token for each in among)
    passed = Counter(each.token for each in among if _is_past(each.report, place))
    tokens = sum(passed[token] * QUORUM >= count * (QUORUM - 1) for token, count in counts.items())
    return tokens * QUORUM >= len(counts) * (QUORUM - 1)


def most(voters: Sequence[Voter], says: Callable[[Report | None], bool], *, wanted: int) -> bool:
    """Tell whether more than half of the tokens, and ``wanted`` of them, say so by more than half of their own."""
    counts = Counter(each.token for each in voters)
    agreeing = Counter(each.token for each in voters if says(each.report))
    tokens = sum(agreeing[token] * 2 > count for token, count in counts.items())
    return tokens >= wanted and tokens * 2 > len(counts)


def _is_against(report: Report | None, place: int) -> bool:
    against = (Verdict.FAILED, Verdict.RETURNED)
    return report is not None and report.verdict in against and report.stage <= place


def _is_past(report: Report | None, place: int) -> bool:
    if report is None or report.verdict in (Verdict.FAILED, Verdict.RETURNED):
        return False
    return (report.verdict is Verdict.PASSED and report.stage == place) or _has_left(report, place)


def _has_left(report: Report | None, place: int) -> bool:
    if report is None or report.verdict in (Verdict.FAILED, Verdict.RETURNED):
        return False
    return report.stage > place or report.verdict is Verdict.DONE


class Rollout:
    """One document at one node.

    Args:
        document: the newest, verified.
        own: this node's id.
        token: the token with which its chain begins.
        kept: what it last published of this document before it was restarted, if it kept that.
        now: monotonic seconds.
    """

    def __init__(
        self, document: PolicyDocument, own: NodeId, token: bytes, *, kept: Report | None = None, now: float
    ) -> None:
        self.document = document
        self._own = own
        self._token = token
        self._entered = now
        tag = document.hash[:TAG_BYTES]
        begins = Report(document.version, tag, 0, Verdict.WATCHING if document.stages else Verdict.DONE)
        fits = kept is not None and (kept.version, kept.tag) == (begins.version, tag)
        self._report = kept if kept is not None and fits and document.stages else begins
        if self._report.verdict is Verdict.PASSED:
            # What it watched was forgotten with the process, and the hold begins anew: a delay, and nothing worse.
            self._report = evolve(self._report, verdict=Verdict.WATCHING)
        self._stage = min(self._report.stage, max(0, len(document.stages) - 1))
        self._deadline = math.inf
        self._plan(now)

    @property
    def report(self) -> Report:
        """What this node's record is to say."""
        return self._report

    @property
    def stage(self) -> int:
        """In which stage the document is as far as this node knows, from 0."""
        return self._stage

    @property
    def enforced(self) -> bytes:
        """The hash of the document by which this node decides; zeros: by the default of a mesh without one."""
        match self._report.verdict:
            case Verdict.DONE:
                return self.document.hash
            case Verdict.RETURNED:
                return self.document.return_to
            case Verdict.WATCHING | Verdict.PASSED | Verdict.FAILED:
                return self.document.hash if self._is_in() else self.document.return_to

    @property
    def deadline(self) -> float:
        """When to count again though nothing was heard, in monotonic seconds; inf: never."""
        return self._deadline

    def count(self, voters: Iterable[Voter], measured: Measured, *, now: float) -> list[Output]:
        """Go on as far as the members' reports allow; to be called at the deadline, and soon after any report changed.

        Args:
            voters: all living members; this node itself may be among them, and its report there is not looked at.
            measured: this node's requests.
            now: monotonic seconds.
        """
        enforced, report = self.enforced, self._report
        others = [self._about_this(each) for each in voters if each.id != self._own]
        self._watch(measured, now)
        while self._step(others, now):
            self._watch(measured, now)
        self._plan(now)
        changes: list[Output] = []
        if self.enforced != enforced:
            changes.append(Enforce(self.enforced))
        if self._report != report:
            changes.append(Publish(self._report))
        return changes

    def _plan(self, now: float) -> None:
        """Set the deadline: the end of the hold, if that is still to come."""
        over = self._report.verdict in (Verdict.DONE, Verdict.RETURNED)
        end = math.inf if over else self._entered + self.document.stages[self._stage].hold_s
        self._deadline = end if end > now else math.inf

    def _about_this(self, voter: Voter) -> Voter:
        """Give the voter without what it says of another document."""
        report = voter.report
        about = report is None or (report.version, report.tag) == (self._report.version, self._report.tag)
        return voter if about else evolve(voter, report=None)

    def _is_in(self) -> bool:
        return takes_part(self._own, self.document.version, self.document.stages[self._stage].share)

    def _watch(self, measured: Measured, now: float) -> None:
        """Judge the own requests."""
        if self._report.verdict not in (Verdict.WATCHING, Verdict.PASSED) or not self._is_in():
            return
        stage = self.document.stages[self._stage]
        if gate_fails(measured, stage):
            self._report = evolve(self._report, verdict=Verdict.FAILED)
        elif now >= self._entered + stage.hold_s:
            self._report = evolve(self._report, verdict=Verdict.PASSED)

    def _step(self, others: Sequence[Voter], now: float) -> bool:
        """Take one step, if there is one to take."""
        verdict = self._report.verdict
        tokens = {self._token, *(each.token for each in others)}
        wanted = min(2, len(tokens))
        if most(others, _has(Verdict.RETURNED), wanted=wanted):
            return self._end(Verdict.RETURNED)
        # Who missed the end follows those who saw it, whatever verdicts it knows that would have ended it otherwise.
        if most(others, _has(Verdict.DONE), wanted=wanted):
            return self._end(Verdict.DONE)
        if verdict in (Verdict.DONE, Verdict.RETURNED):
            return False
        voters = [*others, Voter(self._own, self._token, self._report)]
        if fails(self.document, voters):
            return self._end(Verdict.RETURNED)
        place = self._stage
        passed = passes(self.document, voters, place)
        if passed is None:
            passed = now >= self._entered + self.document.stages[place].hold_s
        if not passed and not most(others, lambda report: _has_left(report, place), wanted=wanted):
            return False
        if place + 1 == len(self.document.stages):
            return self._end(Verdict.DONE)
        self._stage, self._entered = place + 1, now
        if verdict is not Verdict.FAILED:
            # A failure stays in the stage that it is about, so that all count it alike.
            self._report = evolve(self._report, stage=self._stage, verdict=Verdict.WATCHING)
        return True

    def _end(self, verdict: Verdict) -> bool:
        changed = self._report.verdict is not verdict
        if changed:
            self._report = evolve(self._report, stage=self._stage, verdict=verdict)
        return changed


def _has(verdict: Verdict) -> Callable[[Report | None], bool]:
    return lambda report: report is not None and report.verdict is verdict
