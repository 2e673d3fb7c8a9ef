"""Requests over TCP that are under way, and the mesh's own request kinds beside the registry's.

    17 greet     [17, chain, record, buried record]     18 answer: the same of the other side
    19 probe     [19]                                   20 answer: [20]
    21 renew     [21, chain]                            22 answer: [22, chain]
    24 refused   [24, code]     the answer to any request that is not granted
    25 carry     [25, messages, ...]  26 answer: [26, messages, ...], each as the plaintext of a datagram
    27 reach     [27]                 28 answer: [28, reached]; asks whether the other side reaches us
    29 dial      [29]                 30 answer: [30]; how the other side finds out
    31, 32       what is signed for the whole mesh: see ``charter_messages``

*Greet* opens every exchange with a seed, a newcomer or a dead member. Each side gives its newest record, and the
record of the other that it holds for dead, if any (else no bytes). A node that finds itself buried signs a newer
record: nobody comes back without one, and after a partition both sides do. What was buried is shown as its owner
signed it and not as a number, which a liar could choose so high that nothing is left above it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

from gossipmesh import wire
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.chain import MAX_CHAIN
from gossipmesh.identity.record import MAX_RECORD
from gossipmesh.membership.message_codec import decode_messages_untrusted
from gossipmesh.membership.messages import MAX_PLAINTEXT, Message
from gossipmesh.mesh.outputs import Exchange
from gossipmesh.model import Address, NodeId
from gossipmesh.registry.sync import SyncRound

MAX_OPEN: Final = 64
MAX_OPEN_BESIDE_PROBES: Final = 32
"""The rest is for probes: no crowd of greetings may look like the silence of a peer."""
MAX_OPEN_CARRYING: Final = 16
"""Of that rest, as many may carry gossip where no datagram gets through."""
MAX_CARRIED: Final = 4
"""Datagrams' worth of messages that one exchange carries each way."""
MAX_AGE_S: Final = 60.0
"""After this long an exchange counts as failed, whatever became of its answer."""
MAX_CODE: Final = 64
_CODE: Final = "exchange.malformed"


NO_ROOM: Final = "exchange.no-room"
"""The code of a refusal for want of room: asking again may help, once somebody has left."""
HANDSHAKE: Final = "exchange.handshake"
"""The code of an exchange before which the handshake failed: somebody was there."""
_NO_ROOM: Final = {
    "registry.quota": "the quota of this node's token is used up",
    "registry.token-quota": "as many nodes as a member holds of one token have joined with this node's",
    "registry.full": "the mesh has as many members as a member holds",
}


class Kind(enum.IntEnum):
    """The first element of a message. Requests are odd, answers even; 1 to 15 are the registry's."""

    GREET = 17
    GREETED = 18
    PROBE = 19
    PROBED = 20
    RENEW = 21
    RENEWED = 22
    REFUSED = 24
    CARRY = 25
    CARRIED = 26
    REACH = 27
    REACHED = 28
    DIAL = 29
    DIALLED = 30
    CHARTER = 31
    CHARTERED = 32


_MEANING: Final = {
    "chain.revoked": (
        "this node, the token that it joined with or an issuer of its chain is revoked there: it needs a new token, "
        "and where the node itself is revoked a new key too, which is an empty state directory"
    ),
    "chain.name": "the token that it joined with has --name, and does not allow this node's",
}
"""What a refusal means to whoever is refused, where the code alone does not say what to do."""


class Reached(enum.IntEnum):
    """Whether a member reaches another at the address that it advertises."""

    UNKNOWN = 0
    """Not yet known: ask again."""
    YES = 1
    STREAM_ONLY = 2
    DATAGRAMS_ONLY = 3
    NO = 4


@frozen
class Greeting:
    """One side of a greeting. ``buried`` is the other's record that this side holds for dead, or empty."""

    chain: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")
    record: bytes = field(repr=lambda raw: f"<{len(raw)} bytes>")
    buried: bytes = field(default=b"", repr=lambda raw: f"<{len(raw)} bytes>")


def encode_greeting(kind: Kind, greeting: Greeting) -> bytes:
    """Encode a greeting (``GREET``) or its answer (``GREETED``)."""
    return wire.pack([kind, greeting.chain, greeting.record, greeting.buried])


def decode_greeting_untrusted(data: bytes, kind: Kind) -> Greeting:
    """Give the greeting that ``data`` holds.

    Raises:
        RemoteProtocolError: ``exchange.malformed``, for any other bytes; ``exchange.refused`` or
            ``exchange.no-room``, for a refusal.
    """
    fields = open_untrusted(data, kind)
    return Greeting(fields.binary(1, MAX_CHAIN), fields.binary(1, MAX_RECORD), fields.binary(0, MAX_RECORD))


def encode_plain(kind: Kind, chain: bytes = b"") -> bytes:
    """Encode a message that carries nothing, or one chain."""
    return wire.pack([kind, chain] if chain else [kind])


def decode_plain_untrusted(data: bytes, kind: Kind) -> None:
    """Check a message that carries nothing.

    Raises:
        RemoteProtocolError: as :func:`decode_greeting_untrusted`.
    """
    open_untrusted(data, kind)


def decode_chain_untrusted(data: bytes, kind: Kind) -> bytes:
    """Give the chain, still unverified, that a renewal or its answer carries.

    Raises:
        RemoteProtocolError: as :func:`decode_greeting_untrusted`.
    """
    return open_untrusted(data, kind).binary(1, MAX_CHAIN)


