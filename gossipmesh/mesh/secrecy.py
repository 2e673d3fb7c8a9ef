"""X25519 generations and the sealed datagrams of every peer.

A node's X25519 keys live in memory only: one per start, replaced every 24 hours, published in its signed record.
A replacement is published a minute before it is used to seal, and the one before still opens for ten minutes, so
that no datagram is lost to a rotation. Pairwise keys are derived once per pair of keys and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gossipmesh import crypto
from gossipmesh.channel.datagram import (
    SENDER_TAG,
    TAG_AT,
    DatagramOpener,
    DatagramSealer,
    Hint,
    PairKeys,
    derive_pair_keys,
    encode_hint,
    peek_header_untrusted,
    sender_tag,
)
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.identity.record import MemberRecord
from gossipmesh.model import Address, NodeId

if TYPE_CHECKING:
    import random

GENERATIONS: Final = 256
ROTATION_S: Final = 24 * 3600.0
ROTATION_JITTER: Final = 0.2
PUBLISHED_BEFORE_USE_S: Final = 60.0
KEPT_AFTER_S: Final = 600.0
MAX_SAME_TAG: Final = 4
"""Peers that may share one six-byte tag; a fifth would have to be made on purpose."""
HINT_GAP_S: Final = 1.0
MAX_HINTED: Final = 1_024
"""Sources hinted within the gap; beyond it nobody is hinted until the oldest has aged."""


# These three are plain classes: each datagram reads them, and mypyc reads an attribute of a plain class from its place,
# one of attrs' by its name. None of them shows its keys.
class _OwnKey:
    __slots__ = ("dies_at", "private", "public")

    def __init__(self, private: bytes, public: bytes) -> None:
        self.private = private
        self.public = public
        self.dies_at = float("inf")


class _Link:
    """What is shared between one key of ours and one of a peer's: made when it is needed, half by half."""

    __slots__ = ("keys", "older", "opener", "own_public", "sealer")

    def __init__(self, own_public: bytes, older: _Link | None) -> None:
        self.own_public = own_public
        self.keys: PairKeys | None = None  # until both halves are made
        self.sealer: DatagramSealer | None = None
        self.opener: DatagramOpener | None = None
        self.older = older  # with another key of ours


class _PeerKey:
    """One key of a peer; the one in its record knows the one before, and no more are kept.

    In a large mesh most are never used, so they hold next to nothing.
    """

    __slots__ = ("before", "generation", "link", "public")

    def __init__(self, generation: int, public: bytes, before: _PeerKey | None) -> None:
        self.generation = generation
        self.public = public
        self.link: _Link | None = None
        self.before = before


