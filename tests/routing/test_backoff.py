"""How long a request waits before it is tried again."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.routing.backoff import BackoffSettings, wait_s
from gossipmesh.routing.outcomes import OutcomeKind

NEVER_SENT = [OutcomeKind.CONNECT_FAILED, OutcomeKind.REFUSED]


@pytest.mark.parametrize("after", NEVER_SENT)
def test_the_first_retry_of_what_nobody_has_worked_on_waits_for_nothing(after: OutcomeKind) -> None:
    assert wait_s(1, after, BackoffSettings(), rng=Random(1)) == 0.0
    assert wait_s(2, after, BackoffSettings(), rng=Random(1)) > 0.0


def test_waits_are_anywhere_up_to_a_bound_that_doubles() -> None:
    rng = Random(1)
    for retry, bound in [(1, 0.025), (2, 0.05), (3, 0.1), (4, 0.2), (5, 0.25), (6, 0.25)]:
        waits = [wait_s(retry, OutcomeKind.FAILED, BackoffSettings(), rng=rng) for _ in range(2_000)]
        assert 0.98 * bound < max(waits) <= bound
        assert min(waits) < 0.02 * bound
        assert abs(sum(waits) / len(waits) - bound / 2) < 0.05 * bound


@given(
    retry=st.integers(0, 10_000),
    after=st.sampled_from(OutcomeKind),
    base_s=st.floats(0, 60),
    most_s=st.floats(0, 600),
    seed=st.integers(),
)
def test_no_wait_is_longer_than_the_most(
    retry: int, after: OutcomeKind, base_s: float, most_s: float, seed: int
) -> None:
    assert 0.0 <= wait_s(retry, after, BackoffSettings(base_s, most_s), rng=Random(seed)) <= most_s
