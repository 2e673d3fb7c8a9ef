"""The handshake and its ciphers, against PyPI's ``noiseprotocol`` and against damage."""

from __future__ import annotations

import hmac
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise.backends.default.ciphers import AESGCMCipher
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseMaxNonceError

from gossipmesh.channel.noise import (
    MAX_MESSAGE,
    MAX_NONCE,
    PROTOCOL_NAME,
    CipherState,
    Handshake,
    Role,
    Suite,
)
from gossipmesh.crypto import HAS_AES, dh_public
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError

PROLOGUE = b"gossipmesh/1" + bytes(range(32))
ALICE_STATIC, ALICE_EPHEMERAL = bytes([1] * 32), bytes([2] * 32)
BOB_STATIC, BOB_EPHEMERAL = bytes([3] * 32), bytes([4] * 32)
LOW_ORDER = (bytes(32), b"\x01" + bytes(31), bytes.fromhex("ec" + "ff" * 30 + "7f"))

keys = st.binary(min_size=32, max_size=32)
payloads = st.lists(st.binary(max_size=200), min_size=3, max_size=3)


def alice(prologue: bytes = PROLOGUE) -> Handshake:
    return Handshake(
        Role.INITIATOR, prologue=prologue, static_private=ALICE_STATIC, ephemeral_private=ALICE_EPHEMERAL
    )


def bob(prologue: bytes = PROLOGUE) -> Handshake:
    return Handshake(
        Role.RESPONDER, prologue=prologue, static_private=BOB_STATIC, ephemeral_private=BOB_EPHEMERAL
    )


def finished_pair() -> tuple[Handshake, Handshake]:
    initiator, responder = alice(), bob()
    responder.read_message_untrusted(initiator.write_message(b""))
    initiator.read_message_untrusted(responder.write_message(b"bob"))
    responder.read_message_untrusted(initiator.write_message(b"alice"))
    return initiator, responder


def reference(role: Role, prologue: bytes, static: bytes, ephemeral: bytes) -> NoiseConnection:
    connection = NoiseConnection.from_name(PROTOCOL_NAME)
    connection.set_as_initiator() if role is Role.INITIATOR else connection.set_as_responder()
    connection.set_prologue(prologue)
    connection.set_keypair_from_private_bytes(Keypair.STATIC, static)
    connection.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
    with pytest.warns(UserWarning, match="ephemeral"):
        connection.start_handshake()
    return connection


def damaged(message: bytes) -> Iterator[bytes]:
    for size in range(len(message)):
        yield message[:size]
    for bit in range(8 * len(message)):
        yield flipped(message, bit)