class Secrecy:
    """Seals to, and opens from, every peer whose record is known; a stranger's packet costs a look-up.

    Args:
        generation: the first X25519 key's number; any, modulo 256, but another one after each restart.
        pair_keys: agrees on the keys of a pair, as :func:`derive_pair_keys` does.
    """

    def __init__(
        self,
        *,
        id: NodeId,
        mesh_id: bytes,
        generation: int,
        entropy: Callable[[int], bytes],
        rng: random.Random,
        now: float,
        pair_keys: Callable[..., PairKeys] = derive_pair_keys,
    ) -> None:
        self._id = id
        self._pair_keys = pair_keys
        self._mesh_id = mesh_id
        self._entropy = entropy
        self._rng = rng
        self._tag = sender_tag(id)
        self._own: dict[int, _OwnKey] = {}
        self._peers: dict[NodeId, _PeerKey] = {}  # the newest, which knows the one before
        self._by_tag: dict[bytes, tuple[NodeId, ...]] = {}
        self._hinted: dict[Address, float] = {}
        self.generation = generation % GENERATIONS
        """The newest key's number, which our record publishes."""
        self._sealing = self.generation
        self._switch_at = float("inf")
        self._own[self.generation] = self._new_key()
        self._rotate_at = self._next_rotation(now)

    def _new_key(self) -> _OwnKey:
        private = self._entropy(crypto.KEY)
        return _OwnKey(private, crypto.dh_public(private))

    def _next_rotation(self, now: float) -> float:
        return now + ROTATION_S * (1 + self._rng.uniform(-ROTATION_JITTER, ROTATION_JITTER))

    @property
    def public(self) -> bytes:
        """The newest X25519 public key, for our record."""
        return self._own[self.generation].public

    @property
    def private(self) -> bytes:
        """The newest X25519 private key: the static key of our handshakes."""
        return self._own[self.generation].private

    def handle_timer(self, *, now: float) -> bool:
        """Rotate what is due; tell whether our record must be signed again to publish a new key."""
        for generation in [g for g, key in self._own.items() if now >= key.dies_at]:
            dead = self._own.pop(generation)
            for newest in self._peers.values():
                for key in _keys_of(newest):
                    _unlink(key, dead.public)
        if now >= self._switch_at:
            self._own[self._sealing].dies_at = now + KEPT_AFTER_S
            self._sealing = self.generation
            self._switch_at = float("inf")
        if now < self._rotate_at:
            return False
        self._rotate_at = self._next_rotation(now)
        self.generation = (self.generation + 1) % GENERATIONS
        self._own[self.generation] = self._new_key()
        self._switch_at = now + PUBLISHED_BEFORE_USE_S
        return True

    def learn(self, record: MemberRecord) -> None:
        """Take the key that a verified record publishes; the one before still opens."""
        newest = self._peers.get(record.id)
        if newest is None:
            tag = sender_tag(record.id)
            sharing = self._by_tag.get(tag, ())
            if len(sharing) >= MAX_SAME_TAG:
                return
            self._by_tag[tag] = (*sharing, record.id)
        elif any(key.public == record.dh_key for key in _keys_of(newest)):
            return
        else:
            newest.before = None
        # Openers go only together with their key: a second one for the same keys would take replays.
        self._peers[record.id] = _PeerKey(record.dh_generation, record.dh_key, newest)

    def forget(self, node: NodeId) -> None:
        """Drop a peer and every key derived for it."""
        if self._peers.pop(node, None) is not None:
            tag = sender_tag(node)
            self._by_tag[tag] = tuple(other for other in self._by_tag[tag] if other != node)
            if not self._by_tag[tag]:
                del self._by_tag[tag]

    def _link(self, key: _PeerKey, own: _OwnKey) -> _Link:
        link = key.link
        while link is not None and link.own_public != own.public:
            link = link.older
        if link is None:
            link = key.link = _Link(own.public, key.link)
        return link

    def _keys(self, peer: NodeId, key: _PeerKey, own: _OwnKey, link: _Link) -> PairKeys:
        made = link.sealer is not None or link.opener is not None
        keys = link.keys or self._pair_keys(
            own.private, key.public, mesh_id=self._mesh_id, own_id=self._id, peer_id=peer
        )
        link.keys = None if made else keys
        return keys

    def seal(self, peer: NodeId, plaintext: bytes) -> bytes:
        """Seal to a known peer.

        Raises:
            LocalProtocolError: ``datagram.stranger``, for a peer whose record was not learned.
            RemoteProtocolError: ``crypto.dh``, for a peer that publishes a key of low order.
        """
        key = self._peers.get(peer)
        if key is None:
            raise LocalProtocolError("datagram.stranger", "no key is known for this peer")
        own = self._own[self._sealing]
        link = self._link(key, own)
        if link.sealer is None:
            link.sealer = DatagramSealer(
                self._keys(peer, key, own, link).sealing,
                own_id=self._id,
                own_generation=self._sealing,
                peer_generation=key.generation,
                entropy=self._entropy,
            )
        return link.sealer.seal(plaintext)

    def knows_sender(self, datagram: bytes) -> bool:
        """Tell whether a datagram, or a hint, names a known peer as its sender."""
        return datagram[TAG_AT : TAG_AT + SENDER_TAG] in self._by_tag

    def open_untrusted(self, datagram: bytes) -> tuple[NodeId, bytes]:
        """Give the sender and the plaintext of a sealed datagram.

        Raises:
            RemoteProtocolError: ``datagram.stranger`` (no such sender, or generations that we do not hold: worth a
                hint), or as :meth:`DatagramOpener.open_untrusted`. ``datagram.hint`` for a hint, which is read
                by :meth:`hinting_peers`.
        """
        header = peek_header_untrusted(datagram)
        if isinstance(header, Hint):
            raise RemoteProtocolError("datagram.hint", "a hint")
        own = self._own.get(header.receiver_generation)
        failure: RemoteProtocolError | None = None
        for peer in () if own is None else self._by_tag.get(header.sender_tag, ()):
            for key in _keys_of(self._peers[peer]):
                if own is None or key.generation != header.sender_generation:
                    continue
                try:
                    return peer, self._opener(peer, key, own, header.receiver_generation).open_untrusted(
                        datagram
                    )
                except RemoteProtocolError as error:
                    failure = error
        raise failure or RemoteProtocolError("datagram.stranger", "of an unknown sender or generation")

    def _opener(self, peer: NodeId, key: _PeerKey, own: _OwnKey, generation: int) -> DatagramOpener:
        link = self._link(key, own)
        if link.opener is None:
            link.opener = DatagramOpener(
                self._keys(peer, key, own, link).opening,
                peer_id=peer,
                peer_generation=key.generation,
                own_generation=generation,
            )
        return link.opener

    def hint_for(self, datagram: bytes, source: Address, *, now: float) -> bytes | None:
        """Give the 16-byte hint that answers a datagram which does not open, or None where none is due.

        Only sealed datagrams are answered, never hints, and one source at most once a second; a hint is shorter
        than any datagram that causes it.
        """
        header = peek_header_untrusted(datagram)
        if isinstance(header, Hint) or header.sender_tag == self._tag:
            return None
        # Oldest first, so that a flood from made-up sources costs a look at one entry and not at all of them.
        while self._hinted and next(iter(self._hinted.values())) + HINT_GAP_S <= now:
            del self._hinted[next(iter(self._hinted))]
        if source in self._hinted or len(self._hinted) >= MAX_HINTED:
            return None
        self._hinted[source] = now
        return encode_hint(Hint(self._tag, header.sender_tag))

    def hinting_peers(self, datagram: bytes) -> tuple[NodeId, ...]:
        """Give the peers that may have sent this hint to us; empty for anything else. Nothing proves that one did."""
        header = peek_header_untrusted(datagram)
        if not isinstance(header, Hint) or header.receiver_tag != self._tag:
            return ()
        return self._by_tag.get(header.sender_tag, ())


def _unlink(key: _PeerKey, own_public: bytes) -> None:
    kept: list[_Link] = []
    link = key.link
    while link is not None:
        if link.own_public != own_public:
            kept.append(link)
        link = link.older
    key.link = None
    for link in reversed(kept):
        link.older, key.link = key.link, link


def _keys_of(newest: _PeerKey) -> tuple[_PeerKey, ...]:
    return (newest,) if newest.before is None else (newest, newest.before)
