"""``Noise_XX_25519_ChaChaPoly_SHA256`` (noiseprotocol.org, revision 34): one pattern, one suite for the handshake.

XX because over TCP it carries the first application byte after one round trip just as IK does, with no replayable
first message and without knowing the other side's key beforehand; both static keys travel encrypted.

What follows the handshake is sealed with AES-256-GCM instead (as Noise's ``AESGCM`` does, section 12.4) where both
sides have said within it that their processors are made for that: :class:`Suite`.

The law: a message that does not open leaves the handshake or the cipher exactly as it was. So nothing is decided
from half a message, and the genuine message would still be accepted afterwards. Whether a static key belongs to
whom it should is not decided here; see :mod:`gossipmesh.channel.secure`.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from functools import lru_cache
from typing import Final, Literal

from gossipmesh import crypto
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError

PROTOCOL_NAME: Final = b"Noise_XX_25519_ChaChaPoly_SHA256"
MAX_MESSAGE: Final = 65_535
"""Bytes in any Noise message, tag included (section 3)."""
MAX_NONCE: Final = 2**64 - 2
"""The last nonce a message may use; 2**64 - 1 is kept for rekeying (section 5.1)."""

_REKEYING: Final = 2**64 - 1
_pack_nonce: Final = struct.Struct("<4xQ").pack
_pack_aes_nonce: Final = struct.Struct(">4xQ").pack
_AES_KEYS: Final = b"gossipmesh/1 AESGCM"
"""What a key of AES-256-GCM is made with, of one for ChaCha20-Poly1305: no key serves two ciphers."""
_SEALED_KEY: Final = crypto.KEY + crypto.TAG

Sealed = bytes | bytearray
"""What a cipher makes; a buffer belongs to whoever asked for it."""

_Token = Literal["e", "s", "ee", "es", "se"]
_XX: Final[tuple[tuple[_Token, ...], ...]] = (("e",), ("e", "ee", "s", "es"), ("s", "se"))


# A node has one static key for a day, and every handshake would compute its other half. Of one only, the last that was
# used: a key that was replaced must not stay in memory.
_static_public_of: Final = lru_cache(maxsize=1)(crypto.dh_public)


class Role(enum.Enum):
    """Which side of a handshake this is: the initiator speaks first."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


class Suite(enum.Enum):
    """What seals the messages that follow a handshake."""

    CHACHA = "ChaChaPoly"
    AES = "AESGCM"


class CipherState:
    """A key and the number of the next message under it (section 5.1).

    Args:
        key: 32 bytes.
        nonce: the number of the first message; 0 for every cipher that a handshake makes.
        suite: what seals with it.
    """

    __slots__ = ("_cipher", "_key", "_pack", "_suite", "nonce")

    def __init__(self, key: bytes, nonce: int = 0, suite: Suite = Suite.CHACHA) -> None:
        self._suite = suite
        self._pack = _pack_nonce if suite is Suite.CHACHA else _pack_aes_nonce
        self._take_key(key)
        self.nonce = nonce

    def _take_key(self, key: bytes) -> None:
        self._key = key
        self._cipher: crypto.RecordCipher | crypto.AesRecordCipher = (
            crypto.RecordCipher(key) if self._suite is Suite.CHACHA else crypto.AesRecordCipher(key)
        )

    def encrypt(self, plaintext: bytes, associated: bytes = b"") -> Sealed:
        """Seal the next message; 16 bytes longer than ``plaintext``.

        Raises:
            LocalProtocolError: ``noise.nonce``, when every nonce was used.
        """
        nonce = self.nonce
        if nonce > MAX_NONCE:
            raise LocalProtocolError("noise.nonce", "a cipher has sealed as many messages as it may")
        sealed = self._cipher.seal(self._pack(nonce), plaintext, associated)
        self.nonce = nonce + 1
        return sealed

    def decrypt_untrusted(self, sealed: bytes | memoryview, associated: bytes = b"") -> Sealed:
        """Open the next message.

        Raises:
            RemoteProtocolError: ``crypto.aead`` if it does not open, ``noise.nonce`` when every nonce was used.
                The cipher is unchanged.
        """
        nonce = self.nonce
        if nonce > MAX_NONCE:
            raise RemoteProtocolError("noise.nonce", "a peer sealed more messages than a cipher may")
        plaintext = self._cipher.open_untrusted(self._pack(nonce), sealed, associated)
        self.nonce = nonce + 1
        return plaintext

    def rekey(self) -> None:
        """Replace the key by a one-way function of itself (section 4.2); the nonce goes on counting."""
        self._take_key(bytes(self._cipher.seal(self._pack(_REKEYING), bytes(crypto.KEY), b"")[: crypto.KEY]))

    def copy(self) -> CipherState:
        """Give an equal cipher that changes independently."""
        return CipherState(self._key, self.nonce, self._suite)


