"""Waiting for a picture to change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import trio
import trio.testing

from gossipmesh.daemon.admin.changes import FOLLOWED, SERVICES, Picture
from gossipmesh.daemon.admin.news import GATHER_S, JITTER, News

WEB = (SERVICES, "web")


class World:
    """A picture that tests change, and how often it was looked at."""

    def __init__(self) -> None:
        self.services: dict[str, int] = {"web": 1}
        self.looks = 0
        self.news = News(self._picture, first=10, rng=Random(1))

    def _picture(self) -> Picture:
        self.looks += 1
        return Picture({}, dict(self.services), "", lambda _: None, lambda name: {"name": name})

    def change(self, **services: int) -> None:
        self.services |= services
        self.news.touch()


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.news.run)
        yield world
        nursery.cancel_scope.cancel()


async def test_a_wait_ends_with_the_change_of_what_it_is_about(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as world, trio.open_nursery() as nursery:

        async def change() -> None:
            await trio.sleep(1.0)
            world.change(db=1)
            await trio.sleep(1.0)
            world.change(web=2)

        began = trio.current_time()
        nursery.start_soon(change)
        await world.news.changed(WEB, 10, wait_s=30.0)
        assert 2.0 <= trio.current_time() - began <= 2.0 + GATHER_S


async def test_an_index_that_is_not_the_current_one_is_answered_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as world:
        began = trio.current_time()
        for index in (0, 9, 11, 10**15):
            await world.news.changed(WEB, index, wait_s=30.0)
        assert trio.current_time() == began


async def test_a_wait_without_a_change_ends_a_bit_later_than_asked_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as world:
        took_s = set()
        for _ in range(8):
            began = trio.current_time()
            await world.news.changed(WEB, 10, wait_s=16.0)
            took_s.add(trio.current_time() - began)
        assert len(took_s) == 8
        assert all(16.0 <= each <= 16.0 * (1 + JITTER) for each in took_s)


async def test_nobody_looks_while_nobody_waits_and_not_often_while_somebody_does(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as world:
        looks = world.looks
        for number in range(100):
            world.change(web=number)
        await trio.sleep(1.0)
        assert world.looks == looks
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(world.news.changed, (SERVICES, "none"), 10, wait_s=60.0))
            for number in range(1_000):
                world.change(web=number)
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        assert world.looks - looks <= 1.0 / GATHER_S + 3


async def test_followers_are_told_what_happened_while_nobody_looked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as world:
        world.change(web=2, db=1)
        events = world.news.after(10, frozenset(FOLLOWED))
        assert events is not None
        assert [event.data for event in events] == ['{"name": "web"}', '{"name": "db"}']
        began = trio.current_time()
        await world.news.next_move(10, wait_s=5.0)
        assert trio.current_time() == began
        await world.news.next_move(world.news.last, wait_s=5.0)
        assert trio.current_time() == began + 5.0
