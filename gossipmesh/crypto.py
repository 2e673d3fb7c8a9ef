"""Each primitive wrapped once, with exact length checks and one error.

PyNaCl's raw bindings differ in what they check: ``crypto_scalarmult`` reads past a short key, ``crypto_sign_open``
takes any key length, an AEAD of under 16 bytes raises a builtin error, a low-order point a runtime one. Here every
failure is a :class:`RemoteProtocolError`. Entropy never comes from here: private keys are made of bytes handed in.

The AEADs are called without those bindings, which check each argument by way of a function, clear what they are about
to write, and copy it twice. To seal a record of 300 bytes took 10.0 us with them and takes 3.2 without, one of 64 KiB
139 and 113 (one run, on a machine that had other work). So are X25519's (54.6 and 49.2 us), of which a handshake takes
eight. What they check is checked here: the exact lengths of key and nonce, and that a sealed message has room for its
tag; cffi itself takes nothing but bytes where bytes are expected.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final

import nacl.bindings as sodium
from nacl._sodium import ffi, lib  # type: ignore[import-not-found]
from nacl.exceptions import CryptoError

from gossipmesh.errors import LocalProtocolError, RemoteProtocolError

KEY: Final = 32
SIGNATURE: Final = 64
TAG: Final = 16
XNONCE: Final = 24
NONCE: Final = 12
LARGE: Final = 2_048
"""Bytes from which OpenSSL, with its own call's cost, is the faster one."""
MAX_VERIFIED: Final = 8_192
"""Signatures that are remembered to hold; the oldest goes first."""
_verified: Final[dict[bytes, None]] = {}

HAS_AES: Final = bool(lib.crypto_aead_aes256gcm_is_available())
"""Whether this processor has instructions for AES-GCM. Without them it would be slow, and its time would tell of the
key."""

# Importing `nacl.bindings` has initialised libsodium. What is allocated here is written over whole, or not read.
_allocate: Final[Callable[[str, int], Any]] = ffi.new_allocator(should_clear_after_alloc=False)


def _exactly(value: bytes, size: int, what: str) -> None:
    if len(value) != size:
        raise LocalProtocolError("crypto.length", f"{what} of {len(value)} bytes, not {size}")


def signing_public(seed: bytes) -> bytes:
    """Give the Ed25519 public key (32 bytes) of a 32-byte seed."""
    _exactly(seed, KEY, "a signing seed")
    public, _ = sodium.crypto_sign_seed_keypair(seed)
    return public


def sign(seed: bytes, message: bytes) -> bytes:
    """Sign with the Ed25519 key of a 32-byte seed (RFC 8032); 64 bytes."""
    _exactly(seed, KEY, "a signing seed")
    _, secret = sodium.crypto_sign_seed_keypair(seed)
    return sodium.crypto_sign(message, secret)[:SIGNATURE]


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether ``signature`` is the Ed25519 signature of ``message`` under ``public``.

    What held once is remembered, by a hash of all three. The blocks of a token are the same in all chains that it
    admits, and what gossip brought is shown again in each handshake. Failures are not: who makes them pays for them.
    """
    if len(public) != KEY or len(signature) != SIGNATURE:
        return False
    known = blake2b(public + signature + message, KEY)
    if known in _verified:
        return True
    try:
        sodium.crypto_sign_open(signature + message, public)
    except CryptoError:
        return False
    if len(_verified) >= MAX_VERIFIED:
        del _verified[next(iter(_verified))]
    _verified[known] = None
    return True


def dh_public(private: bytes) -> bytes:
    """Give the X25519 public key (32 bytes) of a private one."""
    _exactly(private, KEY, "an X25519 key")
    public = _allocate("unsigned char[]", KEY)
    lib.crypto_scalarmult_base(public, private)
    return bytes(ffi.buffer(public))


def dh(private: bytes, public: bytes) -> bytes:
    """Give the X25519 shared secret (RFC 7748), 32 bytes.

    Raises:
        RemoteProtocolError: ``crypto.dh``, for a key of another length or of low order.
    """
    _exactly(private, KEY, "an X25519 key")
    if len(public) != KEY:
        raise RemoteProtocolError("crypto.dh", "an X25519 key is not 32 bytes")
    secret = _allocate("unsigned char[]", KEY)
    if lib.crypto_scalarmult(secret, private, public):
        raise RemoteProtocolError("crypto.dh", "an X25519 key of low order")
    return bytes(ffi.buffer(secret))


def blake2b(data: bytes, size: int, *, key: bytes = b"") -> bytes:
    """Give the BLAKE2b digest of ``size`` bytes (RFC 7693)."""
    return hashlib.blake2b(data, digest_size=size, key=key).digest()


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """Give HMAC-SHA-256 (RFC 2104), 32 bytes."""
    return hmac.digest(key, data, "sha256")


def aead_seal(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Seal with ChaCha20-Poly1305 (RFC 8439): ciphertext and 16-byte tag."""
    _check_lengths(key, nonce, NONCE)
    return _seal(lib.crypto_aead_chacha20poly1305_ietf_encrypt, key, nonce, plaintext, associated)


