"""Every bit flipped and every truncation of each message kind: nothing changes but one counter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve

import members
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.accusation import sign_accusation
from gossipmesh.identity.checks import Checks
from gossipmesh.identity.record import resign_record
from gossipmesh.membership.message_codec import encode_messages
from gossipmesh.membership.messages import (
    AccusationNews,
    Ack,
    ChainNews,
    ChainRequest,
    Message,
    Nack,
    Ping,
    PingRequest,
    RecordNews,
)
from gossipmesh.mesh.outputs import Refused, SendDatagram
from gossipmesh.model import Serving

STAGE = members.Stage()
ROOT = bytes(16)


def accusation() -> bytes:
    return sign_accusation(
        seed=members.KEYS["mallory"].seed,
        mesh_id=members.TRUST.mesh_id,
        subject=STAGE.carol.id,
        boot=1,
        incarnation=0,
        issued_at=int(members.WALL),
    ).signed.raw


MESSAGES: list[Message] = [
    Ping(1, STAGE.alice.id, ROOT),
    Ack(1, ROOT),
    PingRequest(2, STAGE.carol.id),
    Nack(2),
    RecordNews(STAGE.mallory.own.signed.raw),
    AccusationNews(accusation()),
    ChainRequest(ROOT),
    ChainNews(STAGE.mallory.chain.raw),
]


def damaged(data: bytes) -> Iterator[bytes]:
    for size in range(len(data)):
        yield data[:size]
    for bit in range(8 * len(data)):
        twin = bytearray(data)
        twin[bit // 8] ^= 1 << bit % 8
        yield bytes(twin)


def state_of(stage: members.Stage) -> object:
    """Give all that an attacker would want to change."""
    alice = stage.alice
    beliefs = {
        each.id: (each.record.version, each.state, each.accusers, each.doubt)
        for each in alice.members.values()
    }
    return alice.own.version, beliefs, alice.known(), dict(alice.names), alice.snapshot, alice.deadline


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_damage_to_a_datagram_is_counted_once_and_changes_nothing(message: Message) -> None:
    stage = members.Stage()
    sealed = stage.mallory._secrecy.seal(stage.alice.id, encode_messages([message]))
    before = state_of(stage)
    for bad in damaged(sealed):
        outputs = stage._hear(bad, members.STRANGER)
        refused = [each for each in outputs if isinstance(each, Refused)]
        assert len(refused) == 1, bad.hex()
        hints = [each for each in outputs if isinstance(each, SendDatagram)]
        assert len(hints) + 1 == len(outputs)
        assert all(len(each.payload) <= min(16, len(bad)) for each in hints)
    assert state_of(stage) == before
    # What was damaged is still good: a forger used up no counter and moved no window.
    assert Refused("datagram.replay") not in stage._hear(sealed, members.ADDRESSES["mallory"])


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_without_the_seal_the_same_damage_would_be_taken_for_another_message(message: Message) -> None:
    """The negative control: flipped before it is sealed, as if there were no seal, much of it is understood."""
    plaintext = encode_messages([message])
    understood = 0
    for bad in list(damaged(plaintext))[len(plaintext) :]:
        stage = members.Stage() if understood == 0 else None
        if stage is None:
            break
        outputs = stage._seal(bad)
        understood += not any(isinstance(each, Refused) and "gossip" in each.code for each in outputs)
    assert understood


def forged_farewell(stage: members.Stage, seed: bytes) -> bytes:
    """Give a record in which Carol says that she leaves, signed with some key."""
    newer = evolve(stage.carol.own, incarnation=7, serving=Serving.LEAVING)
    body = resign_record(
        newer, seed=members.KEYS["carol"].seed, mesh_id=members.TRUST.mesh_id, issued_at=int(members.WALL)
    ).signed.body
    return members.seal(members.RECORD_LABEL, members.TRUST.mesh_id, body, seed).raw


def test_nobody_says_farewell_for_another() -> None:
    stage = members.Stage()
    before = state_of(stage)
    raw = forged_farewell(stage, members.KEYS["mallory"].seed)
    outputs = stage._news(RecordNews, raw)
    assert Refused("record.signature") in outputs
    assert state_of(stage) == before


def test_without_the_signature_s_check_anybody_does() -> None:
    stage = members.Stage(Checks(verify_record=lambda record, *_, **__: record))
    stage._news(RecordNews, forged_farewell(stage, members.KEYS["mallory"].seed))
    assert stage.alice.members[stage.carol.id].record.serving is Serving.LEAVING


def test_a_sync_message_cut_anywhere_is_refused_and_changes_nothing() -> None:
    examples = dict(members.examples())
    for name in ("greeting", "carry", "renew", "sync"):
        for kind, payload in members.pieces(examples[name]):
            stage = members.Stage()
            before = state_of(stage)
            assert kind == 1
            for size in range(len(payload)):
                answer, outputs = stage.alice.answer_untrusted(
                    stage.peer, payload[:size], now=0.0, wall=members.WALL
                )
                assert [type(each) for each in outputs] == [Refused], (name, size)
                with pytest.raises(RemoteProtocolError):
                    members.exchanges.decode_plain_untrusted(answer, members.Kind.PROBED)
            assert state_of(stage) == before
