"""How this node stands in the mesh: its record is signed again, and told, when what it says or its word must rise.

Law: for others' sake (they accuse us, bury us, or hold a record of ours that we did not sign) the version rises at
most once in ``Parameters.refute_gap_s``, and only above what our own key has signed. So a liar can neither make us
flood the mesh nor drive the version to its end. What we offer may change as often as somebody likes; it is told at
most once a gossip period, and in the long run no oftener than others pass our records on.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

from gossipmesh.errors import ConfigError
from gossipmesh.identity.chain import VerifiedChain
from gossipmesh.identity.record import MAX_COUNTER
from gossipmesh.identity.signed import SKEW_S
from gossipmesh.membership.machine import Membership
from gossipmesh.membership.parameters import Parameters
from gossipmesh.mesh.effects import Effect, RecordTaken
from gossipmesh.mesh.outputs import BootRaised, Level, Notice
from gossipmesh.mesh.own import Own
from gossipmesh.mesh.pace import RELAYED_PER_S
from gossipmesh.model import Address, Service, Serving

MAX_SHOWN_AT_ONCE: Final = 64
"""Members; with more of them a record that shows a new policy waits for the next look at everything."""
NOTICE_GAP_S: Final = 60.0
"""The same trouble with our own key is said again after this long."""
CHANGES: Final = 5
"""Changes of what we offer that are told at once, one a gossip period: half of what others pass on of one member, so
that health, refutations and a goodbye always find room. Past that they are told as fast as others pass them on."""
CLONE_NOTICE: Final = "another holder of this node's key, or an older copy of its state directory, is at work"


class Standing:
    """Signs this node's record again and hands it to membership.

    Args:
        own: what it says, and its key.
        membership: of the same node.
        parameters: how often its version rises for others' sake, and how fast news travels.

    Attributes:
        deadline: when a change of what we offer may be told, in monotonic seconds; infinity: none waits.
    """

    def __init__(self, own: Own, membership: Membership, parameters: Parameters) -> None:
        self._own = own
        self._membership = membership
        self._gap_s = parameters.refute_gap_s
        self._period_s = parameters.gossip_period_s
        self.deadline = inf
        self._told_offer_at = -inf
        self._whole_at = -inf  # when all of CHANGES may be told at once again
        self._boot = membership.own.boot  # as it is on the disk
        self._rose_at = -float("inf")
        self._told_at = -float("inf")
        self._waiting: tuple[int, int] | None = None
        self._said: frozenset[str] = frozenset()

    def greeting(self) -> tuple[bytes, bytes]:
        """Give our newest chain and record, for a greeting."""
        return self._own.chain.raw, self._membership.own.signed.raw

    def resign(self, *, now: float, wall: float, above: tuple[int, int] | None = None) -> list[Effect]:
        """Sign again, and tell."""
        record = self._own.sign(wall=wall, above=above)
        self.deadline = inf
        if self._waiting is not None and self._waiting < record.version:
            self._waiting = None
        raised: list[Effect] = []
        if record.boot > self._boot:
            self._boot = record.boot
            raised.append(BootRaised(record.boot))
        # The higher boot comes first: it should be on the disk before anybody hears of it.
        told = self._membership.update_own(record, now=now)
        return [*raised, RecordTaken(record.id), *self.complain(), *told]

    def complain(self) -> list[Effect]:
        """Say once which of our services nobody will be routed to."""
        refused, before, self._said = self._own.refused, self._said, self._own.refused
        if refused <= before:
            return []
        text = f"this node declares services outside its token, nobody is routed to them: {', '.join(sorted(refused))}"
        return [Notice(Level.WARNING, "own.services-refused", text)]

    def adopt(self, renewed: VerifiedChain | None, *, now: float, wall: float) -> list[Effect]:
        """Take a renewed chain, if it is one, and say so."""
        if renewed is None:
            return []
        self._own.chain = renewed
        return self.resign(now=now, wall=wall)

    def serve(self, serving: Serving, *, now: float, wall: float) -> list[Effect]:
        """Say that this node serves, drains or leaves."""
        self._own.serving = serving
        return self.resign(now=now, wall=wall)

    def move(self, addresses: tuple[Address, ...], *, now: float, wall: float) -> list[Effect]:
        """Say that we are at ``addresses``; where the record has no room for them, it stays as it is."""
        if addresses == self._own.addresses:
            return []
        try:
            self._own.move(addresses)
        except ConfigError as error:
            return [Notice(Level.WARNING, "own.address-kept", f"no other address can be advertised: {error}")]
        return self.resign(now=now, wall=wall)

    def set_health(self, unhealthy: frozenset[str], *, now: float, wall: float) -> list[Effect]:
        """Say which of our services do not work; whoever calls this sees to it that it is not done too often."""
        # Of one that is not offered yet, or not any more, there is nothing to tell.
        unhealthy &= {service.name for service in self._own.services}
        if unhealthy == self._own.unhealthy:
            return []
        self._own.unhealthy = unhealthy
        return self.resign(now=now, wall=wall)

    def show_policy(self, shown: tuple[int, bytes, int], *, now: float, wall: float) -> list[Effect]:
        """Say which policy is in effect here: version, the first 8 bytes of its hash, and its gate's verdict.

        In a large mesh not at once, for everybody has the same to say in the same second.
        """
        if shown == self._own.shown:
            return []
        self._own.shown = shown
        at_once = len(self._membership.members) < MAX_SHOWN_AT_ONCE
        return self.resign(now=now, wall=wall) if at_once else []

    def offer(self, services: Sequence[Service], *, now: float, wall: float) -> list[Effect]:
        """Say that we offer ``services``, and which of them work: now, or when it is time again.

        Raises:
            ConfigError: ``record.too-long`` or ``record.invalid``; nothing has changed.
        """
        before = self._own.services, self._own.unhealthy
        self._own.offer(services)
        if before == (self._own.services, self._own.unhealthy):
            return []
        recovered = max(self._whole_at, now) + 1 / RELAYED_PER_S
        self.deadline = max(now, self._told_offer_at + self._period_s, recovered - CHANGES / RELAYED_PER_S)
        return self.tell_offer(now=now, wall=wall)

    def tell_offer(self, *, now: float, wall: float) -> list[Effect]:
        """Sign what we offer, if that has changed and its time has come."""
        if now < self.deadline:
            return []
        self._told_offer_at = now
        self._whole_at = max(self._whole_at, now) + 1 / RELAYED_PER_S
        return self.resign(now=now, wall=wall)

    def rise_above_buried_untrusted(self, raw: bytes, *, now: float, wall: float) -> list[Effect]:
        """Rise above a record that a peer holds for dead, if it is ours and not outdated already.

        Raises:
            RemoteProtocolError: ``record.malformed``, or a TrustError for what our key did not sign.
        """
        return self.rise_above(self._own.version_of_untrusted(raw), now=now, wall=wall) if raw else []

    def rise_above(
        self, version: tuple[int, int], *, now: float, wall: float, foreign: bool = False
    ) -> list[Effect]:
        """Sign a record newer than ``version``, now or when the gap since the last time has passed.

        Args:
            version: what our own key has signed, and others hold against us.
            now: monotonic seconds.
            wall: Unix seconds.
            foreign: whether it is known that this process did not sign it; a higher version never was.
        """
        ours = self._membership.own
        if version < ours.version or ours.serving is Serving.LEAVING:
            return []
        used_up = version[0] >= MAX_COUNTER
        effects: list[Effect] = []
        if (foreign or used_up or version > ours.version) and now >= self._told_at + NOTICE_GAP_S:
            self._told_at = now
            effects.append(Notice(Level.WARNING, "own.clone", CLONE_NOTICE))
            if used_up:
                text = "the versions of this node's key are used up: its state directory has to be made anew"
                effects.append(Notice(Level.WARNING, "own.exhausted", text))
        if used_up:
            return effects
        if now < self._rose_at + self._gap_s:
            self._waiting = max(version, self._waiting or version)
            return effects
        self._rose_at = now
        return [*effects, *self.resign(now=now, wall=wall, above=version)]

    def handle_timer(self, *, now: float, wall: float) -> list[Effect]:
        """Rise where somebody had to wait for it; sign again what would grow too old."""
        if self._waiting is not None and now >= self._rose_at + self._gap_s:
            waiting, self._waiting = self._waiting, None
            return self.rise_above(waiting, now=now, wall=wall)
        # A clock that was ahead and is right again: what it signed is from the future to everybody, so nobody took it.
        ahead = wall < self._membership.own.issued_at - SKEW_S
        ahead = ahead or self._membership.own.policy != self._own.shown
        return self.resign(now=now, wall=wall) if ahead or wall >= self._own.refresh_wall else []