def aead_open(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Open what :func:`aead_seal` made.

    Raises:
        RemoteProtocolError: ``crypto.aead``, for anything else.
    """
    _check_lengths(key, nonce, NONCE)
    return _open_untrusted(lib.crypto_aead_chacha20poly1305_ietf_decrypt, key, nonce, sealed, associated)


def load_openssl() -> tuple[Any, type[Exception]] | None:
    """Give OpenSSL's ChaCha20-Poly1305 and what it raises for what does not open; None without the extra ``fast``."""
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    except ImportError:
        return None
    return ChaCha20Poly1305, InvalidTag


OPENSSL: Final = None if HAS_AES else load_openssl()
"""With AES few records are sealed otherwise, and OpenSSL would take 7 MiB for them."""


class RecordCipher:
    """ChaCha20-Poly1305 under one key, for records of any size.

    Where there is OpenSSL large ones go by way of it: it needs half of libsodium's time for them, and more for small
    ones. The bytes are the same.

    Args:
        key: 32 bytes.
        openssl: what :func:`load_openssl` gave.
    """

    __slots__ = ("_key", "_openssl", "_sealer")

    def __init__(self, key: bytes, *, openssl: tuple[Any, type[Exception]] | None = OPENSSL) -> None:
        _exactly(key, KEY, "an AEAD key")
        self._key = key
        self._openssl = openssl
        # Made for the first large record: a handshake makes a cipher for each of its steps, and seals little.
        self._sealer: Any = None

    def _large(self, size: int) -> Any:
        if size < LARGE or self._openssl is None:
            return None
        if self._sealer is None:
            self._sealer = self._openssl[0](self._key)
        return self._sealer

    def seal(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """Seal under a nonce that was never used: ciphertext and 16-byte tag."""
        if (openssl := self._large(len(plaintext))) is None:
            return aead_seal(self._key, nonce, plaintext, associated)
        _exactly(nonce, NONCE, "an AEAD nonce")
        sealed: bytes = openssl.encrypt(nonce, plaintext, associated)
        return sealed

    def open_untrusted(self, nonce: bytes, sealed: bytes | memoryview, associated: bytes) -> bytes:
        """Open what :meth:`seal` made.

        Raises:
            RemoteProtocolError: ``crypto.aead``, for anything else.
        """
        openssl = self._openssl
        if openssl is None or (opener := self._large(len(sealed))) is None:
            return aead_open(self._key, nonce, bytes(sealed), associated)
        _exactly(nonce, NONCE, "an AEAD nonce")
        try:
            opened: bytes = opener.decrypt(nonce, sealed, associated)
        except openssl[1]:
            raise RemoteProtocolError("crypto.aead", "a sealed message does not open") from None
        return opened


class AesRecordCipher:
    """AES-256-GCM (NIST SP 800-38D) under one key, for records of any size; only where :data:`HAS_AES`.

    By libsodium alone: OpenSSL needs half as long for large records (6.6 and 15 us for 64 KiB), and 7 MiB. What is made
    is a buffer that belongs to the caller: to make bytes of it would be one more copy.

    Args:
        key: 32 bytes.

    Raises:
        LocalProtocolError: ``crypto.aes``, on a processor that has no instructions for it.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if not HAS_AES:
            raise LocalProtocolError("crypto.aes", "this processor has no instructions for AES-GCM")
        _exactly(key, KEY, "an AEAD key")
        self._key = key

    def seal(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytearray:
        """Seal under a nonce that was never used: ciphertext and 16-byte tag."""
        _exactly(nonce, NONCE, "an AEAD nonce")
        size = len(plaintext)
        sealed = bytearray(size + TAG)
        lib.crypto_aead_aes256gcm_encrypt(
            ffi.from_buffer(sealed),
            ffi.NULL,
            plaintext,
            size,
            associated,
            len(associated),
            ffi.NULL,
            nonce,
            self._key,
        )
        return sealed

    def open_untrusted(self, nonce: bytes, sealed: bytes | memoryview, associated: bytes) -> bytearray:
        """Open what :meth:`seal` made.

        Raises:
            RemoteProtocolError: ``crypto.aead``, for anything else.
        """
        _exactly(nonce, NONCE, "an AEAD nonce")
        size = len(sealed)
        if size < TAG:
            raise RemoteProtocolError("crypto.aead", "a sealed message is too short")
        opened = bytearray(size - TAG)
        source = ffi.from_buffer(sealed)
        if lib.crypto_aead_aes256gcm_decrypt(
            ffi.from_buffer(opened),
            ffi.NULL,
            ffi.NULL,
            source,
            size,
            associated,
            len(associated),
            nonce,
            self._key,
        ):
            raise RemoteProtocolError("crypto.aead", "a sealed message does not open")
        return opened


def xaead_seal(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Seal with XChaCha20-Poly1305 (24-byte nonce): ciphertext and 16-byte tag."""
    _check_lengths(key, nonce, XNONCE)
    return _seal(lib.crypto_aead_xchacha20poly1305_ietf_encrypt, key, nonce, plaintext, associated)


def xaead_open(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Open what :func:`xaead_seal` made.

    Raises:
        RemoteProtocolError: ``crypto.aead``, for anything else.
    """
    _check_lengths(key, nonce, XNONCE)
    return _open_untrusted(lib.crypto_aead_xchacha20poly1305_ietf_decrypt, key, nonce, sealed, associated)


def _check_lengths(key: bytes, nonce: bytes, nonce_size: int) -> None:
    if len(key) != KEY or len(nonce) != nonce_size:
        _exactly(key, KEY, "an AEAD key")
        _exactly(nonce, nonce_size, "an AEAD nonce")


def _seal(cipher: Any, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    size = len(plaintext)
    sealed = _allocate("unsigned char[]", size + TAG)
    cipher(sealed, ffi.NULL, plaintext, size, associated, len(associated), ffi.NULL, nonce, key)
    return bytes(ffi.buffer(sealed))


def _open_untrusted(cipher: Any, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    size = len(sealed)
    if size < TAG:
        raise RemoteProtocolError("crypto.aead", "a sealed message is too short")
    opened = _allocate("unsigned char[]", size - TAG)
    if cipher(opened, ffi.NULL, ffi.NULL, sealed, size, associated, len(associated), nonce, key):
        raise RemoteProtocolError("crypto.aead", "a sealed message does not open")
    return bytes(ffi.buffer(opened))
