"""Whether others reach this node at the address that it advertises: asked of whoever it meets first; both ends.

It is asked once, and from time to time while the answer is no. A node cannot see this for itself: its own datagrams and
connections go out, answers come back, and only what others begin is lost. So the other side looks, and says what it
found a moment later: it dials the address in the asker's signed record, where the handshake proves who is there, and
sends a ping. It does so for authenticated members only, seldom, and to a bounded number.

Law: what a member says about this changes nothing here but a line in the log and what `gossipmesh check` shows, and
both name the member. That every member answers over TCP only, a node sees by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from attrs import define, frozen

from gossipmesh.identity.credentials import Peer
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.messages import Ping
from gossipmesh.mesh.effects import Effect, Reply
from gossipmesh.mesh.exchanges import (
    AskReached,
    DialBack,
    Exchanges,
    Kind,
    Reached,
    decode_plain_untrusted,
    decode_reached_untrusted,
    encode_plain,
    encode_reached,
)
from gossipmesh.mesh.outputs import Exchange, Level, Notice, Output
from gossipmesh.model import Address, NodeId, short_id

if TYPE_CHECKING:
    import random

# Of any length, to mypyc: it takes the first float of one of a fixed length for unset (2.4.1).
FIRST_ASK_S: Final[tuple[float, ...]] = (0.2, 1.5)
"""How long after the first meeting we ask, at least and at most: many may have met the same seed at once."""
ASK_AGAIN_S: Final[tuple[float, ...]] = (1.0, 2.0, 4.0, 8.0)
"""... and again, while the answer is not known or says that no datagram came through: one may have been lost."""
MAX_LOOKS: Final = 256
"""Members whose answer is remembered; the oldest goes first."""
MAX_DIALS: Final = 8
"""Members dialled at once because they asked."""
ASK_ANEW_S: Final = 60.0
"""Who is not reached asks again after this long, and any member: what was in the way may have been mended."""
LOOK_AGE_S: Final = 30.0
"""A member is dialled again for its question after this long, or when it has moved."""
DIAL_TIMEOUT_S: Final = 2.0
PING_GAP_S: Final = 0.5
"""A member that asks again is pinged again at most this often."""

NOTICE_GAP_S: Final = 600.0
"""That we are not reached is said again after this long."""
UNREACHED: Final = {
    Reached.NO: "does not reach",
    Reached.STREAM_ONLY: "gets no datagram through to",
    Reached.DATAGRAMS_ONLY: "cannot connect over TCP to",
}


@frozen
class Found:
    """What a member said about our address, and when, in monotonic seconds; nobody has yet where it is unknown."""

    reached: Reached = Reached.UNKNOWN
    witness: NodeId | None = None
    at: float = 0.0


@define
class _Look:
    """What we found about a member that asked. ``dialled`` is None while the dial is under way."""

    addresses: tuple[Address, ...]
    began_at: float
    pinged_at: float
    dialled: bool | None = None
    heard: bool = False

    def reached(self) -> Reached:
        if self.dialled is None:
            return Reached.UNKNOWN
        if self.dialled:
            return Reached.YES if self.heard else Reached.STREAM_ONLY
        return Reached.DATAGRAMS_ONLY if self.heard else Reached.NO


class Reach:
    """Asks whether we are reached, and looks whether those that ask are.

    Args:
        exchanges: what is under way.
        membership: who is believed in, and what we say of ourselves.
        root: gives our registry root hash, for pings.
        rng: dice.
    """

    def __init__(
        self,
        exchanges: Exchanges,
        membership: Membership,
        *,
        root: Callable[[], bytes],
        rng: random.Random,
    ) -> None:
        self._exchanges = exchanges
        self._membership = membership
        self._root = root
        self._rng = rng
        self._ask: tuple[NodeId, tuple[Address, ...]] | None = None
        self._asked = 0
        self._done = False
        self._said_at = -float("inf")
        self.found = Found()
        """The last answer that said something."""
        self._looks: dict[NodeId, _Look] = {}  # oldest first
        self.deadline = float("inf")

    # --- the side that asks ---

    def meet(self, peer: NodeId, addresses: tuple[Address, ...], *, now: float) -> None:
        """Take that we and ``peer`` have greeted each other: the first one is asked."""
        if self._done or self._ask is not None:
            return
        self._ask, self._asked = (peer, addresses), 0
        self.deadline = now + self._rng.uniform(*FIRST_ASK_S)

    def handle_timer(self, *, now: float) -> list[Output]:
        """Ask, if it is time."""
        if now < self.deadline:
            return []
        self.deadline = float("inf")
        if self._ask is None and not self._ask_anybody():
            return []
        assert self._ask is not None
        target, addresses = self._ask
        request = encode_plain(Kind.REACH)
        exchange = self._exchanges.begin(AskReached(), target, addresses, request, now=now)
        if exchange is None:
            self._ask_again(now=now)
            return []
        return [exchange]

    def receive_answer_untrusted(self, peer: NodeId, answer: bytes, *, now: float) -> list[Effect]:
        """Take what ``peer`` says about our addresses.

        Raises:
            RemoteProtocolError: for an answer that is none.
        """
        reached = decode_reached_untrusted(answer)
        patient = reached in (Reached.UNKNOWN, Reached.STREAM_ONLY)
        if patient and self._ask_again(now=now):
            return []
        if reached is not Reached.UNKNOWN:
            self.found = Found(reached, peer, now)
        self._done = reached is not Reached.UNKNOWN
        self._ask = None
        if reached not in UNREACHED:
            return []
        self.deadline = now + ASK_ANEW_S
        member = self._membership.members.get(peer)
        name = short_id(peer) if member is None else f"{member.record.name} ({short_id(peer)})"
        return self._complain(f"{name} {UNREACHED[reached]} this node", now=now)

    def failed(self, *, now: float) -> None:
        """Take that the question had no answer."""
        self._ask_again(now=now)

    def _ask_anybody(self) -> bool:
        """Tell whether there is a member to ask, who need not be the one that was asked before."""
        living = [member for member in self._membership.members.values() if member.living]
        if not living:
            self._done = False
            return False
        member = self._rng.choice(living)
        self._ask, self._asked = (member.id, member.record.addresses), 0
        return True

    def _ask_again(self, *, now: float) -> bool:
        """Tell whether we ask again; after the last time, whoever we meet next is asked, or anybody in a minute."""
        if self._asked >= len(ASK_AGAIN_S):
            self._ask = None
            if self._done:
                self.deadline = now + ASK_ANEW_S
            return False
        self.deadline = now + ASK_AGAIN_S[self._asked]
        self._asked += 1
        return True

    def complain_unheard(self, *, now: float) -> list[Effect]:
        """Say that no datagram reaches us, where every living member answers over TCP only."""
        living = [member for member in self._membership.members.values() if member.living]
        if not living or not all(member.udp_blocked for member in living):
            return []
        return self._complain(
            "members answer this node over TCP, but none of their datagrams arrives", now=now
        )

    def _complain(self, what: str, *, now: float) -> list[Effect]:
        if now < self._said_at + NOTICE_GAP_S:
            return []
        self._said_at = now
        text = (
            f"{what}: can they dial {self._membership.own.addresses[0]} (else say --advertise HOST:PORT), "
            "and is it open for both UDP and TCP?"
        )
        return [Notice(Level.WARNING, "own.unreachable", text)]

    # --- the side that looks ---

    def answer_untrusted(
        self, peer: Peer, request: bytes, *, now: float
    ) -> tuple[bytes, list[Effect], list[Output]]:
        """Say whether we reach ``peer``, as far as it is known, and look if that was not done.

        Raises:
            RemoteProtocolError: for a request that is none.
        """
        decode_plain_untrusted(request, Kind.REACH)
        look = self._looks.get(peer.id)
        outputs: list[Output] = []
        if look is None or look.addresses != peer.record.addresses or now >= look.began_at + LOOK_AGE_S:
            look, outputs = self._begin(peer, now=now)
        if look is None:
            return encode_reached(Reached.UNKNOWN), [], []
        effects: list[Effect] = []
        if not look.heard and now >= look.pinged_at + PING_GAP_S:
            look.pinged_at = now
            # No probe of membership's has this number, or else the ack is a good one for it as well.
            effects.append(Reply(peer.id, (Ping(0, peer.id, self._root()),)))
        return encode_reached(look.reached()), effects, outputs

    def _begin(self, peer: Peer, *, now: float) -> tuple[_Look | None, list[Output]]:
        if peer.id not in self._membership.members or self._exchanges.count(DialBack) >= MAX_DIALS:
            return None, []
        addresses = peer.record.addresses
        exchange: Exchange | None = self._exchanges.begin(
            DialBack(), peer.id, addresses, encode_plain(Kind.DIAL), now=now, timeout_s=DIAL_TIMEOUT_S
        )
        if exchange is None:
            return None, []
        self._looks.pop(peer.id, None)
        if len(self._looks) >= MAX_LOOKS:
            del self._looks[next(iter(self._looks))]
        look = self._looks[peer.id] = _Look(addresses, began_at=now, pinged_at=-PING_GAP_S)
        return look, [exchange]

    def dialled(self, node: NodeId | None, *, ok: bool) -> None:
        """Take how a dial ended."""
        look = None if node is None else self._looks.get(node)
        if look is not None:
            look.dialled = ok

    def heard(self, node: NodeId) -> None:
        """Take that ``node`` acknowledged a ping of ours as a datagram."""
        if (look := self._looks.get(node)) is not None:
            look.heard = True

    def forget(self, node: NodeId) -> None:
        """Drop what was found about a member that is gone."""
        self._looks.pop(node, None)
