"""The datagram path: sealed bytes to messages and back, and what each message means.

Probes go to membership, news through admission, questions for chains to the registry. What cannot be opened costs
at most a 16-byte hint, which at most causes one exchange of records over TCP.
"""

from __future__ import annotations

from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.membership import outputs as believed
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.messages import (
    AccusationNews,
    Ack,
    ChainNews,
    ChainRequest,
    Message,
    Nack,
    Ping,
    PingRequest,
    RecordNews,
    decode_messages_untrusted,
    encode_messages,
)
from gossipmesh.mesh.admission import Admission
from gossipmesh.mesh.effects import Effect, WantChain
from gossipmesh.mesh.outputs import Output, Refused, SendDatagram
from gossipmesh.mesh.reconciling import Reconciling
from gossipmesh.mesh.secrecy import Secrecy
from gossipmesh.model import Address, NodeId
from gossipmesh.registry.store import Registry

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
    ) -> None:
        self._secrecy = secrecy
        self._registry = registry
        self._membership = membership
        self._admission = admission
        self._reconciling = reconciling

    def receive_untrusted(
        self, payload: bytes, source: Address, *, now: float, wall: float
    ) -> tuple[list[Effect], list[Output]]:
        """Take one UDP payload. Whatever it holds, the worst result is :class:`Refused`."""
        try:
            sender, plaintext = self._secrecy.open_untrusted(payload)
            messages = decode_messages_untrusted(plaintext)
        except RemoteProtocolError as error:
            return [], self._receive_unreadable(payload, source, error.code, now=now)
        effects: list[Effect] = []
        replies: list[Message] = []
        for message in messages:
            effects += self._receive(message, sender, replies, now=now, wall=wall)
        if replies:
            effects.append(believed.SendMessages(sender, tuple(replies)))
        return effects, []

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
        self, message: Message, sender: NodeId, replies: list[Message], *, now: float, wall: float
    ) -> list[Effect]:
        match message:
            case Ping() | Ack() | PingRequest() | Nack():
                if isinstance(message, Ping | Ack) and message.root == self._registry.digest.root:
                    self._reconciling.agrees(sender)
                return list(self._membership.receive(message, sender, now=now))
            case RecordNews(raw):
                effects = self._admission.record(raw, sender, news=True, now=now, wall=wall)
                # The chain too needs most of a datagram, so one is asked for at a time.
                replies += [ChainRequest(effect.hash) for effect in effects if isinstance(effect, WantChain)]
                return effects
            case AccusationNews(raw):
                return self._admission.accusation(raw, now=now, wall=wall)
            case ChainRequest(chain_hash):
                chain = self._registry.chain(chain_hash)
                if chain is not None and not any(isinstance(reply, ChainNews) for reply in replies):
                    replies.append(ChainNews(chain.raw))
                return []
            case ChainNews(raw):
                return self._admission.chain(raw, news=True, now=now, wall=wall)

    def seal(self, target: NodeId, messages: tuple[Message, ...]) -> list[Output]:
        """Give the datagram that carries ``messages`` to a member's signed address; nothing for a stranger."""
        member = self._membership.members.get(target)
        if member is None:
            return []
        try:
            payload = self._secrecy.seal(target, encode_messages(messages))
        except (LocalProtocolError, RemoteProtocolError) as error:
            return [Refused(error.code)]
        kind = type(messages[0]).__name__.lower() if messages else "empty"
        return [SendDatagram(member.record.addresses[0], payload, kind)]
