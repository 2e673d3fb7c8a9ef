"""Requests over TCP by their kind, at both ends: which part answers, which takes the answer, which the failure."""

from __future__ import annotations

from typing import assert_never

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.credentials import Peer
from gossipmesh.mesh.admission import Admission
from gossipmesh.mesh.detour import Detour
from gossipmesh.mesh.effects import Effect
from gossipmesh.mesh.exchanges import (
    NO_ROOM,
    AskReached,
    Carry,
    DialBack,
    Greet,
    Kind,
    Open,
    Probe,
    Pull,
    Renew,
    Sync,
    decode_plain_untrusted,
    encode_plain,
)
from gossipmesh.mesh.gossip import Gossip
from gossipmesh.mesh.outputs import Output
from gossipmesh.mesh.own import Own
from gossipmesh.mesh.pulling import Pulling
from gossipmesh.mesh.reach import Reach
from gossipmesh.mesh.reconciling import Reconciling
from gossipmesh.mesh.renewing import Renewing
from gossipmesh.mesh.standing import Standing
from gossipmesh.model import NodeId
from gossipmesh.registry.sync_messages import peek_kind_untrusted


class Calls:
    """Hands each request, answer and failure to the part that it is for, and what it brought to admission."""

    def __init__(
        self,
        own_id: NodeId,
        *,
        own: Own,
        standing: Standing,
        admission: Admission,
        reconciling: Reconciling,
        renewing: Renewing,
        gossip: Gossip,
        detour: Detour,
        reach: Reach,
        pulling: Pulling,
    ) -> None:
        self._pulling = pulling
        self._own_id = own_id
        self._own = own
        self._standing = standing
        self._admission = admission
        self._reconciling = reconciling
        self._renewing = renewing
        self._gossip = gossip
        self._detour = detour
        self._reach = reach

    def answer_untrusted(
        self, peer: Peer, request: bytes, *, now: float, wall: float
    ) -> tuple[bytes, list[Effect], list[Output]]:
        """Answer a request of an authenticated peer.

        Raises:
            RemoteProtocolError: for a request that is none or is not granted; nothing changed. ``registry.*`` for
                whatever is asked by a newcomer that this node has no room for.
        """
        self._admission.check_room(peer)
        match peek_kind_untrusted(request):
            case Kind.RENEW:
                return self._renewing.answer_untrusted(peer, request, self._own.chain, wall=wall), [], []
            case Kind.CARRY:
                response, effects = self._gossip.answer_untrusted(peer.id, request, now=now, wall=wall)
                return response, effects, []
            case Kind.REACH:
                return self._reach.answer_untrusted(peer, request, now=now)
            case Kind.CHARTER:
                response, back = self._pulling.answer_untrusted(
                    peer.id, peer.record.addresses, request, now=now
                )
                return response, [], back
            case Kind.DIAL:
                decode_plain_untrusted(request, Kind.DIAL)
                return encode_plain(Kind.DIALLED), [], []
            case kind:
                response, learned, effects = self._reconciling.answer_untrusted(
                    peer, request, now=now, wall=wall
                )
                learnt = self._admission.learn(learned, peer.id, news=True, now=now, wall=wall)
                if kind == Kind.GREET and peer.id != self._own_id:
                    self._reach.meet(peer.id, peer.record.addresses, now=now)
                return response, [*effects, *learnt], []

    def receive_answer_untrusted(
        self, exchange: Open, peer: Peer, answer: bytes, *, now: float, wall: float
    ) -> tuple[list[Effect], list[Output]]:
        """Take an answer, and go on.

        Raises:
            RemoteProtocolError: for an answer that is none, or a refusal.
        """
        match exchange.purpose:
            case Renew():
                renewed, outputs = self._renewing.receive_answer_untrusted(
                    peer.id, answer, self._own.chain, wall=wall
                )
                return self._standing.adopt(renewed, now=now, wall=wall), outputs
            case Carry():
                effects = self._gossip.receive_answer_untrusted(peer.id, answer, now=now, wall=wall)
                return effects, self._gossip.carried(peer.id, now=now)
            case AskReached():
                return self._reach.receive_answer_untrusted(peer.id, answer, now=now), []
            case DialBack():
                # The handshake was what mattered; a release that does not know the question refuses it there too.
                self._reach.dialled(peer.id, ok=True)
                return [], []
            case Pull():
                return self._pulling.receive_answer_untrusted(
                    peer.id, exchange.addresses, answer, now=now, wall=wall
                )
            case Greet() | Sync() | Probe() as purpose:
                learned, effects, go_on = self._reconciling.receive_answer_untrusted(
                    exchange, peer, answer, now=now, wall=wall
                )
                if isinstance(purpose, Greet) and peer.id != self._own_id:
                    self._reach.meet(peer.id, exchange.addresses, now=now)
                learnt = self._admission.learn(learned, peer.id, news=True, now=now, wall=wall)
                asked = (
                    self._pulling.meets(peer.id, exchange.addresses, now=now)
                    if isinstance(purpose, Greet)
                    else []
                )
                return [*effects, *learnt], [*asked, *go_on()]
            case _:
                assert_never(exchange.purpose)

    def why(self, error: RemoteProtocolError) -> str:
        """Say what an answer that is none, or a refusal, means to this node."""
        quotas = self._own.chain.quotas
        if error.code == NO_ROOM and quotas:
            least = min(quota.nodes for quota in quotas)
            return f"{error} ({least} nodes): one of them has to leave, or give this node another token"
        return str(error)

    def failed(
        self, exchange: Open, why: str, *, refused: bool, code: str = "", now: float
    ) -> tuple[list[Effect], list[Output]]:
        """Take that an exchange found nobody, broke off, or was answered by what is no answer.

        ``code`` is that of the answer, or of the handshake's failure; it is empty where nobody was there.
        """
        match exchange.purpose:
            case Carry():
                if exchange.target is not None:
                    self._detour.failed(exchange.target)
                return [], []
            case AskReached():
                self._reach.failed(now=now)
                return [], []
            case DialBack():
                self._reach.dialled(exchange.target, ok=False)
                return [], []
            case Pull():
                self._pulling.failed(exchange.target)
                return [], []
            case Renew():
                return [], self._renewing.failed(exchange.target, why, refused=refused)
            case Greet() | Sync() | Probe():
                return self._reconciling.failed(exchange, why, refused=refused, code=code, now=now)
            case _:
                assert_never(exchange.purpose)
