"""What a gossip datagram says, and everything that it must not be taken for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh import wire
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.membership.message_codec import decode_messages_untrusted, encode_messages, encoded_size
from gossipmesh.membership.messages import (
    HEADER_BYTES,
    MAX_MESSAGES,
    MAX_PLAINTEXT,
    MAX_RAW,
    MAX_SEQ,
    NEWS_BYTES,
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
from gossipmesh.model import NodeId

ROOT = bytes(range(16))
BOB = NodeId(b"b" * 32)
ONE_OF_EACH: list[Message] = [
    Ping(1, BOB, ROOT),
    Ack(MAX_SEQ, ROOT),
    PingRequest(3, BOB),
    Nack(4),
    RecordNews(b"record"),
    AccusationNews(b"accusation"),
    ChainRequest(ROOT),
    ChainNews(b"chain"),
]

seqs = st.integers(0, MAX_SEQ)
ids = st.binary(min_size=32, max_size=32).map(NodeId)
digests = st.binary(min_size=16, max_size=16)
raws = st.binary(min_size=1, max_size=150)
messages = st.one_of(
    st.builds(Ping, seqs, ids, digests),
    st.builds(Ack, seqs, digests),
    st.builds(PingRequest, seqs, ids),
    st.builds(Nack, seqs),
    st.builds(RecordNews, raws),
    st.builds(AccusationNews, raws),
    st.builds(ChainRequest, digests),
    st.builds(ChainNews, raws),
)


@given(st.lists(messages, max_size=7))
def test_what_was_encoded_is_decoded_and_its_size_was_foretold(said: list[Message]) -> None:
    plaintext = encode_messages(said)
    assert decode_messages_untrusted(plaintext) == said
    assert len(plaintext) <= HEADER_BYTES + sum(encoded_size(message) for message in said)


@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda message: type(message).__name__)
def test_every_truncation_is_refused(message: Message) -> None:
    plaintext = encode_messages([message])
    for length in range(len(plaintext)):
        with pytest.raises(RemoteProtocolError) as raised:
            decode_messages_untrusted(plaintext[:length])
        assert raised.value.code == "gossip.malformed"


@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda message: type(message).__name__)
def test_every_flipped_bit_gives_other_messages_or_one_error(message: Message) -> None:
    plaintext = encode_messages([message])
    for bit in range(8 * len(plaintext)):
        flipped = bytearray(plaintext)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert decode_messages_untrusted(bytes(flipped)) != [message]
        except RemoteProtocolError as error:
            assert error.code == "gossip.malformed"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_messages_or_one_error(junk: bytes) -> None:
    try:
        decode_messages_untrusted(junk)
    except RemoteProtocolError as error:
        assert error.code == "gossip.malformed"


@pytest.mark.parametrize(
    "value",
    [
        [[0, 1]],
        [[9, 1]],
        [[]],
        [[2, MAX_SEQ + 1, ROOT]],
        [[2, 1, ROOT + b"x"]],
        [[3, 1, BOB[:31]]],
        [[5, b""]],
        [[5, bytes(MAX_RAW + 1)]],
        [1],
        7,
        [[4, 1]] * (MAX_MESSAGES + 1),
    ],
)
def test_other_kinds_lengths_and_counts_are_refused(value: wire.Value) -> None:
    with pytest.raises(RemoteProtocolError, match=r"."):
        decode_messages_untrusted(wire.pack(value))


def test_elements_that_a_newer_release_appended_are_ignored() -> None:
    assert decode_messages_untrusted(wire.pack([[4, 7, b"new"]])) == [Nack(7)]


def test_more_than_one_datagram_holds_is_never_encoded() -> None:
    with pytest.raises(LocalProtocolError):
        encode_messages([RecordNews(bytes(MAX_RAW)), RecordNews(bytes(100))])
    with pytest.raises(LocalProtocolError):
        encode_messages([Nack(1)] * (MAX_MESSAGES + 1))


def test_the_longest_record_rides_on_a_ping() -> None:
    said: list[Message] = [Ping(MAX_SEQ, BOB, ROOT), RecordNews(bytes(MAX_RAW))]
    assert len(encode_messages(said)) <= MAX_PLAINTEXT
    assert encoded_size(said[1]) == MAX_RAW + NEWS_BYTES
