"""Which of two policy documents counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.mesh.held_policy import order_of

HASHES = st.binary(min_size=32, max_size=32)


@given(st.integers(0, 2**32 - 1), HASHES, HASHES)
def test_the_higher_version_counts_and_of_one_version_the_lower_hash(
    version: int, one: bytes, other: bytes
) -> None:
    assert order_of(version + 1, one) > order_of(version, other)
    assert (order_of(version, one) > order_of(version, other)) == (one < other)
