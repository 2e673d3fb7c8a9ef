"""Sealed datagrams between two nodes, and the hint that answers one which cannot be opened.

    0      version and kind          1  sender's key generation    2  receiver's key generation    3  zero
    4-9    sender's tag              10-15  the sender session's random salt       16-23  counter, big-endian
    24..   XChaCha20-Poly1305 ciphertext and tag; nonce = associated data = bytes 0 to 23

Keys are pairwise, one per direction, made of both sides' X25519 keys: there is no group key to share, leak or
rotate. No datagram has forward secrecy of its own; the X25519 keys, which live in memory for a day at most, bound
what a stolen one opens.

**Replays.** The header is the nonce, so no two datagrams under one key may share (salt, counter): a sealer draws its
salt once and only counts up. An opener keeps a window of 1,024 counters for each salt, moved only after the tag
verified, so that a forger can neither use up a counter nor make an opener remember a salt. A salt is never
forgotten: had an opener room for the newest few only, whoever recorded the traffic of an older one could replay all
of it once it was pushed out, and push out a live one by doing so. Instead an opener takes :data:`MAX_SALTS` salts
in its life and no more; an honest peer needs one, for it makes one sealer per pair of keys.

**Restarts.** X25519 keys are never stored. After a receiver's restart, traffic recorded before it was sealed to a
key that no longer exists, and nothing of it opens. After a sender's restart its new record names a new key; what
was recorded under the old one opens only while the receiver still holds an opener for that key, whose windows
refuse it. No window can tell a datagram that was held back from one that was slow: it opens once, as late as
its keys live, so what datagrams carry must bear arriving late. What follows for the owner of these objects:

- a sealer or opener belongs to one pair of *keys*. Generation numbers only say which of a node's keys is meant, and
  a restarted peer may use a number again for another key: when a record brings another key, make both anew;
- never make a second opener for a pair of keys that had one: its windows would be empty. An opener is dropped only
  together with one of its two keys.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

from attrs import frozen

from gossipmesh import crypto
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.model import NodeId

MAX_DATAGRAM: Final = 1_232
"""Bytes of a UDP payload: IPv6's least MTU of 1,280 less 48 bytes of headers."""
HEADER: Final = 24
MAX_PLAINTEXT: Final = MAX_DATAGRAM - HEADER - crypto.TAG
HINT_BYTES: Final = 16
SENDER_TAG: Final = 6
SALT: Final = 6
WINDOW: Final = 1_024
"""Counters below the highest one seen that may still arrive, each once."""
MAX_SALTS: Final = 16
"""Salts that one opener takes in its life; only the peer itself, holding the key, can use them up."""
MAX_COUNTER: Final = 2**64 - 1

MAX_TAGS: Final = 16_384
"""Tags of peers that are remembered and need not be hashed again."""

TAG_AT: Final = 4
"""Where a sealed datagram and a hint show their sender's tag, of :data:`SENDER_TAG` bytes."""

_CONTEXT: Final = b"gossipmesh/datagram/1\0"
_VERSION: Final = 1
_SEALED: Final = _VERSION << 4 | 1
_HINT: Final = _VERSION << 4 | 2
_HEADER: Final = struct.Struct(">BBBB6s6sQ")
_FIXED: Final = 10
"""Bytes of the header that are the same in all datagrams of one sealer, its salt excluded."""
_WINDOW_MASK: Final = (1 << WINDOW) - 1


@frozen
class Header:
    """What a sealed datagram says before it is opened; unproven, so good for finding keys only."""

    sender_generation: int
    receiver_generation: int
    sender_tag: bytes
    salt: bytes
    counter: int


@frozen
class Hint:
    """A node says that it could not open what ``receiver_tag`` sent. Unproven: anybody may have said so.

    It may cause one rate-limited exchange of records over TCP and nothing else. It is sent for sealed datagrams only,
    never for a hint, and is shorter than any of them: no bytes are gained by provoking one.
    """

    sender_tag: bytes
    receiver_tag: bytes


