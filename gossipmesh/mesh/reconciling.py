"""When to compare registries with whom: joining, anti-entropy, the return of the dead, and stream probes.

A round with somebody new, dead or restarted begins with a greeting (see ``exchanges``); the anti-entropy round of the
registry follows. Routine rounds go out every so often whatever N is, and soon after a peer's root hash differed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.credentials import Peer
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.members import Member
from gossipmesh.membership.parameters import Parameters
from gossipmesh.mesh.effects import Effect
from gossipmesh.mesh.exchanges import (
    AskReached,
    Carry,
    DialBack,
    Exchanges,
    Greet,
    Greeting,
    Kind,
    Open,
    Probe,
    Pull,
    Purpose,
    Renew,
    Sync,
    decode_greeting_untrusted,
    decode_plain_untrusted,
    encode_greeting,
    encode_plain,
)
from gossipmesh.mesh.joining import Joining
from gossipmesh.mesh.outputs import Exchange, Level, Notice, Output
from gossipmesh.mesh.partners import Partners
from gossipmesh.mesh.standing import Standing
from gossipmesh.model import Address, MemberState, NodeId
from gossipmesh.registry.store import Registry
from gossipmesh.registry.sync import (
    Accusations,
    ChainLearned,
    Learned,
    RecordLearned,
    SyncRound,
    answer_untrusted,
)
from gossipmesh.registry.sync_messages import is_registry_request, peek_kind_untrusted

if TYPE_CHECKING:
    import random

    from gossipmesh.identity.record import MemberRecord

HINT_SYNC_GAP_S: Final = 5.0
"""A hint may cause one exchange with its peer at most this often: hints prove nothing."""
MAX_HINTED: Final = 256
"""Peers greeted for a hint within that time; while so many were, the hints of others are not followed."""
MAX_COMPLAINTS: Final = 256
COMPLAINT_GAP_S: Final = 30.0
"""The same trouble with a seed is said again after this long."""


class Reconciling:
    """Owns the rounds under way and the schedule of the next ones."""

    def __init__(
        self,
        parameters: Parameters,
        *,
        registry: Registry,
        membership: Membership,
        joining: Joining,
        exchanges: Exchanges,
        standing: Standing,
        rng: random.Random,
    ) -> None:
        self._parameters = parameters
        self._registry = registry
        self._membership = membership
        self._exchanges = exchanges
        self._standing = standing
        self._rng = rng
        self._partners = Partners(rng=rng)
        self.joining = joining
        self._in_step = False
        self._differing: dict[NodeId, float] = {}  # since when; living members only
        self._sync_at = float("inf")
        self._last_sync_at = -float("inf")
        self._hinted: dict[NodeId, float] = {}
        self._complaints: dict[tuple[Address, str], float] = {}
        self._refusing: set[Address] = set()  # seeds that are there and do not take us in

    @property
    def joined(self) -> bool:
        """Whether one whole round with a member went through, or there is nobody to wait for."""
        alone = not any(member.living for member in self._membership.members.values())
        return not self.joining.wanted or (self.joining.joined and (self._in_step or alone))

    @property
    def deadline(self) -> float:
        """When :meth:`handle_timer` is due."""
        return min(self.joining.deadline, self._sync_at, self._unequal_at())

    def start(self, *, now: float) -> None:
        """Begin the schedule of routine rounds, each node at its own moment."""
        self._sync_at = now + self._rng.uniform(0, self._parameters.sync_period_s)

    # --- what is known of others' registries ---

    def agrees(self, peer: NodeId) -> None:
        """Note that a peer's root hash equals ours."""
        self._differing.pop(peer, None)

    def forget(self, peer: NodeId) -> None:
        """Note that a peer is dead or departed: it has nothing to compare."""
        self.agrees(peer)

    def differs(self, peer: NodeId, *, now: float) -> None:
        """Note that a peer's root hash differs from ours; a round follows if it stays so."""
        if self._membership.members.get(peer) is not None:
            self._differing.setdefault(peer, now)

    def differing(self, members: Mapping[NodeId, Member]) -> int:
        """Count the living members whose registry was last seen to differ from ours."""
        return sum(1 for peer in self._differing if (m := members.get(peer)) is not None and m.living)

    @property
    def differing_since(self) -> Mapping[NodeId, float]:
        """Peers whose registry was last seen to differ from ours, and since when, in monotonic seconds."""
        return self._differing

    def _unequal_at(self) -> float:
        if not self._differing:
            return float("inf")
        # They are in the order in which they began to differ.
        first = next(iter(self._differing.values())) + self._parameters.sync_unequal_after_s
        return max(first, self._last_sync_at + self._parameters.sync_least_gap_s)

    # --- beginning rounds ---

    def handle_timer(self, *, now: float) -> list[Output]:
        """Begin what is due."""
        outputs: list[Output] = []
        if now >= self.joining.deadline:
            outputs += self._ask_seed(now=now)
        if now >= self._sync_at:
            self._sync_at = now + self._parameters.sync_period_s * self._rng.uniform(0.8, 1.2)
            if (partner := self._next_partner()) is not None:
                outputs += self._sync_with(partner, now=now)
        if now >= self._unequal_at():
            peer = self._rng.choice(sorted(self._differing))
            self._last_sync_at = now
            member = self._membership.members.get(peer)
            if member is None or not member.living:
                del self._differing[peer]
            else:
                outputs += self._sync_with(member, now=now)
        return outputs

    def _next_partner(self) -> Member | None:
        members = self._membership.members

        def lives(node: NodeId) -> bool:
            return (member := members.get(node)) is not None and member.living

        partner = self._partners.next(lambda: [node for node in members if lives(node)], lives)
        return None if partner is None else members[partner]

    def _ask_seed(self, *, now: float) -> list[Output]:
        members = self._membership.members.values()
        own = self._membership.own
        reached = {address for member in members if member.living for address in member.record.addresses}
        seed = self.joining.handle_timer(frozenset(own.addresses), reached, now=now)
        if seed is None or self._exchanges.busy_at(seed):
            return []
        return self._begin(Greet(), None, (seed,), self._greeting(None), now=now)

    def meet(self, member: Member, *, now: float) -> list[Output]:
        """Greet a dead member, should it have come back."""
        if self._exchanges.busy_with(member.id):
            return []
        return self._begin(Greet(), member.id, member.record.addresses, self._greeting(member.id), now=now)

    def hinted(self, member: Member, *, now: float) -> list[Output]:
        """Greet a member that seems unable to read us, at most once in a while."""
        while self._hinted and next(iter(self._hinted.values())) + HINT_SYNC_GAP_S <= now:
            del self._hinted[next(iter(self._hinted))]  # oldest first
        if member.id in self._hinted or len(self._hinted) >= MAX_HINTED:
            return []
        self._hinted[member.id] = now
        return self.meet(member, now=now)

    def probe(self, target: NodeId, seq: int, *, timeout_s: float, now: float) -> Exchange | None:
        """Begin a stream probe: any answer over an authenticated channel is a sign of life. None: it cannot be."""
        member = self._membership.members.get(target)
        if member is None:
            return None
        request = encode_plain(Kind.PROBE)
        return self._exchanges.begin(
            Probe(seq), target, member.record.addresses, request, now=now, timeout_s=timeout_s
        )

    def _sync_with(self, member: Member, *, now: float) -> list[Output]:
        if self._exchanges.busy_with(member.id):
            return []
        self._last_sync_at = now
        round_ = SyncRound(self._registry, self._accusations(now=now))
        return self._next_of(round_, member.id, member.record.addresses, now=now)

    def _next_of(
        self, round_: SyncRound, target: NodeId, addresses: tuple[Address, ...], *, now: float
    ) -> list[Output]:
        request = round_.next_request()
        if request is None:
            self._in_step = True
            if not self.joining.joined:
                self.joining.succeeded(now=now)
            return []
        return self._begin(Sync(round_), target, addresses, request, now=now)

    def _accusations(self, *, now: float) -> Accusations:
        def against(node: NodeId) -> tuple[bytes, ...]:
            news = self._membership.accusation_of(node, now=now)
            return () if news is None else (news.raw,)

        return against

    def _begin(
        self,
        purpose: Purpose,
        target: NodeId | None,
        addresses: tuple[Address, ...],
        request: bytes,
        *,
        now: float,
    ) -> list[Output]:
        exchange = self._exchanges.begin(purpose, target, addresses, request, now=now)
        return [] if exchange is None else [exchange]

    def _buried(self, peer: NodeId, shown: MemberRecord | None = None) -> bytes:
        member = self._membership.members.get(peer)
        if member is not None and member.state is MemberState.DEAD:
            return member.record.signed.raw
        buried = self._registry.buried(peer)
        if member is None and shown is not None and buried is not None and shown.version <= buried:
            # Dead, and forgotten because another had its place. It has to hear of it all the same.
            return shown.signed.raw
        return b""

    def _greeting(self, target: NodeId | None, shown: MemberRecord | None = None) -> bytes:
        buried = b"" if target is None else self._buried(target, shown)
        return encode_greeting(Kind.GREET, Greeting(*self._standing.greeting(), buried))

    # --- the other side ---

    def answer_untrusted(
        self, peer: Peer, request: bytes, *, now: float, wall: float
    ) -> tuple[bytes, list[Learned], list[Effect]]:
        """Answer a request; give what it brought, and what follows from our having been buried.

        Raises:
            RemoteProtocolError: for a request that is none.
        """
        kind = peek_kind_untrusted(request)
        if is_registry_request(kind):
            response, learned = answer_untrusted(request, self._registry, self._accusations(now=now))
            return response, learned, []
        if kind == Kind.PROBE:
            decode_plain_untrusted(request, Kind.PROBE)
            return encode_plain(Kind.PROBED), [], []
        theirs = decode_greeting_untrusted(request, Kind.GREET)
        effects = self._standing.rise_above_buried_untrusted(theirs.buried, now=now, wall=wall)
        answer = Greeting(*self._standing.greeting(), self._buried(peer.id, peer.record))
        return (
            encode_greeting(Kind.GREETED, answer),
            [ChainLearned(theirs.chain), RecordLearned(theirs.record)],
            effects,
        )

    # --- answers ---

    def receive_answer_untrusted(
        self, exchange: Open, peer: Peer, answer: bytes, *, now: float, wall: float
    ) -> tuple[list[Learned], list[Effect], Callable[[], list[Output]]]:
        """Take an answer: what it brought, what follows for membership, and how to go on once that was learned.

        Raises:
            RemoteProtocolError: for an answer that is none; the round is over.
        """
        match exchange.purpose:
            case Greet(again):
                return self._greeted_untrusted(exchange, peer, answer, again=again, now=now, wall=wall)
            case Sync(round_):
                brought = round_.receive_response_untrusted(answer)
                # News is repeated for the largest mesh ever heard of, or early joiners' would die out in a mass join.
                heard: list[Effect] = [*self._membership.note_mesh_size(round_.remote_members, now=now)]
                return brought, heard, lambda: self._next_of(round_, peer.id, exchange.addresses, now=now)
            case Probe(seq):
                decode_plain_untrusted(answer, Kind.PROBED)
                return [], [*self._membership.stream_probe_result(peer.id, seq, ok=True, now=now)], list
            case Renew() | Carry() | AskReached() | DialBack() | Pull():
                raise RemoteProtocolError("exchange.malformed", "not an exchange of this kind")

    def _greeted_untrusted(
        self, exchange: Open, peer: Peer, answer: bytes, *, again: bool, now: float, wall: float
    ) -> tuple[list[Learned], list[Effect], Callable[[], list[Output]]]:
        theirs = decode_greeting_untrusted(answer, Kind.GREETED)
        self.joining.note_outcome(exchange.addresses, "")
        if peer.id == self._membership.own.id:
            self.joining.met_ourselves(exchange.addresses)
            return [], [], list
        effects = self._standing.rise_above_buried_untrusted(theirs.buried, now=now, wall=wall)
        self.joining.succeeded(now=now)
        addresses = tuple(dict.fromkeys((*exchange.addresses, *peer.record.addresses)))

        def go_on() -> list[Output]:
            if not again and (theirs.buried or self._buried(peer.id, peer.record)):
                # Who buries the version that was shown is brought back there only by a newer one, shown now. And a
                # seed that we bury, and did not know for who it is when we greeted it, has to hear of it.
                greeting = self._greeting(peer.id, peer.record)
                return self._begin(Greet(again=True), peer.id, addresses, greeting, now=now)
            round_ = SyncRound(self._registry, self._accusations(now=now))
            return self._next_of(round_, peer.id, addresses, now=now)

        return [ChainLearned(theirs.chain), RecordLearned(theirs.record)], effects, go_on

    def failed(
        self, exchange: Open, why: str, *, refused: bool, code: str, now: float
    ) -> tuple[list[Effect], list[Output]]:
        """Take that an exchange failed; say so where a person waits for a seed.

        ``refused`` says that asking again will not help, ``code`` that somebody was there, and how it said no.
        """
        if isinstance(exchange.purpose, Probe) and exchange.target is not None:
            seq = exchange.purpose.seq
            return [*self._membership.stream_probe_result(exchange.target, seq, ok=False, now=now)], []
        if exchange.target is None:
            self.joining.note_outcome(exchange.addresses, why, code=code)
        if exchange.target is None and not self.joining.joined:
            return [], self._complain(exchange.addresses[0], why, refused=refused, now=now)
        return [], []

    def _complain(self, seed: Address, why: str, *, refused: bool, now: float) -> list[Output]:
        if self._complaints.get((seed, why), -COMPLAINT_GAP_S) + COMPLAINT_GAP_S > now:
            return []
        if len(self._complaints) >= MAX_COMPLAINTS:
            del self._complaints[next(iter(self._complaints))]
        self._complaints[seed, why] = now
        if refused:
            self._refusing.add(seed)
        else:
            self._refusing.discard(seed)
        if refused and self._refusing.issuperset(self.joining.seeds):
            return [Notice(Level.WARNING, "join.refused", f"no seed takes this node in: {why}")]
        return [Notice(Level.WARNING, "join.unanswered", f"{why}; trying again until a seed answers")]
