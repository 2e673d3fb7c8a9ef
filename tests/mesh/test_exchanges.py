"""The mesh's own requests, byte by byte, and the bounds of what is under way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.chain import MAX_CHAIN
from gossipmesh.identity.record import MAX_RECORD
from gossipmesh.membership.message_codec import encode_messages
from gossipmesh.membership.messages import Ack, Nack
from gossipmesh.mesh.exchanges import (
    MAX_AGE_S,
    MAX_CARRIED,
    MAX_CODE,
    MAX_OPEN,
    MAX_OPEN_BESIDE_PROBES,
    MAX_OPEN_CARRYING,
    Carry,
    Exchanges,
    Greet,
    Greeting,
    Kind,
    Probe,
    Reached,
    Renew,
    decode_carried_untrusted,
    decode_chain_untrusted,
    decode_greeting_untrusted,
    decode_plain_untrusted,
    decode_reached_untrusted,
    encode_carried,
    encode_greeting,
    encode_plain,
    encode_reached,
    encode_refusal,
)
from gossipmesh.model import Address, NodeId

BOB = NodeId(b"b" * 32)
AT = (Address("192.0.2.1", 7946),)
GREETING = Greeting(b"chain" * 20, b"record" * 20, b"buried" * 20)

greetings = st.builds(
    Greeting,
    st.binary(min_size=1, max_size=MAX_CHAIN),
    st.binary(min_size=1, max_size=MAX_RECORD),
    st.binary(max_size=MAX_RECORD),
)


@given(greetings, st.sampled_from([Kind.GREET, Kind.GREETED]))
def test_a_greeting_comes_back_as_it_went(greeting: Greeting, kind: Kind) -> None:
    assert decode_greeting_untrusted(encode_greeting(kind, greeting), kind) == greeting


def test_a_chain_and_nothing_come_back_as_they_went() -> None:
    assert decode_chain_untrusted(encode_plain(Kind.RENEW, b"chain"), Kind.RENEW) == b"chain"
    decode_plain_untrusted(encode_plain(Kind.PROBE), Kind.PROBE)


CARRIED = [encode_messages([Nack(7), Ack(8, bytes(16))]), encode_messages([Nack(9)])]
MALFORMED = {"exchange.malformed", "gossip.malformed"}

DECODERS: list[tuple[bytes, Callable[[bytes], object]]] = [
    (encode_greeting(Kind.GREET, GREETING), lambda data: decode_greeting_untrusted(data, Kind.GREET)),
    (encode_plain(Kind.PROBED), lambda data: decode_plain_untrusted(data, Kind.PROBED)),
    (encode_plain(Kind.RENEWED, b"c" * 99), lambda data: decode_chain_untrusted(data, Kind.RENEWED)),
    (encode_carried(Kind.CARRY, CARRIED), lambda data: decode_carried_untrusted(data, Kind.CARRY)),
    (encode_reached(Reached.NO), decode_reached_untrusted),
]


@pytest.mark.parametrize(("good", "decode"), DECODERS)
def test_every_truncation_is_refused(good: bytes, decode: Callable[[bytes], object]) -> None:
    decode(good)
    for size in range(len(good)):
        with pytest.raises(RemoteProtocolError) as caught:
            decode(good[:size])
        assert caught.value.code in MALFORMED


@pytest.mark.parametrize(("good", "decode"), DECODERS)
def test_no_bit_flip_raises_anything_else(good: bytes, decode: Callable[[bytes], object]) -> None:
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        try:
            decode(bytes(bad))
        except RemoteProtocolError as error:
            assert error.code in {*MALFORMED, "exchange.refused"}


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for _, decode in DECODERS:
        try:
            decode(data)
        except RemoteProtocolError as error:
            assert error.code in {*MALFORMED, "exchange.refused"}


def test_carried_messages_come_back_as_they_went_and_no_more_than_the_bound() -> None:
    plaintexts = [encode_messages([Nack(seq)]) for seq in range(MAX_CARRIED + 3)]
    decoded = decode_carried_untrusted(encode_carried(Kind.CARRIED, plaintexts), Kind.CARRIED)
    assert decoded == [[Nack(seq)] for seq in range(MAX_CARRIED)]
    assert decode_carried_untrusted(encode_carried(Kind.CARRIED, []), Kind.CARRIED) == []


@pytest.mark.parametrize("reached", list(Reached))
def test_whether_somebody_is_reached_comes_back_as_it_went(reached: Reached) -> None:
    assert decode_reached_untrusted(encode_reached(reached)) is reached


def test_a_refusal_says_its_code_and_cannot_forge_a_log_line() -> None:
    for code in ("chain.capability", "evil\n\x1b[2J\u202e"):
        with pytest.raises(RemoteProtocolError) as caught:
            decode_greeting_untrusted(encode_refusal(code), Kind.GREETED)
        assert caught.value.code == "exchange.refused"
        assert str(caught.value).isprintable()
    assert len(encode_refusal("x" * 1000)) <= MAX_CODE + 8


def test_an_exchange_ends_once() -> None:
    exchanges = Exchanges()
    begun = exchanges.begin(Greet(), BOB, AT, b"hello", now=1.0)
    assert begun is not None
    assert (begun.target, begun.addresses, begun.request, begun.timeout_s) == (BOB, AT, b"hello", None)
    assert exchanges.busy_with(BOB)
    ended = exchanges.end(begun.number)
    assert ended is not None
    assert ended.purpose == Greet()
    assert exchanges.end(begun.number) is None
    assert not exchanges.busy_with(BOB)


def test_a_seed_is_busy_by_its_address_and_a_probe_makes_nobody_busy() -> None:
    exchanges = Exchanges()
    exchanges.begin(Greet(), None, AT, b"", now=0.0)
    exchanges.begin(Probe(7), BOB, AT, b"", now=0.0, timeout_s=0.5)
    assert exchanges.busy_at(AT[0])
    assert not exchanges.busy_at(Address("192.0.2.2", 7946))
    assert not exchanges.busy_with(BOB)


def test_a_crowd_of_greetings_leaves_room_for_probes() -> None:
    exchanges = Exchanges()
    begun = [exchanges.begin(Renew(), None, AT, b"", now=0.0) for _ in range(MAX_OPEN)]
    assert sum(each is not None for each in begun) == MAX_OPEN_BESIDE_PROBES
    probes = [exchanges.begin(Probe(i), BOB, AT, b"", now=0.0) for i in range(MAX_OPEN)]
    assert sum(each is not None for each in probes) == MAX_OPEN - MAX_OPEN_BESIDE_PROBES


def test_gossip_over_channels_takes_neither_the_room_of_greetings_nor_all_of_that_of_probes() -> None:
    exchanges = Exchanges()
    carrying = [exchanges.begin(Carry(), BOB, AT, b"", now=0.0, keep=True) for _ in range(MAX_OPEN)]
    assert sum(each is not None for each in carrying) == MAX_OPEN_CARRYING
    greetings = [exchanges.begin(Greet(), None, AT, b"", now=0.0) for _ in range(MAX_OPEN)]
    assert sum(each is not None for each in greetings) == MAX_OPEN_BESIDE_PROBES
    probes = [exchanges.begin(Probe(i), BOB, AT, b"", now=0.0) for i in range(MAX_OPEN)]
    assert sum(each is not None for each in probes) == MAX_OPEN - MAX_OPEN_BESIDE_PROBES - MAX_OPEN_CARRYING
    assert exchanges.count(Carry) == MAX_OPEN_CARRYING


def test_what_has_no_answer_for_a_minute_is_taken_out() -> None:
    exchanges = Exchanges()
    old = exchanges.begin(Probe(1), BOB, AT, b"", now=0.0)
    young = exchanges.begin(Probe(2), BOB, AT, b"", now=1.0)
    assert old is not None
    assert young is not None
    assert exchanges.end_overdue(now=MAX_AGE_S - 0.1) == []
    assert [each.purpose for each in exchanges.end_overdue(now=MAX_AGE_S)] == [Probe(1)]
    assert exchanges.end(old.number) is None
    assert exchanges.end(young.number) is not None
