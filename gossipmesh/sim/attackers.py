"""Members that follow the protocol as far as it serves them: a liar, and a forger with keys of its own.

Both are admitted nodes with valid chains. What they can do, whoever steals one node's disk can do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from attrs import evolve

from gossipmesh import wire
from gossipmesh.identity.accusation import ACCUSATION_LABEL, ACCUSATION_VERSION, sign_accusation
from gossipmesh.identity.record import MAX_COUNTER, MemberRecord, resign_record
from gossipmesh.identity.signed import envelope, seal
from gossipmesh.membership import outputs as believed
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.messages import (
    AccusationNews,
    Ack,
    Message,
    Nack,
    PingRequest,
    ProbeMessage,
    RecordNews,
)
from gossipmesh.mesh.machine import Mesh
from gossipmesh.mesh.outputs import Output
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import NodeId, Serving

if TYPE_CHECKING:
    import random

LIE_EVERY_S: Final = 0.2
LIES_AT_ONCE: Final = 4
"""Accusations to a datagram; more do not fit."""
LISTENERS_AT_ONCE: Final = 16


class LyingMembership(Membership):
    """Asked to probe somebody, it answers at once and probes nobody: *no answer* and *all is well* in turns."""

    _says_well = False

    def receive(
        self, message: ProbeMessage, sender: NodeId, *, now: float, stream: bool = False
    ) -> list[believed.Output]:
        """Lie to who asks for a probe; do all else as it should be done."""
        if not isinstance(message, PingRequest):
            return super().receive(message, sender, now=now, stream=stream)
        self._says_well = not self._says_well
        answer = Ack(message.seq, self._root()) if self._says_well else Nack(message.seq)
        return [believed.SendMessages(sender, (answer,))]


class Liar(Mesh):
    """Accuses everybody to everybody, all the time; every second time of a version that nobody ever signed."""

    # All arguments by name: mypyc does not hand `**more` to a compiled method.
    def __init__(
        self,
        setup: Setup,
        *,
        rng: random.Random,
        entropy: Callable[[int], bytes],
        now: float,
        wall: float,
    ) -> None:
        super().__init__(
            evolve(setup, membership=LyingMembership), rng=rng, entropy=entropy, now=now, wall=wall
        )
        self._lies = 0
        self._lie_at = 0.0

    def handle_timer(self, *, now: float, wall: float, late_s: float = 0.0) -> list[Output]:
        """Do what is due, and lie."""
        outputs = super().handle_timer(now=now, wall=wall, late_s=late_s)
        if now < self._lie_at or not self.members:
            return outputs
        self._lie_at = now + LIE_EVERY_S
        others = list(self.members.values())
        accused = [others[(self._lies + i) % len(others)] for i in range(min(LIES_AT_ONCE, len(others)))]
        start = self._lies // len(others)
        told = [others[(start + i) % len(others)].id for i in range(min(LISTENERS_AT_ONCE, len(others)))]
        turn = self._lies // LIES_AT_ONCE
        self._lies += LIES_AT_ONCE
        lies = tuple(
            self._accuse(each.record, wall, signed=(turn + number) % 2 == 0)
            for number, each in enumerate(accused)
        )
        for target in told:
            outputs += self._gossip.seal(target, lies)
        return outputs

    def _accuse(self, subject: MemberRecord, wall: float, *, signed: bool) -> AccusationNews:
        boot, incarnation = subject.version if signed else (MAX_COUNTER, MAX_COUNTER - 1)
        accusation = sign_accusation(
            seed=self._setup.key.seed,
            mesh_id=self._setup.trust.mesh_id,
            subject=subject.id,
            boot=boot,
            incarnation=incarnation,
            issued_at=int(wall),
        )
        return AccusationNews(accusation.signed.raw)


class Forger(Mesh):
    """Sends, on demand, what others never signed. Its datagrams are sealed as a member's should be."""

    def forge(self, target: NodeId, victim: MemberRecord, *, now: float, wall: float) -> list[Output]:
        """Send ``target`` one of each forgery about ``victim``; the outputs are to be performed."""
        self._now, self._wall = now, wall
        messages: list[Message] = [RecordNews(raw) for raw in self._records(victim, int(wall))]
        messages += [AccusationNews(raw) for raw in self._accusations(victim, int(wall))]
        outputs: list[Output] = []
        for message in messages:
            outputs += self._gossip.seal(target, (message,))
        return outputs

    def _records(self, victim: MemberRecord, issued_at: int) -> Sequence[bytes]:
        """Give a farewell, a newer life, the greatest version, and the true signature under another body."""
        boot, incarnation = victim.version
        wanted = (
            evolve(victim, incarnation=incarnation + 1, serving=Serving.LEAVING),
            evolve(victim, boot=boot + 1, incarnation=0),
            evolve(victim, boot=MAX_COUNTER, incarnation=MAX_COUNTER - 1),
        )
        seed, mesh_id = self._setup.key.seed, self._setup.trust.mesh_id
        signed = [resign_record(each, seed=seed, mesh_id=mesh_id, issued_at=issued_at) for each in wanted]
        moved = envelope(signed[0].signed.body, victim.signed.signature)
        return [*(each.signed.raw for each in signed), moved.raw]

    def _accusations(self, victim: MemberRecord, issued_at: int) -> Sequence[bytes]:
        """Give accusations of ``victim`` in the name of others, as many as would take it out of rotation."""
        others = (node for node in self.members if node not in (victim.id, self.id))
        seed, mesh_id = self._setup.key.seed, self._setup.trust.mesh_id
        bodies = (
            wire.pack([ACCUSATION_VERSION, accuser, victim.id, *victim.version, issued_at])
            for accuser in islice(others, 3)
        )
        return [seal(ACCUSATION_LABEL, mesh_id, body, seed).raw for body in bodies]
