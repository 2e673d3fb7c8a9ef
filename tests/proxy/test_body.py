"""A body that can be sent again while little of it came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.proxy.body import ReplayableBody


def body_of(*chunks: bytes, limit: int = 10, ended: bool = True) -> ReplayableBody:
    body = ReplayableBody(limit)
    for chunk in chunks:
        body.put(chunk)
    if ended:
        body.finish()
    return body


def take_all(body: ReplayableBody) -> list[bytes]:
    chunks = []
    while (chunk := body.take()) is not None:
        chunks.append(bytes(chunk))
    return chunks


def test_a_small_body_can_be_taken_again() -> None:
    body = body_of(b"he", b"llo")
    assert take_all(body) == [b"he", b"llo"]
    assert (body.replayable, body.passed) == (True, True)
    body.rewind()
    assert not body.passed
    assert take_all(body) == [b"he", b"llo"]
    assert body.size == 5


def test_after_beginning_again_half_way_the_rest_still_comes() -> None:
    body = body_of(b"he", b"llo")
    assert body.take() == b"he"
    body.rewind()
    assert body.taken == 0
    assert take_all(body) == [b"he", b"llo"]
    body.rewind()
    assert take_all(body) == [b"he", b"llo"]


def test_past_the_limit_nothing_is_kept() -> None:
    body = body_of(b"0123456789", ended=False)
    assert body.take() == b"0123456789"
    assert body.replayable
    body.put(b"x")
    assert not body.replayable
    assert body.take() == b"x"
    assert body.take() is None
    body.finish()
    assert body.whole() is None
    with pytest.raises(AssertionError):
        body.rewind()


def test_what_was_not_taken_whole_is_given_back_and_comes_next() -> None:
    body = body_of(b"hello", b"!")
    data = body.take()
    assert data is not None
    body.put_back(memoryview(data)[2:])
    assert (body.taken, body.waiting, body.passed) == (2, True, False)
    assert take_all(body) == [b"llo", b"!"]
    assert body.taken == 6


def test_a_body_is_passed_only_once_it_has_ended_and_nothing_waits() -> None:
    body = body_of(b"x", ended=False)
    body.take()
    assert not body.passed
    body.finish(((b"Digest", b"x"),))
    assert body.passed
    assert body.trailers == ((b"Digest", b"x"),)


def test_a_body_is_whole_if_all_of_it_is_here_and_kept_and_it_has_no_trailers() -> None:
    assert body_of().whole() == b""
    assert body_of(b"he", b"llo").whole() == b"hello"
    assert body_of(b"x", ended=False).whole() is None
    trailed = body_of(b"x", ended=False)
    trailed.finish(((b"Digest", b"x"),))
    assert trailed.whole() is None


@given(
    sizes=st.lists(st.integers(1, 6), max_size=6),
    tries=st.lists(st.lists(st.integers(1, 8), max_size=6), max_size=4),
)
def test_whatever_was_taken_before_a_replayable_body_begins_with_its_first_byte(
    sizes: list[int], tries: list[list[int]]
) -> None:
    chunks = [bytes([number]) * size for number, size in enumerate(sizes)]
    body = body_of(*chunks)
    for takes in tries:
        for most in takes:
            data = body.take()
            if data is not None and len(data) > most:
                body.put_back(memoryview(data)[most:])
        if not body.replayable:
            return
        body.rewind()
    assert b"".join(take_all(body)) == b"".join(chunks)
    assert body.taken == body.size == sum(sizes)
