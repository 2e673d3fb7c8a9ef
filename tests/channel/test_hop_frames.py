"""Frames in records: whole frames, few records, bounded chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.channel.hop_frames import (
    DATA,
    HEAD,
    MAX_CHUNK,
    MAX_PAYLOAD,
    PING,
    RecordPacker,
    decode_u32_untrusted,
    decode_u64_untrusted,
    encode_frame,
    split_frames_untrusted,
)
from gossipmesh.channel.secure import MAX_RECORD_BODY
from gossipmesh.errors import RemoteProtocolError


def records_of(packer: RecordPacker) -> list[bytes]:
    return [b"".join(parts) for parts in packer.finish()]


frames = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 255), st.binary(max_size=64))


@given(st.lists(frames, max_size=20))
def test_frames_arrive_as_they_were_packed(sent: list[tuple[int, int, bytes]]) -> None:
    packer = RecordPacker(1)
    for frame in sent:
        packer.add(*frame)
    received = [frame for body in records_of(packer) for frame in split_frames_untrusted(body)]
    assert received == sent


def test_every_truncation_of_a_record_gives_whole_frames_or_the_one_error() -> None:
    body = (
        encode_frame(1, HEAD, b"head") + encode_frame(0, PING, b"8 bytes.") + encode_frame(1, DATA, b"x" * 40)
    )
    whole = {0, 11, 26}
    for size in range(len(body)):
        if size in whole:
            assert len(split_frames_untrusted(body[:size])) == sorted(whole).index(size)
            continue
        with pytest.raises(RemoteProtocolError) as raised:
            split_frames_untrusted(body[:size])
        assert raised.value.code == "hop.malformed"


@given(st.lists(st.integers(0, MAX_PAYLOAD), max_size=12))
def test_no_record_is_longer_than_the_channel_takes(sizes: list[int]) -> None:
    packer = RecordPacker(1)
    for size in sizes:
        packer.add(1, HEAD, bytes(size))
    bodies = records_of(packer)
    assert all(len(body) <= MAX_RECORD_BODY for body in bodies)
    assert [len(payload) for body in bodies for *_, payload in split_frames_untrusted(body)] == sizes


def test_a_bulk_body_fills_its_records_with_chunks_of_16_kib_at_most() -> None:
    packer = RecordPacker(10**6)
    left = 1_000_000
    while left:
        size = packer.chunk_room(left)
        packer.add(1, DATA, bytes(size))
        left -= size
    bodies = records_of(packer)
    assert len(bodies) == 16
    assert max(len(payload) for body in bodies for *_, payload in split_frames_untrusted(body)) == MAX_CHUNK


def test_the_packer_says_when_its_limit_is_reached() -> None:
    packer = RecordPacker(100)
    packer.add(1, HEAD, bytes(90))
    assert not packer.full
    packer.add(1, HEAD, bytes(90))
    assert packer.full


@pytest.mark.parametrize("payload", [b"", b"123", b"12345", b"1234567", b"123456789"])
def test_numbers_have_one_length(payload: bytes) -> None:
    for decode in (decode_u32_untrusted, decode_u64_untrusted):
        with pytest.raises(RemoteProtocolError):
            decode(payload)