Peeked: TypeAlias = Header | Hint


@frozen(repr=False)
class PairKeys:
    """The two keys of a pair of nodes, 32 bytes each: what we seal with and what we open with. Never shown."""

    sealing: bytes
    opening: bytes


@lru_cache(maxsize=MAX_TAGS)
def sender_tag(node: NodeId) -> bytes:
    """Give the 6 bytes by which datagrams name their sender; two ids may share them."""
    return crypto.blake2b(node, SENDER_TAG)


def derive_pair_keys(
    private: bytes, peer_public: bytes, *, mesh_id: bytes, own_id: NodeId, peer_id: NodeId
) -> PairKeys:
    """Derive both directions' keys from our X25519 key and the peer's; one scalar multiplication, once per pair.

    Raises:
        RemoteProtocolError: ``crypto.dh``, for a peer's key of another length or of low order.
    """
    shared = crypto.dh(private, peer_public)
    return pair_keys_of(shared, mesh_id=mesh_id, own_id=own_id, peer_id=peer_id)


def pair_keys_of(shared: bytes, *, mesh_id: bytes, own_id: NodeId, peer_id: NodeId) -> PairKeys:
    """Give both directions' keys of one shared secret of 32 bytes."""
    return PairKeys(
        sealing=crypto.blake2b(_CONTEXT + mesh_id + own_id + peer_id, crypto.KEY, key=shared),
        opening=crypto.blake2b(_CONTEXT + mesh_id + peer_id + own_id, crypto.KEY, key=shared),
    )


def peek_header_untrusted(data: bytes) -> Peeked:
    """Read what can be read without a key. Costs no cryptography.

    Raises:
        RemoteProtocolError: ``datagram.malformed``, for any other bytes or another version.
    """
    kind = data[0] if data else 0
    if kind == _SEALED and HEADER + crypto.TAG <= len(data) <= MAX_DATAGRAM:
        _, sender_generation, receiver_generation, zero, tag, salt, counter = _HEADER.unpack_from(data)
        if zero == 0:
            return Header(sender_generation, receiver_generation, tag, salt, counter)
    elif kind == _HINT and len(data) == HINT_BYTES and data[1:4] == bytes(3):
        return Hint(data[4:10], data[10:])
    raise RemoteProtocolError("datagram.malformed", f"{len(data)} bytes that are no datagram of this version")


def encode_hint(hint: Hint) -> bytes:
    """Give the 16 bytes of a hint; :func:`peek_header_untrusted` reads them."""
    return bytes((_HINT, 0, 0, 0)) + hint.sender_tag + hint.receiver_tag


class DatagramSealer:
    """Seals what one node sends to one other, under one pair of keys. Make one per pair of keys, not more.

    Args:
        key: ``PairKeys.sealing``.
        own_id: the sender.
        own_generation: which of our X25519 keys ``key`` was made of, 0 to 255.
        peer_generation: which of the peer's.
        entropy: gives that many random bytes; asked once, for the salt.
        counter: the first datagram's number.
    """

    __slots__ = ("_counter", "_fixed", "_key")

    def __init__(
        self,
        key: bytes,
        *,
        own_id: NodeId,
        own_generation: int,
        peer_generation: int,
        entropy: Callable[[int], bytes],
        counter: int = 0,
    ) -> None:
        self._key = key
        self._fixed = _fixed_bytes(own_generation, peer_generation, own_id) + entropy(SALT)
        self._counter = counter

    def seal(self, plaintext: bytes) -> bytes:
        """Give the datagram that carries ``plaintext``, 40 bytes longer than it.

        Raises:
            LocalProtocolError: ``datagram.size`` over :data:`MAX_PLAINTEXT` bytes, ``datagram.exhausted`` after the
                last counter; nothing was sealed.
        """
        if len(plaintext) > MAX_PLAINTEXT:
            raise LocalProtocolError(
                "datagram.size", f"{len(plaintext)} bytes; a datagram holds {MAX_PLAINTEXT}"
            )
        if self._counter > MAX_COUNTER:
            raise LocalProtocolError(
                "datagram.exhausted", "a sealer has used every counter; it needs new keys"
            )
        header = self._fixed + self._counter.to_bytes(8, "big")
        self._counter += 1
        return header + crypto.xaead_seal(self._key, header, plaintext, header)


