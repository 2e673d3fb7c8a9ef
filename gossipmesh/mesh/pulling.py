"""How what is signed for the whole mesh travels: a digest is told, and whoever has another one pulls over TCP.

A change is told to a few members each gossip period, as often as any news, and whoever learnt by it tells on; the
digest also rides on every ping and ack, so that what gossip missed is found. The pull says what we hold, and whoever
answers sees by it whether it should ask in turn.

Law: what a peer says costs at most five exchanges a second as long as each brings something that somebody entitled
signed, and soon at most one a minute when they bring nothing: so much a liar costs whose digest always changes. A
digest that we had ourselves before is the past of somebody who will ask us, and costs nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from attrs import define

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.membership import outputs as believed
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.messages import CharterNews
from gossipmesh.membership.parameters import Parameters
from gossipmesh.membership.piggyback import transmit_limit
from gossipmesh.mesh.charter import Charter
from gossipmesh.mesh.charter_messages import (
    decode_brought_untrusted,
    decode_holding_untrusted,
    encode_brought,
    encode_holding,
)
from gossipmesh.mesh.effects import Effect
from gossipmesh.mesh.exchanges import Exchanges, Pull
from gossipmesh.mesh.outputs import BundlesChanged, Output, PolicyChanged, RevocationsChanged
from gossipmesh.model import Address, NodeId

if TYPE_CHECKING:
    import random

MAX_PULLS: Final = 8
"""Exchanges under way at once."""
MAX_PEERS: Final = 1_024
"""Peers whose pace is remembered; the one that was asked longest ago is forgotten."""
MAX_PAST: Final = 16
MAX_PER_DIGEST: Final = 2
"""Peers that are asked for one digest at once: the first may be slow, and more would all bring the same."""
FRUITFUL_GAP_S: Final = 0.2
GAP_S: Final = 1.0
MAX_GAP_S: Final = 60.0
MAX_PAGES: Final = 64
"""Exchanges in a row with one peer that says there is more: a full set of revocations takes at most 48."""
JOIN_RETRY_S: Final = 1.0
JOIN_TIMEOUT_S: Final = 5.0


@define
class _Peer:
    """How often somebody is asked. ``heard`` is its digest as last told."""

    heard: bytes = b""
    asked_at: float = -math.inf
    gap_s: float = 0.0
    busy: bool = False
    pages: int = 0


class Pulling:
    """Tells, asks and answers.

    Args:
        own: this node's id.
        charter: what is held.
        expected: whether there are seeds, so that this node is to be brought up to date before it is ready.
    """

    def __init__(
        self,
        own: NodeId,
        charter: Charter,
        *,
        parameters: Parameters,
        membership: Membership,
        exchanges: Exchanges,
        expected: bool,
        rng: random.Random,
    ) -> None:
        self._own = own
        self._charter = charter
        self._parameters = parameters
        self._membership = membership
        self._exchanges = exchanges
        self._rng = rng
        self._peers: dict[NodeId, _Peer] = {}
        self._past: dict[bytes, None] = {charter.digest: None}
        self._digest = charter.digest
        self._rounds_left = 0
        self._tell_at = math.inf
        self._retry_at = math.inf
        self._met_no_keeper = False  # a member of an earlier release has said that it has nothing to tell
        self.synced = not expected
        """Whether a member's whole charter was once compared with ours; from the start where none is expected."""

    @property
    def deadline(self) -> float:
        """When :meth:`handle_timer` is due."""
        return min(self._tell_at, self._retry_at)

    def start(self, *, now: float) -> None:
        """Begin: where seeds are expected, or something is lacking, ask whoever is met first."""
        if not self.synced or self._charter.wanted:
            self._retry_at = now

    # --- telling ---

    def note_change(self, *, now: float) -> None:
        """Take that what we hold is another thing now: it is news, to everybody."""
        digest = self._charter.digest
        if digest == self._digest:
            return
        self._digest = digest
        self._past.pop(digest, None)
        self._past[digest] = None
        if len(self._past) > MAX_PAST:
            del self._past[next(iter(self._past))]
        size = len(self._membership.members) + 1
        self._rounds_left = transmit_limit(
            self._parameters.transmit_factor, size, least=self._parameters.transmit_least
        )
        self._tell_at = now
        if self._charter.wanted:
            self._retry_at = now

    def handle_timer(self, *, now: float) -> tuple[list[Effect], list[Output]]:
        """Tell a few members, and ask one where we have not been brought up to date, or lack what is returned to."""
        effects: list[Effect] = []
        outputs: list[Output] = []
        if now >= self._tell_at:
            effects += self._tell(now=now)
        if now >= self._retry_at:
            living = self._keepers()
            if not living and not self.synced:
                # By now the members are known that the first one met knows.
                self._in_step(self._met_no_keeper)
                living = self._living()
            lacking = not self.synced or bool(self._charter.wanted)
            self._retry_at = now + JOIN_RETRY_S if lacking else math.inf
            if lacking and living:
                member = self._membership.members[self._rng.choice(living)]
                anyhow = not self.synced
                outputs += self._begin(member.id, member.record.addresses, now=now, anyhow=anyhow)
        return effects, outputs

    def _tell(self, *, now: float) -> list[Effect]:
        living = self._keepers()
        self._rounds_left -= 1
        if self._rounds_left <= 0 or not living:
            self._tell_at = math.inf
        else:
            self._tell_at = now + self._parameters.gossip_period_s
        targets = self._rng.sample(living, min(len(living), self._parameters.gossip_targets))
        # Alone in its datagram: an earlier release refuses the whole of one that holds this.
        return [believed.SendMessages(target, (CharterNews(self._digest),)) for target in targets]

    def _living(self) -> list[NodeId]:
        return [node for node, member in self._membership.members.items() if member.living]

    def _keepers(self) -> list[NodeId]:
        """Give the living members that keep a charter: those of release 0.1 do not."""
        return [node for node in self._living() if self._membership.members[node].record.enforces]

    # --- asking ---

    def hears(self, sender: NodeId, digest: bytes, *, now: float) -> list[Output]:
        """Take a member's digest; ask it where it may hold what we lack."""
        member = self._membership.members.get(sender)
        if member is None or not digest or digest == self._digest:
            return []
        peer = self._peer(sender)
        peer.heard = digest
        if peer.busy or now < peer.asked_at + peer.gap_s:
            return []
        asked = sum(peer.busy and peer.heard == digest for peer in self._peers.values())
        if digest in self._past or asked >= MAX_PER_DIGEST:
            return []
        return self._begin(sender, member.record.addresses, now=now)

    def meets(self, node: NodeId, addresses: tuple[Address, ...], *, now: float) -> list[Output]:
        """Take that somebody was greeted: before anything is served here, what it holds has to be known."""
        if self.synced or node == self._own:
            return []
        self._retry_at = now + JOIN_RETRY_S
        return self._begin(node, addresses, now=now, anyhow=True)

    def _peer(self, node: NodeId) -> _Peer:
        peer = self._peers.get(node)
        if peer is None:
            if len(self._peers) >= MAX_PEERS:
                del self._peers[next(iter(self._peers))]
            peer = self._peers[node] = _Peer()
        return peer

    def _begin(
        self, node: NodeId, addresses: tuple[Address, ...], *, now: float, anyhow: bool = False
    ) -> list[Output]:
        peer = self._peer(node)
        too_soon = not anyhow and now < peer.asked_at + peer.gap_s
        if peer.busy or too_soon or self._exchanges.count(Pull) >= MAX_PULLS:
            return []
        request = encode_holding(self._charter.holding())
        exchange = self._exchanges.begin(Pull(), node, addresses, request, now=now, timeout_s=JOIN_TIMEOUT_S)
        if exchange is None:
            return []
        peer.busy, peer.asked_at = True, now
        # Moved to the end: who was asked longest ago is forgotten first.
        self._peers[node] = self._peers.pop(node)
        return [exchange]

    # --- the other side, and answers ---

    def answer_untrusted(
        self, node: NodeId, addresses: tuple[Address, ...], request: bytes, *, now: float
    ) -> tuple[bytes, list[Output]]:
        """Give what a peer lacks; ask it in turn if it holds what we lack.

        Raises:
            RemoteProtocolError: ``exchange.malformed``.
        """
        theirs = decode_holding_untrusted(request)
        answer = encode_brought(self._charter.answer(theirs))
        back = self._charter.lacks(theirs) and node in self._membership.members
        return answer, self._begin(node, addresses, now=now) if back else []

    def receive_answer_untrusted(
        self, node: NodeId, addresses: tuple[Address, ...], answer: bytes, *, now: float, wall: float
    ) -> tuple[list[Effect], list[Output]]:
        """Take what a peer's answer brought, and go on where it holds more.

        Raises:
            RemoteProtocolError: ``exchange.malformed``, or a refusal: an earlier release has nothing to tell.
        """
        peer = self._peer(node)
        peer.busy = False
        try:
            brought = decode_brought_untrusted(answer)
        except RemoteProtocolError as error:
            self._fruitless(peer)
            self._met_no_keeper = self._met_no_keeper or error.code == "exchange.refused"
            raise
        said = self._charter.take_untrusted(brought, wall=wall)
        fruitful = any(isinstance(each, PolicyChanged | RevocationsChanged | BundlesChanged) for each in said)
        self.note_change(now=now)
        lacking = bool(self._charter.wanted)
        if fruitful or (peer.heard == self._digest and not lacking):
            peer.gap_s = FRUITFUL_GAP_S if peer.pages < MAX_PAGES else MAX_GAP_S
        else:
            self._fruitless(peer)
        go_on = (brought.more or lacking) and fruitful and peer.pages < MAX_PAGES
        peer.pages = peer.pages + 1 if go_on else 0
        outputs = self._begin(node, addresses, now=now, anyhow=True) if go_on else []
        self._in_step(not brought.more)
        if lacking:
            self._retry_at = now + JOIN_RETRY_S
        return [*said], outputs

    def _fruitless(self, peer: _Peer) -> None:
        peer.gap_s = min(MAX_GAP_S, max(GAP_S, 2 * peer.gap_s))

    def _in_step(self, whole: bool) -> None:
        if whole:
            self.synced = True
            self._retry_at = math.inf

    def failed(self, node: NodeId | None) -> None:
        """Take that an exchange found nobody; it is tried again when the digest is heard again."""
        peer = None if node is None else self._peers.get(node)
        if peer is not None:
            peer.busy = False
            self._fruitless(peer)

    def forget(self, node: NodeId) -> None:
        """Drop what is noted about a member that is gone."""
        self._peers.pop(node, None)
