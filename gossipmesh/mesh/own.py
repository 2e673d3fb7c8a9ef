"""This node's own record: what it says, and when it has to be signed again. Only the owner can do this.

Incarnation is a boot counter (kept on disk, raised before the first send) above a counter that restarts with every
boot; no clock is in it. Records live 24 hours and are refreshed at half their life, with jitter.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from attrs import evolve

from gossipmesh.errors import ConfigError, RemoteProtocolError, TrustError
from gossipmesh.identity.accusation import Accusation, sign_accusation
from gossipmesh.identity.credentials import encode_credentials
from gossipmesh.identity.record import (
    MAX_COUNTER,
    MAX_GATE,
    MAX_GENERATION,
    NO_POLICY,
    POLICY_PREFIX,
    RECORD_LABEL,
    RECORD_LIFETIME_S,
    MemberRecord,
    decode_record_untrusted,
    refused_services,
    sign_record,
)
from gossipmesh.identity.signed import MAX_WALL
from gossipmesh.mesh.secrecy import Secrecy
from gossipmesh.mesh.setup import Setup
from gossipmesh.model import Address, NodeId, Service, Serving
from gossipmesh.registry.store import Registry

if TYPE_CHECKING:
    import random

REFRESH_JITTER: Final = 0.1
"""A record is refreshed at half its life, give or take this share, so that a mesh does not sign all at once."""
_LARGEST: Final = (MAX_COUNTER, bytes(POLICY_PREFIX), MAX_GATE)
"""The policy that takes most bytes in a record."""


class Own:
    """Signs for this node, and keeps its newest chain and record in the registry like everybody's.

    Attributes:
        chain: as last renewed.
        serving: what the next record says.
        addresses: where the next record says that this node is; :meth:`move` changes it.
        services: what the next record says is offered here; :meth:`offer` changes it.
        unhealthy: those of them that the next record says do not work.
        refresh_wall: when the record has to be signed again, in Unix seconds.
    """

    def __init__(self, setup: Setup, *, secrecy: Secrecy, registry: Registry, rng: random.Random) -> None:
        self._setup = setup
        self._secrecy = secrecy
        self._registry = registry
        self._rng = rng
        self._boot = setup.boot
        self._incarnation = -1
        self.chain = setup.chain
        self.serving = Serving.SERVING
        self.addresses = setup.addresses
        self.services = setup.services
        self.unhealthy = _unhealthy(setup.services)
        self.refresh_wall = 0.0
        self.shown = NO_POLICY
        """Which policy the next record says is in effect here."""
        self.refused: frozenset[str] = frozenset()
        """Services that we declare and our chain does not allow: no route leads to them, ours neither."""
        self.check(setup.services)

    def check(self, services: Sequence[Service]) -> None:
        """Check that a record that offers ``services`` would be accepted, whatever else becomes of it.

        Raises:
            ConfigError: ``record.too-long`` or ``record.invalid``; nothing has changed.
        """
        # Counters take more bytes as they rise, and a policy that comes to be in effect takes some. What is too long
        # for the highest ones is refused here, when somebody asks for it, and not by a running daemon that has to
        # refute something.
        wall = MAX_WALL - RECORD_LIFETIME_S
        self._record(MAX_COUNTER, MAX_COUNTER, MAX_GENERATION, services, wall=wall, shown=_LARGEST)

    def offer(self, services: Sequence[Service]) -> None:
        """Have the next record offer ``services``, in the place of what was offered before.

        Raises:
            ConfigError: as :meth:`check`.
        """
        self.check(services)
        self.services = tuple(services)
        self.unhealthy = _unhealthy(services)

    def move(self, addresses: tuple[Address, ...]) -> None:
        """Have the next record say that this node is at ``addresses``.

        Raises:
            ConfigError: as :meth:`check`; nothing has changed.
        """
        before, self.addresses = self.addresses, addresses
        try:
            self.check(self.services)
        except ConfigError:
            self.addresses = before
            raise

    def _record(
        self,
        boot: int,
        incarnation: int,
        generation: int,
        services: Sequence[Service],
        *,
        wall: float,
        shown: tuple[int, bytes, int],
    ) -> MemberRecord:
        return sign_record(
            seed=self._setup.key.seed,
            mesh_id=self._setup.trust.mesh_id,
            boot=boot,
            incarnation=incarnation,
            name=self.chain.name,
            addresses=self.addresses,
            dh_key=self._secrecy.public,
            dh_generation=generation,
            zone=self._setup.zone,
            services=services,
            serving=self.serving,
            chain_hash=self.chain.hash,
            issued_at=int(wall),
            policy=shown,
        )

    def sign(self, *, wall: float, above: tuple[int, int] | None = None) -> MemberRecord:
        """Sign the next record, with an incarnation above the last and above ``above``.

        Raises:
            ConfigError: ``record.too-long``, when it would not fit a datagram; the counter is unchanged.
        """
        # Where somebody holds a newer record of this id (a clone, or our state directory went back in time), only a
        # higher one can be heard.
        last = (self._boot, self._incarnation)
        boot, incarnation = _next(last if above is None else max(last, above))
        offered = [evolve(each, healthy=each.name not in self.unhealthy) for each in self.services]
        generation = self._secrecy.generation
        record = self._record(boot, incarnation, generation, offered, wall=wall, shown=self.shown)
        self._boot, self._incarnation = boot, incarnation
        self.refused = frozenset(refused_services(record, self.chain))
        self.refresh_wall = wall + RECORD_LIFETIME_S * (
            0.5 + self._rng.uniform(-REFRESH_JITTER, REFRESH_JITTER)
        )
        with suppress(RemoteProtocolError):
            # A chain that has expired, or has not begun by our clock, is refused here as it is everywhere. That is
            # no reason to stop: others' clocks may be right, and a renewed chain may come.
            self._registry.offer_chain_untrusted(self.chain.raw, wall=wall)
            self._registry.offer_record_untrusted(record.signed.raw, source=self._setup.key.id, wall=wall)
        return record

    def credentials(self, theirs: int | None, record: MemberRecord, *, wall: float) -> bytes:
        """Give what a handshake shows of us, with ``record`` as our newest; see :meth:`Mesh.credentials`."""
        trust = self._setup.trust
        return encode_credentials(
            trust.n,
            self.chain.raw,
            record.signed.raw,
            wall=wall,
            newest=None if theirs is None else trust.latest.hash,
            lacking=() if theirs is None else trust.after(theirs),
        )

    def version_of_untrusted(self, raw: bytes) -> tuple[int, int]:
        """Give the version of a record that our own key signed, in this life or another.

        Raises:
            RemoteProtocolError: ``record.malformed``.
            TrustError: ``record.other`` for another's record, ``record.signature`` for one that we never signed.
        """
        record = decode_record_untrusted(raw)
        if record.id != self._setup.key.id:
            raise TrustError("record.other", "a record of another node where ours was expected")
        if not record.signed.verify(RECORD_LABEL, self._setup.trust.mesh_id, record.id):
            raise TrustError("record.signature", "a record is not signed by its own id")
        return record.version

    def accuse(self, subject: NodeId, boot: int, incarnation: int, *, wall: float) -> Accusation:
        """Sign that ``subject`` does not answer as of its version ``(boot, incarnation)``."""
        return sign_accusation(
            seed=self._setup.key.seed,
            mesh_id=self._setup.trust.mesh_id,
            subject=subject,
            boot=boot,
            incarnation=incarnation,
            issued_at=int(wall),
        )


def _unhealthy(services: Sequence[Service]) -> frozenset[str]:
    return frozenset(service.name for service in services if not service.healthy)


def _next(version: tuple[int, int]) -> tuple[int, int]:
    boot, incarnation = version
    return (boot, incarnation + 1) if incarnation < MAX_COUNTER else (boot + 1, 0)
