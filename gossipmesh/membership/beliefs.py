"""What evidence does to states: the belief half of the machine.

Records, accusations and the findings of our own probes come in; the changes that they make go out. Everything that
follows from a change (a probe to begin, news to spread) is left with the prober and the piggyback queue, for the
machine to carry out.

| state | becomes | on |
|---|---|---|
| (unknown) | alive, left | a record |
| alive | suspect | our failed probe, or a verified accusation of this version |
| suspect | alive | a newer record; or, when its time has run out, an answer newer than every accusation |
| suspect | dead | its time has run out, and :meth:`Suspicion.judge` finds evidence |
| dead, left | alive | a newer record |
| any | left | a newer record in which its owner says so |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import evolve

from gossipmesh.membership.credibility import Credibility
from gossipmesh.membership.members import Member, MemberTable, is_refresh, state_of
from gossipmesh.membership.messages import AccusationNews, RecordNews
from gossipmesh.membership.outputs import Forgotten, RoutabilityChanged, StateChanged
from gossipmesh.membership.piggyback import NewsKey, Piggyback
from gossipmesh.membership.prober import Prober
from gossipmesh.membership.suspicion import Suspicion, Verdict
from gossipmesh.membership.suspicions import Suspicions
from gossipmesh.membership.withdrawing import withdraw
from gossipmesh.model import MemberState, NodeId, short_id

if TYPE_CHECKING:
    from gossipmesh.identity.accusation import Accusation
    from gossipmesh.identity.record import MemberRecord
    from gossipmesh.membership.parameters import Parameters

FRESH_S: Final = 300.0
"""The dead are shown an accusation no older than this: an old one is refused, and they would never refute it."""
AT_ONCE_UP_TO: Final = 1_024
"""In a mesh of at most this many, all look at once at whom one accuses."""
MAX_ACCUSATIONS_TOLD: Final = 4
"""Accusations of one suspect told beside a request to probe it: as many as change how long it may be silent."""
UDP_FAILURES: Final = 3
"""Probes in a row that only TCP answered, after which UDP counts as blocked."""

Change = StateChanged | RoutabilityChanged | Forgotten


class Beliefs:
    """The states of all members, and the suspicions behind them.

    Args:
        parameters: suspicion times, and how long the dead are remembered.
        own: our id.
        table: the members; only changed here.
        prober: is asked to look for itself.
        piggyback: gets the news that came of it.
        sign_accusation: signs our accusation of ``(subject, boot, incarnation)``.
    """

    def __init__(
        self,
        parameters: Parameters,
        own: NodeId,
        table: MemberTable,
        prober: Prober,
        piggyback: Piggyback,
        *,
        sign_accusation: Callable[[NodeId, int, int], Accusation],
    ) -> None:
        self._parameters = parameters
        self._own = own
        self._table = table
        self._prober = prober
        self._piggyback = piggyback
        self._sign_accusation = sign_accusation
        self._credibility = Credibility()
        self._suspicions = Suspicions()

    @property
    def deadline(self) -> float:
        """When ``handle_timer`` has something to do, in monotonic seconds; inf if never."""
        if not self._table.anybody_gone:
            return self._suspicions.deadline
        forget_at = min(self._forget_at(MemberState.DEAD), self._forget_at(MemberState.LEFT))
        return min(forget_at, self._suspicions.deadline)

    def accusation_of(self, subject: NodeId, *, now: float) -> AccusationNews | None:
        """Give an accusation that ``subject`` ought to know of, to refute it, if it is suspect or dead."""
        suspicion, member = self._suspicions.get(subject), self._table.get(subject)
        if suspicion is None or member is None:
            return None
        if member.state is MemberState.DEAD and now - suspicion.latest_at > FRESH_S:
            suspicion.add(self._sign_accusation(subject, *member.record.version), now=now)
        accused, latest = member.state in (MemberState.SUSPECT, MemberState.DEAD), suspicion.latest
        return AccusationNews(latest.signed.raw) if accused and latest is not None else None

    def accusations_of(self, subject: NodeId) -> tuple[AccusationNews, ...]:
        """Give what is held against a suspect, to be compared with what somebody else holds; at most four."""
        suspicion = self._suspicions.get(subject)
        if suspicion is None or not self._table.lives(subject):
            return ()
        return tuple(AccusationNews(raw) for raw in suspicion.raws[:MAX_ACCUSATIONS_TOLD])

    # Records: the owner's word.

    def learn_record(
        self, record: MemberRecord, *, token: bytes = b"", now: float, news: bool
    ) -> list[Change]:
        """Take in somebody else's verified record; one that is not newer than ours changes nothing."""
        known = self._table.get(record.id)
        if known is not None and record.version <= known.record.version:
            return []
        changes: list[Change] = []
        if known is None:
            longest = self._forget_longest
            if self._table.full and not (changes := longest(MemberState.LEFT) or longest(MemberState.DEAD)):
                return []
            changes += self._meet(record, token, now)
        else:
            changes += self._renew(known, record, token, now)
        if news:
            refresh = (
                known is not None and known.state is MemberState.ALIVE and is_refresh(known.record, record)
            )
            self._piggyback.put(NewsKey(record.id), RecordNews(record.signed.raw), refresh=refresh)
        self._piggyback.note_mesh_size(self._table.size)
        return changes

    def _meet(self, record: MemberRecord, token: bytes, now: float) -> list[Change]:
        state = state_of(record)
        self._table.put(Member(record.id, record, state, now, token=token))
        self._prober.add(record.id, now=now)
        self._ask_holders(record)
        why = "joined" if state is MemberState.ALIVE else "its owner says that it leaves"
        return [StateChanged(record.id, None, state, why), *(self._cap(state) if why != "joined" else [])]

    def _ask_holders(self, record: MemberRecord) -> None:
        for holder in self._table.holders(record):
            if self._table.lives(holder):
                # Two want one name or one address: whether the first one is still there is seen at once.
                self._prober.want(holder)

    def _renew(self, known: Member, record: MemberRecord, token: bytes, now: float) -> list[Change]:
        # Who accused a member that then restarted, or was buried, told the truth.
        refuted = known.living and record.boot == known.record.boot
        self._drop_suspicion(known.id, refuted_at=now if refuted else None)
        if record.boot != known.record.boot:
            # What was asked of its former life says nothing about this one, least of all by going unanswered.
            self._prober.rest(known.id)
            self._table.meet_again(known.id)
        state = state_of(record)
        if state is known.state:
            self._table.put(evolve(known, record=record, token=token, accusers=()))
            if record.addresses != known.record.addresses:
                self._ask_holders(record)
            return []
        if state is MemberState.LEFT:
            self._prober.rest(known.id)
            self._table.put(Member(known.id, record, state, now, token=token))
            why = "its owner says that it leaves"
            return [StateChanged(known.id, known.state, state, why), *self._cap(state)]
        if known.living:
            self._table.put(evolve(known, record=record, token=token, state=state, since=now, accusers=()))
            if known.doubt:
                # A refutation proves that it lives, not that we reach it.
                self._prober.want(known.id)
            return [StateChanged(known.id, known.state, state, "refuted by a newer record")]
        self._table.put(Member(known.id, record, state, now, token=token))
        restarted = record.boot != known.record.boot or known.state is not MemberState.DEAD
        self._table.meet_again(known.id, returned_at=-math.inf if restarted else now)
        self._prober.wake(now=now)
        self._prober.want(known.id)
        return [StateChanged(known.id, known.state, state, "came back with a newer record")]

    # Accusations: the word of others.

    def learn_accusation(self, accusation: Accusation, *, now: float) -> list[Change]:
        """Take in a verified accusation of somebody else: suspect, and look for ourselves."""
        accuser, subject = accusation.accuser, accusation.subject
        member = self._table.get(subject)
        # One of another version is either refuted already, or came before the record that it quotes.
        if member is None or not member.living or accusation.version != member.record.version:
            return []
        # Our own word comes back to us from others.
        if accuser in (self._own, subject) or self._credibility.ignored(accuser, subject, now=now):
            return []
        before = self._suspicions.get(subject)
        if before is not None and (before.given_by(accuser) or before.full):
            return []
        suspicion = self._suspect(member, now)
        self._count(suspicion, accusation, now)
        changes = self._show(subject, suspicion, f"accused by {short_id(accuser)}", now)
        since, by_token = self._table.contact(subject).alive_at, self._table.several_tokens
        # What was said behind a cut tells of the cut, also when that is healed and all of it arrives at once.
        cut = partial(self._table.estranged, since=now - self._parameters.reconnect_max_s)
        foreign = suspicion.foreign_since(since, own=self._own, by_token=by_token, without=cut)
        if foreign >= self._parameters.routing_accusers:
            suspicion.outvoted = f"{foreign} members accuse it"
            changes += self.doubt(subject, suspicion.outvoted, at=now)
        if self._parameters.own_evidence:
            # Thousands that all probe one at the same moment would make it the slow one that it is accused of being.
            (self._prober.want if self._table.size <= AT_ONCE_UP_TO else self._prober.watch)(subject)
        return changes

    def _suspect(self, member: Member, now: float) -> Suspicion:
        version, size = member.record.version, self._table.size
        return self._suspicions.open(
            member.id,
            lambda: Suspicion(version, mesh_size=size, parameters=self._parameters, now=now),
            now=now,
        )

    def _count(self, suspicion: Suspicion, accusation: Accusation, now: float) -> None:
        accuser = self._table.get(accusation.accuser)
        suspicion.add(accusation, token=b"" if accuser is None else accuser.token, now=now)
        self._suspicions.sooner(accusation.subject)
        key = NewsKey(accusation.subject, accusation.accuser)
        self._piggyback.put(key, AccusationNews(accusation.signed.raw))

    def _show(self, node: NodeId, suspicion: Suspicion, why: str, now: float) -> list[Change]:
        member = self._table.members[node]
        since = member.since if member.state is MemberState.SUSPECT else now
        self._table.put(evolve(member, state=MemberState.SUSPECT, since=since, accusers=suspicion.accusers))
        if member.state is MemberState.SUSPECT:
            return []
        return [StateChanged(node, member.state, MemberState.SUSPECT, why)]

    def _drop_suspicion(self, node: NodeId, *, refuted_at: float | None) -> None:
        suspicion = self._suspicions.drop(node)
        for accuser in () if suspicion is None else suspicion.accusers:
            self._piggyback.drop(NewsKey(node, accuser))
            if refuted_at is not None and accuser != self._own:
                self._credibility.refuted(accuser, node, now=refuted_at)

    # Probes: our own evidence.

    def reached(self, node: NodeId, *, asked_at: float, udp: bool) -> list[Change]:
        """Take in that ``node`` answered ourselves a probe sent at ``asked_at``."""
        member = self._table.get(node)
        if member is None or not member.living:
            return []
        contact = self._table.contact(node)
        changes = [] if contact.met else self._take_place(member.record)
        contact.met = True
        contact.alive_at = max(contact.alive_at, asked_at)
        contact.udp_failures = 0 if udp else contact.udp_failures + 1
        trusted = asked_at >= contact.doubted_at
        doubt = "" if trusted else member.doubt
        blocked = contact.udp_failures >= UDP_FAILURES
        unanswered = contact.silent
        if (doubt, blocked, unanswered) != (member.doubt, member.udp_blocked, member.unanswered):
            self._table.put(evolve(member, doubt=doubt, udp_blocked=blocked, unanswered=unanswered))
        if trusted:
            self._prober.unwatch(node)
        if member.doubt and not doubt:
            changes.append(RoutabilityChanged(node, True, "we reach it"))
        return changes

    def _take_place(self, record: MemberRecord) -> list[Change]:
        changes: list[Change] = []
        for holder in self._table.holders(record):
            if self._table.members[holder].state is MemberState.DEAD:
                changes += self._supersede(holder)
        return changes

    def vouched(self, node: NodeId, *, asked_at: float) -> None:
        """Take in that a helper had an answer from ``node``: life, though no path from here."""
        if self._table.lives(node):
            contact = self._table.contact(node)
            contact.alive_at = max(contact.alive_at, asked_at)

    def failed(self, node: NodeId, why: str, *, asked_at: float, now: float) -> list[Change]:
        """Take in that a probe sent at ``asked_at`` ended now without an answer: accuse, and stop routing there."""
        member = self._table.get(node)
        if member is None or not member.living:
            return []
        contact = self._table.contact(node)
        contact.silent_at = max(contact.silent_at, asked_at)
        contact.failed_at = now
        if not contact.silent:
            return []
        self._table.put(member := evolve(member, unanswered=True))
        suspicion = self._suspect(member, now)
        if contact.alive_at >= suspicion.started:
            # It answered since it came under suspicion: this is another silence, to be waited out from its start.
            # Were it not, a lossy path would bury whoever misses just the last probe.
            suspicion.reopen(now=now)
        if suspicion.given_by(self._own) is None and not suspicion.full:
            self._count(suspicion, self._sign_accusation(node, *member.record.version), now)
        return self._show(node, suspicion, why, now) + self.doubt(node, why, at=asked_at)

    def doubt(self, node: NodeId, why: str, *, at: float) -> list[Change]:
        """Send no requests to ``node`` until a probe sent at ``at`` or later is answered."""
        member = self._table.get(node)
        if member is None or not member.living:
            return []
        contact = self._table.contact(node)
        if at < contact.alive_at:
            return []
        contact.doubted_at = max(contact.doubted_at, at)
        self._table.put(evolve(member, doubt=why))
        self._prober.watch(node)
        return [] if member.doubt else [RoutabilityChanged(node, False, why)]

    # Time.

    def extend(self, late_s: float) -> None:
        """Give every suspect the time that we ourselves were not running, in seconds."""
        self._suspicions.extend(late_s)

    def handle_timer(self, *, now: float) -> list[Change]:
        """Judge the suspects whose time has run out, and forget those that were gone for long enough."""
        changes: list[Change] = []
        for node, suspicion in self._suspicions.due(now=now):
            changes += self._judge(self._table.members[node], suspicion, now)
        for state in (MemberState.DEAD, MemberState.LEFT):
            while self._forget_at(state) <= now:
                changes += self._forget_longest(state)
        return changes

    def _judge(self, member: Member, suspicion: Suspicion, now: float) -> list[Change]:
        node, old = member.id, member.state
        match suspicion.judge(self._table.contact(node)):
            case Verdict.UNKNOWN:
                self._prober.want(node)
                suspicion.put_off(now + self._parameters.probe_period_s)
                return []
            case Verdict.ALIVE:
                self._suspicions.close(node)
                for accuser in suspicion.accusers:
                    self._piggyback.drop(NewsKey(node, accuser))
                self._table.put(evolve(member, state=MemberState.ALIVE, since=now, accusers=()))
                return [StateChanged(node, old, MemberState.ALIVE, "it answers us, whatever others say")]
            case Verdict.DEAD:
                why = f"silent for {now - suspicion.started:.1f} s, {len(suspicion.accusers)} accusers"
                return self._bury(member, why, now)

    def _bury(self, member: Member, why: str, now: float) -> list[Change]:
        self._suspicions.close(member.id)
        self._prober.rest(member.id)
        self._table.put(evolve(member, state=MemberState.DEAD, since=now))
        changes: list[Change] = [StateChanged(member.id, member.state, MemberState.DEAD, why)]
        rival = self._table.rival(member)
        if rival is not None and self._table.contact(rival.id).met:
            return changes + self._supersede(member.id)
        return changes + self._cap(MemberState.DEAD)

    def _supersede(self, node: NodeId) -> list[Change]:
        """Forget a dead member whose place another has taken: containers that lose their state get a new id."""
        self.forget(node)
        return [Forgotten(node)]

    def another_key(self, node: NodeId, *, now: float) -> list[Change]:
        """Take in that a handshake at the address of ``node`` proved another key, after pings there went unanswered.

        Where another member says that the address is its own, that settles it: there is nothing to wait for.
        """
        member = self._table.get(node)
        if member is None or not member.living:
            return []
        rival = self._table.rival(member)
        if rival is None or rival.record.addresses[0] != member.record.addresses[0]:
            return self.doubt(node, "its address proves another key", at=now)
        return self._bury(member, f"its address now proves the key of {short_id(rival.id)}", now)

    def _forget_at(self, state: MemberState) -> float:
        longest = self._table.longest_gone(state)
        keep_s = self._parameters.keep_dead_s if state is MemberState.DEAD else self._parameters.keep_left_s
        return math.inf if longest is None else longest.since + keep_s

    def _forget_longest(self, state: MemberState) -> list[Change]:
        longest = self._table.longest_gone(state)
        if longest is None:
            return []
        self.forget(longest.id)
        return [Forgotten(longest.id)]

    def _cap(self, state: MemberState) -> list[Change]:
        too_many = self._table.gone_count(state) > self._parameters.max_dead
        return self._forget_longest(state) if too_many else []

    def revoke(self, node: NodeId, *, now: float) -> list[Change]:
        """Drop a member that is revoked, and whatever it said of others."""
        self.forget(node)
        told = self._suspicions, self._table, self._piggyback
        return [*withdraw(node, *told, own=self._own, parameters=self._parameters, now=now)]

    def forget(self, node: NodeId) -> None:
        """Drop a member and everything about it."""
        self._drop_suspicion(node, refuted_at=None)
        self._piggyback.drop(NewsKey(node))
        self._prober.remove(node)
        self._table.remove(node)