def flipped(message: bytes, bit: int) -> bytes:
    twin = bytearray(message)
    twin[bit // 8] ^= 1 << bit % 8
    return bytes(twin)


@settings(max_examples=40)
@given(keys, keys, keys, keys, st.binary(max_size=64), payloads)
def test_both_roles_agree_with_noiseprotocol_byte_for_byte(
    static: bytes,
    ephemeral: bytes,
    peer_static: bytes,
    peer_ephemeral: bytes,
    prologue: bytes,
    said: list[bytes],
) -> None:
    for role, other in ((Role.INITIATOR, Role.RESPONDER), (Role.RESPONDER, Role.INITIATOR)):
        ours = Handshake(role, prologue=prologue, static_private=static, ephemeral_private=ephemeral)
        theirs = reference(other, prologue, peer_static, peer_ephemeral)
        twin = reference(role, prologue, static, ephemeral)
        for number, payload in enumerate(said):
            if (number % 2 == 0) == (role is Role.INITIATOR):
                message = ours.write_message(payload)
                assert message == twin.write_message(payload)
                assert theirs.read_message(message) == payload
            else:
                message = bytes(theirs.write_message(payload))
                assert ours.read_message_untrusted(message) == payload
                twin.read_message(message)
        assert ours.remote_static == dh_public(peer_static)
        sending, receiving = ours.split()
        assert theirs.decrypt(sending.encrypt(b"there")) == b"there"
        assert receiving.decrypt_untrusted(theirs.encrypt(b"back")) == b"back"


@pytest.mark.parametrize("role", list(Role))
def test_transport_and_rekeying_agree_with_noiseprotocol(role: Role) -> None:
    ours = alice() if role is Role.INITIATOR else bob()
    if role is Role.INITIATOR:
        theirs = reference(Role.RESPONDER, PROLOGUE, BOB_STATIC, BOB_EPHEMERAL)
        theirs.read_message(ours.write_message(b"1"))
        ours.read_message_untrusted(bytes(theirs.write_message(b"2")))
        theirs.read_message(ours.write_message(b"3"))
    else:
        theirs = reference(Role.INITIATOR, PROLOGUE, ALICE_STATIC, ALICE_EPHEMERAL)
        ours.read_message_untrusted(bytes(theirs.write_message(b"1")))
        theirs.read_message(ours.write_message(b"2"))
        ours.read_message_untrusted(bytes(theirs.write_message(b"3")))
    sending, receiving = ours.split()
    for round_number in range(4):
        for size in (0, 1, 1_000, MAX_MESSAGE - 16):
            body = bytes([round_number]) * size
            assert theirs.decrypt(sending.encrypt(body)) == body
            assert receiving.decrypt_untrusted(theirs.encrypt(body)) == body
        sending.rekey()
        theirs.rekey_inbound_cipher()
        receiving.rekey()
        theirs.rekey_outbound_cipher()
    assert sending.nonce == receiving.nonce == 16


def test_the_last_nonce_is_the_one_that_noiseprotocol_uses_last() -> None:
    initiator = alice()
    theirs = reference(Role.RESPONDER, PROLOGUE, BOB_STATIC, BOB_EPHEMERAL)
    theirs.read_message(initiator.write_message(b""))
    initiator.read_message_untrusted(bytes(theirs.write_message(b"")))
    theirs.read_message(initiator.write_message(b""))
    sending, _ = initiator.split()
    sending.nonce = MAX_NONCE
    theirs.noise_protocol.cipher_state_decrypt.set_nonce(MAX_NONCE)
    assert theirs.decrypt(sending.encrypt(b"last")) == b"last"
    with pytest.raises(LocalProtocolError):
        sending.encrypt(b"one more")
    with pytest.raises(NoiseMaxNonceError):
        theirs.decrypt(bytes(20))


with_aes = pytest.mark.skipif(not HAS_AES, reason="no instructions for AES-GCM here: it is never used then")
suites = pytest.mark.parametrize("suite", [Suite.CHACHA, pytest.param(Suite.AES, marks=with_aes)])


@with_aes
def test_aes_transport_messages_and_rekeying_are_those_of_noiseprotocol() -> None:
    key = bytes(range(32))
    ours = CipherState(key, suite=Suite.AES)
    theirs = AESGCMCipher()
    theirs.initialize(key)
    for _ in range(3):
        for nonce in range(4):
            ours.nonce = nonce << 20
            assert ours.encrypt(b"body", b"with") == theirs.encrypt(None, nonce << 20, b"with", b"body")
        ours.nonce = 7
        ours.rekey()
        theirs.initialize(theirs.rekey(None))
        assert ours.nonce == 7


@with_aes
def test_an_aes_key_is_made_of_the_handshakes_and_is_not_it() -> None:
    initiator = alice()
    theirs = reference(Role.RESPONDER, PROLOGUE, BOB_STATIC, BOB_EPHEMERAL)
    theirs.read_message(initiator.write_message(b""))
    initiator.read_message_untrusted(bytes(theirs.write_message(b"")))
    theirs.read_message(initiator.write_message(b""))
    key = theirs.noise_protocol.cipher_state_decrypt.k
    sealed = initiator.split(Suite.AES)[0].encrypt(b"body")
    aes = AESGCMCipher()
    aes.initialize(hmac.digest(key, b"gossipmesh/1 AESGCM", "sha256"))
    assert aes.decrypt(None, 0, b"", sealed) == b"body"
    with pytest.raises(RemoteProtocolError):
        CipherState(key, suite=Suite.AES).decrypt_untrusted(sealed)


@suites
def test_a_cipher_refuses_to_pass_its_last_nonce_in_either_direction(suite: Suite) -> None:
    sending, receiving = (CipherState(bytes(32), MAX_NONCE, suite) for _ in range(2))
    assert receiving.decrypt_untrusted(sending.encrypt(b"last")) == b"last"
    for _ in range(2):
        with pytest.raises(LocalProtocolError) as ours:
            sending.encrypt(b"")
        assert ours.value.code == "noise.nonce"
        with pytest.raises(RemoteProtocolError) as theirs:
            receiving.decrypt_untrusted(bytes(16))
        assert theirs.value.code == "noise.nonce"
    assert sending.nonce == receiving.nonce == MAX_NONCE + 1


@suites
def test_a_message_sealed_before_a_rekey_does_not_open_after_it(suite: Suite) -> None:
    initiator, responder = finished_pair()
    sending, receiving = initiator.split(suite)[0], responder.split(suite)[1]
    early = sending.encrypt(b"early")
    receiving.rekey()
    with pytest.raises(RemoteProtocolError):
        receiving.decrypt_untrusted(early)


@suites
def test_each_direction_has_its_own_key(suite: Suite) -> None:
    initiator, _ = finished_pair()
    sending, receiving = initiator.split(suite)
    with pytest.raises(RemoteProtocolError):
        receiving.decrypt_untrusted(sending.encrypt(b"reflected"))


def test_damage_to_message_2_is_refused_and_leaves_the_initiator_as_it_was() -> None:
    initiator, responder = alice(), bob()
    responder.read_message_untrusted(initiator.write_message(b""))
    message = responder.write_message(b"credentials of bob")
    for bad in damaged(message):
        with pytest.raises(RemoteProtocolError):
            initiator.read_message_untrusted(bad)
    assert initiator.read_message_untrusted(message) == b"credentials of bob"
    assert initiator.remote_static == dh_public(BOB_STATIC)
    assert responder.read_message_untrusted(initiator.write_message(b"alice")) == b"alice"


def test_damage_to_message_3_is_refused_and_leaves_the_responder_as_it_was() -> None:
    initiator, responder = alice(), bob()
    responder.read_message_untrusted(initiator.write_message(b""))
    initiator.read_message_untrusted(responder.write_message(b"bob"))
    message = initiator.write_message(b"credentials of alice")
    for bad in damaged(message):
        with pytest.raises(RemoteProtocolError):
            responder.read_message_untrusted(bad)
        assert not responder.finished
    assert responder.read_message_untrusted(message) == b"credentials of alice"
    assert responder.finished


def test_damage_to_message_1_is_noticed_by_the_initiator() -> None:
    message = alice().write_message(b"")
    for bad in damaged(message):
        initiator, responder = alice(), bob()
        initiator.write_message(b"")
        if len(bad) < 32:
            with pytest.raises(RemoteProtocolError):
                responder.read_message_untrusted(bad)
            assert responder.read_message_untrusted(message) == b""
            continue
        responder.read_message_untrusted(bad)
        with pytest.raises(RemoteProtocolError):
            initiator.read_message_untrusted(responder.write_message(b"bob"))


@suites
def test_damage_to_a_transport_message_leaves_the_cipher_as_it_was(suite: Suite) -> None:
    initiator, responder = finished_pair()
    sending, receiving = initiator.split(suite)[0], responder.split(suite)[1]
    message = sending.encrypt(b"body", b"associated")
    for bad in damaged(message):
        with pytest.raises(RemoteProtocolError):
            receiving.decrypt_untrusted(bad, b"associated")
    with pytest.raises(RemoteProtocolError):
        receiving.decrypt_untrusted(message, b"other")
    assert receiving.decrypt_untrusted(message, b"associated") == b"body"


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_random_bytes_are_no_message_2_or_3(junk: bytes) -> None:
    initiator, responder = alice(), bob()
    responder.read_message_untrusted(initiator.write_message(b""))
    responder.write_message(b"")
    for side in (initiator, responder):
        with pytest.raises(RemoteProtocolError):
            side.read_message_untrusted(junk)


@pytest.mark.parametrize("key", LOW_ORDER)
def test_an_ephemeral_key_of_low_order_is_refused(key: bytes) -> None:
    initiator, responder = alice(), bob()
    initiator.write_message(b"")
    with pytest.raises(RemoteProtocolError, match="low order"):
        initiator.read_message_untrusted(key + bytes(64))
    responder.read_message_untrusted(key)
    with pytest.raises(RemoteProtocolError, match="low order"):
        responder.write_message(b"")


def test_sides_with_different_prologues_do_not_finish() -> None:
    initiator, responder = alice(b"mesh a"), bob(b"mesh b")
    responder.read_message_untrusted(initiator.write_message(b""))
    with pytest.raises(RemoteProtocolError):
        initiator.read_message_untrusted(responder.write_message(b""))


def test_steps_out_of_order_are_our_own_mistakes() -> None:
    initiator, responder = alice(), bob()
    for step in (
        lambda: initiator.read_message_untrusted(bytes(96)),
        lambda: responder.write_message(b""),
        initiator.split,
        lambda: initiator.remote_static,
    ):
        with pytest.raises(LocalProtocolError) as mistake:
            step()
        assert mistake.value.code == "noise.order"
    done, _ = finished_pair()
    for step in (lambda: done.write_message(b""), lambda: done.read_message_untrusted(bytes(96))):
        with pytest.raises(LocalProtocolError):
            step()


def test_no_message_is_longer_than_noise_allows() -> None:
    initiator, responder = alice(), bob()
    with pytest.raises(LocalProtocolError):
        initiator.write_message(bytes(MAX_MESSAGE - 31))
    with pytest.raises(RemoteProtocolError):
        responder.read_message_untrusted(bytes(MAX_MESSAGE + 1))
    largest = initiator.write_message(bytes(MAX_MESSAGE - 32))
    assert responder.read_message_untrusted(largest) == bytes(MAX_MESSAGE - 32)
