"""Decoding takes arrays, integers and bytes within limits, and nothing else."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.errors import RemoteProtocolError
from gossipmesh.wire import Fields, pack, unpack_untrusted

values = st.recursive(
    st.integers(min_value=0, max_value=2**64 - 1) | st.binary(max_size=64),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


@given(values)
def test_what_is_packed_comes_back(value: object) -> None:
    assert unpack_untrusted(pack(value), code="t") == value  # type: ignore[arg-type]


def test_what_cannot_be_packed_leaves_nothing_behind() -> None:
    for wrong in ([1, 2**64], [b"x", object()], [1, [-(2**63) - 1]]):
        with pytest.raises((OverflowError, TypeError)):
            pack(wrong)  # type: ignore[arg-type]
        assert unpack_untrusted(pack([1]), code="t") == [1]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_a_value_or_the_one_error(data: bytes) -> None:
    try:
        unpack_untrusted(data, code="t")
    except RemoteProtocolError as error:
        assert error.code == "t"


@pytest.mark.parametrize(
    "bad",
    [
        msgpack.packb("text"),
        msgpack.packb({b"a": 1}),
        msgpack.packb(msgpack.Timestamp(1)),
        msgpack.packb(msgpack.ExtType(5, b"x")),
        msgpack.packb(1) + b"\x00",
        b"",
        b"\x91" * 2_000 + b"\x01",
        b"\x80" * 10,
        b"\x80",
        b"\x91\x80",
        b"\xc7\x00\x05",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
    ],
)
def test_strings_maps_extensions_bombs_and_trailing_bytes_are_refused(bad: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        unpack_untrusted(bad, code="t.code")
    assert caught.value.code == "t.code"


def test_more_bytes_than_allowed_are_refused_before_they_are_read() -> None:
    with pytest.raises(RemoteProtocolError):
        unpack_untrusted(pack([b"x" * 100]), code="t", max_bytes=50)


def test_a_boolean_or_a_float_is_not_an_integer() -> None:
    for odd in (True, 1.0, None):
        with pytest.raises(RemoteProtocolError):
            Fields([odd], code="t").integer()


def test_an_empty_string_is_not_no_bytes() -> None:
    with pytest.raises(RemoteProtocolError):
        Fields(unpack_untrusted(b"\x91\xa0", code="t"), code="t").binary(0, 9)


def test_fields_check_ranges_lengths_and_names() -> None:
    fields = Fields([7, b"abc", b"web-1", b"", [1], b"later"], code="t")
    assert fields.integer(0, 7) == 7
    assert fields.binary(3, 3) == b"abc"
    assert fields.name() == "web-1"
    assert fields.name(empty=True) == ""
    assert fields.array(1) == [1]
    assert fields.left == 1  # an element that a later release added: ignored
    for wrong in ([8], [-1], []):
        with pytest.raises(RemoteProtocolError):
            Fields(wrong, code="t").integer(0, 7)
    for wrong_name in (b"", b"Web", b"a" * 64, b"a\nb", "é".encode()):
        with pytest.raises(RemoteProtocolError):
            Fields([wrong_name], code="t").name()
