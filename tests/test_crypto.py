"""Each primitive gives one error for every wrong input, and agrees with published vectors."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gossipmesh import crypto
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError

SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")


def test_ed25519_agrees_with_rfc_8032_test_1() -> None:
    assert (
        crypto.signing_public(SEED).hex()
        == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert crypto.sign(SEED, b"").hex().startswith("e5564300c360ac729086e2cc806e828a")
    assert crypto.verify(crypto.signing_public(SEED), b"", crypto.sign(SEED, b""))


def test_x25519_agrees_with_rfc_7748_section_5_2() -> None:
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    assert (
        crypto.dh(scalar, point).hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    )
    alice, bob = bytes(range(32)), bytes(range(1, 33))
    assert crypto.dh(alice, crypto.dh_public(bob)) == crypto.dh(bob, crypto.dh_public(alice))


def test_a_signature_that_is_not_one_is_a_plain_no() -> None:
    public, signature = crypto.signing_public(SEED), crypto.sign(SEED, b"m")
    for wrong in (
        (public, b"n", signature),
        (public[:31], b"m", signature),
        (public, b"m", signature[:63]),
        (b"\0" * 32, b"m", signature),
        (public, b"m", bytes(64)),
    ):
        assert not crypto.verify(*wrong)


def test_a_signature_that_held_is_remembered_for_these_very_bytes_and_among_so_many() -> None:
    public, signature = crypto.signing_public(SEED), crypto.sign(SEED, b"m")
    assert crypto.verify(public, b"m", signature)
    assert crypto.verify(public, b"m", signature)
    # The three are hashed one after the other, and the first two have fixed lengths: none passes for its neighbour.
    for wrong in (
        (public, b"mm", signature),
        (public, signature[-1:] + b"m", signature),
        (public, b"", signature),
    ):
        assert not crypto.verify(*wrong)
    for number in range(20):
        message = b"%d" % number
        assert crypto.verify(public, message, crypto.sign(SEED, message))
        assert not crypto.verify(public, message, crypto.sign(SEED, message + b"."))
    assert len(crypto._verified) <= crypto.MAX_VERIFIED


def test_low_order_and_short_keys_are_the_peers_fault() -> None:
    for public in (bytes(32), (1).to_bytes(32, "little"), b"short"):
        with pytest.raises(RemoteProtocolError):
            crypto.dh(SEED, public)


def test_a_short_private_key_is_our_own_fault() -> None:
    for call in (crypto.dh_public, crypto.signing_public):
        with pytest.raises(LocalProtocolError):
            call(b"short")


@pytest.mark.parametrize(
    ("seal", "unseal", "nonce"),
    [(crypto.aead_seal, crypto.aead_open, bytes(12)), (crypto.xaead_seal, crypto.xaead_open, bytes(24))],
)
def test_a_sealed_message_opens_only_whole_and_with_its_associated_data(seal, unseal, nonce) -> None:  # type: ignore[no-untyped-def]
    key = bytes(range(32))
    sealed = seal(key, nonce, b"hello", b"ad")
    assert unseal(key, nonce, sealed, b"ad") == b"hello"
    for n in range(len(sealed)):
        with pytest.raises(RemoteProtocolError):
            unseal(key, nonce, sealed[:n], b"ad")
        flipped = bytearray(sealed)
        flipped[n] ^= 1
        with pytest.raises(RemoteProtocolError):
            unseal(key, nonce, bytes(flipped), b"ad")
    with pytest.raises(RemoteProtocolError):
        unseal(key, nonce, sealed, b"AD")


def assert_opens_nothing_else(
    cipher: crypto.RecordCipher | crypto.AesRecordCipher, nonce: bytes, sealed: bytes
) -> None:
    """``sealed`` was made with the associated data ``with``."""
    for wrong in (
        sealed[:-1],
        sealed[:-1] + bytes([sealed[-1] ^ 1]),
        bytes([sealed[0] ^ 1]) + sealed[1:],
        b"",
    ):
        with pytest.raises(RemoteProtocolError) as raised:
            cipher.open_untrusted(nonce, wrong, b"with")
        assert raised.value.code == "crypto.aead"
    with pytest.raises(RemoteProtocolError):
        cipher.open_untrusted(nonce, sealed, b"without")


@pytest.mark.parametrize("openssl", [None, crypto.load_openssl()], ids=["libsodium", "openssl"])
@pytest.mark.parametrize("size", [0, 1, crypto.LARGE - 1, crypto.LARGE, crypto.LARGE + 1, 65_000])
def test_records_of_all_sizes_are_sealed_alike_whoever_does_it(
    size: int, openssl: tuple[Any, type[Exception]] | None
) -> None:
    key, nonce, plaintext = bytes(range(32)), bytes(range(12)), bytes(size)
    cipher = crypto.RecordCipher(key, openssl=openssl)
    sealed = cipher.seal(nonce, plaintext, b"with")
    assert sealed == crypto.aead_seal(key, nonce, plaintext, b"with")
    assert cipher.open_untrusted(nonce, sealed, b"with") == plaintext
    assert cipher.open_untrusted(nonce, memoryview(b"!" + sealed)[1:], b"with") == plaintext
    assert_opens_nothing_else(cipher, nonce, sealed)


def test_openssl_is_there_to_be_tested_and_is_used_only_where_there_is_no_aes() -> None:
    assert crypto.load_openssl() is not None
    assert (crypto.OPENSSL is None) is crypto.HAS_AES


def test_a_record_cipher_checks_its_lengths() -> None:
    with pytest.raises(LocalProtocolError):
        crypto.RecordCipher(bytes(31))
    for size, openssl in ((1, None), (crypto.LARGE, None), (crypto.LARGE, crypto.load_openssl())):
        cipher = crypto.RecordCipher(bytes(32), openssl=openssl)
        with pytest.raises(LocalProtocolError):
            cipher.seal(bytes(11), bytes(size), b"")
        with pytest.raises(LocalProtocolError):
            cipher.open_untrusted(bytes(13), bytes(size), b"")


with_aes = pytest.mark.skipif(
    not crypto.HAS_AES, reason="no instructions for AES-GCM here: it is never used then"
)


@with_aes
def test_aes_records_are_those_of_the_standard() -> None:
    # McGrew and Viega, The Galois/Counter Mode of Operation, test case 16.
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    plaintext = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    sealed = crypto.AesRecordCipher(key).seal(
        bytes.fromhex("cafebabefacedbaddecaf888"),
        plaintext,
        bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
    )
    assert sealed[-16:].hex() == "76fc6ece0f4e1768cddf8853bb2d551b"
    assert sealed[:16].hex() == "522dc1f099567d07f47f37a32a84427d"


@with_aes
@pytest.mark.parametrize("size", [0, 1, 15, 16, 300, 65_000])
def test_aes_records_are_sealed_as_openssl_does_it(size: int) -> None:
    key, nonce, plaintext = bytes(range(32)), bytes(range(12)), bytes(size)
    cipher = crypto.AesRecordCipher(key)
    sealed = bytes(cipher.seal(nonce, plaintext, b"with"))
    assert sealed == AESGCM(key).encrypt(nonce, plaintext, b"with")
    assert cipher.open_untrusted(nonce, sealed, b"with") == plaintext
    assert cipher.open_untrusted(nonce, memoryview(b"!" + sealed)[1:], b"with") == plaintext
    assert_opens_nothing_else(cipher, nonce, sealed)


@with_aes
def test_an_aes_record_cipher_checks_its_lengths() -> None:
    with pytest.raises(LocalProtocolError):
        crypto.AesRecordCipher(bytes(16))
    cipher = crypto.AesRecordCipher(bytes(32))
    with pytest.raises(LocalProtocolError):
        cipher.seal(bytes(11), b"plain", b"")
    with pytest.raises(LocalProtocolError):
        cipher.open_untrusted(bytes(13), bytes(20), b"")
