"""What two nodes tell each other of what they hold: any other bytes are refused with one error."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh import wire
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.mesh.charter_messages import (
    MAX_IN_ONE,
    MAX_REFUSED_NAMED,
    Brought,
    Holding,
    decode_brought_untrusted,
    decode_holding_untrusted,
    encode_brought,
    encode_holding,
    fitting,
)
from gossipmesh.mesh.exchanges import encode_refusal

HASH = bytes(range(32))
HOLDING = Holding(3, 7, HASH, False, (b"r" * 32,), frozenset({b"k" * 17, b"l" * 17}), b"w" * 32)
BROUGHT = Brought(True, 3, HASH, 7, HASH, (b"bundle",), b"policy", (b"one", b"other"), b"returned")


@pytest.mark.parametrize("holding", [HOLDING, Holding(0, 0, b"")])
def test_what_a_node_holds_survives_the_way(holding: Holding) -> None:
    assert decode_holding_untrusted(encode_holding(holding)) == holding


@pytest.mark.parametrize("brought", [BROUGHT, Brought(False, 0, HASH, 0, b"")])
def test_what_an_answer_brings_survives_the_way(brought: Brought) -> None:
    assert decode_brought_untrusted(encode_brought(brought)) == brought


def test_elements_that_a_later_release_appends_are_ignored() -> None:
    for encoded, decode in (
        (encode_holding(HOLDING), decode_holding_untrusted),
        (encode_brought(BROUGHT), decode_brought_untrusted),
    ):
        value = wire.unpack_untrusted(encoded, code="x")
        assert isinstance(value, list)
        assert decode(wire.pack([*value, b"news"])) == decode(encoded)


def test_an_earlier_release_wants_nothing_more_and_brings_nothing_more() -> None:
    for encoded, decode in (
        (encode_holding(HOLDING), decode_holding_untrusted),
        (encode_brought(BROUGHT), decode_brought_untrusted),
    ):
        value = wire.unpack_untrusted(encoded, code="x")
        assert isinstance(value, list)
        shorter = decode(wire.pack(value[:-1]))
        assert shorter in (evolve(HOLDING, wanted=b""), evolve(BROUGHT, returned=b""))


def test_only_the_latest_refusals_are_named() -> None:
    hashes = tuple(bytes([n] * 32) for n in range(MAX_REFUSED_NAMED + 3))
    told = decode_holding_untrusted(encode_holding(Holding(0, 0, b"", True, hashes)))
    assert told.refused == hashes[3:]


def test_every_cut_and_flipped_bit_is_another_message_or_one_error() -> None:
    for encoded, decode in (
        (encode_holding(HOLDING), decode_holding_untrusted),
        (encode_brought(BROUGHT), decode_brought_untrusted),
    ):
        for place in range(len(encoded)):
            with pytest.raises(RemoteProtocolError):
                decode(encoded[:place])
            flipped = bytearray(encoded)
            flipped[place] ^= 1 << place % 8
            try:
                assert decode(bytes(flipped)) != decode(encoded)
            except RemoteProtocolError as error:
                assert error.code == "exchange.malformed"


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_one_class_of_error(data: bytes) -> None:
    for decode in (decode_holding_untrusted, decode_brought_untrusted):
        with pytest.raises(RemoteProtocolError):
            decode(data)


def test_an_answer_that_says_more_and_brings_nothing_and_a_refusal_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="brings nothing"):
        decode_brought_untrusted(encode_brought(Brought(True, 0, HASH, 0, b"")))
    with pytest.raises(RemoteProtocolError) as caught:
        decode_brought_untrusted(encode_refusal("chain.revoked"))
    assert caught.value.code == "exchange.refused"


def test_an_answer_takes_what_fits() -> None:
    raws = [bytes(100)] * 10
    assert len(fitting(raws, 1_000)) == 9
    assert fitting(raws, 50) == ()
    assert len(fitting([b"x"] * (MAX_IN_ONE + 5), 10**6)) == MAX_IN_ONE
