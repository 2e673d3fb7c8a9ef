"""The question what a policy would have decided, and its answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh import wire
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.mesh.exchanges import encode_refusal
from gossipmesh.mesh.trial_messages import (
    MAX_AGO_S,
    TRY,
    Question,
    decode_question_untrusted,
    decode_tried_untrusted,
    decode_try_untrusted,
    encode_question,
    encode_tried,
    encode_try,
    is_try,
)
from gossipmesh.model import NodeId
from gossipmesh.policy.decision import Source
from gossipmesh.policy.seen import MAX_PATH, Asked
from gossipmesh.policy.trial import MAX_FINDINGS, Finding, Tried

ASKER = NodeId(b"a" * 32)
QUESTION = Question(1_800_000_000, ASKER, 'default = "deny"\n')
FOUND = Finding(
    Asked(Source(NodeId(b"w" * 32), "web"), "hello", b"GET", b"/v1/x"), "no-web", 14, 30.0, allow=False
)
TRIED = Tried(100, 14, 0, 3, (FOUND, Finding(FOUND.asked, "default", 1, 0.0, allow=True)))
DECODERS: list[tuple[Callable[[bytes], object], bytes]] = [
    (decode_question_untrusted, encode_question(QUESTION)),
    (decode_try_untrusted, encode_try(b"signed")),
    (decode_tried_untrusted, encode_tried(TRIED)),
]


def test_what_is_encoded_is_decoded_again() -> None:
    assert decode_question_untrusted(encode_question(QUESTION)) == QUESTION
    assert decode_try_untrusted(encode_try(b"signed")) == b"signed"
    assert decode_tried_untrusted(encode_tried(TRIED)) == TRIED
    assert is_try(encode_try(b"signed"))
    assert not is_try(encode_tried(TRIED))
    assert not is_try(b"")


@pytest.mark.parametrize(("decode", "message"), DECODERS)
def test_every_truncation_and_every_flipped_bit_is_one_error_or_another_message(
    decode: Callable[[bytes], object], message: bytes
) -> None:
    for end in range(len(message)):
        with pytest.raises(RemoteProtocolError):
            decode(message[:end])
    for place in range(8 * len(message)):
        flipped = bytearray(message)
        flipped[place // 8] ^= 1 << place % 8
        try:
            decode(bytes(flipped))
        except RemoteProtocolError as error:
            assert error.code in ("exchange.malformed", "exchange.refused")


@pytest.mark.parametrize(("decode", "_"), DECODERS)
@given(data=st.binary(max_size=64))
def test_any_bytes_are_one_error(decode: Callable[[bytes], object], _: bytes, data: bytes) -> None:
    try:
        decode(data)
    except RemoteProtocolError as error:
        assert error.code in ("exchange.malformed", "exchange.refused")


def test_a_refusal_says_why() -> None:
    with pytest.raises(RemoteProtocolError, match=r"trial\.busy") as raised:
        decode_tried_untrusted(encode_refusal("trial.busy"))
    assert raised.value.code == "exchange.refused"


def test_the_longest_answer_fits_one_message() -> None:
    asked = Asked(Source(NodeId(b"w" * 32), "s" * 63), "t" * 63, b"M" * 99, b"/" * MAX_PATH)
    found = Finding(asked, "r" * 63, wire.MAX_INT, 1e9)
    answer = encode_tried(Tried(*[wire.MAX_INT] * 4, (found,) * (2 * MAX_FINDINGS)))  # type: ignore[arg-type]
    assert len(answer) <= wire.MAX_MESSAGE
    decoded = decode_tried_untrusted(answer)
    assert (len(decoded.findings), decoded.findings[0].ago_s) == (2 * MAX_FINDINGS, MAX_AGO_S)
    with pytest.raises(RemoteProtocolError):
        decode_tried_untrusted(encode_tried(Tried(0, 0, 0, 0, (FOUND,) * (2 * MAX_FINDINGS + 1))))


def test_a_question_of_another_version_or_kind_is_none() -> None:
    for body in ([2, 1, ASKER, b""], [1, 1, b"short", b""], [1, 1, ASKER, b"\xff"], [1, -1, ASKER, b""]):
        with pytest.raises(RemoteProtocolError):
            decode_question_untrusted(wire.pack(body))
    with pytest.raises(RemoteProtocolError):
        decode_try_untrusted(wire.pack([TRY + 2, b"signed"]))
