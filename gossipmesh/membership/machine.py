"""The SWIM machine: what comes in from the wire, from ourselves and from time, and what goes out.

Law: every call that may change a belief gives the outputs to perform, in order. One task drives it,
which hands over what was received before it lets a deadline fire. What evidence means is in ``beliefs``, how it is
gathered in ``prober``; here they meet, and messages find their company.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, assert_never

from gossipmesh.errors import LocalProtocolError
from gossipmesh.membership.awareness import Awareness
from gossipmesh.membership.beliefs import Beliefs
from gossipmesh.membership.credibility import Answers
from gossipmesh.membership.findings import Failed, Finding, OnlyVouched, Reached, Tell, Vouched
from gossipmesh.membership.members import Member, MemberTable, is_refresh
from gossipmesh.membership.message_codec import encoded_size
from gossipmesh.membership.messages import (
    HEADER_BYTES,
    MAX_PLAINTEXT,
    AccusationNews,
    Ack,
    Message,
    News,
    Ping,
    ProbeMessage,
    RecordNews,
)
from gossipmesh.membership.outputs import (
    Output,
    PeerRoot,
    ProbeMeasured,
    Reconnect,
    Refute,
    SendMessages,
    StreamProbe,
)
from gossipmesh.membership.piggyback import NewsKey, Piggyback
from gossipmesh.membership.prober import Prober
from gossipmesh.model import MemberState, NodeId, Serving

if TYPE_CHECKING:
    import random

    from gossipmesh.identity.accusation import Accusation
    from gossipmesh.identity.record import MemberRecord
    from gossipmesh.membership.parameters import Parameters

STALL_S: Final = 0.1
"""A deadline reached later than this means that we were not running, not that a peer was silent."""
GOSSIP_TO_DEAD_S: Final = 30.0
"""For this long the dead are still told that they were accused: those of them that live refute it."""
MAX_TOLD_AT_ONCE: Final = 1_024
"""Members that are told news within one gossip period; each at most once."""
MAX_DEAD_TOLD: Final = 3
"""Dead members told per gossip tick."""


class Membership:
    """Who is alive, as one node believes it.

    Args:
        parameters: the numbers, of which every node of a mesh should have the same.
        own: our own record; it is gossiped after ``start``.
        rng: dice.
        root: gives our registry root hash (16 bytes), for pings and acks.
        sign_accusation: signs our accusation of ``(subject, boot, incarnation)``.
    """

    def __init__(
        self,
        parameters: Parameters,
        own: MemberRecord,
        *,
        rng: random.Random,
        root: Callable[[], bytes],
        sign_accusation: Callable[[NodeId, int, int], Accusation],
    ) -> None:
        self._parameters = parameters
        self._own = own
        self._rng = rng
        self._root = root
        self._table = MemberTable(rng=rng)
        self._awareness = Awareness(parameters.awareness_max)
        self._prober = Prober(parameters, own.id, self._table, self._awareness, root=root, rng=rng)
        self._piggyback = Piggyback(parameters.transmit_factor, least=parameters.transmit_least)
        self._beliefs = Beliefs(
            parameters, own.id, self._table, self._prober, self._piggyback, sign_accusation=sign_accusation
        )
        self._told: dict[NodeId, float] = {}  # who was given news within the last gossip period, oldest first
        self._gossiped_at = -math.inf
        self._gossip_at = math.inf
        self._reconnect_at = math.inf
        self._refuted_at = -math.inf
        self._refute_above: tuple[int, int] | None = None  # waits until the gap has passed
        self._answers = Answers()

    @property
    def own(self) -> MemberRecord:
        """Our own record, as it was signed last."""
        return self._own

    @property
    def members(self) -> Mapping[NodeId, Member]:
        """Everybody that is remembered but ourselves: a live view of values."""
        return self._table.members

    @property
    def awareness(self) -> int:
        """How much this node doubts itself: 0, all is well, to ``Parameters.awareness_max``."""
        return self._awareness.score

    @property
    def deadline(self) -> float:
        """When ``handle_timer`` has to be called, in monotonic seconds; inf: nothing is due."""
        refute = math.inf if self._refute_above is None else self._refuted_at + self._parameters.refute_gap_s
        return min(self._prober.deadline, self._beliefs.deadline, self._gossip_at, self._reconnect_at, refute)

    # From the wire.

    def receive(
        self, message: ProbeMessage, sender: NodeId, *, now: float, stream: bool = False
    ) -> list[Output]:
        """Take in a probe message of an authenticated ``sender``, who need not be a member that we know.

        Args:
            message: decoded.
            sender: whose key sealed it.
            now: monotonic seconds.
            stream: whether it came over TCP: then it does not show that UDP works.
        """
        outputs = self._perform(self._prober.receive(message, sender, now=now, stream=stream), now)
        if isinstance(message, Ping | Ack) and message.root != self._root():
            outputs.append(PeerRoot(sender, message.root))
        return self._finish(outputs, now)

    def learn_record(
        self, record: MemberRecord, *, now: float, news: bool, token: bytes = b""
    ) -> list[Output]:
        """Take in a verified record; one that is not newer than ours changes nothing.

        Args:
            record: anybody's, ourselves included.
            now: monotonic seconds.
            news: whether to gossip it on. What came by anti-entropy reaches the others that way too.
            token: the join token that its chain begins with, by which accusers are told apart.
        """
        if record.id != self._own.id:
            return self._finish([*self._beliefs.learn_record(record, token=token, now=now, news=news)], now)
        return self._refute(record.version, now) if record.version > self._own.version else []

    def learn_accusation(self, accusation: Accusation, *, now: float) -> list[Output]:
        """Take in a verified accusation. About ourselves: refute it. About others: look for ourselves."""
        if accusation.subject != self._own.id:
            return self._finish([*self._beliefs.learn_accusation(accusation, now=now)], now)
        version, accuser = accusation.version, accusation.accuser
        if version < self._own.version:
            return []
        due = self._answers.due(accuser, version, now=now)
        # Whoever was cut off holds everybody dead, and us until we say something newer: that is no liar.
        cut = self._table.estranged(accuser, since=now - self._parameters.reconnect_max_s)
        return self._refute(version, now) if due or cut else []

    def _refute(self, above: tuple[int, int], now: float) -> list[Output]:
        if self._own.serving is Serving.LEAVING:
            self._refute_above = None
            return []
        if now < self._refuted_at + self._parameters.refute_gap_s:
            self._refute_above = max(above, self._refute_above or above)
            return []
        self._refuted_at = now
        self._refute_above = None
        # Somebody had no answer from us; that may well be our own doing.
        self._awareness.worsen()
        return [Refute(above, foreign=above > self._own.version)]

    # From ourselves.

    def start(self, *, now: float) -> list[Output]:
        """Begin: our own record is news."""
        self._piggyback.put(NewsKey(self._own.id), RecordNews(self._own.signed.raw))
        return self._finish([], now)

    def update_own(self, record: MemberRecord, *, now: float) -> list[Output]:
        """Take in our own record, signed again; one that says *leaving* goes out at once.

        Raises:
            LocalProtocolError: ``membership.version``, if it is not ours or not newer than the last one.
        """
        if record.id != self._own.id or record.version <= self._own.version:
            raise LocalProtocolError("membership.version", "our own record has to rise with every change")
        refresh = now > self._refuted_at and is_refresh(self._own, record)
        self._own = record
        if self._refute_above is not None and self._refute_above < record.version:
            self._refute_above = None
        self._piggyback.put(NewsKey(record.id), RecordNews(record.signed.raw), refresh=refresh)
        return self._finish(self._gossip(now) if record.serving is Serving.LEAVING else [], now)

    def stream_probe_result(self, target: NodeId, seq: int, *, ok: bool, now: float) -> list[Output]:
        """Take in how a :class:`StreamProbe` ended; ``ok`` counts as an ack."""
        return self._finish(self._perform(self._prober.stream_result(target, seq, ok=ok), now), now)

    def note_unreachable(self, target: NodeId, why: str, *, now: float) -> list[Output]:
        """Take in that a connection or channel to ``target`` failed: out of rotation, and probed at once."""
        self._prober.want(target)
        return self._finish([*self._beliefs.doubt(target, why, at=now)], now)

    def note_another_key(self, target: NodeId, *, now: float) -> list[Output]:
        """Take in that a handshake at the address of ``target`` proved the key of another member."""
        self._prober.want(target)
        return self._finish([*self._beliefs.another_key(target, now=now)], now)

    def note_mesh_size(self, size: int, *, now: float) -> list[Output]:
        """Take in that somebody knows ``size`` members: news is repeated for the largest mesh ever heard of."""
        self._piggyback.note_mesh_size(size)
        return self._finish([], now)

    def next_gossip(self, limit: int, target: NodeId) -> tuple[News, ...]:
        """Give news for ``target`` in at most ``limit`` bytes, what was sent least first, and count it as sent."""
        return self._piggyback.take(limit, target)

    def accusation_of(self, subject: NodeId, *, now: float) -> AccusationNews | None:
        """Give the accusation that a sync has to show to ``subject``: without it the dead would not know to refute.

        None, unless it is suspect or dead.
        """
        return self._beliefs.accusation_of(subject, now=now)

    def forget(self, node: NodeId, *, now: float) -> list[Output]:
        """Drop a member that is revoked, and everything about it; what it said of others counts no more."""
        return self._finish([*self._beliefs.revoke(node, now=now)], now)

    # From time.

    def handle_timer(self, *, now: float, late_s: float = 0.0) -> list[Output]:
        """Do what is due.

        Args:
            now: monotonic seconds.
            late_s: how long after the deadline this comes. Over 100 ms we were not running ourselves, and everybody
                gets that much more time.
        """
        if late_s > STALL_S:
            self._prober.extend(late_s)
            self._beliefs.extend(late_s)
            self._awareness.worsen()
        outputs = self._perform(self._prober.handle_timer(now=now), now)
        outputs += self._beliefs.handle_timer(now=now)
        if self._refute_above is not None:
            outputs += self._refute(self._refute_above, now)
        if self._reconnect_at <= now:
            outputs += self._reconnect()
        # News that came of this very call goes out with it.
        self._arm_gossip(now)
        if self._gossip_at <= now:
            outputs += self._gossip(now)
        return self._finish(outputs, now)

    def _reconnect(self) -> list[Output]:
        self._reconnect_at = math.inf
        dead = self._table.gone(MemberState.DEAD)
        return [Reconnect(self._rng.choice(dead))] if dead else []

    def _gossip(self, now: float) -> list[Output]:
        self._gossiped_at = now
        self._gossip_at = math.inf
        outputs: list[Output] = []
        for target in self._table.sample(self._parameters.gossip_targets):
            outputs += self._send(target, None, now)
        for dead in self._table.latest_dead(MAX_DEAD_TOLD):
            recent = now - dead.since < GOSSIP_TO_DEAD_S
            if recent and (accusation := self._beliefs.accusation_of(dead.id, now=now)) is not None:
                outputs.append(SendMessages(dead.id, (accusation,)))
        return outputs

    # Out.

    def _perform(self, findings: list[Finding], now: float) -> list[Output]:
        outputs: list[Output] = []
        for finding in findings:
            match finding:
                case Tell(target, message, about):
                    outputs += self._send(target, message, now, about=about)
                case StreamProbe():
                    outputs.append(finding)
                case Reached(target, asked_at, udp, rtt_s):
                    outputs += self._beliefs.reached(target, asked_at=asked_at, udp=udp)
                    outputs += [] if rtt_s is None else [ProbeMeasured(target, rtt_s)]
                case Vouched(target, asked_at):
                    self._beliefs.vouched(target, asked_at=asked_at)
                case OnlyVouched(target, asked_at):
                    outputs += self._beliefs.doubt(target, "others reach it, we do not", at=asked_at)
                case Failed(target, asked_at, why):
                    outputs += self._beliefs.failed(target, why, asked_at=asked_at, now=now)
                case _:
                    assert_never(finding)
        return outputs

    def _send(
        self, target: NodeId, message: Message | None, now: float, *, about: NodeId | None = None
    ) -> list[Output]:
        beside = self._beside(target, about, now) if self._parameters.buddy else ()
        fixed: tuple[Message, ...] = beside if message is None else (message, *beside)
        room = MAX_PLAINTEXT - HEADER_BYTES - sum(encoded_size(each) for each in fixed)
        messages = (*fixed, *self._news_for(target, room, beside, now))
        return [SendMessages(target, messages)] if messages else []

    def _news_for(self, target: NodeId, room: int, beside: tuple[News, ...], now: float) -> tuple[News, ...]:
        # News goes out a certain number of times. One that pings us in a row must not get all of them.
        while self._told and next(iter(self._told.values())) + self._parameters.gossip_period_s <= now:
            del self._told[next(iter(self._told))]
        if target in self._told or len(self._told) >= MAX_TOLD_AT_ONCE:
            return ()
        news = self._piggyback.take(room, target, beside=beside)
        if news:
            self._told[target] = now
        return news

    def _beside(self, target: NodeId, about: NodeId | None, now: float) -> tuple[News, ...]:
        # Who is asked to probe a suspect, and who finds no answer either, say which accusations they hold: those
        # that gossip brought to all but a few would else leave the few waiting for six times as long.
        if about is not None:
            return self._beliefs.accusations_of(about)
        # A suspect hears of it from whoever talks to it (Lifeguard's buddy system): it can refute that much sooner.
        accusation = self._beliefs.accusation_of(target, now=now)
        return () if accusation is None else (accusation,)

    def _finish(self, outputs: list[Output], now: float) -> list[Output]:
        outputs += self._perform([*self._prober.start_wanted(now=now)], now)
        self._arm_gossip(now)
        if self._reconnect_at == math.inf and self._table.gone_count(MemberState.DEAD):
            low, high = self._parameters.reconnect_min_s, self._parameters.reconnect_max_s
            self._reconnect_at = now + self._rng.uniform(low, high)
        return outputs

    def _arm_gossip(self, now: float) -> None:
        if self._gossip_at == math.inf and self._piggyback.pending and self._table.size > 1:
            self._gossip_at = max(now, self._gossiped_at + self._parameters.gossip_period_s)
