"""The costly cryptography of a simulated mesh: as the daemon does it, or shared between all nodes of a world.

Verification is pure, and in a mesh of a thousand every node would do all of it again: a million signatures for one
mass join. Shared, each is done once and its answer remembered. The law of that memory: an answer is found under *all*
bytes that it depends on, so nothing forged is ever taken for what was verified; only good answers are kept; and what
depends on the time is compared anew at each call.

X25519 between the nodes gives way to a keyed hash of both public keys: right for two honest ends, worthless against
anybody who knows the public keys, and blind to keys of low order. Whoever simulates forgers takes the real one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from attrs import frozen

from gossipmesh import crypto
from gossipmesh.channel.datagram import PairKeys, derive_pair_keys, pair_keys_of
from gossipmesh.errors import ConfigError
from gossipmesh.identity.accusation import (
    ACCUSATION_LIFETIME_S,
    Accusation,
    decode_accusation_untrusted,
    verify_decoded_accusation,
)
from gossipmesh.identity.bundle import TrustStore
from gossipmesh.identity.chain import VerifiedChain, verify_chain_untrusted
from gossipmesh.identity.checks import CHECKS, Checks
from gossipmesh.identity.record import MemberRecord, decode_record_untrusted, verify_decoded_record
from gossipmesh.identity.signed import SKEW_S
from gossipmesh.model import NodeId

MAX_REMEMBERED: Final = 65_536
"""Answers of one kind; the oldest goes first."""
MAX_PAIRS: Final = 4_096
"""Pairs of nodes of which one end has made its keys, and the other may ask for them soon."""
_STAND_IN: Final = b"gossipmesh/simulation: no secret"

Key = TypeVar("Key")
Answer = TypeVar("Answer")


@frozen
class Port:
    """What the nodes of one world decode, verify and agree on keys with."""

    checks: Checks = CHECKS
    pair_keys: Callable[..., PairKeys] = derive_pair_keys


def port(kind: str) -> Port:
    """Give the cryptography of one world: ``real``, or ``shared`` between its nodes.

    Raises:
        ConfigError: ``sim.crypto``, for any other word.
    """
    if kind == "real":
        return Port()
    if kind == "shared":
        shared = _Shared()
        checks = Checks(
            decode_record=shared.decode_record,
            verify_record=shared.verify_record,
            verify_chain=shared.verify_chain,
            decode_accusation=shared.decode_accusation,
            verify_accusation=shared.verify_accusation,
        )
        return Port(checks, shared.pair_keys)
    raise ConfigError("sim.crypto", f"{kind!r} is no cryptography of a simulation: shared or real")


class _Memory(dict[Key, Answer], Generic[Key, Answer]):
    """At most ``most`` answers."""

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: Key, answer: Answer) -> Answer:
        if len(self) >= self._most:
            del self[next(iter(self))]
        self[key] = answer
        return answer


class _Shared:
    """Remembers answers. All nodes get the same object, so that each is also held only once."""

    def __init__(self) -> None:
        self._decoded: _Memory[bytes, MemberRecord] = _Memory()
        self._records: _Memory[tuple[bytes, bytes, bytes], MemberRecord] = _Memory()
        self._chains: _Memory[tuple[bytes, bytes, tuple[bytes, ...]], VerifiedChain] = _Memory()
        self._claims: _Memory[bytes, Accusation] = _Memory()
        self._accusations: _Memory[tuple[bytes, bytes], Accusation] = _Memory()
        self._publics: _Memory[bytes, bytes] = _Memory()
        self._pairs: _Memory[bytes, PairKeys] = _Memory(MAX_PAIRS)

    def decode_record(self, raw: bytes) -> MemberRecord:
        return self._decoded.get(raw) or self._decoded.keep(raw, decode_record_untrusted(raw))

    def verify_record(
        self, record: MemberRecord, chain: VerifiedChain, mesh_id: bytes, *, wall: float
    ) -> MemberRecord:
        key = (record.signed.raw, chain.raw, mesh_id)
        known = self._records.get(key)
        if known is not None and known.issued_at - SKEW_S <= wall <= known.expires_at + SKEW_S:
            return known
        return self._records.keep(key, verify_decoded_record(record, chain, mesh_id, wall=wall))

    def verify_chain(self, raw: bytes, trust: TrustStore, *, wall: float) -> VerifiedChain:
        key = (raw, trust.mesh_id, trust.roots)
        known = self._chains.get(key)
        if known is not None and not known.grants.expired(wall) and not known.grants.not_yet_valid(wall):
            return known
        return self._chains.keep(key, verify_chain_untrusted(raw, trust, wall=wall))

    def decode_accusation(self, raw: bytes) -> Accusation:
        return self._claims.get(raw) or self._claims.keep(raw, decode_accusation_untrusted(raw))

    def verify_accusation(self, accusation: Accusation, mesh_id: bytes, *, wall: float) -> Accusation:
        key = (accusation.signed.raw, mesh_id)
        known = self._accusations.get(key)
        if known is not None and -SKEW_S <= wall - known.issued_at <= ACCUSATION_LIFETIME_S + SKEW_S:
            return known
        return self._accusations.keep(key, verify_decoded_accusation(accusation, mesh_id, wall=wall))

    def pair_keys(
        self, private: bytes, peer_public: bytes, *, mesh_id: bytes, own_id: NodeId, peer_id: NodeId
    ) -> PairKeys:
        own = self._publics.get(private) or self._publics.keep(private, crypto.dh_public(private))
        # The other end mostly asks within milliseconds, and then takes the very same keys the other way round.
        theirs = self._pairs.pop(peer_public + own + peer_id + own_id + mesh_id, None)
        if theirs is not None:
            return PairKeys(sealing=theirs.opening, opening=theirs.sealing)
        both = min(own, peer_public) + max(own, peer_public)
        secret = crypto.blake2b(both, crypto.KEY, key=_STAND_IN)
        keys = pair_keys_of(secret, mesh_id=mesh_id, own_id=own_id, peer_id=peer_id)
        return self._pairs.keep(own + peer_public + own_id + peer_id + mesh_id, keys)
