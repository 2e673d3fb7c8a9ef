"""Probes under way: direct pings, indirect pings and stream probes, and those we make for others.

One probe of one target at a time (SWIM, section 3.1): a ping; after the timeout k helpers and a TCP connection; at
the end of the period a verdict. Besides the one probe a period that the schedule gives, a target is probed at once
when somebody accuses it or a request failed there, and one member that we doubt is probed again each period.

Law: this finds facts and believes nothing. What a finding means is for the machine. A late ack belongs to a probe
already closed, and is ignored.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final

from gossipmesh.membership.awareness import Awareness
from gossipmesh.membership.findings import Failed, Finding, OnlyVouched, Reached, Tell, Vouched
from gossipmesh.membership.messages import MAX_SEQ, Ack, Nack, Ping, PingRequest, ProbeMessage
from gossipmesh.membership.outputs import StreamProbe
from gossipmesh.membership.probe import ProbeSchedule, RoundTrip
from gossipmesh.model import NodeId

if TYPE_CHECKING:
    import random

    from gossipmesh.membership.members import MemberTable
    from gossipmesh.membership.parameters import Parameters

MAX_AT_ONCE: Final = 16
"""Probes outside the schedule under way at the same time."""
MAX_WANTED: Final = 256
"""Targets that wait for a probe outside the schedule; more are left to the schedule."""
MAX_WATCHED: Final = 1_024
WATCHED_EACH_PERIOD: Final = 4
"""Members in doubt that are probed beside the one whose turn it is, each period."""
MAX_ERRANDS: Final = 256
"""Probes under way for others."""
MAX_ERRANDS_EACH: Final = 8
"""... and for any one of them."""
PRIOR: Final = 8
"""Round trips measured, to whomever, before they say anything about a member that was never probed."""
MOST_OF_PERIOD: Final = 0.5
"""A direct probe never waits longer than this share of the period: the rest is for the indirect ones."""


# These two are plain classes: every packet asks each of them when it is due, and mypyc reads an attribute of a plain
# class from its place, one of attrs' by its name. What they have is declared all the same, for who reads recordings.
class _Probe:
    """One probe of ours. ``due_at`` is when helpers are to be asked; once they were, it is ``ends_at``."""

    __slots__ = ("acks", "asked_at", "due_at", "ends_at", "helpers", "nacks", "stream_failed", "target")
    target: NodeId
    asked_at: float
    due_at: float
    ends_at: float
    helpers: tuple[NodeId, ...]
    nacks: set[NodeId]
    acks: set[NodeId]
    stream_failed: bool

    def __init__(self, target: NodeId, asked_at: float, timeout_at: float, ends_at: float) -> None:
        self.target = target
        self.asked_at = asked_at
        self.due_at = min(timeout_at, ends_at)
        self.ends_at = ends_at
        self.helpers = ()
        self.nacks = set()
        self.acks = set()
        self.stream_failed = False


class _Errand:
    """One probe for somebody else. ``nack_at`` is inf once it was said that there is no answer yet."""

    __slots__ = ("asked_at", "asker", "asker_seq", "ends_at", "nack_at", "target")
    asker: NodeId
    asker_seq: int
    target: NodeId
    asked_at: float
    nack_at: float
    ends_at: float

    def __init__(
        self,
        asker: NodeId,
        asker_seq: int,
        target: NodeId,
        *,
        asked_at: float,
        nack_at: float,
        ends_at: float,
    ) -> None:
        self.asker = asker
        self.asker_seq = asker_seq
        self.target = target
        self.asked_at = asked_at
        self.nack_at = nack_at
        self.ends_at = ends_at


class Prober:
    """All probes of one node.

    Args:
        parameters: periods, timeouts, helpers.
        own: our id, which a ping for us must name.
        table: whom to probe and whom to ask for help; only read here.
        awareness: our doubt of ourselves: what we probe gets more time by it, what we find changes it.
        root: gives our registry root hash, for pings and acks.
        rng: shuffles the schedule, chooses helpers and the phase.
    """

    def __init__(
        self,
        parameters: Parameters,
        own: NodeId,
        table: MemberTable,
        awareness: Awareness,
        *,
        root: Callable[[], bytes],
        rng: random.Random,
    ) -> None:
        self._parameters = parameters
        self._own = own
        self._table = table
        self._awareness = awareness
        self._root = root
        self._rng = rng
        self._schedule = ProbeSchedule(rng=rng)
        # A number that starts anywhere: acks to a former life of this node match nothing.
        self._seq = rng.randint(0, MAX_SEQ)
        self._next_period_at = math.inf
        self._round_trips: dict[NodeId, RoundTrip] = {}
        self._all_round_trips = RoundTrip()
        self._measured = 0
        self._probes: dict[int, _Probe] = {}
        self._errands: dict[int, _Errand] = {}
        self._wanted: dict[NodeId, None] = {}
        self._watched: dict[NodeId, None] = {}

    @property
    def deadline(self) -> float:
        """When ``handle_timer`` has something to do, in monotonic seconds; inf if never."""
        due = self._next_period_at
        for probe in self._probes.values():
            due = min(due, probe.due_at)
        for errand in self._errands.values():
            due = min(due, errand.nack_at, errand.ends_at)
        return due

    def add(self, node: NodeId, *, now: float) -> None:
        """Probe ``node`` in its turn from now on."""
        self._schedule.add(node)
        self.wake(now=now)

    def wake(self, *, now: float) -> None:
        """Let the periods go on, if they stopped for want of anybody to probe."""
        if self._next_period_at == math.inf:
            # Nodes that were started together must not probe in step.
            self._next_period_at = now + self._rng.uniform(0.0, self._parameters.probe_period_s)

    def remove(self, node: NodeId) -> None:
        """Forget everything about ``node``."""
        self._schedule.remove(node)
        self._round_trips.pop(node, None)
        self.rest(node)

    def rest(self, node: NodeId) -> None:
        """End what is under way about ``node``, without a finding: it died or left."""
        self._wanted.pop(node, None)
        self._watched.pop(node, None)
        for seq in [seq for seq, probe in self._probes.items() if probe.target == node]:
            del self._probes[seq]

    def watch(self, node: NodeId) -> None:
        """Probe ``node`` more often than in its turn, until we reach it."""
        if len(self._watched) < MAX_WATCHED:
            self._watched.setdefault(node)

    def unwatch(self, node: NodeId) -> None:
        """Probe ``node`` in its turn only: we reached it."""
        self._watched.pop(node, None)

    def extend(self, late_s: float) -> None:
        """Give every probe and errand the time that we ourselves were not running, in seconds."""
        for probe in self._probes.values():
            probe.due_at += late_s
            probe.ends_at += late_s
        for errand in self._errands.values():
            errand.nack_at += late_s
            errand.ends_at += late_s

    def want(self, target: NodeId) -> None:
        """Probe ``target`` with the next ``start_wanted``; later, if it or too many others are being probed."""
        if len(self._wanted) < MAX_WANTED:
            self._wanted.setdefault(target)

    def start_wanted(self, *, now: float) -> list[Tell]:
        """Begin as many of the wanted probes as there is room for. To be called after every other call."""
        if not self._wanted or len(self._probes) >= MAX_AT_ONCE:
            return []
        found: list[Tell] = []
        busy = {probe.target for probe in self._probes.values()}
        for target in list(self._wanted):
            if len(self._probes) >= MAX_AT_ONCE:
                break
            if not self._table.lives(target):
                del self._wanted[target]
            elif target not in busy:
                del self._wanted[target]
                found.append(self._ping(target, now))
        return found

    def _ping(self, target: NodeId, now: float) -> Tell:
        # Lifeguard, section IV-A: the more we doubt ourselves, the longer we wait before we blame others.
        timeout_s = self._timeout_s(target) * self._awareness.multiplier
        seq = self._next_seq()
        self._probes[seq] = _Probe(target, now, now + timeout_s, now + self._lasting_s(timeout_s))
        return Tell(target, Ping(seq, target, self._root()))

    def _lasting_s(self, timeout_s: float) -> float:
        # Once the timeout for the answer to us, once for that to a helper. SWIM (section 3.1) waits for the end of the
        # period, which on a fast network is silence without news: at 128 members 0.6 s of each detection.
        least_s = self._parameters.probe_least_s * self._awareness.multiplier
        return min(self._period_s, max(2 * timeout_s, least_s))

    @property
    def _period_s(self) -> float:
        return self._parameters.probe_period_s * self._awareness.multiplier

    def _next_seq(self) -> int:
        self._seq = (self._seq + 1) & MAX_SEQ
        return self._seq

    def _timeout_s(self, target: NodeId) -> float:
        most = min(self._parameters.probe_timeout_max_s, MOST_OF_PERIOD * self._parameters.probe_period_s)
        # In a large mesh each pair meets once in N periods. Whom we never probed is taken for one of the others.
        known = self._round_trips.get(target) or (self._all_round_trips if self._measured >= PRIOR else None)
        return known.timeout_s(least=self._parameters.probe_timeout_min_s, most=most) if known else most

    def receive(
        self, message: ProbeMessage, sender: NodeId, *, now: float, stream: bool = False
    ) -> list[Finding]:
        """Take in one probe message from an authenticated ``sender``, over UDP or, where ``stream``, over TCP."""
        match message:
            case Ping(seq, target, _):
                return [Tell(sender, Ack(seq, self._root()))] if target == self._own else []
            case Ack(seq, _):
                return self._receive_ack(seq, sender, now, udp=not stream)
            case PingRequest(seq, target):
                return self._receive_request(seq, target, sender, now)
            case Nack(seq):
                probe = self._probes.get(seq)
                if probe is None or sender not in probe.helpers:
                    return []
                probe.nacks.add(sender)
                return self._end_if_certain(seq, probe)

    def _receive_ack(self, seq: int, sender: NodeId, now: float, *, udp: bool) -> list[Finding]:
        errand = self._errands.get(seq)
        if errand is not None and errand.target == sender:
            del self._errands[seq]
            answer = Tell(errand.asker, Ack(errand.asker_seq, self._root()))
            rtt_s = self._measure(sender, min(now, errand.ends_at) - errand.asked_at)
            return [answer, Reached(sender, errand.asked_at, udp, rtt_s)]
        probe = self._probes.get(seq)
        if probe is None:
            return []
        if sender == probe.target:
            del self._probes[seq]
            self._succeed(probe)
            # An ack that lay in the inbox while we did not run came in time: the rest of the wait was ours.
            rtt_s = self._measure(sender, min(now, probe.ends_at) - probe.asked_at)
            return [Reached(sender, probe.asked_at, udp, rtt_s)]
        if sender in probe.helpers and sender not in probe.acks:
            first = not probe.acks
            self._succeed(probe)
            probe.acks.add(sender)
            return [Vouched(probe.target, probe.asked_at), *self._end_if_certain(seq, probe)] if first else []
        return []

    def _measure(self, target: NodeId, sample_s: float) -> float:
        if self._table.lives(target):
            self._round_trips.setdefault(target, RoundTrip()).add(sample_s)
            self._all_round_trips.add(sample_s)
            self._measured += 1
        return sample_s

    def _end_if_certain(self, seq: int, probe: _Probe) -> list[Finding]:
        """End a probe before its time where nothing can come any more but an ack that is later than all others."""
        if not probe.stream_failed:
            return []
        if probe.acks:
            del self._probes[seq]
            return [OnlyVouched(probe.target, probe.asked_at)]
        # A refused connection says more than a timeout: it fails at once, and with it every helper that says no.
        if probe.helpers and len(probe.nacks) == len(probe.helpers):
            return [self._fail(seq, probe)]
        return []

    def _succeed(self, probe: _Probe) -> None:
        if not probe.acks:
            self._awareness.improve()

    def _fail(self, seq: int, probe: _Probe) -> Failed:
        del self._probes[seq]
        # memberlist's reading of Lifeguard, section IV-A: helpers that said nothing tell of our trouble, not of the
        # target's. It also counts a failure without helpers; with one peer there is nobody to compare it with, and
        # a slower clock would only leave that peer fewer probes to answer while it is suspected.
        self._awareness.worsen(len(probe.helpers) - len(probe.nacks))
        return Failed(probe.target, probe.asked_at, _why(probe))

    def stream_result(self, target: NodeId, seq: int, *, ok: bool) -> list[Finding]:
        """Take in how the stream probe ``seq`` ended."""
        probe = self._probes.get(seq)
        if probe is None or probe.target != target:
            return []
        if ok:
            del self._probes[seq]
            self._succeed(probe)
            return [Reached(target, probe.asked_at, udp=False)]
        probe.stream_failed = True
        return self._end_if_certain(seq, probe)

    def _receive_request(self, seq: int, target: NodeId, asker: NodeId, now: float) -> list[Finding]:
        if target == self._own:
            return [Tell(asker, Ack(seq, self._root()))]
        busy = Counter(errand.asker for errand in self._errands.values())
        if not self._table.lives(target) or busy[asker] >= MAX_ERRANDS_EACH or busy.total() >= MAX_ERRANDS:
            return [Tell(asker, Nack(seq), about=target)]
        nack_at = now + self._parameters.nack_share * self._timeout_s(target)
        ends_at = now + self._parameters.probe_period_s
        number = self._next_seq()
        self._errands[number] = _Errand(asker, seq, target, asked_at=now, nack_at=nack_at, ends_at=ends_at)
        return [Tell(target, Ping(number, target, self._root()))]

    def handle_timer(self, *, now: float) -> list[Finding]:
        """Do what is due by ``now``: ask helpers, end probes, say that there is no answer, begin a period."""
        found = self._end_errands(now)
        for seq, probe in list(self._probes.items()):
            if probe.ends_at <= now:
                if probe.acks:
                    del self._probes[seq]
                    if self._parameters.stream_probe:
                        # TCP had its time too, or could not even be begun.
                        found.append(OnlyVouched(probe.target, probe.asked_at))
                else:
                    found.append(self._fail(seq, probe))
                    if len(probe.helpers) < self._parameters.indirect_probes:
                        # Too few to ask, so we ask more often: with one peer and 10 % loss, four probes in a
                        # suspicion's time would bury it about once an hour.
                        self.want(probe.target)
            elif probe.due_at <= now:
                found += self._ask_helpers(seq, probe, now)
        if self._next_period_at <= now:
            found += self._begin_period(now)
        return found

    def _ask_helpers(self, seq: int, probe: _Probe, now: float) -> list[Finding]:
        probe.due_at = probe.ends_at
        helpers = self._table.sample(self._parameters.indirect_probes, without=probe.target)
        probe.helpers = tuple(helpers)
        request = PingRequest(seq, probe.target)
        found: list[Finding] = [Tell(helper, request, about=probe.target) for helper in helpers]
        if self._parameters.stream_probe:
            found.append(StreamProbe(probe.target, seq, probe.ends_at - now))
        return found

    def _end_errands(self, now: float) -> list[Finding]:
        found: list[Finding] = []
        for seq, errand in list(self._errands.items()):
            if errand.nack_at <= now:
                errand.nack_at = math.inf
                found.append(Tell(errand.asker, Nack(errand.asker_seq), about=errand.target))
            if errand.ends_at <= now:
                del self._errands[seq]
        return found

    def _begin_period(self, now: float) -> list[Finding]:
        busy = {probe.target for probe in self._probes.values()}
        target = self._schedule.next(lambda node: self._table.lives(node) and node not in busy)
        found: list[Finding] = [] if target is None else [self._ping(target, now)]
        for doubtful in list(islice(self._watched, WATCHED_EACH_PERIOD)):
            del self._watched[doubtful]
            self._watched[doubtful] = None
            if doubtful != target and doubtful not in busy:
                self.want(doubtful)
        # With nobody left to probe the clock stops; the next newcomer wakes it.
        nobody = target is None and not busy
        self._next_period_at = math.inf if nobody else now + self._period_s
        return found


def _why(probe: _Probe) -> str:
    if not probe.helpers:
        return "no answer to our probe"
    return f"no answer to our probe, nor to {len(probe.helpers)} helpers ({len(probe.nacks)} said so)"
