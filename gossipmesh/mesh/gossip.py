"""The datagram path: sealed bytes to messages and back, and what each message means.

Probes go to membership, news through admission, questions for chains to the registry. What cannot be opened costs
at most a 16-byte hint, which at most causes one exchange of records over TCP. What came as a datagram is answered by
datagrams, what came over a channel in the answer: so a ping that tries UDP again finds out about both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.membership import outputs as believed
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.message_codec import decode_messages_untrusted, encode_messages
from gossipmesh.membership.messages import (
    AccusationNews,
    Ack,
    ChainNews,
    ChainRequest,
    CharterNews,
    Message,
    Nack,
    Ping,
    PingRequest,
    RecordNews,
)
from gossipmesh.mesh.admission import Admission
from gossipmesh.mesh.convergence import Convergence
from gossipmesh.mesh.detour import Detour
from gossipmesh.mesh.effects import CharterHeard, Effect, Reply, WantChain
from gossipmesh.mesh.exchanges import Kind, decode_carried_untrusted, encode_carried
from gossipmesh.mesh.outputs import Converged, Output, Refused, SendDatagram
from gossipmesh.mesh.reach import Reach
from gossipmesh.mesh.reconciling import Reconciling
from gossipmesh.mesh.secrecy import Secrecy
from gossipmesh.mesh.survey import Survey
from gossipmesh.model import Address, NodeId
from gossipmesh.registry.store import Registry

MAX_PROBES: Final = 4
"""Pings, acks and the like in one datagram; we ourselves send one."""
WORTH_A_HINT = frozenset({"datagram.stranger", "datagram.forged", "datagram.salts"})
"""Datagrams refused for these codes may come from a peer that missed a restart, ours or its own."""


class Gossip:
    """Opens, reads and seals this node's datagrams."""

    def __init__(
        self,
        *,
        secrecy: Secrecy,
        registry: Registry,
        membership: Membership,
        admission: Admission,
        reconciling: Reconciling,
        detour: Detour,
        reach: Reach,
        survey: Survey,
        convergence: Convergence,
        charter: Callable[[], bytes],
    ) -> None:
        self._charter = charter
        self._secrecy = secrecy
        self._registry = registry
        self._membership = membership
        self._admission = admission
        self._reconciling = reconciling
        self._detour = detour
        self._reach = reach
        self._survey = survey
        self._convergence = convergence

    def receive_untrusted(
        self, payload: bytes, source: Address, *, now: float, wall: float
    ) -> tuple[list[Effect], list[Output]]:
        """Take one UDP payload. Whatever it holds, the worst result is :class:`Refused`."""
        try:
            sender, plaintext = self._secrecy.open_untrusted(payload)
            messages = decode_messages_untrusted(plaintext)
        except RemoteProtocolError as error:
            return [], self._receive_unreadable(payload, source, error.code, now=now)
        effects = self._take(messages, sender, stream=False, now=now, wall=wall)
        return [_by_datagram(effect, sender) for effect in effects], []

    def answer_untrusted(
        self, sender: NodeId, request: bytes, *, now: float, wall: float
    ) -> tuple[bytes, list[Effect]]:
        """Take what a peer sends over a channel because datagrams do not get through; give the answer.

        Raises:
            RemoteProtocolError: for a request that is none; nothing changed.
        """
        back: list[bytes] = []
        others: list[Effect] = []
        for messages in decode_carried_untrusted(request, Kind.CARRY):
            for effect in self._take(messages, sender, stream=True, now=now, wall=wall):
                match effect:
                    case believed.SendMessages(target, said) if target == sender:
                        with suppress(LocalProtocolError):
                            back.append(encode_messages(said, self._charter()))
                    case _:
                        others.append(effect)
        return encode_carried(Kind.CARRIED, back), others

    def receive_answer_untrusted(
        self, sender: NodeId, answer: bytes, *, now: float, wall: float
    ) -> list[Effect]:
        """Take what a peer answered to what we sent over a channel.

        Raises:
            RemoteProtocolError: for an answer that is none; nothing changed.
        """
        carried = decode_carried_untrusted(answer, Kind.CARRIED)
        return [
            effect
            for messages in carried
            for effect in self._take(messages, sender, stream=True, now=now, wall=wall)
        ]

    def carried(self, node: NodeId, *, now: float) -> list[Output]:
        """Take that an exchange of messages with a member is over."""
        member = self._membership.members.get(node)
        return [] if member is None else [*self._detour.answered(member, now=now)]

    def _take(
        self, messages: Sequence[Message], sender: NodeId, *, stream: bool, now: float, wall: float
    ) -> list[Effect]:
        effects: list[Effect] = []
        replies: list[Message] = []
        probes = 0
        for message in messages:
            if isinstance(message, Ping | Ack | PingRequest | Nack):
                # Each may cost a datagram in return, so a datagram full of them would be worth twenty.
                probes += 1
                if probes > MAX_PROBES:
                    effects.append(Refused("gossip.too-many-probes"))
                    break
            effects += self._receive(message, sender, replies, stream=stream, now=now, wall=wall)
        if replies:
            effects.append(believed.SendMessages(sender, tuple(replies)))
        return effects

    def _receive_unreadable(self, payload: bytes, source: Address, code: str, *, now: float) -> list[Output]:
        if code == "datagram.hint":
            outputs: list[Output] = []
            for peer in self._secrecy.hinting_peers(payload):
                member = self._membership.members.get(peer)
                if member is not None and source in member.record.addresses:
                    outputs += self._reconciling.hinted(member, now=now)
            return outputs
        hint = self._secrecy.hint_for(payload, source, now=now) if code in WORTH_A_HINT else None
        return [Refused(code)] if hint is None else [Refused(code), SendDatagram(source, hint, "hint")]

    def _receive(
        self,
        message: Message,
        sender: NodeId,
        replies: list[Message],
        *,
        stream: bool,
        now: float,
        wall: float,
    ) -> list[Effect]:
        match message:
            case RecordNews(raw):  # first, for most messages are records, and most of those are held already
                effects = self._admission.record(raw, sender, news=True, now=now, wall=wall)
                # The chain too needs most of a datagram, so one is asked for at a time.
                replies += [ChainRequest(effect.hash) for effect in effects if isinstance(effect, WantChain)]
                return effects
            case Ping() | Ack() | PingRequest() | Nack():
                surveyed = False
                if isinstance(message, Ack) and not stream:
                    self._reach.heard(sender)
                    surveyed = self._survey.heard(message.seq, sender, now=now)
                compared = self._compare(message, sender, now=now) if isinstance(message, Ping | Ack) else []
                if surveyed:
                    return compared
                return [*compared, *self._membership.receive(message, sender, now=now, stream=stream)]
            case AccusationNews(raw):
                return self._admission.accusation(raw, now=now, wall=wall)
            case ChainRequest(chain_hash):
                chain = self._registry.chain(chain_hash)
                if chain is not None and not any(isinstance(reply, ChainNews) for reply in replies):
                    replies.append(ChainNews(chain.raw))
                return []
            case ChainNews(raw):
                return self._admission.chain(raw, news=True, now=now, wall=wall)
            case CharterNews(digest, revocation):
                return [CharterHeard(sender, digest, revocation)]

    def _compare(self, message: Ping | Ack, sender: NodeId, *, now: float) -> list[Effect]:
        if message.root != self._registry.digest.root:
            self._convergence.differs(now=now)
            return []
        self._reconciling.agrees(sender)
        lasted_s = self._convergence.agrees(now=now)
        return [] if lasted_s is None else [Converged(lasted_s)]

    def send(self, target: NodeId, messages: tuple[Message, ...], *, now: float) -> list[Output]:
        """Send ``messages`` the way that leads to ``target``: as a datagram, or over a kept channel."""
        member = self._membership.members.get(target)
        if member is None:
            return []
        if not (member.udp_blocked and member.living):
            self._detour.forget(target)
            return self.seal(target, messages)
        ping = self._detour.tries_udp(member, messages, now=now)
        outputs = [] if ping is None else self.seal(target, (ping,))
        rest = tuple(message for message in messages if message is not ping)
        try:
            return [*outputs, *self._detour.send(member, rest, now=now)] if rest else outputs
        except LocalProtocolError as error:
            return [*outputs, Refused(error.code)]

    def seal(self, target: NodeId, messages: tuple[Message, ...]) -> list[Output]:
        """Give the datagram that carries ``messages`` to a member's signed address; nothing for a stranger."""
        member = self._membership.members.get(target)
        if member is None:
            return []
        try:
            payload = self._secrecy.seal(target, encode_messages(messages, self._charter()))
        except (LocalProtocolError, RemoteProtocolError) as error:
            return [Refused(error.code)]
        kind = type(messages[0]).__name__.lower() if messages else "empty"
        return [SendDatagram(member.record.addresses[0], payload, kind)]


def _by_datagram(effect: Effect, sender: NodeId) -> Effect:
    match effect:
        case believed.SendMessages(target, messages) if target == sender:
            return Reply(target, messages)
        case _:
            return effect