def encode_carried(kind: Kind, plaintexts: Sequence[bytes]) -> bytes:
    """Encode gossip for one peer (``CARRY``), or its answer (``CARRIED``); at most ``MAX_CARRIED`` plaintexts."""
    return wire.pack([kind, *plaintexts[:MAX_CARRIED]])


def decode_carried_untrusted(data: bytes, kind: Kind) -> list[list[Message]]:
    """Give the messages of each plaintext.

    Raises:
        RemoteProtocolError: as :func:`decode_greeting_untrusted`; ``gossip.malformed``.
    """
    fields = open_untrusted(data, kind)
    plaintexts = [fields.binary(1, MAX_PLAINTEXT) for _ in range(min(fields.left, MAX_CARRIED))]
    return [decode_messages_untrusted(plaintext) for plaintext in plaintexts]


def encode_reached(reached: Reached) -> bytes:
    """Encode whether we reach whoever asked."""
    return wire.pack([Kind.REACHED, reached])


def decode_reached_untrusted(data: bytes) -> Reached:
    """Give whether the other side reaches us.

    Raises:
        RemoteProtocolError: as :func:`decode_greeting_untrusted`.
    """
    return Reached(open_untrusted(data, Kind.REACHED).integer(high=max(Reached)))


def encode_refusal(code: str) -> bytes:
    """Encode why a request is not granted."""
    return wire.pack([Kind.REFUSED, code.encode()[:MAX_CODE]])


def open_untrusted(data: bytes, kind: Kind) -> wire.Fields:
    """Give what follows the kind of a message.

    Raises:
        RemoteProtocolError: as :func:`decode_greeting_untrusted`.
    """
    fields = wire.Fields(wire.unpack_untrusted(data, code=_CODE), code=_CODE)
    got = fields.integer(1, 127)
    if got == Kind.REFUSED:
        reason = fields.binary(0, MAX_CODE).decode("ascii", "replace")
        if reason in _NO_ROOM:
            raise RemoteProtocolError(NO_ROOM, _NO_ROOM[reason])
        meaning = _MEANING.get(reason)
        text = f"the peer refused: {reason!a}" + (f" ({meaning})" if meaning else "")
        raise RemoteProtocolError("exchange.refused", text)
    if got != kind:
        raise RemoteProtocolError(_CODE, f"a message of kind {got} where {kind} was expected")
    return fields


@frozen
class Greet:
    """The first exchange with somebody new; a sync round follows. ``again`` after we signed a newer record."""

    again: bool = False


@frozen
class Sync:
    """One request of an anti-entropy round."""

    round: SyncRound = field(repr=False)


@frozen
class Probe:
    """A stream probe that membership asked for."""

    seq: int


@frozen
class Renew:
    """A request for a renewed chain."""


@frozen
class Carry:
    """Gossip for a member that no datagram reaches."""


@frozen
class AskReached:
    """The question whether a member reaches us."""


@frozen
class DialBack:
    """A look whether a member is where it says it is, because it asked."""


@frozen
class Pull:
    """The question what a member holds of what is signed for the whole mesh."""


Purpose = Greet | Sync | Probe | Renew | Carry | AskReached | DialBack | Pull


@frozen
class Open:
    """An exchange that has no answer yet."""

    purpose: Purpose
    target: NodeId | None
    addresses: tuple[Address, ...]
    since: float


class Exchanges:
    """What is under way, by number; at most ``MAX_OPEN`` at once, of which ``MAX_OPEN_BESIDE_PROBES`` probe nobody."""

    def __init__(self) -> None:
        self._open: dict[int, Open] = {}
        self._last = 0

    def begin(
        self,
        purpose: Purpose,
        target: NodeId | None,
        addresses: tuple[Address, ...],
        request: bytes,
        *,
        now: float,
        timeout_s: float | None = None,
        keep: bool = False,
    ) -> Exchange | None:
        """Note an exchange and give the output that starts it, or None where too many are under way."""
        if not self._room_for(purpose):
            return None
        self._last += 1
        self._open[self._last] = Open(purpose, target, addresses, now)
        return Exchange(self._last, target, addresses, request, timeout_s, keep)

    def _room_for(self, purpose: Purpose) -> bool:
        if len(self._open) >= MAX_OPEN or isinstance(purpose, Probe):
            return len(self._open) < MAX_OPEN
        if isinstance(purpose, Carry):
            return self.count(Carry) < MAX_OPEN_CARRYING
        return len(self._open) - self.count(Probe, Carry) < MAX_OPEN_BESIDE_PROBES

    def count(self, *purposes: type[Purpose]) -> int:
        """Count what is under way for these purposes."""
        return sum(isinstance(each.purpose, purposes) for each in self._open.values())

    def end(self, number: int) -> Open | None:
        """Take out the exchange that was answered or failed; None if it is not under way."""
        return self._open.pop(number, None)

    def end_overdue(self, *, now: float) -> list[Open]:
        """Take out what has had no answer for ``MAX_AGE_S``: a shell that lost one must not block us for ever."""
        overdue = [number for number, each in self._open.items() if each.since + MAX_AGE_S <= now]
        return [self._open.pop(number) for number in overdue]

    def busy_with(self, target: NodeId) -> bool:
        """Tell whether a greeting or a sync round with ``target`` is under way."""
        return any(o.target == target and isinstance(o.purpose, Greet | Sync) for o in self._open.values())

    def busy_at(self, address: Address) -> bool:
        """Tell whether a seed at ``address`` is being greeted."""
        return any(o.target is None and address in o.addresses for o in self._open.values())
