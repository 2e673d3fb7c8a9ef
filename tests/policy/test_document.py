"""Policy documents: bodies, hashes, and which of two counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh import wire
from gossipmesh.errors import ConfigError, RemoteProtocolError
from gossipmesh.policy.document import (
    MAX_TEXT,
    NO_DOCUMENT,
    PolicyDocument,
    Stage,
    decode_document_untrusted,
    document_hash,
    new_document,
)

TEXT = 'default = "allow"\n# ja, auch ümlaut\n'
STAGES = (Stage(100, 600), Stage(500, 600, rise=10, requests=100))
FIRST = new_document(1, TEXT, signed_at=1_900_000_000)
STAGED = new_document(2, TEXT, signed_at=1_900_000_100, before=FIRST, stages=STAGES, return_to=FIRST.hash)


def malformed(body: bytes) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_document_untrusted(body)
    assert caught.value.code == "policy.malformed"
    return str(caught.value)


def items(document: PolicyDocument) -> list[object]:
    unpacked = wire.unpack_untrusted(document.body, code="test")
    assert isinstance(unpacked, list)
    return unpacked


def changed(place: int, value: wire.Value) -> bytes:
    body = items(STAGED)
    body[place] = value
    return wire.pack(body)  # type: ignore[arg-type]


def test_what_was_made_is_what_is_read() -> None:
    read = decode_document_untrusted(STAGED.body)
    assert read == STAGED
    assert (read.version, read.prev_hash, read.return_to) == (2, FIRST.hash, FIRST.hash)
    assert (read.text, read.stages) == (TEXT, STAGES)


def test_the_text_is_kept_byte_for_byte() -> None:
    assert TEXT.encode() in FIRST.body


def test_a_document_is_its_body() -> None:
    assert STAGED.hash == document_hash(STAGED.body)
    assert FIRST.hash != new_document(1, TEXT, signed_at=1_900_000_001).hash


def test_what_a_later_release_appends_is_ignored_and_stays_in_the_hash() -> None:
    longer = wire.pack([*items(STAGED), b"new", 7])  # type: ignore[list-item]
    read = decode_document_untrusted(longer)
    assert (read.text, read.stages, read.body) == (TEXT, STAGES, longer)
    assert read.hash != STAGED.hash
    row = [[100, 600, 10, 5, 99]]
    assert decode_document_untrusted(changed(5, row)).stages == (Stage(100, 600, 10, 5),)  # type: ignore[arg-type]


def test_every_truncation_is_malformed() -> None:
    for length in range(len(STAGED.body)):
        malformed(STAGED.body[:length])


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_document_or_malformed(body: bytes) -> None:
    try:
        decode_document_untrusted(body)
    except RemoteProtocolError as error:
        assert error.code == "policy.malformed"


@given(st.integers(0, len(STAGED.body) * 8 - 1))
def test_a_flipped_bit_never_gives_the_same_document(bit: int) -> None:
    flipped = bytearray(STAGED.body)
    flipped[bit // 8] ^= 1 << bit % 8
    try:
        assert decode_document_untrusted(bytes(flipped)).hash != STAGED.hash
    except RemoteProtocolError as error:
        assert error.code == "policy.malformed"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2),
        (1, 0),
        (1, 2**32),
        (2, b"short"),
        (3, 2**60),
        (4, b"\xff"),
        (4, bytes(MAX_TEXT + 1)),
        (5, [[100, 60, 0, 1]] * 2),
        (5, [[1000, 60, 0, 1], [1000, 60, 0, 1]]),
        (5, [[0, 60, 0, 1]]),
        (5, [[1001, 60, 0, 1]]),
        (5, [[100, 0, 0, 1]]),
        (5, [[100, 60, 1001, 1]]),
        (5, [[100, 60, 0, 0]]),
        (5, [[100, 60, 0]]),
        (5, [[n, 60, 0, 1] for n in range(1, 10)]),
        (5, []),
        (6, b""),
    ],
)
def test_a_value_out_of_its_range_is_malformed(place: int, value: wire.Value) -> None:
    malformed(changed(place, value))


@pytest.mark.parametrize("version", [0, -1, 2**32, 2**64])
def test_a_version_out_of_range_is_not_made(version: int) -> None:
    with pytest.raises(ConfigError):
        new_document(version, TEXT, signed_at=1)


def test_a_text_over_its_limit_is_not_made() -> None:
    assert new_document(1, "x" * MAX_TEXT, signed_at=1).text
    with pytest.raises(ConfigError) as caught:
        new_document(1, "x" * (MAX_TEXT + 1), signed_at=1)
    assert caught.value.code == "policy.invalid"


def test_the_first_document_has_none_before_it() -> None:
    assert FIRST.prev_hash == NO_DOCUMENT == FIRST.return_to
