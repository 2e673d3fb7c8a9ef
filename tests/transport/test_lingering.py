"""When a turn of the data plane's loop waits for the next event itself."""

from __future__ import annotations

import math

import trio
from hypothesis import given
from hypothesis import strategies as st

from gossipmesh.transport.lingering import AT_WORK_S, FEW, MAX_PASSED_OVER, Lingering
from gossipmesh.transport.reactor import LINGER_S, trio_is_idle


def passed_over(lingering: Lingering) -> int:
    """Count the idle moments until the next one in which is waited, if that is again in vain."""
    moments = 0
    while not lingering.is_due():
        moments += 1
    lingering.came(something=False)
    return moments


def test_it_waits_as_long_as_that_bears_fruit() -> None:
    lingering = Lingering()
    for _ in range(3 * MAX_PASSED_OVER):
        assert lingering.is_due()
        lingering.came(something=True)


def test_in_vain_it_waits_ever_more_rarely_and_once_fruitful_always_again() -> None:
    lingering = Lingering()
    assert [passed_over(lingering) for _ in range(9)] == [0, 1, 3, 7, 15, 31, 63, 63, 63]
    assert passed_over(lingering) == MAX_PASSED_OVER
    while not lingering.is_due():
        pass
    lingering.came(something=True)
    assert [passed_over(lingering) for _ in range(3)] == [0, 1, 3]


def test_it_does_not_wait_while_many_descriptors_are_at_work_for_their_requests_gather_meanwhile() -> None:
    lingering = Lingering()
    lingering.begin(10.0)
    for fd in range(FEW):
        lingering.saw(fd)
        lingering.saw(fd)
        assert lingering.is_due()
    lingering.saw(FEW)
    assert not lingering.is_due()
    lingering.begin(10.0 + AT_WORK_S / 2)
    assert not lingering.is_due()
    lingering.begin(10.0 + AT_WORK_S)
    assert lingering.is_due()


@given(st.lists(st.booleans(), max_size=200))
def test_no_history_makes_it_pass_over_more_than_the_bound(history: list[bool]) -> None:
    lingering = Lingering()
    for something in history:
        lingering.came(something)
    assert passed_over(lingering) <= MAX_PASSED_OVER


async def test_trio_is_idle_unless_a_task_could_run_or_a_deadline_is_near() -> None:
    assert trio_is_idle()
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 3600
        assert trio_is_idle()
        nursery.cancel_scope.deadline = trio.current_time() + LINGER_S / 2
        assert not trio_is_idle()
        nursery.cancel_scope.deadline = math.inf
        nursery.start_soon(trio.lowlevel.checkpoint)
        assert not trio_is_idle()
    assert trio_is_idle()
    trio.lowlevel.current_trio_token().run_sync_soon(lambda: None)
    assert not trio_is_idle()
