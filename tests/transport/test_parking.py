"""A place where one task waits."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gossipmesh.transport.parking import Parking


async def test_a_parked_task_goes_on_when_it_is_woken(nursery: trio.Nursery) -> None:
    parking, laps = Parking(), []

    async def run() -> None:
        for lap in range(2):
            await parking.park()
            laps.append(lap)

    nursery.start_soon(run)
    for expected in ([], [0], [0, 1]):
        await trio.testing.wait_all_tasks_blocked()
        assert laps == expected
        parking.unpark()


async def test_waking_nobody_is_not_remembered() -> None:
    parking = Parking()
    parking.unpark()
    with trio.move_on_after(0) as scope:
        await parking.park()
    assert scope.cancelled_caught


async def test_a_cancelled_task_leaves_the_place_free(nursery: trio.Nursery) -> None:
    parking = Parking()
    with trio.move_on_after(0):
        await parking.park()
    nursery.start_soon(parking.park)
    await trio.testing.wait_all_tasks_blocked()
    parking.unpark()


async def test_there_is_room_for_one_task(nursery: trio.Nursery) -> None:
    parking = Parking()
    nursery.start_soon(parking.park)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(trio.BusyResourceError):
        await parking.park()
    parking.unpark()