class _SymmetricState:
    """The chaining key, the transcript's hash and the current cipher (section 5.2)."""

    __slots__ = ("_chaining_key", "_cipher", "_digest")

    def __init__(self, chaining_key: bytes, digest: bytes, cipher: CipherState | None = None) -> None:
        self._chaining_key = chaining_key
        self._digest = digest
        self._cipher = cipher

    @classmethod
    def begun(cls, prologue: bytes) -> _SymmetricState:
        """Give the state before the first message."""
        # The protocol's name is exactly one hash long, so it needs neither padding nor hashing (section 5.2).
        state = cls(PROTOCOL_NAME, PROTOCOL_NAME)
        state.mix_hash(prologue)
        return state

    def copy(self) -> _SymmetricState:
        cipher = None if self._cipher is None else self._cipher.copy()
        return _SymmetricState(self._chaining_key, self._digest, cipher)

    def mix_hash(self, data: bytes) -> None:
        self._digest = hashlib.sha256(self._digest + data).digest()

    def mix_key(self, secret: bytes) -> None:
        self._chaining_key, key = _hkdf(self._chaining_key, secret)
        self._cipher = CipherState(key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        sealed = plaintext if self._cipher is None else bytes(self._cipher.encrypt(plaintext, self._digest))
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash_untrusted(self, sealed: bytes) -> bytes:
        cipher = self._cipher
        plaintext = sealed if cipher is None else bytes(cipher.decrypt_untrusted(sealed, self._digest))
        self.mix_hash(sealed)
        return plaintext

    def split(self, suite: Suite) -> tuple[CipherState, CipherState]:
        first, second = _hkdf(self._chaining_key, b"")
        if suite is Suite.AES:
            first, second = crypto.hmac_sha256(first, _AES_KEYS), crypto.hmac_sha256(second, _AES_KEYS)
        return CipherState(first, suite=suite), CipherState(second, suite=suite)


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Give two 32-byte keys (section 4.3; RFC 5869 with SHA-256)."""
    secret = crypto.hmac_sha256(chaining_key, material)
    first = crypto.hmac_sha256(secret, b"\x01")
    return first, crypto.hmac_sha256(secret, first + b"\x02")


class Handshake:
    """One side of an XX handshake (section 5.3): ``-> e``, ``<- e ee s es``, ``-> s se``.

    Args:
        role: the initiator writes messages 1 and 3 and reads message 2; the responder the reverse.
        prologue: what both sides must agree on beforehand; any difference makes message 2 fail.
        static_private: our X25519 key, 32 bytes.
        ephemeral_private: 32 fresh random bytes, never used for a second handshake.
    """

    def __init__(
        self, role: Role, *, prologue: bytes, static_private: bytes, ephemeral_private: bytes
    ) -> None:
        self._role = role
        self._symmetric = _SymmetricState.begun(prologue)
        self._static = static_private
        self._ephemeral = ephemeral_private
        self._static_public = _static_public_of(static_private)
        self._ephemeral_public = crypto.dh_public(ephemeral_private)
        self._remote_static = b""
        self._remote_ephemeral = b""
        self._turn = 0

    @property
    def ephemeral_public(self) -> bytes:
        """Our ephemeral public key, 32 bytes: what message 1 or 2 begins with."""
        return self._ephemeral_public

    @property
    def remote_static(self) -> bytes:
        """The other side's static public key, 32 bytes; proven to be its own once the last message was read."""
        if not self._remote_static:
            raise LocalProtocolError("noise.order", "the other side's key is not known yet")
        return self._remote_static

    @property
    def finished(self) -> bool:
        """Whether all three messages were written or read."""
        return self._turn == len(_XX)

    def write_message(self, payload: bytes) -> bytes:
        """Give the next message, carrying ``payload``: in the clear in message 1, sealed in 2 and 3.

        Raises:
            LocalProtocolError: ``noise.order`` if it is not our turn, ``noise.size`` if it would be too long.
            RemoteProtocolError: ``crypto.dh``, if the other side's ephemeral key was of low order.
        """
        tokens = self._tokens(writing=True)
        symmetric = self._symmetric.copy()
        message = b""
        for token in tokens:
            match token:
                case "e":
                    message += self._ephemeral_public
                    symmetric.mix_hash(self._ephemeral_public)
                case "s":
                    message += symmetric.encrypt_and_hash(self._static_public)
                case "ee" | "es" | "se":
                    symmetric.mix_key(self._agree(token, self._remote_ephemeral, self._remote_static))
        message += symmetric.encrypt_and_hash(payload)
        if len(message) > MAX_MESSAGE:
            raise LocalProtocolError("noise.size", f"a handshake message of {len(message)} bytes")
        self._symmetric = symmetric
        self._turn += 1
        return message

    def read_message_untrusted(self, message: bytes) -> bytes:
        """Give the payload of the next message.

        Raises:
            RemoteProtocolError: ``noise.size``, ``crypto.dh`` or ``crypto.aead``; the handshake is unchanged.
            LocalProtocolError: ``noise.order``, if it is our turn to write.
        """
        tokens = self._tokens(writing=False)
        if len(message) > MAX_MESSAGE:
            raise RemoteProtocolError("noise.size", f"a handshake message of {len(message)} bytes")
        symmetric = self._symmetric.copy()
        remote_ephemeral, remote_static = self._remote_ephemeral, self._remote_static
        for token in tokens:
            match token:
                case "e":
                    remote_ephemeral, message = _cut_untrusted(message, crypto.KEY)
                    symmetric.mix_hash(remote_ephemeral)
                case "s":
                    sealed, message = _cut_untrusted(message, _SEALED_KEY)
                    remote_static = symmetric.decrypt_and_hash_untrusted(sealed)
                case "ee" | "es" | "se":
                    symmetric.mix_key(self._agree(token, remote_ephemeral, remote_static))
        payload = symmetric.decrypt_and_hash_untrusted(message)
        self._symmetric = symmetric
        self._remote_ephemeral, self._remote_static = remote_ephemeral, remote_static
        self._turn += 1
        return payload

    def split(self, suite: Suite = Suite.CHACHA) -> tuple[CipherState, CipherState]:
        """Give the cipher to send with and the cipher to receive with.

        Args:
            suite: what both sides have agreed on in the handshake's payloads.

        Raises:
            LocalProtocolError: ``noise.order``, before the handshake is finished.
        """
        if not self.finished:
            raise LocalProtocolError("noise.order", "the handshake is not finished")
        from_initiator, from_responder = self._symmetric.split(suite)
        if self._role is Role.INITIATOR:
            return from_initiator, from_responder
        return from_responder, from_initiator

    def _tokens(self, *, writing: bool) -> tuple[_Token, ...]:
        initiator_speaks = self._turn % 2 == 0
        we_speak = initiator_speaks == (self._role is Role.INITIATOR)
        if self.finished or we_speak != writing:
            raise LocalProtocolError("noise.order", "this is not the handshake's next step")
        return _XX[self._turn]

    def _agree(
        self, token: Literal["ee", "es", "se"], remote_ephemeral: bytes, remote_static: bytes
    ) -> bytes:
        """Give the shared secret of a token, whose letters name the initiator's key, then the responder's."""
        own = 0 if self._role is Role.INITIATOR else 1
        private = self._ephemeral if token[own] == "e" else self._static
        return crypto.dh(private, remote_ephemeral if token[1 - own] == "e" else remote_static)


def _cut_untrusted(message: bytes, size: int) -> tuple[bytes, bytes]:
    if len(message) < size:
        raise RemoteProtocolError("noise.size", "a handshake message is too short")
    return message[:size], message[size:]
