"""Signed bytes: one spelling, one purpose, one mesh, one place."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh import crypto
from gossipmesh.errors import RemoteProtocolError
from gossipmesh.identity.signed import Signed, decode_signed_untrusted, envelope, seal

SEED = bytes(range(32))
PUBLIC = crypto.signing_public(SEED)
LABEL = b"test/label\0"
MESH = bytes(32)
SIGNED = seal(LABEL, MESH, b"body", SEED)


def test_what_was_sealed_verifies_under_its_key_label_mesh_and_link() -> None:
    linked = seal(LABEL, MESH, b"body", SEED, link=b"after")
    assert SIGNED.verify(LABEL, MESH, PUBLIC)
    assert linked.verify(LABEL, MESH, PUBLIC, link=b"after")


def test_a_signature_means_nothing_for_another_label_mesh_link_or_key() -> None:
    assert not SIGNED.verify(b"other/label\0", MESH, PUBLIC)
    assert not SIGNED.verify(LABEL, bytes([1]) * 32, PUBLIC)
    assert not SIGNED.verify(LABEL, MESH, PUBLIC, link=b"after")
    assert not SIGNED.verify(LABEL, MESH, crypto.signing_public(bytes(32)))
    assert not SIGNED.verify(LABEL, MESH, b"short")


def test_decoding_gives_back_the_very_bytes() -> None:
    decoded = decode_signed_untrusted(SIGNED.raw, 1_000)
    assert decoded == SIGNED
    assert decoded.raw == SIGNED.raw


def test_a_second_spelling_of_one_signature_is_refused() -> None:
    with_more = msgpack.packb([SIGNED.body, SIGNED.signature, 1])
    long_length = b"\x92\xc5\x00\x04body" + SIGNED.raw[7:]
    as_text = b"\x92\xa4body" + SIGNED.raw[7:]
    assert SIGNED.raw[:7] == b"\x92\xc4\x04body"
    for raw in (with_more, long_length, as_text):
        with pytest.raises(RemoteProtocolError) as caught:
            decode_signed_untrusted(raw, 1_000, code="some.code")
        assert caught.value.code == "some.code"


def test_more_bytes_than_allowed_are_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        decode_signed_untrusted(SIGNED.raw, len(SIGNED.raw) - 1)


def test_no_truncation_decodes_and_no_bit_flip_verifies() -> None:
    for size in range(len(SIGNED.raw)):
        with pytest.raises(RemoteProtocolError):
            decode_signed_untrusted(SIGNED.raw[:size], 1_000)
    for bit in range(len(SIGNED.raw) * 8):
        flipped = bytearray(SIGNED.raw)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            decoded = decode_signed_untrusted(bytes(flipped), 1_000)
        except RemoteProtocolError:
            continue
        assert not decoded.verify(LABEL, MESH, PUBLIC)


@given(st.binary(max_size=200))
def test_any_bytes_decode_to_themselves_or_raise_one_error(raw: bytes) -> None:
    try:
        decoded = decode_signed_untrusted(raw, 200)
    except RemoteProtocolError as error:
        assert error.code == "signed.malformed"
    else:
        assert envelope(decoded.body, decoded.signature).raw == raw


def test_repr_is_short() -> None:
    assert repr(Signed(b"abc", b"d", b"")) == "Signed(raw=<3 bytes>, body=<1 bytes>, signature=<0 bytes>)"
