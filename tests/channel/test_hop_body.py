"""Body bytes that wait to be sent: given as they came, in few pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.channel.hop_body import GATHERED, WaitingBody

SIZES = st.one_of(st.integers(1, 300), st.integers(GATHERED - 2, GATHERED + 2))


def taken(waiting: WaitingBody, most: int) -> list[bytes]:
    """Take all, at most so many bytes at a time."""
    chunks = []
    while waiting.size:
        chunks.append(bytes(waiting.take(most)))
    return chunks


@given(st.lists(st.tuples(SIZES, st.booleans(), st.integers(0, 40_000)), max_size=20))
def test_what_is_taken_is_what_was_added_in_order_and_never_more_than_was_asked_for(
    steps: list[tuple[int, bool, int]],
) -> None:
    waiting = WaitingBody()
    expected, got = b"", b""
    for number, (size, as_view, most) in enumerate(steps):
        piece = bytes([number]) * (size + 5)
        waiting.add(memoryview(piece) if as_view else piece, size)
        expected += piece[:size]
        if most and waiting.size:
            chunk = waiting.take(most)
            assert 0 < len(chunk) <= most
            got += chunk
        assert waiting.size == len(expected) - len(got)
    assert got + b"".join(taken(waiting, 7_000)) == expected


def test_a_large_piece_is_not_copied() -> None:
    waiting = WaitingBody()
    large = bytes(3 * GATHERED)
    waiting.add(b"small", 5)
    waiting.add(large, len(large))
    assert bytes(waiting.take(10)) == b"small"
    first, rest = waiting.take(GATHERED), waiting.take(10**9)
    assert isinstance(first, memoryview)
    assert first.obj is large
    assert isinstance(rest, memoryview)
    assert rest.obj is large


def test_small_pieces_are_put_together() -> None:
    waiting = WaitingBody()
    for _ in range(1_000):
        waiting.add(b"x", 1)
    assert [len(chunk) for chunk in taken(waiting, 10**9)] == [1, 999]


def test_a_buffer_that_its_owner_may_change_is_copied() -> None:
    waiting = WaitingBody()
    buffer = bytearray(b"a" * GATHERED)
    waiting.add(memoryview(buffer), GATHERED)
    buffer[:] = b"b" * GATHERED
    assert taken(waiting, 10**9) == [b"a" * GATHERED]


def test_what_is_forgotten_is_counted() -> None:
    waiting = WaitingBody()
    waiting.add(bytes(GATHERED), GATHERED)
    waiting.add(b"abc", 2)
    assert waiting.clear() == GATHERED + 2
    assert waiting.size == 0
    assert waiting.clear() == 0
