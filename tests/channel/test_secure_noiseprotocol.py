"""The channel speaks with another implementation of the Noise protocol."""

from __future__ import annotations

from types import ModuleType

import pytest
from noise.connection import Keypair, NoiseConnection

from gossipmesh.channel.noise import PROTOCOL_NAME, Role
from gossipmesh.channel.secure import END, HOP, SYNC, Ended, HandshakeDone, Record, SecureChannel
from gossipmesh.crypto import dh_public

EPHEMERAL = bytes([7] * 32)
Channel = SecureChannel[str]


def reference(lab: ModuleType, role: Role, static: bytes) -> NoiseConnection:
    connection = NoiseConnection.from_name(PROTOCOL_NAME)
    connection.set_as_initiator() if role is Role.INITIATOR else connection.set_as_responder()
    connection.set_prologue(b"gossipmesh/1" + lab.MESH)
    connection.set_keypair_from_private_bytes(Keypair.STATIC, static)
    connection.set_keypair_from_private_bytes(Keypair.EPHEMERAL, EPHEMERAL)
    with pytest.warns(UserWarning, match="OK for testing"):
        connection.start_handshake()
    return connection


def converse(lab: ModuleType, side: Channel, theirs: NoiseConnection) -> None:
    for number in range(5):
        body = bytes([number]) * 1_000
        assert theirs.decrypt(lab.sealed(side, HOP, body)[2:]) == bytes([HOP]) + body
        assert side.receive_bytes_untrusted(lab.framed(theirs.encrypt(bytes([SYNC]) + body))) == [
            Record(SYNC, body)
        ]
        if number % 2:
            theirs.rekey_inbound_cipher()
            theirs.rekey_outbound_cipher()
    side.send_end()
    assert theirs.decrypt(side.bytes_to_send()[2:]) == bytes([END])
    assert side.receive_bytes_untrusted(lab.framed(theirs.encrypt(bytes([END])))) == [Ended()]
    side.receive_eof()


def test_an_initiator_speaks_with_noiseprotocol(lab: ModuleType) -> None:
    initiator, theirs = lab.alice(rekey_every=2), reference(lab, Role.RESPONDER, lab.BOB)
    first = initiator.bytes_to_send()[2:]
    assert theirs.read_message(first) == lab.knock(first[:32])
    answer = lab.framed(bytes(theirs.write_message(lab.credentials(lab.BOB))))
    assert initiator.receive_bytes_untrusted(answer) == [HandshakeDone("bob")]
    assert theirs.read_message(initiator.bytes_to_send()[2:]) == lab.credentials(lab.ALICE)
    converse(lab, initiator, theirs)


def test_a_responder_speaks_with_noiseprotocol(lab: ModuleType) -> None:
    responder, theirs = lab.bob(rekey_every=2), reference(lab, Role.INITIATOR, lab.ALICE)
    first = bytes(theirs.write_message(lab.knock(dh_public(EPHEMERAL))))
    assert responder.receive_bytes_untrusted(lab.framed(first)) == []
    assert theirs.read_message(responder.bytes_to_send()[2:]) == lab.credentials(lab.BOB)
    third = lab.framed(bytes(theirs.write_message(lab.credentials(lab.ALICE))))
    assert responder.receive_bytes_untrusted(third) == [HandshakeDone("alice")]
    converse(lab, responder, theirs)