class DatagramOpener:
    """Opens what one node sends to us under one pair of keys, each datagram at most once.

    Args:
        key: ``PairKeys.opening``.
        peer_id: the sender.
        peer_generation: which of the peer's X25519 keys ``key`` was made of, 0 to 255.
        own_generation: which of ours.
    """

    __slots__ = ("_fixed", "_key", "_windows")

    def __init__(self, key: bytes, *, peer_id: NodeId, peer_generation: int, own_generation: int) -> None:
        self._key = key
        self._fixed = _fixed_bytes(peer_generation, own_generation, peer_id)
        # A row, because an honest peer has one salt, and each peer of a large mesh costs what this holds.
        self._windows: tuple[_Window, ...] = ()

    def open_untrusted(self, datagram: bytes) -> bytes:
        """Give the plaintext of a datagram that this opener's peer sealed and that was not opened before.

        Raises:
            RemoteProtocolError: ``datagram.malformed`` if it is not of this peer and these generations,
                ``datagram.replay`` if its counter was seen or is too old, ``datagram.salts`` if the peer used up its
                salts, ``datagram.forged`` if it does not open. The opener is unchanged.
        """
        if not HEADER + crypto.TAG <= len(datagram) <= MAX_DATAGRAM or not datagram.startswith(self._fixed):
            raise RemoteProtocolError("datagram.malformed", "a datagram that is not for this pair of keys")
        header = datagram[:HEADER]
        salt, counter = header[_FIXED : _FIXED + SALT], int.from_bytes(header[_FIXED + SALT :], "big")
        window = next((each for each in self._windows if each.salt == salt), None)
        # Before the tag, because a replay then costs no decryption; it changes nothing, so a forger gains nothing.
        if window is not None and not window.is_new(counter):
            raise RemoteProtocolError(
                "datagram.replay", f"datagram {counter} was opened before, or is too old"
            )
        if window is None and len(self._windows) == MAX_SALTS:
            raise RemoteProtocolError(
                "datagram.salts", f"more than {MAX_SALTS} sessions under one pair of keys"
            )
        try:
            plaintext = crypto.xaead_open(self._key, header, datagram[HEADER:], header)
        except RemoteProtocolError:
            raise RemoteProtocolError(
                "datagram.forged", "a datagram does not open: changed, or forged"
            ) from None
        if window is None:
            window = _Window(salt, counter)
            self._windows = (*self._windows, window)
        window.note(counter)
        return plaintext


class _Window:
    """Which of the last 1,024 counters were seen (RFC 6479's purpose; an int is the bit map)."""

    __slots__ = ("_highest", "_seen", "salt")

    def __init__(self, salt: bytes, highest: int) -> None:
        self.salt = salt
        self._highest = highest
        self._seen = 0  # bit i: highest - i was seen

    def is_new(self, counter: int) -> bool:
        behind = self._highest - counter
        return behind < 0 or (behind < WINDOW and not self._seen >> behind & 1)

    def note(self, counter: int) -> None:
        ahead = counter - self._highest
        if ahead > 0:
            # A peer may jump by 2**63; shifting that far would be a bomb of its own.
            self._seen = self._seen << ahead & _WINDOW_MASK if ahead < WINDOW else 0
            self._highest = counter
        self._seen |= 1 << self._highest - counter


@lru_cache(maxsize=MAX_TAGS)
def _fixed_bytes(sender_generation: int, receiver_generation: int, sender: NodeId) -> bytes:
    return bytes((_SEALED, sender_generation, receiver_generation, 0)) + sender_tag(sender)
