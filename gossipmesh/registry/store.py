"""The verified records that a node holds, one per id, and the chains that prove them.

Everything enters by an offer of raw bytes and is answered by a value that says what became of it. Offers cost what
they must: bytes that are held already cost one look-up, an outdated version one decoding, a refusal no signature.

Law: after any set of offers, in any order and with any repetition, the newest version of each id is held. What was
buried by :meth:`Registry.forget` stays out until its owner signs a newer version, and what has expired stays out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen

from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.chain import VerifiedChain, chain_hash
from gossipmesh.identity.checks import CHECKS, Checks
from gossipmesh.identity.record import MemberRecord, refused_services
from gossipmesh.identity.signed import SKEW_S
from gossipmesh.model import NodeId, Serving
from gossipmesh.registry.digest import Digest, Entry, entry_of
from gossipmesh.registry.places import Places
from gossipmesh.registry.pool import MAX_WAITING, Waiting, WaitingPool

MAX_MEMBERS: Final = 16_384
MAX_PER_TOKEN: Final = 4_096
MAX_SPARE_CHAINS: Final = 1_024
MAX_TOMBSTONES: Final = 65_536
MAX_CLONES: Final = 64
MAX_REFUSED: Final = 4_096
"""Hashes of chains and records that are remembered as refused for want of room."""


@frozen
class RegistryLimits:
    """How much a registry holds.

    Args:
        members: records. Over it, those held are kept and newcomers refused.
        per_token: ids whose chains begin with one token. A mesh that admits more nodes by one token needs more.
        waiting: unverified records that wait for their chain.
        spare_chains: chains of which no record is held; the oldest is dropped.
        tombstones: buried ids; the one buried first is dropped.
    """

    members: int = MAX_MEMBERS
    per_token: int = MAX_PER_TOKEN
    waiting: int = MAX_WAITING
    spare_chains: int = MAX_SPARE_CHAINS
    tombstones: int = MAX_TOMBSTONES


@frozen
class Accepted:
    """The record was verified and is now the newest of its id."""

    record: MemberRecord
    previous: MemberRecord | None
    refused_services: tuple[str, ...]
    """Services that the record declares and its chain does not allow: no route may lead to them."""


@frozen
class Stale:
    """The record is held already, or older than what is held or buried; nothing to do."""


@frozen
class NeedsChain:
    """The record waits for the chain with this hash (or was dropped, where too many wait); ask its sender for it."""

    chain_hash: bytes


@frozen(repr=False)
class CloneAlarm:
    """Two different records of one version, both signed by one key: the key is in use twice. Ours is kept.

    Told once per version; both are shown as they came, since together they are the proof.
    """

    id: NodeId
    ours: bytes
    theirs: bytes


@frozen
class Refused:
    """What was offered is not taken, through no fault of its sender.

    ``code`` is ``registry.full``, ``registry.token-quota`` (this registry's bound), ``registry.quota`` (the token's
    own), ``record.expired``, ``chain.expired`` or ``chain.revoked``.
    """

    code: str


@frozen
class ChainAccepted:
    """The chain is held; ``waiting`` are the records that waited for it, to be offered again."""

    chain: VerifiedChain
    waiting: tuple[Waiting, ...]


RecordOutcome = Accepted | Stale | NeedsChain | CloneAlarm | Refused
ChainOutcome = ChainAccepted | Refused

_STALE: Final = Stale()


@frozen
class _Tombstone:
    version: tuple[int, int]
    until: int


class Registry:
    """What one node holds. Every ``wall`` is in Unix seconds.

    Args:
        trust: the mesh's bundles.
        limits: how much to hold.
        checks: what to decode and verify with.
        revoked: whether a chain that was verified is revoked now. Asked apart from ``checks``, whose answers may be
            remembered for ever.
    """

    def __init__(
        self,
        trust: TrustStore,
        *,
        limits: RegistryLimits | None = None,
        checks: Checks | None = None,
        revoked: Callable[[VerifiedChain], bool] = lambda _: False,
    ) -> None:
        self._trust = trust
        self._revoked = revoked
        self._limits = limits or RegistryLimits()
        self._checks = checks or CHECKS
        self._records: dict[NodeId, MemberRecord] = {}
        self._held_bytes: set[bytes] = set()
        self._chains: dict[bytes, VerifiedChain] = {}
        self._spare: dict[bytes, None] = {}
        self._places = Places()
        self._tombstones: dict[NodeId, _Tombstone] = {}
        self._clones: dict[tuple[NodeId, tuple[int, int]], CloneAlarm] = {}
        self._refused: dict[bytes, str] = {}
        self._pool = WaitingPool(self._limits.waiting)
        self.digest: Final = Digest()
        """What is held, hashed. To be read only."""

    def __len__(self) -> int:
        return len(self._records)

    @property
    def records(self) -> Mapping[NodeId, MemberRecord]:
        """The records held, by id."""
        return MappingProxyType(self._records)

    @property
    def clones(self) -> tuple[CloneAlarm, ...]:
        """The last alarms, at most 64, oldest first."""
        return tuple(self._clones.values())

    @property
    def waiting(self) -> int:
        """How many unverified records wait for their chain."""
        return len(self._pool)

    def lookup(self, node: NodeId) -> MemberRecord | None:
        """Give the record of an id."""
        return self._records.get(node)

    def chain(self, hash_: bytes) -> VerifiedChain | None:
        """Give the chain with this hash (BLAKE2b-128 of its bytes), of a held record or spare."""
        return self._chains.get(hash_)

    def chain_of(self, node: NodeId) -> VerifiedChain | None:
        """Give the chain of an id's record; where the record is held, so is its chain."""
        record = self._records.get(node)
        return None if record is None else self._chains.get(record.chain_hash)

    def wants(self, entry: Entry) -> bool:
        """Tell whether the record that a peer's entry stands for would be news here."""
        tombstone = self._tombstones.get(entry.id)
        if tombstone is not None and entry.version <= tombstone.version:
            return False
        held = self.digest.get(entry.id)
        if held is None:
            return len(self._records) < self._limits.members and entry.body_hash not in self._refused
        if entry.version != held.version:
            return entry.version > held.version
        return entry.body_hash != held.body_hash and (entry.id, entry.version) not in self._clones

    def offer_chain_untrusted(self, raw: bytes, *, wall: float) -> ChainOutcome:
        """Verify and hold a chain; give back the records that waited for it.

        Raises:
            RemoteProtocolError: as :func:`gossipmesh.identity.chain.verify_chain_untrusted`. Nothing has changed.
        """
        hash_ = chain_hash(raw)
        known = self._chains.get(hash_)
        if known is not None:
            return Refused("chain.expired") if known.grants.expired(wall) else ChainAccepted(known, ())
        code = self._refused.get(hash_)
        if code is not None:
            return Refused(code)
        chain = self._checks.verify_chain(raw, self._trust, wall=wall)
        code = self.no_room_for(chain)
        if code is not None:
            self._pool.release(hash_)
            return self._refuse(code, hash_)
        # The chain's own copy of its hash, where nodes of a simulation share the chain.
        hash_ = chain.hash
        self._chains[hash_] = chain
        self._spare[hash_] = None
        if len(self._spare) > self._limits.spare_chains:
            oldest = next(iter(self._spare))
            del self._spare[oldest], self._chains[oldest]
        return ChainAccepted(chain, self._pool.release(hash_))

    def offer_record_untrusted(self, raw: bytes, *, source: NodeId, wall: float) -> RecordOutcome:
        """Verify a record and hold it if it is the newest of its id.

        Args:
            raw: the bytes as they came.
            source: the authenticated peer that sent them, which need not be the owner.
            wall: now.

        Raises:
            RemoteProtocolError: ``record.malformed``, or a :class:`TrustError` as
                :func:`gossipmesh.identity.record.verify_decoded_record`. Nothing has changed.
        """
        if raw in self._held_bytes:
            return _STALE
        record = self._checks.decode_record(raw)
        held = self._records.get(record.id)
        if self._is_outdated(record, held):
            return _STALE
        if wall > record.expires_at + SKEW_S:
            return Refused("record.expired")
        chain = self._chains.get(record.chain_hash)
        if chain is None:
            return self._await_chain(record, source)
        if chain.grants.expired(wall):
            return Refused("chain.expired")
        leaving = record.serving is Serving.LEAVING
        code = self.no_room_for(chain, leaving=leaving)
        if code is not None:
            return self._refuse(code, record.signed.body_hash)
        record = self._checks.verify_record(record, chain, self._trust.mesh_id, wall=wall)
        if held is not None and held.version == record.version:
            return self._raise_alarm(held, record)
        self._hold(record, chain, held)
        return Accepted(record, held, refused_services(record, chain))

    def _is_outdated(self, record: MemberRecord, held: MemberRecord | None) -> bool:
        tombstone = self._tombstones.get(record.id)
        if tombstone is not None and record.version <= tombstone.version:
            return True
        if held is None or record.version > held.version:
            return False
        if record.version < held.version or (record.id, record.version) in self._clones:
            return True
        # One body signed twice says one thing; it is no sign of a clone.
        return record.signed.body == held.signed.body

    def _await_chain(self, record: MemberRecord, source: NodeId) -> NeedsChain | Refused:
        code = self._refused.get(record.chain_hash)
        if code is not None:
            return self._refuse(code, record.signed.body_hash)
        self._pool.add(Waiting(record.signed.raw, source, record.chain_hash, record.expires_at))
        return NeedsChain(record.chain_hash)

    def no_room_for(self, chain: VerifiedChain, *, leaving: bool = False) -> str | None:
        """Give the code of why the owner of a chain may not be held, if it is not held already.

        A member that is held may change its token freely: an issuer that renews a whole mesh must not be stopped
        by a bound on newcomers. Only who had left, and gave its place in a quota to others, is a newcomer again. One
        that is revoked is held no longer, under whatever chain.
        """
        if self._revoked(chain):
            return "chain.revoked"
        held = self._records.get(chain.id)
        comes = held is None or (held.serving is Serving.LEAVING and not leaving)
        if comes and not self._places.within_quotas(chain):
            return "registry.quota"
        if held is not None:
            return None
        if len(self._records) >= self._limits.members:
            return "registry.full"
        if self._places.of_token(chain) >= self._limits.per_token:
            return "registry.token-quota"
        return None

    def _refuse(self, code: str, hash_: bytes) -> Refused:
        """Remember a refusal until there is room again: it costs no signature twice, and sync does not ask for it.

        Never by id: whoever has a token can make a chain that names another node's id.
        """
        self._refused[hash_] = code
        if len(self._refused) > MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        return Refused(code)

    def _raise_alarm(self, held: MemberRecord, record: MemberRecord) -> CloneAlarm:
        alarm = CloneAlarm(record.id, held.signed.raw, record.signed.raw)
        self._clones[record.id, record.version] = alarm
        if len(self._clones) > MAX_CLONES:
            del self._clones[next(iter(self._clones))]
        return alarm

    def _hold(self, record: MemberRecord, chain: VerifiedChain, held: MemberRecord | None) -> None:
        if held is not None:
            self._release(held, keep_chain=chain)
        self._tombstones.pop(record.id, None)
        self._spare.pop(chain.hash, None)
        self._records[record.id] = record
        self._held_bytes.add(record.signed.raw)
        if not self._places.take(record, chain):
            self._refused.clear()
        self.digest.put(entry_of(record))

    def _release(self, held: MemberRecord, *, keep_chain: VerifiedChain | None = None) -> None:
        """Let go of a record that is replaced or removed, and of its chain where nothing needs it any more."""
        chain = self._chains[held.chain_hash]
        del self._records[held.id]
        self._held_bytes.discard(held.signed.raw)
        self._places.give_back(held, chain)
        if chain is not keep_chain:
            del self._chains[chain.hash]

    def _remove(self, record: MemberRecord) -> None:
        self._release(record)
        self.digest.remove(record.id)
        # There is room again for somebody who was refused.
        self._refused.clear()

    def buried(self, node: NodeId) -> tuple[int, int] | None:
        """Give the version of an id that was buried: nothing up to it comes back. None if none was."""
        tombstone = self._tombstones.get(node)
        return None if tombstone is None else tombstone.version

    def forget(self, node: NodeId) -> MemberRecord | None:
        """Remove an id's record and bury its version, until no peer can hold that record any longer."""
        record = self._records.get(node)
        if record is None:
            return None
        self._remove(record)
        self._tombstones[node] = _Tombstone(record.version, record.expires_at + SKEW_S)
        if len(self._tombstones) > self._limits.tombstones:
            del self._tombstones[next(iter(self._tombstones))]
        return record

    def look_again(self) -> None:
        """Take that other chains are revoked than before: let go of those of which no record is held.

        Records stay until :meth:`forget`: whoever holds the members has to take leave of each.
        """
        self._refused.clear()
        for hash_ in [hash_ for hash_ in self._spare if self._revoked(self._chains[hash_])]:
            del self._spare[hash_], self._chains[hash_]

    def expire(self, *, wall: float) -> tuple[MemberRecord, ...]:
        """Remove what is no longer valid, and give the records removed: their addresses may still be of use.

        A pass over everything held: for every few seconds, not for every packet. An older version could only come
        back by outliving the newer one that its owner signed after it, so nothing needs to be buried here.
        """
        self._pool.expire(wall=wall)
        for node in [node for node, buried in self._tombstones.items() if wall > buried.until]:
            del self._tombstones[node]
        for hash_ in [hash_ for hash_ in self._spare if self._is_over(self._chains[hash_], wall)]:
            del self._spare[hash_], self._chains[hash_]
        gone = tuple(
            record
            for record in self._records.values()
            if wall > record.expires_at + SKEW_S or self._is_over(self._chains[record.chain_hash], wall)
        )
        for record in gone:
            self._remove(record)
        return gone

    def _is_over(self, chain: VerifiedChain, wall: float) -> bool:
        return chain.grants.expired(wall) or chain.root not in self._trust.roots
