"""The bytes of anti-entropy: what is encoded is decoded, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh import wire
from gossipmesh.errors import LocalProtocolError, RemoteProtocolError
from gossipmesh.model import NodeId
from gossipmesh.registry.digest import Entry
from gossipmesh.registry.sync_messages import (
    MAX_PAGE,
    MAX_PARCELS,
    MAX_SYNC_MESSAGE,
    MAX_WANTED,
    DigestRequest,
    DigestResponse,
    EntriesRequest,
    EntriesResponse,
    ExchangeRequest,
    ExchangeResponse,
    Kind,
    Parcel,
    Request,
    Response,
    decode_request_untrusted,
    decode_response_untrusted,
    encode,
    is_registry_request,
    peek_kind_untrusted,
)

ids = st.binary(min_size=32, max_size=32).map(NodeId)
u32 = st.integers(0, 2**32 - 1)
entries = st.builds(Entry, ids, u32, u32, st.binary(min_size=16, max_size=16))
raws = st.binary(min_size=1, max_size=300)
parcels = st.lists(
    st.builds(Parcel, raws, raws, st.lists(st.binary(min_size=1, max_size=256), max_size=4).map(tuple)),
    max_size=4,
).map(tuple)
requests = st.one_of(
    st.builds(DigestRequest, st.binary(min_size=16, max_size=16)),
    st.builds(
        EntriesRequest,
        st.sets(st.integers(0, 255), min_size=1).map(lambda numbers: tuple(sorted(numbers))),
        st.one_of(st.just(b""), ids),
    ),
    st.builds(ExchangeRequest, st.lists(ids, max_size=5).map(tuple), parcels),
)
responses = st.one_of(
    st.builds(DigestResponse, u32, st.sampled_from([b"", bytes(4_096)])),
    st.builds(
        EntriesResponse,
        st.booleans(),
        st.lists(entries, max_size=5, unique_by=lambda e: e.id).map(
            lambda found: tuple(sorted(found, key=lambda e: e.id))
        ),
    ),
    st.builds(ExchangeResponse, st.integers(0, MAX_WANTED), parcels),
)

ENTRY = Entry(NodeId(bytes(32)), 1, 2, bytes(16))
EXAMPLES: list[Request | Response] = [
    DigestRequest(bytes(16)),
    DigestResponse(7, b""),
    DigestResponse(7, bytes(4_096)),
    EntriesRequest((1, 7, 255), b""),
    EntriesRequest((1,), bytes(32)),
    EntriesResponse(True, (ENTRY,)),
    ExchangeRequest((NodeId(bytes(32)),), (Parcel(b"chain", b"record", (b"accusation",)),)),
    ExchangeResponse(1, (Parcel(b"chain", b"record"),)),
]


def decode(data: bytes) -> Request | Response:
    if peek_kind_untrusted(data) % 2:
        return decode_request_untrusted(data)
    return decode_response_untrusted(data)


@given(requests)
def test_a_request_survives_encoding(request: Request) -> None:
    data = encode(request)
    assert decode_request_untrusted(data) == request
    assert is_registry_request(peek_kind_untrusted(data))


@given(responses)
def test_a_response_survives_encoding(response: Response) -> None:
    data = encode(response)
    assert decode_response_untrusted(data) == response
    assert not is_registry_request(peek_kind_untrusted(data))


@pytest.mark.parametrize("message", EXAMPLES, ids=repr)
def test_every_truncation_and_every_longer_message_is_refused(message: Request | Response) -> None:
    data = encode(message)
    for end in range(len(data)):
        with pytest.raises(RemoteProtocolError) as caught:
            decode(data[:end])
        assert caught.value.code == "sync.malformed"
    with pytest.raises(RemoteProtocolError):
        decode(data + b"\0")


@pytest.mark.parametrize("message", EXAMPLES, ids=repr)
def test_every_bit_flip_gives_a_message_or_the_one_error(message: Request | Response) -> None:
    data = encode(message)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            other = decode(bytes(flipped))
        except RemoteProtocolError as error:
            assert error.code == "sync.malformed"
        else:
            assert other != message


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_the_one_error(data: bytes) -> None:
    for decoder in (decode_request_untrusted, decode_response_untrusted):
        try:
            decoder(data)
        except RemoteProtocolError as error:
            assert error.code == "sync.malformed"


@pytest.mark.parametrize(
    "values",
    [
        [1, bytes(15)],
        [1],
        [2, -1, b""],
        [2, 1, bytes(100)],
        [3, b"", b""],
        [3, b"\2\1", b""],
        [3, b"\1\1", b""],
        [3, b"\1", bytes(31)],
        [4, 2, b""],
        [4, 0, bytes(55)],
        [4, 0, ENTRY.packed * 2],
        [5, bytes(33), []],
        [5, bytes(32) * (MAX_WANTED + 1), []],
        [5, b"", [[b"c", b"r", []]] * (MAX_PARCELS + 1)],
        [5, b"", [[b"", b"r", []]]],
        [5, b"", [[b"c", b"r"]]],
        [5, b"", [[b"c", b"r", [b"a"] * 5]]],
        [5, b"", [[bytes(1_101), b"r", []]]],
        [5, b"", [[b"c", bytes(1_101), []]]],
        [6, MAX_WANTED + 1, []],
        [7, b""],
        [15, b""],
        [16, b""],
    ],
    ids=str,
)
def test_what_breaks_a_rule_is_refused(values: list[wire.Value]) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(wire.pack(values))
    assert caught.value.code == "sync.malformed"


def test_a_request_is_no_response_and_a_response_no_request() -> None:
    with pytest.raises(RemoteProtocolError):
        decode_response_untrusted(encode(DigestRequest(bytes(16))))
    with pytest.raises(RemoteProtocolError):
        decode_request_untrusted(encode(DigestResponse(0, b"")))


def test_elements_that_a_newer_release_appends_are_ignored() -> None:
    assert decode_request_untrusted(wire.pack([1, bytes(16), b"new"])) == DigestRequest(bytes(16))
    parcel: wire.Value = [b"c", b"r", [], b"new"]
    assert decode_response_untrusted(wire.pack([6, 1, [parcel], 5])) == ExchangeResponse(
        1, (Parcel(b"c", b"r"),)
    )


def test_the_registry_answers_odd_kinds_up_to_fifteen() -> None:
    assert [kind for kind in range(128) if is_registry_request(kind)] == [1, 3, 5, 7, 9, 11, 13, 15]
    assert all(is_registry_request(kind) == kind.name.endswith("REQUEST") for kind in Kind)


@pytest.mark.parametrize(
    "data", [b"", b"\x91", b"\x90\x01", b"\xdc\x00\x01\x01", b"\x91\x00", b"\x91\xcc\x80"]
)
def test_a_message_without_a_kind_has_none_to_peek_at(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        peek_kind_untrusted(data)


def test_the_kind_of_somebody_elses_message_is_given_without_decoding_it() -> None:
    assert peek_kind_untrusted(wire.pack([16, b"anything"])) == 16


def test_a_full_page_fits_and_what_does_not_fit_is_our_own_fault() -> None:
    page = tuple(
        Entry(NodeId(number.to_bytes(32, "big")), 2**32 - 1, 2**32 - 1, bytes(16))
        for number in range(MAX_PAGE)
    )
    assert len(encode(EntriesResponse(True, page))) <= MAX_SYNC_MESSAGE
    with pytest.raises(LocalProtocolError):
        encode(ExchangeResponse(0, tuple([Parcel(bytes(1_100), bytes(1_100))] * 40)))


@given(parcels)
def test_a_parcel_never_takes_more_than_its_size(some: tuple[Parcel, ...]) -> None:
    empty = len(encode(ExchangeResponse(0, ()))) + 2
    assert len(encode(ExchangeResponse(0, some))) <= empty + sum(parcel.size for parcel in some)
