"""A body that can be sent again while little of it was read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.proxy.body import ReplayableBody


def body_of(*chunks: bytes, limit: int = 10) -> ReplayableBody:
    left = list(chunks)

    async def source() -> bytes:
        return left.pop(0) if left else b""

    return ReplayableBody(source, limit)


async def read_all(body: ReplayableBody) -> list[bytes]:
    chunks = []
    while chunk := await body.read():
        chunks.append(chunk)
    return chunks


async def test_a_small_body_can_be_read_again() -> None:
    body = body_of(b"he", b"llo")
    assert await read_all(body) == [b"he", b"llo"]
    assert body.replayable
    body.rewind()
    assert await read_all(body) == [b"he", b"llo"]
    assert body.size == 5


async def test_after_beginning_again_half_way_the_rest_still_comes() -> None:
    body = body_of(b"he", b"llo")
    assert await body.read() == b"he"
    body.rewind()
    assert await read_all(body) == [b"he", b"llo"]
    body.rewind()
    assert await read_all(body) == [b"he", b"llo"]


async def test_past_the_limit_nothing_is_kept() -> None:
    body = body_of(b"0123456789", b"x")
    assert await body.read() == b"0123456789"
    assert body.replayable
    assert await body.read() == b"x"
    assert not body.replayable
    assert await body.read() == b""


@given(sizes=st.lists(st.integers(1, 6), max_size=6), reads=st.lists(st.integers(0, 8), max_size=4))
async def test_whatever_was_read_before_a_replayable_body_begins_with_its_first_byte(
    sizes: list[int], reads: list[int]
) -> None:
    chunks = [bytes([number]) * size for number, size in enumerate(sizes)]
    body = body_of(*chunks)
    for count in reads:
        for _ in range(count):
            await body.read()
        if not body.replayable:
            return
        body.rewind()
    assert await read_all(body) == chunks
